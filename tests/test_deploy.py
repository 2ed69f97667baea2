"""What is shipped: the wheel in an empty environment, and the files of ``deploy`` by their linters."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from realtime_mer import cli

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
EXPOSURE = 20  # tenths, by `systemd-analyze security`: 0 is safe, 100 is bare
# Pythons to try the wheel with: `make wheels` names more.
PYTHONS = os.environ.get("REALTIME_MER_PYTHONS", sys.executable).split()
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


@pytest.mark.timeout(900)
@pytest.mark.parametrize("python", PYTHONS, ids=lambda python: Path(python).name)
def test_a_wheel_in_an_empty_environment_makes_the_demo(wheel: Path, tmp_path: Path, python: str) -> None:
    environment = tmp_path / "environment"
    ran(python, "-m", "venv", environment)
    program = environment / "bin"
    ran(program / "pip", "install", "--quiet", f"{wheel}[demo]")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in ran(program / "realtime-mer", "--version", cwd=tmp_path)
    ran(program / "realtime-mer", "setup", cwd=tmp_path)
    said = ran(program / "realtime-mer", "demo", cwd=tmp_path)
    assert "6 were found, false: 0" in said
    assert (tmp_path / "demo" / "clip" / "report.html").is_file()


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
