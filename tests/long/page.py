"""Tries the page at `/` in headless Chromium: every kind of adapter submits its form and shows its prediction.

Usage: python3 tests/long/page.py [SCREENSHOT.png]

Needs Debian's chromium and chromium-driver, and `cargo build --workspace --bins` done before; nothing else than Python's own library.
Bentos are those of tests/fixtures. Exit status 1 when a page does not show what it must.
"""

import base64
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
PROGRAM = ROOT / "target" / "debug" / "ekiben"
DRIVER_PORT, SERVER_PORT = 9516, 9517
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A session of the W3C WebDriver protocol."""

    def __init__(self, width=1200, height=1400, dark=False):
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},{height}"]
        if dark:
            arguments.append("--force-dark-mode")
        options = {"goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = ""
        self.session = "/session/" + self.call("POST", "/session", {"capabilities": {"alwaysMatch": options}})["sessionId"]

    def call(self, method, path, body=None):
        data = json.dumps(body if body is not None else {}).encode() if method == "POST" else None
        request = urllib.request.Request(f"http://127.0.0.1:{DRIVER_PORT}{self.session}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def find(self, selector):
        return "/element/" + self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.call("POST", self.find(selector) + "/click")

    def type(self, selector, text, clear=True):
        element = self.find(selector)
        if clear:
            self.call("POST", element + "/clear")
        self.call("POST", element + "/value", {"text": text})

    def text(self, selector):
        return self.call("GET", self.find(selector) + "/text")

    def run(self, script):
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def errors(self):
        found = self.call("POST", "/se/log", {"type": "browser"})
        return [line["message"] for line in found if line["level"] == "SEVERE" and "favicon" not in line["message"]]

    def close(self):
        self.call("DELETE", "")


def wait(ready, what):
    for _ in range(300):
        try:
            if ready():
                return
        except (OSError, RuntimeError):
            pass
        time.sleep(0.05)
    raise SystemExit(f"waited too long for {what}")


def compile_bento(name, folder):
    """The artifact of a fixture."""
    for group in ("bentos", "served"):
        case = FIXTURES / group / name
        if not case.exists():
            continue
        bento = case / "bundle"
        if not bento.exists():
            bento = folder / name
            with tarfile.open(case / "bento.tar.gz") as archive:
                archive.extractall(bento, filter="data")
        out = folder / f"{name}.ekb"
        subprocess.run([PROGRAM, "compile", bento, "-o", out], check=True, capture_output=True)
        return out
    raise SystemExit(f"no fixture {name}")


def recorded(name, api):
    """A recorded file of an API that takes files: the parts of a form, or a single file."""
    case = FIXTURES / "served" / name
    for run in json.loads((case / "case.json").read_text())["runs"]:
        if run["api"] == api and run["status"] == 200:
            yield (case / run["request"]["file"]).read_bytes(), run["request"]["content_type"]


def files_of(name, api, folder):
    """The files of a recorded form by field, written to `folder`."""
    body, kind = next(recorded(name, api))
    if not kind.startswith("multipart/"):
        path = folder / f"{name}_{api}.bin"
        path.write_bytes(body)
        return {None: path}
    boundary = b"--" + kind.split("boundary=")[1].encode()
    found = {}
    for part in body.split(boundary)[1:-1]:
        head, data = part[2:-2].split(b"\r\n\r\n", 1)
        field = head.split(b'name="')[1].split(b'"')[0].decode()
        if b"filename" in head:
            path = folder / f"{name}_{api}_{field}_{len(found)}.bin"
            path.write_bytes(data)
            found[field] = path
        else:
            found[field] = data.decode()
    return found


# A fixture, its API, how its form is filled, and a part of the text that the result must have.
CHECKS = [
    ("v013_sklearn_iris_rf", "predict", {"mode": "form", "cells": ["5.1", "3.5", "1.4", "0.2"]}, "0"),
    ("v013_sklearn_iris_rf", "predict", {"mode": "csv", "csv": "a,b,c,d\n6.3,3.4,6.0,2.55\n5.1,3.5,1.4,0.2\n"}, "2"),
    ("v013_sklearn_iris_rf", "predict", {"mode": "json", "body": "[[6.3, 3.4, 6.0, 2.55]]"}, "2"),
    ("v013_xgboost_json", "classify", {"mode": "json"}, ""),
    ("v013_sklearn_moods", None, {"mode": "json", "body": "what a fine day"}, ""),
    ("v013_sklearn_pictures", None, {"mode": "file"}, ""),
    ("v013_files", None, {"mode": "file"}, ""),
    ("v14_sklearn_iris_rf", "classify", {"mode": "form", "cells": ["5.1", "3.5", "1.4", "0.2"]}, "0"),
    ("v14_sklearn_iris_rf", "classify_df", {"mode": "csv", "csv": "sl,sw,pl,pw\n6.3,3.4,6.0,2.55\n"}, "label"),
    ("v14_sklearn_iris_rf", "predict_proba", {"mode": "json", "body": '{"rows": [[5.1, 3.5, 1.4, 0.2]]}'}, "1"),
    ("v14_xgboost_scalars", None, {"mode": "form"}, ""),
    ("v14_lightgbm_pydantic", None, {"mode": "form"}, ""),
    ("v14_lightgbm_root", "one", {"mode": "form"}, ""),
    ("v14_sklearn_pictures", None, {"mode": "file"}, ""),
    ("v14_stream", "tell", {"mode": "json"}, "It will be"),
    ("v14_legacy_moods", None, {"mode": "json", "body": "what a fine day"}, ""),
]


def fill(browser, name, api, how, folder):
    """Fills the form of an API."""
    mode = how["mode"]
    browser.run(f"const b = document.getElementById('mode-{mode}'); if (b.hidden) throw 'no mode {mode}'; b.click();")
    for column, cell in enumerate(how.get("cells", [])):
        browser.type(f"#cell-0-{column}", cell)
    if "csv" in how:
        path = folder / "rows.csv"
        path.write_text(how["csv"])
        browser.type("#file-csv", str(path), clear=False)
        time.sleep(0.2)
    if "body" in how:
        browser.run(f"const n = document.getElementById('json'); n.value = {json.dumps(how['body'])}; n.dispatchEvent(new Event('input'));")
    if mode == "file":
        names = browser.run("return [...document.querySelectorAll('#form input')].map(n => [n.id, n.type])")
        given = files_of(name, api, folder)
        for identity, kind in names:
            value = given.get(identity.removeprefix("file-"), given.get(None, next(iter(given.values()))))
            if kind == "file":
                browser.type(f"[id='{identity}']", str(value), clear=False)
            else:
                browser.run(f"document.getElementById({json.dumps(identity)}).value = {json.dumps(str(value))}")


def main():
    screenshot = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if not shutil.which("chromedriver"):
        raise SystemExit("needs Debian's chromium and chromium-driver")
    driver = subprocess.Popen(["chromedriver", f"--port={DRIVER_PORT}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    failures, server = 0, None
    try:
        wait(lambda: urllib.request.urlopen(f"http://127.0.0.1:{DRIVER_PORT}/status"), "the driver")
        browser = Browser()
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            names = list(dict.fromkeys(check[0] for check in CHECKS))
            artifacts = [f"{name}={compile_bento(name, folder)}" for name in names]
            server = subprocess.Popen([PROGRAM, "serve", *artifacts, "--addr", f"127.0.0.1:{SERVER_PORT}"], stderr=subprocess.DEVNULL)
            url = f"http://127.0.0.1:{SERVER_PORT}/"
            wait(lambda: urllib.request.urlopen(url + "healthz"), "the server")
            browser.open(url)
            for name, api, how, expected in CHECKS:
                choose = """
                  const [name, api] = [%s, %s];
                  const at = choices.findIndex(c => c.api.route.startsWith(`/${name}/`) && (api === null || c.api.name === api));
                  const node = document.getElementById("api");
                  node.selectedIndex = at; node.dispatchEvent(new Event("change")); return choices[at].api.name;
                """ % (json.dumps(name), json.dumps(api))
                try:
                    found = browser.run(choose)
                    fill(browser, name, found, how, folder)
                    browser.click("#predict")
                    wait(lambda: browser.text("#status") not in ("", "…"), "an answer")
                    status, result = browser.text("#status"), browser.text("#result")
                    good = status.startswith("200 ") and result.strip() != "" and expected in result
                except (RuntimeError, StopIteration) as error:
                    found, status, result, good = api, "-", repr(error)[:300], False
                failures += not good
                print("ok  " if good else "FAIL", name, found, how["mode"], "|", status, "|", result.replace("\n", " ")[:70])
            failures += len(errors := browser.errors())
            for line in errors:
                print("FAIL console:", line)
            # On a phone nothing is wider than the screen.
            browser.close()
            browser = Browser(360, 800, dark=True)
            browser.open(url)
            wide = browser.run("return document.documentElement.scrollWidth - window.innerWidth")
            failures += wide > 0
            print("ok  " if wide <= 0 else "FAIL", "phone: pixels beyond the screen:", max(wide, 0))
            browser.close()
            server.terminate()
            server.wait()
            if screenshot:
                artifact = folder / "v14_sklearn_iris_rf.ekb"
                server = subprocess.Popen([PROGRAM, "serve", artifact, "--addr", f"127.0.0.1:{SERVER_PORT}"], stderr=subprocess.DEVNULL)
                wait(lambda: urllib.request.urlopen(url + "healthz"), "the server")
                browser = Browser()
                browser.open(url)
                browser.run("document.getElementById('api').selectedIndex = 2; document.getElementById('api').dispatchEvent(new Event('change'))")
                fill(browser, "v14_sklearn_iris_rf", "predict_proba", {"mode": "form", "cells": ["6.3", "2.9", "5.1", "1.55"]}, folder)
                for _ in range(12):
                    browser.click("#predict")
                    time.sleep(0.7)
                browser.screenshot(screenshot)
                browser.close()
    finally:
        driver.terminate()
        if server:
            server.terminate()
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
