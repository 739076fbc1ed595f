"""Load, connections, damaged requests and reloads: what `serve` must stand, beside BentoML's own servers.

Usage: python3 tests/long/serve.py [load] [connections] [loris] [reloads]      (all when none is named)

Needs `cargo build --release -p ekiben-edge` and `cargo build -p ekiben`, Debian's wrk and, for the peers, EKIBEN_PYTHON_V013 and EKIBEN_PYTHON_V14: interpreters with
tests/fixtures/make/requirements-bentoml{013,14}.txt. The server is pinned to the first core, the client to the second.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "bentos"
PROGRAMS = ROOT / "target" / "release"
PORT = 18100
BODIES = {
    "0.13": ("v013_sklearn_iris_rf", "/predict", "[[5.1, 3.5, 1.4, 0.2]]"),
    "1.4": ("v14_sklearn_iris_rf", "/classify", '{"input_data": [[5.1, 3.5, 1.4, 0.2]]}'),
}


def wait(url):
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def stop(process):
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # gunicorn's workers have groups of their own.
    subprocess.run(["pkill", "-9", "-f", f"port {PORT}|127.0.0.1:{PORT}"], check=False)
    time.sleep(1)


def start(command, port, env=None):
    with socket.socket() as free:
        if free.connect_ex(("127.0.0.1", port)) == 0:
            raise SystemExit(f"something listens on port {port} already: end it")
    process = subprocess.Popen(
        ["taskset", "-c", "0", *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env={**os.environ, **(env or {})},
    )
    wait(f"http://127.0.0.1:{port}/healthz")
    return process


def resident(process):
    """KiB of the process and those that it started."""
    total, pids = 0, [str(process.pid)]
    while pids:
        pid = pids.pop()
        try:
            total += int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
            pids += pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except (OSError, TypeError):
            pass
    return total


def compiled(folder, generation):
    name, _, _ = BODIES[generation]
    out = folder / f"{name}.ekb"
    compiler = next(path for kind in ("release", "debug") if (path := ROOT / "target" / kind / "ekiben").exists())
    subprocess.run([compiler, "compile", FIXTURES / name / "bundle", "-o", out], check=True, capture_output=True)
    return out


def wrk(port, generation, clients, seconds, folder, strict):
    _, route, body = BODIES[generation]
    script = folder / "body.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.body = '{body}'\nwrk.headers['Content-Type'] = 'application/json'\n")
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{clients}", f"-d{seconds}", "--latency", "-s", script, f"http://127.0.0.1:{port}{route}"]
    out = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    number = lambda pattern: re.search(pattern, out)
    milliseconds = lambda text: float(text[:-2]) / 1000 if text.endswith("us") else float(text[:-2]) if text.endswith("ms") else float(text[:-1]) * 1000
    # A peer that loses some is measured by what it answered.
    if strict and (number(r"Non-2xx") or number(r"Socket errors")):
        raise SystemExit(f"errors under load:\n{out}")
    return (
        float(number(r"Requests/sec:\s+([\d.]+)")[1]),
        milliseconds(number(r"50%\s+([\d.]+\w+)")[1]),
        milliseconds(number(r"99%\s+([\d.]+\w+)")[1]),
    )


def peers(folder):
    """(name, generation, command, environment) of BentoML's own servers."""
    old, new = os.environ.get("EKIBEN_PYTHON_V013"), os.environ.get("EKIBEN_PYTHON_V14")
    if old:
        bundle = folder / "bundle"
        shutil.copytree(FIXTURES / BODIES["0.13"][0] / "bundle", bundle)
        python = pathlib.Path(old)
        yield "BentoML 0.13.1 serve-gunicorn", "0.13", [
            python.with_name("bentoml"), "serve-gunicorn", bundle, "--port", PORT, "--workers", 1, "--microbatch-workers", 1,
        ], {"PATH": f"{python.parent}:{os.environ['PATH']}", "BENTOML_DO_NOT_TRACK": "True"}
    if new:
        home = folder / "home"
        python = pathlib.Path(new)
        env = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "PATH": f"{python.parent}:{os.environ['PATH']}"}
        bento = FIXTURES / (BODIES["1.4"][0] + "_archive") / "iris_classifier.bento"
        subprocess.run([python, "-c", f"import bentoml; bentoml.import_bento({str(bento)!r})"], check=True, capture_output=True, env={**os.environ, **env})
        yield "BentoML 1.4 serve", "1.4", [python.with_name("bentoml"), "serve", "iris_classifier:v1", "--port", PORT], env
    if not (old and new):
        print("peers are left out: EKIBEN_PYTHON_V013 and EKIBEN_PYTHON_V14 name their interpreters")


def load(folder):
    print("| server | clients | requests/s | p50 ms | p99 ms | resident MiB |\n|---|---|---|---|---|---|")
    found = {}

    def measure(name, generation, process):
        strict = name.startswith("ekiben")
        wrk(PORT, generation, 1, 1, folder, strict)
        for clients in (1, 8, 64):
            rate, p50, p99 = found[name, clients] = wrk(PORT, generation, clients, 5, folder, strict)
            print(f"| {name} | {clients} | {rate:.0f} | {p50:.3f} | {p99:.3f} | {resident(process) / 1024:.1f} |", flush=True)

    for name, generation, command, env in peers(folder):
        process = start(command, PORT, env)
        measure(name, generation, process)
        stop(process)
        time.sleep(1)
    for generation in BODIES:
        artifact = compiled(folder, generation)
        for workers in (0, 1):
            command = [PROGRAMS / "ekiben-edge", "serve", artifact, "--addr", f"127.0.0.1:{PORT}", "--workers", workers]
            process = start(command, PORT)
            name = f"ekiben, {generation} bento, {workers} worker{'s' * (workers != 1)}"
            measure(name, generation, process)
            stop(process)
            for peer in {peer for peer, _ in found if peer.startswith(f"BentoML {generation}")}:
                ratios = ", ".join(f"{clients}: {found[name, clients][0] / found[peer, clients][0]:.0f}x" for clients in (1, 8, 64))
                print(f"  against {peer}, by clients: {ratios}")


def serve_iris(folder, *options):
    artifact = compiled(folder, "1.4")
    return start([PROGRAMS / "ekiben-edge", "serve", artifact, "--addr", f"127.0.0.1:{PORT}", *options], PORT), artifact


def ask(stream):
    _, route, body = BODIES["1.4"]
    stream.sendall(f"POST {route} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    answer = stream.recv(4096)
    if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(b"[0]"):
        raise SystemExit(f"a wrong answer: {answer!r}")


def latencies(stream, count):
    found = []
    for _ in range(count):
        begin = time.perf_counter()
        ask(stream)
        found.append((time.perf_counter() - begin) * 1000)
    found.sort()
    return f"p50 {statistics.median(found):.3f} ms, p99 {found[int(len(found) * 0.99)]:.3f} ms"


def connections(folder):
    process, _ = serve_iris(folder, "--workers", 1)
    alone = resident(process)
    streams = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(1000)]
    for stream in streams:
        ask(stream)
    print(f"1,000 open connections, each of which asked once: {resident(process) / 1024:.1f} MiB resident (alone {alone / 1024:.1f})")
    for _ in range(20):
        for stream in streams:
            ask(stream)
    print(f"after 20,000 more requests on them: {resident(process) / 1024:.1f} MiB")
    stop(process)


def loris(folder):
    process, _ = serve_iris(folder, "--workers", 1, "--max-connections-per-address", 2000)
    healthy = socket.create_connection(("127.0.0.1", PORT))
    print("a healthy client alone:", latencies(healthy, 3000))
    slow = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(1000)]
    ends = threading.Event()

    def drip():
        while not ends.is_set():
            for stream in slow:
                try:
                    stream.send(b"P")
                except OSError:
                    pass
            time.sleep(0.5)

    thread = threading.Thread(target=drip)
    thread.start()
    print("with 1,000 that send a byte every half second:", latencies(healthy, 3000))
    print(f"resident {resident(process) / 1024:.1f} MiB")
    ends.set()
    thread.join()
    stop(process)


def reloads(folder):
    process, artifact = serve_iris(folder, "--workers", 1)
    counts, ends = [0] * 4, threading.Event()

    def client(index):
        stream = socket.create_connection(("127.0.0.1", PORT))
        while not ends.is_set():
            ask(stream)
            counts[index] += 1

    threads = [threading.Thread(target=client, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        new = artifact.with_suffix(".new")
        shutil.copy(artifact, new)
        new.rename(artifact)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
    ends.set()
    for thread in threads:
        thread.join()
    text = urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics").read().decode()
    made = re.search(r"^ekiben_reloads_total (\d+)", text, re.M)[1]
    print(f"{made} reloads under load, {sum(counts)} requests, every one answered rightly on its first connection; {resident(process) / 1024:.1f} MiB resident")
    stop(process)


def main():
    parts = {"load": load, "connections": connections, "loris": loris, "reloads": reloads}
    for name in sys.argv[1:] or parts:
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            parts[name](pathlib.Path(folder))


if __name__ == "__main__":
    main()
