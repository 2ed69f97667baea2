"""Nothing leaves the machine: what the dependencies would report stays off, and the product looks up no host.

The slow tests watch the system calls of a real run, and of one that reports, which shows that they would notice.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from realtime_mer import privacy
from realtime_mer.assets import cache_dir

ROOT = Path(__file__).resolve().parents[1]
HELD = 25  # s: ONNX Runtime looks up its vendor's host for the first time 10 to 20 s after it was imported

# --- the switches ---------------------------------------------------------------------------------------------------

# Prints the modules from outside that are asked for before the variables are set.
WATCH = """
import os, runpy, sys

OURS = {"realtime_mer", "train", "export", "runpy", "pkgutil"}

class Watch:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in OURS and top not in sys.stdlib_module_names and os.environ["ORT_DISABLE_TELEMETRY"] != "1":
            print("EARLY", name)

os.environ.update(ORT_DISABLE_TELEMETRY="0", GRADIO_ANALYTICS_ENABLED="True", HF_HUB_DISABLE_TELEMETRY="0")
sys.meta_path.insert(0, Watch())
"""
ENTRIES = {
    "realtime_mer": "import realtime_mer",
    "train": "import train",
    "export": "import export",
    "realtime-mer": "runpy.run_module('realtime_mer.cli', run_name='__main__')",
    "python -m train": "runpy.run_module('train', run_name='__main__')",
    "python -m export": "runpy.run_module('export', run_name='__main__')",
}


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs ``code`` in a fresh interpreter in which none of the variables is set but those given."""
    environment = {name: value for name, value in os.environ.items() if name not in privacy.SWITCHES}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", code, "--help"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_way_in_sets_the_variables_before_it_imports_a_library(entry: str) -> None:
    code = f"{WATCH}\ntry:\n    {ENTRIES[entry]}\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
    done = python(code + "import json\nprint('SET', json.dumps(dict(os.environ)))")
    assert done.returncode == 0, done.stderr
    assert "EARLY" not in done.stdout
    for name, value in privacy.SWITCHES.items():
        assert f'"{name}": "{value}"' in done.stdout.rpartition("SET")[2]
    assert done.stderr == ""


def test_the_watch_notices_a_library_that_comes_too_early() -> None:
    assert "EARLY numpy" in python(WATCH + "import numpy, realtime_mer").stdout


def test_onnxruntime_imported_first_is_told_in_one_line() -> None:
    # Switched off, since it would report from this test; the variable is taken away before the product looks at it.
    code = "import os, onnxruntime\ndel os.environ['ORT_DISABLE_TELEMETRY']\nimport realtime_mer"
    done = python(code, ORT_DISABLE_TELEMETRY="1")
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert "import realtime_mer first, or set ORT_DISABLE_TELEMETRY=1" in line


@pytest.mark.parametrize("value", ["1", "true"])
def test_nothing_is_told_when_it_was_imported_first_but_off(value: str) -> None:
    done = python("import onnxruntime, realtime_mer", ORT_DISABLE_TELEMETRY=value)
    assert (done.returncode, done.stderr) == (0, "")


# --- what a run does ------------------------------------------------------------------------------------------------

READY = "ready"  # printed when everything is open; the process ends when its standard input does

# The recognizer, the face detector and the app, all at work once and then left open.
PRODUCT = """
import sys
from app_server import served
import urllib.request
import cv2
import numpy as np
from realtime_mer.face import FaceDetector
from realtime_mer.recognize import load
from realtime_mer.records import Frame
from realtime_mer.synth import portrait

picture = cv2.cvtColor(portrait()[0], cv2.COLOR_BGR2GRAY)
recognizer = load()
with FaceDetector() as detector, served() as app:
    recognizer.classify(np.zeros((1, *recognizer.spec.input_shape), np.float32))
    assert len(detector.detect(Frame(0, 0.0, picture))) == 1
    assert urllib.request.urlopen(app.url, timeout=20).status == 200
    print("ready", flush=True)
    sys.stdin.read()
"""
# The same model in ONNX Runtime as it comes.
CONTROL = """
import sys
import onnxruntime
from pathlib import Path
model = next((Path(sys.argv[1]) / "realtime_mer/recognize/shipped").glob("*.onnx"))
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
print("ready", flush=True)
sys.stdin.read()
"""
CALLS = "connect,sendto,sendmsg,sendmmsg"
# The control must not really report, so its calls fail; they are seen all the same.
NO_NETWORK = ("-e", f"inject={CALLS}:error=ENETUNREACH")
LOOPBACK = re.compile(r'inet_addr\("127\.|inet_pton\(AF_INET6, "(::1|::ffff:127\.[\d.]+)"')


@dataclass(frozen=True)
class Run:
    """What one process left behind. files: relative to its empty home. calls: where it went, as strace writes it."""

    files: list[str]
    calls: list[str]

    @property
    def outside(self) -> list[str]:
        """Calls to another machine, and look-ups: port 53 anywhere, or systemd's resolver behind its socket."""
        return [
            call
            for call in self.calls
            if ("AF_INET" in call and (not LOOPBACK.search(call) or "htons(53)" in call)) or "systemd.resolve" in call
        ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The product and the control, side by side, each open for ``HELD`` seconds in a home of its own."""
    if not _can_trace():
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("strace is missing (`make system` installs it) or may not trace here")
    folders = {name: tmp_path_factory.mktemp(name) for name in ("product", "control")}
    open_now = {
        "product": _start(PRODUCT, folders["product"], ORT_DISABLE_TELEMETRY="0", GRADIO_ANALYTICS_ENABLED="True"),
        "control": _start(CONTROL, folders["control"], *NO_NETWORK),
    }
    try:
        for process in open_now.values():
            assert process.stdout is not None
            assert process.stdout.readline().strip() == READY, process.communicate()[1]
        threading.Event().wait(HELD)
        for name, process in open_now.items():
            _, errors = process.communicate("", timeout=60)
            assert process.returncode == 0, f"{name}: {errors}"
    finally:
        for process in open_now.values():
            process.kill()
            process.communicate()
    return {name: _read(folder) for name, folder in folders.items()}


def _can_trace() -> bool:
    """A container may forbid it."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


def _start(code: str, folder: Path, *options: str, **variables: str) -> subprocess.Popen[str]:
    """Under strace, with nothing from this environment: ONNX Runtime does not report where it sees a CI's variables."""
    for name in ("home", "work", "tmp"):
        (folder / name).mkdir()
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environment |= {
        "HOME": str(folder / "home"),
        "XDG_CACHE_HOME": str(folder / "home" / ".cache"),
        "TMPDIR": str(folder / "tmp"),
        "REALTIME_MER_CACHE": str(cache_dir()),  # where set-up has put the face model
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        "PYTHONDONTWRITEBYTECODE": "1",
        **variables,
    }
    strace = ["strace", "-f", "-qq", "-s", "256", "-e", f"trace={CALLS}", *options, "-o", str(folder / "calls")]
    return subprocess.Popen(
        [*strace, sys.executable, "-c", code, str(ROOT)],
        cwd=folder / "work",
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _read(folder: Path) -> Run:
    places = (folder / "home", folder / "work")
    files = sorted(str(p.relative_to(place)) for place in places for p in place.rglob("*") if p.is_file())
    return Run(files, (folder / "calls").read_text().splitlines())


linux = pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's")


@pytest.mark.slow
@linux
def test_the_product_leaves_no_file_and_asks_no_other_machine(runs: dict[str, Run]) -> None:
    assert runs["product"].files == []
    assert runs["product"].outside == []
    assert any(LOOPBACK.search(call) for call in runs["product"].calls)  # the request to the app itself was seen


@pytest.mark.slow
@linux
def test_the_test_above_would_notice_a_report(runs: dict[str, Run]) -> None:
    import onnxruntime

    library = next((Path(onnxruntime.__file__).parent / "capi").glob("onnxruntime_pybind11_state*.so"))
    if b"ORT_DISABLE_TELEMETRY" not in library.read_bytes():
        pytest.skip(f"ONNX Runtime {onnxruntime.__version__} has nothing that reports on Linux")
    assert any(file.endswith("deviceid") for file in runs["control"].files)
    assert any("htons(53)" in call or "systemd.resolve" in call for call in runs["control"].outside)
