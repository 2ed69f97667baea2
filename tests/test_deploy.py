"""What is shipped: the wheel in an empty environment, and the files of ``deploy`` by their linters."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
import zipfile
from importlib.metadata import version as installed
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_media import encoded
from packaging.requirements import Requirement

from realtime_mer import cli
from realtime_mer.bench.sender import MjpegSender
from realtime_mer.synth import portrait, random_script, render

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
EXPOSURE = 20  # tenths, by `systemd-analyze security`: 0 is safe, 100 is bare
# Pythons to try the wheel with: `make wheels` names more.
PYTHONS = os.environ.get("REALTIME_MER_PYTHONS", sys.executable).split()
APP = "http://127.0.0.1:7860/"
CI = os.environ.get("CI") == "true"


def ran(*words: str | Path, **options: object) -> str:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=900, **options)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout + done.stderr


def needed(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None:
        assert not CI, f"{program} is missing"
        pytest.skip(f"{program} is missing")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing is left in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("realtime_mer", "train", "export"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    ran(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, source)
    (made,) = out.glob("*.whl")
    return made


def follow(page: str, wheel: Path, environment: Path, folder: Path, camera: str) -> str:
    """Runs the commands of a quick start word for word, and returns what they print. Only what cannot be here is
    replaced: the package comes from ``wheel``, the camera 0 is the stream ``camera``, and the app is stopped once it
    answers."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    search = f"{environment / 'bin'}:{os.environ['PATH']}"
    options = {"cwd": folder, "env": {**os.environ, "PATH": search, "VIRTUAL_ENV": str(environment)}}
    printed = ""
    for line in "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S)).splitlines():
        words = line.replace("'realtime-mer[", f"'{wheel}[").replace(" 0 --for", f" {camera} --for")
        if words == "realtime-mer app":
            page_of_the_app(words, **options)
        else:
            printed += ran("bash", "-c", words, **options)
    return printed


def page_of_the_app(command: str, **options: Any) -> None:
    """Starts the app, waits for its page and ends it."""
    with subprocess.Popen(command.split(), stderr=subprocess.PIPE, text=True, **options) as app:
        try:
            for _ in range(600):
                with (
                    contextlib.suppress(OSError),
                    urllib.request.urlopen("http://127.0.0.1:7860/", timeout=5) as answer,
                ):
                    assert answer.status == 200
                    return
                assert app.poll() is None, app.communicate()[1]
                time.sleep(0.1)
            pytest.fail("the app does not answer")
        finally:
            app.terminate()
            app.wait(30)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("python", PYTHONS, ids=lambda python: Path(python).name)
def test_each_quick_start_can_be_followed_in_an_empty_environment(wheel: Path, tmp_path: Path, python: str) -> None:
    environment = tmp_path / "environment"
    ran(python, "-m", "venv", environment)
    recorded = follow("start-recorded.md", wheel, environment, tmp_path, "")
    assert "6 were found, false: 0" in recorded
    assert {"events.eaf", "events.boris.tsv", "events.csv", "report.html", "annotated.mp4"} <= {
        file.name for file in (tmp_path / "results" / "clip").iterdir()
    }
    measured = follow("start-benchmark.md", wheel, environment, tmp_path, "")
    assert "dropped" in measured
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in ran(environment / "bin" / "realtime-mer", "--version", cwd=tmp_path)
    frames = islice(render(random_script(seed=1, duration=8, fps=50), *portrait()), 100)
    with MjpegSender(encoded(frame.image for frame in frames), 50) as camera:
        live = follow("start-live.md", wheel, environment, tmp_path, camera.uri)
    assert "frames/s" in live
    assert (tmp_path / "session" / "events.jsonl").is_file()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("extra", ["rtx", "rtx-torch"])
def test_the_extras_of_the_public_index_resolve(wheel: Path, extra: str) -> None:
    """One at a time: they pin two versions of TensorRT-RTX."""
    said = ran(sys.executable, "-m", "pip", "install", "--dry-run", f"{wheel}[{extra}]")
    pins = [line for line in extras()[extra] if "==" in line]
    assert pins
    for pin in pins:
        name, version = pin.split("==")
        assert any(name.replace("-", "_") in line.replace("-", "_") and version in line for line in said.splitlines())


@pytest.mark.timeout(900)
def test_the_extra_of_nvidias_index_pins_what_torch_tensorrt_asks_for(tmp_path: Path) -> None:
    """TensorRT's libraries are in NVIDIA's index only, so it cannot be resolved here: the pins are compared."""
    pins = dict(line.split("==") for line in extras()["gpu"] if "==" in line)
    wanted = f"torch-tensorrt=={pins['torch-tensorrt']}"
    ran(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", tmp_path, wanted)
    (made,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(made) as packed:
        metadata = next(packed.read(name).decode() for name in packed.namelist() if name.endswith("METADATA"))
    asked = [Requirement(line.partition(": ")[2]) for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    by_name = {a.name.lower(): a.specifier for a in asked if a.marker is None or a.marker.evaluate({"extra": ""})}
    assert by_name["tensorrt-cu13"].contains(pins["tensorrt-cu13"])
    assert by_name["torch"].contains(installed("torch").split("+")[0])


def extras() -> dict[str, list[str]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    assert f"## {version} ({citation['date-released']})" in (ROOT / "CHANGELOG.md").read_text()
    assert {"cff-version", "message", "title", "authors", "license"} <= set(citation)


def test_the_dockerfile() -> None:
    ran(needed("hadolint"), DEPLOY / "Dockerfile")
    text = (DEPLOY / "Dockerfile").read_text()
    assert text.rindex("USER 10001") < text.rindex("ENTRYPOINT")
    for line in text.splitlines():  # what is copied is not kept out by .dockerignore
        if line.startswith("COPY") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists()
                assert f"!{name}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_compose_file() -> None:
    (service,) = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values()
    cli.parser().parse_args(service["command"])
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_systemd_unit(tmp_path: Path) -> None:
    analyze = needed("systemd-analyze")
    text = (DEPLOY / "realtime-mer-live.service").read_text()
    (start,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    program, *words = start.removeprefix("ExecStart=").split()
    cli.parser().parse_args(words)
    unit = tmp_path / "realtime-mer-live.service"
    unit.write_text(text.replace(program, sys.executable))  # it must be there
    ran(analyze, "verify", "--man=no", unit)
    ran(analyze, "security", "--offline=true", f"--threshold={EXPOSURE}", unit)
