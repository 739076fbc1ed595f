"""Bounds this process, runs one script of ekiben and writes its answer: {"result": {...}} or {"error": {"kind", "message", ...}}."""

import json
import os
import resource
import sys
import traceback

# The folder of this file holds no packages; names in it must not hide any.
sys.path.pop(0)
sys.dont_write_bytecode = True
# Names of the launcher's own must not be imported by what it runs.
FOLDER = os.path.dirname(os.path.abspath(__file__))


class Refused(Exception):
    """The framework's model cannot be exported; the message says why and what would work."""


def bound(kind, most):
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(kind, (most, most))


def error_of(problem):
    """The error that an exception stands for."""
    message = f"{type(problem).__name__}: {problem}".strip()
    if isinstance(problem, Refused):
        return {"kind": "refused", "message": str(problem)}
    if isinstance(problem, ImportError) and problem.name:
        return {"kind": "package", "package": problem.name, "message": message}
    if isinstance(problem, MemoryError):
        return {"kind": "memory", "message": message}
    if isinstance(problem, OSError) and problem.errno == 27:
        return {"kind": "output", "message": message}
    return {"kind": "exception", "message": message[:2000]}


def main(path):
    with open(path, encoding="utf-8") as file:
        given = json.load(file)
    limits, out = given["limits"], given["out"]
    # Some systems have no limit of the address space, or refuse to set it.
    for kind, most in [("RLIMIT_AS", limits["memory"]), ("RLIMIT_FSIZE", limits["file"]), ("RLIMIT_CORE", 0)]:
        try:
            bound(getattr(resource, kind), most)
        except (AttributeError, ValueError, OSError) as problem:
            print(f"ekiben: {kind} is not set: {problem}", file=sys.stderr)
    try:
        names = {"Refused": Refused, "__name__": "ekiben_script"}
        with open(os.path.join(FOLDER, "script.py"), encoding="utf-8") as file:
            exec(compile(file.read(), "script.py", "exec"), names)
        answer = {"result": names["run"](given["request"], out)}
    except BaseException as problem:
        traceback.print_exc()
        answer = {"error": error_of(problem)}
        del problem
    text = json.dumps(answer)
    with open(os.path.join(out, "answer.part"), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(os.path.join(out, "answer.part"), os.path.join(out, "answer.json"))
    # What a framework does at its end, and threads that it left, do not matter any more.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
