#!/usr/bin/env python3
"""Forests against the engines that run them elsewhere, one thread, in one run.

    python trees.py make FOLDER                              trains the models, converts and compiles them for the others (minutes)
    python trees.py measure FOLDER --ekiben EKIBEN --driver DRIVER [--rounds 3] [--out FILE]

EKIBEN is the host tool, which compiles the native files; DRIVER is `bench-rows` of the runtime's examples, built for release. For each
model and engine: microseconds for one row (another row on every call), rows per second at 10,000 rows, milliseconds to load, and bytes of the
file. Engines take turns, each in a process of its own; the best of the rounds counts, because the others are disturbed.
"""
import argparse, ctypes, json, os, pathlib, re, subprocess, sys, time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
import numpy as np

SEED = 20240607
BATCH = 10_000
MODELS = ("xgb_reg", "xgb_cls", "lgb_reg", "lgb_cls", "rf_iris", "rf_digits")


# ---------------------------------------------------------------- models
def make(folder):
    import joblib, lightgbm, onnxmltools, xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits, load_iris, make_classification, make_regression
    from sklearn.ensemble import RandomForestClassifier

    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, y) in (("rf_iris", load_iris(return_X_y=True)), ("rf_digits", load_digits(return_X_y=True))):
        model = RandomForestClassifier(100, random_state=SEED, n_jobs=1).fit(x.astype(np.float32), y)
        joblib.dump(model, folder / f"{name}.joblib")
        joblib.dump(model, folder / f"{name}.small.joblib", compress=9)
        onnx = to_onnx(model, x[:1].astype(np.float32), options={"zipmap": False}, target_opset=15)
        (folder / f"{name}.onnx").write_bytes(onnx.SerializeToString())
        np.save(folder / f"{name}.npy", x.astype(np.float32))
    sets = {
        "reg": make_regression(20000, 20, n_informative=10, noise=5.0, random_state=SEED),
        "cls": make_classification(20000, 20, n_informative=10, random_state=SEED),
    }
    for name, (x, y) in sets.items():
        x = x.astype(np.float32)
        for booster in ("xgb", "lgb"):
            np.save(folder / f"{booster}_{name}.npy", x[:BATCH])
        kind = xgboost.XGBRegressor if name == "reg" else xgboost.XGBClassifier
        model = kind(n_estimators=300, max_depth=6, n_jobs=1, random_state=SEED, base_score=0.0 if name == "reg" else 0.5)
        model.fit(x, y)
        for extension in ("json", "ubj"):
            model.save_model(folder / f"xgb_{name}.{extension}")
        convert(folder / f"xgb_{name}.onnx", onnxmltools.convert_xgboost, model, FloatTensorType)
        kind = lightgbm.LGBMRegressor if name == "reg" else lightgbm.LGBMClassifier
        model = kind(n_estimators=300, num_leaves=31, n_jobs=1, random_state=SEED, deterministic=True, verbose=-1)
        model.fit(x, y)
        model.booster_.save_model(folder / f"lgb_{name}.txt")
        convert(folder / f"lgb_{name}.onnx", onnxmltools.convert_lightgbm, model, FloatTensorType, zipmap=False)
    for name in MODELS:
        compile_c(folder, name)


def convert(path, converter, model, type_of, **options):
    try:
        onnx = converter(model, initial_types=[("X", type_of([None, 20]))], target_opset=15, **options)
        path.write_bytes(onnx.SerializeToString())
    except Exception as error:  # a converter behind its framework
        print(f"{path.name}: {error!r:.200}")


def compile_c(folder, name):
    """A shared object of tl2cgen's C, called through a loop over rows in C."""
    import joblib, tl2cgen, treelite

    if name.startswith("xgb"):
        model, outputs = treelite.frontend.load_xgboost_model(folder / f"{name}.json"), 1
    elif name.startswith("lgb"):
        model, outputs = treelite.frontend.load_lightgbm_model(folder / f"{name}.txt"), 1
    else:
        forest = joblib.load(folder / f"{name}.joblib")
        model, outputs = treelite.sklearn.import_model(forest), len(forest.classes_)
    source = folder / "c" / name
    tl2cgen.generate_c_code(model, dirpath=str(source), params={"parallel_comp": 8})
    result = re.search(r"void predict\(union Entry\* data, int pred_margin, (\w+)\* result\)", (source / "header.h").read_text())[1]
    (source / "rows.c").write_text(f"""#include "header.h"
void rows(const float *x, int n, int f, float *out) {{
  union Entry e[256]; {result} r[{outputs}];
  for (int i = 0; i < n; i++) {{
    for (int j = 0; j < f; j++) e[j].fvalue = x[(long)i * f + j];
    for (int j = 0; j < {outputs}; j++) r[j] = 0;
    predict(e, 0, r);
    for (int j = 0; j < {outputs}; j++) out[(long)i * {outputs} + j] = (float)r[j];
  }}
}}
""")
    command = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(folder / f"{name}.so"), *map(str, source.glob("*.c")), "-lm"]
    subprocess.run(command, check=True)


# ---------------------------------------------------------------- engines: a function that loads, which gives one that runs
def engine_onnxruntime(folder, name, x):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = str(folder / f"{name}.onnx")

    def load():
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        outputs = [output.name for output in session.get_outputs()][-1:]
        key = session.get_inputs()[0].name
        return lambda rows: session.run(outputs, {key: rows})[0]

    return load


def engine_framework(folder, name, x):
    if name.startswith("xgb"):
        import xgboost

        def load():
            booster = xgboost.Booster(model_file=str(folder / f"{name}.ubj"))
            booster.set_param("nthread", 1)
            return lambda rows: booster.inplace_predict(rows, validate_features=False)

    elif name.startswith("lgb"):
        import lightgbm
        from lightgbm.basic import _LIB

        def load():
            booster = lightgbm.Booster(model_file=str(folder / f"{name}.txt"))
            out, length, fast = np.zeros(len(x)), ctypes.c_int64(), ctypes.c_void_p()
            pointer, parameters = out.ctypes.data_as(ctypes.POINTER(ctypes.c_double)), b"num_threads=1"
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(booster._handle, 0, 0, -1, 0, x.shape[1], parameters, ctypes.byref(fast))

            def run(rows):
                data = ctypes.c_void_p(rows.ctypes.data)
                if len(rows) == 1:
                    _LIB.LGBM_BoosterPredictForMatSingleRowFast(fast, data, ctypes.byref(length), pointer)
                else:
                    _LIB.LGBM_BoosterPredictForMat(
                        booster._handle, data, 0, len(rows), rows.shape[1], 1, 0, 0, -1, parameters, ctypes.byref(length), pointer)
                return out[: len(rows)]

            run.keep = booster
            return run

    else:
        import joblib, sklearn.ensemble

        def load():
            model = joblib.load(folder / f"{name}.joblib")
            model.n_jobs = 1
            return model.predict_proba

    return load


def engine_lleaves(folder, name, x):
    import lleaves

    path = folder / f"{name}.txt"
    cache = str(folder / f"{name}.lleaves.o")
    lleaves.Model(model_file=str(path)).compile(cache=cache)

    def load():
        model = lleaves.Model(model_file=str(path))
        model.compile(cache=cache)
        return lambda rows: model.predict(rows, n_jobs=1)

    return load


def engine_tl2cgen(folder, name, x):
    outputs = {"rf_iris": 3, "rf_digits": 10}.get(name, 1)

    def load():
        library = ctypes.CDLL(str(folder / f"{name}.so"))
        library.rows.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
        out = np.zeros((len(x), outputs), np.float32)

        def run(rows):
            library.rows(rows.ctypes.data, len(rows), rows.shape[1], out.ctypes.data)
            return out[: len(rows)]

        return run

    return load


def worker(engine, folder, name):
    x = np.load(folder / f"{name}.npy")
    x = np.ascontiguousarray(np.resize(x, (BATCH, x.shape[1])))
    loader = globals()[f"engine_{engine}"](folder, name, x)
    start = time.perf_counter()
    run = loader()
    load_ms = (time.perf_counter() - start) * 1e3
    singles = [x[row : row + 1] for row in range(2000)]
    first = np.asarray(run(singles[0]), np.float64).ravel()[:3].tolist()
    clock = time.perf_counter
    one = []
    for _ in range(3):
        for row in singles:
            start = clock()
            run(row)
            one.append(clock() - start)
    batch = []
    while len(batch) < 5 or (sum(batch) < 1.0 and len(batch) < 200):
        start = clock()
        run(x)
        batch.append(clock() - start)
    print(json.dumps({"load_ms": load_ms, "one_us": float(np.median(one)) * 1e6, "rows_per_s": BATCH / min(batch), "first": first}))


# ---------------------------------------------------------------- the run
def measure(folder, ekiben, driver, rounds, out):
    natives = {name: [path for path in folder.glob(f"{name}.*") if path.suffix in (".json", ".ubj", ".txt", ".joblib")] for name in MODELS}
    results = {name: {} for name in MODELS}
    for name in MODELS:
        source = next(folder / f"{name}.{kind}" for kind in ("ubj", "txt", "joblib") if (folder / f"{name}.{kind}").exists())
        subprocess.run([ekiben, "compile", source, "-o", folder / f"{name}.ekb"], check=True, capture_output=True)
        x = np.load(folder / f"{name}.npy")
        np.ascontiguousarray(np.resize(x, (BATCH, x.shape[1]))).astype("<f4").tofile(folder / f"{name}.f32")
    for round_ in range(rounds):
        for name in MODELS:
            engines = ["ekiben", "onnxruntime", "framework", "tl2cgen"] + (["lleaves"] if name.startswith("lgb") else [])
            for engine in engines[round_ % len(engines) :] + engines[: round_ % len(engines)]:
                if engine == "ekiben":
                    command = [driver, folder / f"{name}.ekb", "predict", folder / f"{name}.f32"]
                elif engine == "onnxruntime" and not (folder / f"{name}.onnx").exists():
                    continue
                else:
                    command = [sys.executable, __file__, "--worker", engine, folder, name]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode != 0:
                    print(name, engine, done.stderr[-300:], file=sys.stderr)
                    continue
                found = json.loads(done.stdout.splitlines()[-1])
                best = results[name].setdefault(engine, found)
                best["load_ms"] = min(best["load_ms"], found["load_ms"])
                best["one_us"] = min(best["one_us"], found["one_us"])
                best["rows_per_s"] = max(best["rows_per_s"], found["rows_per_s"])
    for name in MODELS:
        smallest = min(natives[name], key=lambda path: path.stat().st_size)
        size = (folder / f"{name}.ekb").stat().st_size
        results[name]["files"] = {"ekb": size, "native": smallest.name, "native_bytes": smallest.stat().st_size}
    if out:
        out.write_text(json.dumps(results, indent=1))
    table(results)


def table(results):
    print("| model | engine | rows/s, 10,000 rows | one row µs | load ms | first values |\n|---|---|---:|---:|---:|---|")
    for name, engines in results.items():
        for engine, found in engines.items():
            if engine != "files":
                first = " ".join(f"{value:.6g}" for value in found["first"])
                print(f"| {name} | {engine} | {found['rows_per_s']:,.0f} | {found['one_us']:.2f} | {found['load_ms']:.2f} | {first} |")
    print("\n| model | batch, of the best peer | one row, of the best peer | load ms | artifact | smallest native file | share |\n|---|---:|---:|---:|---:|---|---:|")
    for name, engines in results.items():
        files, ours = engines["files"], engines["ekiben"]
        peers = [found for engine, found in engines.items() if engine not in ("files", "ekiben")]
        batch = ours["rows_per_s"] / max(found["rows_per_s"] for found in peers)
        one = ours["one_us"] / min(found["one_us"] for found in peers)
        share = files["ekb"] / files["native_bytes"]
        print(f"| {name} | {batch:.1f} x | {one:.2f} x | {ours['load_ms']:.3f} | {files['ekb']:,} | {files['native']} {files['native_bytes']:,} | {share:.0%} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        sys.exit(worker(sys.argv[2], pathlib.Path(sys.argv[3]), sys.argv[4]))
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = arguments.add_subparsers(dest="command", required=True)
    commands.add_parser("make").add_argument("folder", type=pathlib.Path)
    run = commands.add_parser("measure")
    run.add_argument("folder", type=pathlib.Path)
    run.add_argument("--ekiben", required=True)
    run.add_argument("--driver", required=True)
    run.add_argument("--rounds", type=int, default=3)
    run.add_argument("--out", type=pathlib.Path)
    given = arguments.parse_args()
    if given.command == "make":
        make(given.folder)
    else:
        measure(given.folder, given.ekiben, given.driver, given.rounds, given.out)
