#!/usr/bin/env python3
"""Forests on Cortex-M boards under QEMU against the C that emlearn generates.

    python cortex_m.py FOLDER --ekiben EKIBEN --runner TARGET=PROGRAM…

EKIBEN is the host tool; PROGRAM is `run-artifact` of targets/firmware, built for that target. Prints, for each forest and processor, instructions
per row, bytes of code and model, and how many of 100 labels differ from scikit-learn's. emlearn's features are int16 and its trees vote with a
label each, so its labels may differ; ours are averages of float64 shares as scikit-learn has them.
"""
import argparse, pathlib, re, subprocess
import emlearn
import joblib
import numpy as np
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ROWS = 100
PROCESSORS = {"thumbv7em-none-eabihf": ("cortex-m4", "mps2-an386"), "thumbv6m-none-eabi": ("cortex-m0", "mps2-an385")}


def forests():
    x, y = load_iris(return_X_y=True)
    yield "iris", np.round(x * 10), y, 4
    x, y = load_digits(return_X_y=True)
    yield "digits", x, y, 6


def c_array(kind, name, values):
    return f"static const {kind} {name}[] = {{{','.join(map(str, values))}}};\n"


def theirs(folder, name, model, x, processor, board):
    header = folder / f"{name}.h"
    emlearn.convert(model, method="inline", dtype="int16_t").save(file=str(header), name="model", format="c")
    rows = f"#define FEATURES {x.shape[1]}\n" + c_array("int16_t", "rows", x.astype(int).ravel()) + c_array("int", "labels", model.predict(x))
    (folder / "rows.h").write_text(rows)
    flags = [f"-mcpu={processor}", "-mfloat-abi=soft", "-mthumb", "-O2", "-w", f"-I{folder}", f'-DMODEL="{header}"',
             "-I", str(pathlib.Path(emlearn.__file__).parent)]
    program, part = folder / f"{name}.elf", folder / f"{name}.o"
    script = str(HERE / "board.ld")
    subprocess.run(["arm-none-eabi-gcc", *flags, "--specs=rdimon.specs", "-T", script, str(HERE / "board.c"), "-o", program], check=True)
    subprocess.run(["arm-none-eabi-gcc", *flags, "-c", str(HERE / "board.c"), "-o", part], check=True)
    run = ["qemu-system-arm", "-M", board, "-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0",
           "-semihosting-config", "enable=on,target=native", "-kernel", program]
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    symbols = subprocess.run(["arm-none-eabi-nm", "-S", part], check=True, capture_output=True, text=True).stdout
    code = sum(int(size, 16) for size, symbol in re.findall(r"^\S+ (\S+) [tT] (\S+)$", symbols, re.M) if symbol.startswith("model_") and "proba" not in symbol)
    return int(said[1]), code, int(said[3])


def ours(folder, name, model, x, ekiben, target, program):
    artifact = folder / f"{name}.ekb"
    joblib.dump(model, folder / f"{name}.joblib")
    subprocess.run([ekiben, "compile", folder / f"{name}.joblib", "-o", artifact], check=True, capture_output=True)
    took = []
    for count in (ROWS // 2, ROWS):
        x[:count].astype("<f8").tofile(folder / "in")
        run = [ROOT / "scripts/run-on.sh", target, program, artifact, "0", str(count), folder / "in", folder / "out"]
        said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
        took.append(int(re.search(r"run_instructions (\d+)", said)[1]))
    labels = np.fromfile(folder / "out", "<i8")
    return (took[1] - took[0]) * 2 // ROWS, artifact.stat().st_size, int((labels != model.predict(x)).sum())


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--ekiben", required=True)
    arguments.add_argument("--runner", nargs="+", required=True)
    given = arguments.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    print("| forest | processor | | instructions a row | bytes | other labels of 100 |\n|---|---|---|---:|---:|---:|")
    for name, x, y, depth in forests():
        model = RandomForestClassifier(10, max_depth=depth, random_state=1).fit(x.astype(np.float32), y)
        x = x[:ROWS]
        for runner in given.runner:
            target, program = runner.split("=", 1)
            processor, board = PROCESSORS[target]
            for who, found in (("Ekiben", ours(given.folder, name, model, x, given.ekiben, target, program)),
                               ("emlearn", theirs(given.folder, name, model, x, processor, board))):
                print(f"| {name} | {processor} | {who} | {found[0]:,} | {found[1]:,} | {found[2]} |")
