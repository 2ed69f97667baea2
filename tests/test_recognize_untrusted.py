"""Models that someone else made: what is no recognizer is refused in one line, whatever it does to the process."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import made_models as made
import numpy as np
import pytest
from cli_media import COMMAND

from realtime_mer import recognize
from realtime_mer.errors import MerError, ModelError
from realtime_mer.recognize import pt2, tensorrt, trial
from realtime_mer.recognize.onnx import OnnxRecognizer
from realtime_mer.recognize.spec import KEY


@pytest.fixture(autouse=True)
def tried(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the other processes that were started; nothing is known of any file."""
    started = []
    real = subprocess.run

    def run(command: list[str], **options: Any) -> object:
        started.append(command)
        return real(command, **options)

    monkeypatch.setattr(trial.subprocess, "run", run)
    monkeypatch.setattr(trial, "_tried", {})
    return started


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        recognize.load(path, "cpu")
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_a_good_one_is_tried_once_and_opened(tmp_path: Path, tried: list[list[str]]) -> None:
    path = made.write(tmp_path / "good.onnx", made.good())
    for _ in range(3):
        opened = recognize.load(path, "cpu")
    assert opened.spec == made.SPEC
    np.testing.assert_allclose(opened.classify(np.ones((4, 3, 28, 28), np.float32)), [[0.2, 0.3, 0.5]] * 4, atol=1e-6)
    assert len(tried) == 1
    path.write_bytes(made.model(made.good(), replace(made.SPEC, version="1")))
    assert recognize.load(path, "cpu").spec.version == "1"
    assert len(tried) == 2


def test_the_shipped_one_is_opened_in_this_process(tried: list[list[str]]) -> None:
    recognize.load("default", "cpu")
    assert not tried


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        (made.scaled(2.0), "answers 0.4, 0.6, 1, which are not probabilities"),
        (made.scaled(1.01), "which are not probabilities"),
        (made.scaled(-1.0), "answers -0.2, -0.3, -0.5, which are not probabilities"),
        (made.scaled(math.nan), "answers nan, nan, nan, which are not probabilities"),
        (made.scaled(math.inf), "answers inf, inf, inf, which are not probabilities"),
        (made.shifted(), "answers -0.3, 0.3, 1, which are not probabilities"),
    ],
    ids=["sum", "sum a little", "negative", "nan", "infinite", "negative that add up"],
)
def test_answers_that_are_not_probabilities_are_refused(tmp_path: Path, nodes: list[Any], says: str) -> None:
    assert says in refused(made.write(tmp_path / "bad.onnx", nodes))


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c", "d")])
def test_another_number_of_answers_than_labels_is_refused(tmp_path: Path, labels: tuple[str, ...]) -> None:
    path = made.write(tmp_path / "bad.onnx", made.good(), replace(made.SPEC, labels=labels))
    assert f"answers (2, 3) where its spec says (2, {len(labels)})" in refused(path)


def test_answers_that_stop_being_probabilities_are_one_line(tmp_path: Path) -> None:
    opened = recognize.load(made.write(tmp_path / "later.onnx", made.good_until_it_moves()), "cpu")
    opened.classify(np.zeros((1, 3, 28, 28), np.float32))
    with pytest.raises(ModelError, match=r"^made/0 answers 4\.2, 4\.3, 4\.5, which are not probabilities"):
        opened.classify(np.full((1, 3, 28, 28), 5, np.float32))
    with pytest.raises(ModelError, match=r"^made/0 failed on onnxruntime .*INVALID_ARGUMENT") as caught:
        opened.classify(np.zeros((1, 3, 5, 5), np.float32))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"labels": ["a", "a", "b"]}, "labels must be different names"),
        ({"abstain_below": 2}, "abstain_below must lie between 0 and 1"),
        ({"input_shape": [3, 100, 100]}, "does not run on (3, 100, 100)"),
        ({"feature": "flow-uvs/99"}, "needs the feature 'flow-uvs/99'"),
    ],
)
def test_a_wrong_spec_is_refused(tmp_path: Path, values: dict[str, Any], says: str) -> None:
    assert says in refused(made.write(tmp_path / "bad.onnx", made.good(), {**asdict(made.SPEC), **values}))


def test_another_output_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(made.model(made.good()[:-1], output="fixed"))
    assert "does not run on (3, 28, 28)" in refused(path)


def test_a_batch_fixed_at_one_is_refused(tmp_path: Path) -> None:
    """It would fail when two faces move at once."""
    path = tmp_path / "one.onnx"
    path.write_bytes(made.model(made.good(), batch=1))
    assert "does not run on (3, 28, 28)" in refused(path)


def test_names_that_are_not_text_are_one_line(tmp_path: Path) -> None:
    """ONNX Runtime fails to read them, says so on standard output, and tries again."""
    path = tmp_path / "names.onnx"
    path.write_bytes(made.model(made.good()).replace(b"motion", b"mot\xb9on"))
    assert "does not run on (3, 28, 28) ('utf-8' codec can't decode" in refused(path)


def test_a_model_that_does_not_end_is_refused_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: list[list[str]]
) -> None:
    assert trial.LIMIT_S == 30
    monkeypatch.setattr(trial, "LIMIT_S", 6.0)
    path = made.write(tmp_path / "endless.onnx", made.endless())
    start = time.monotonic()
    assert "was not ready after 6 s" in refused(path)
    assert time.monotonic() - start < 12
    assert "was not ready after 6 s" in refused(path)
    assert len(tried) == 1


def test_a_model_that_wants_terabytes_is_refused(tmp_path: Path) -> None:
    said = refused(made.write(tmp_path / "huge.onnx", made.huge()))
    assert "huge.onnx" in said


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_model_that_crashes_the_loader_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    monkeypatch.setattr(trial, "_COMMAND", crash)
    path = made.write(tmp_path / "crash.onnx", made.good())
    assert "ended the process that tried it (code -11): it is damaged or malicious" in refused(path)


def test_a_module_in_the_working_directory_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    recognize.load(made.write(tmp_path / "good.onnx", made.good()), "cpu")


def test_the_catalog_goes_on_behind_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_MER_CACHE", str(tmp_path))
    monkeypatch.setattr(trial, "LIMIT_S", 6.0)
    (tmp_path / "models").mkdir()
    made.write(tmp_path / "models" / "a.onnx", made.endless())
    made.write(tmp_path / "models" / "b.onnx", made.good())
    found = {row.path.name: row.problem for row in recognize.catalog()}
    assert "was not ready after 6 s" in found.pop("a.onnx")
    assert found.pop("b.onnx") == ""
    assert "default.onnx" in found
    assert not any(found.values())  # the shipped ones


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    path = made.write(tmp_path / "bad.onnx", made.scaled(2.0))
    line = [*COMMAND, "live", "nothing.mp4", "--model", str(path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == ModelError.exit_code
    assert done.stderr.count("\n") == 1
    assert "which are not probabilities" in done.stderr


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "a/b", "..\\escaped"])
def test_the_place_of_an_engine_is_not_in_the_hands_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    class Trt:
        __version__ = "10"

    monkeypatch.setattr(tensorrt, "import_tensorrt", lambda: Trt)
    monkeypatch.setattr(tensorrt, "build", lambda *_: b"engine")
    folder = tmp_path / "cache" / "engines"
    path = tensorrt.cached(b"content", replace(made.SPEC, name=name), "fp32", folder)
    assert path.parent == folder
    assert path.stem == tensorrt.key(b"content", "fp32")
    everything = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert everything == {f"cache/engines/{path.name}", f"cache/engines/{path.name}.json"}


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "", ".", "..", "a\nb"])
def test_a_name_that_can_be_no_file_is_one_line(name: str) -> None:
    with pytest.raises(ModelError, match="no model") as caught:
        recognize.find(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_folder_or_a_file_without_permission_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ModelError):
        recognize.load(tmp_path / "folder.onnx", "cpu")
    closed = made.write(tmp_path / "closed.onnx", made.good())
    closed.chmod(0)
    if os.access(closed, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ModelError, match="Permission denied"):
        OnnxRecognizer(closed)


def _archive(path: Path, spec: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"model/extra/{KEY}", spec)
    return path


def test_a_pt2_file_whose_spec_is_damaged_or_a_bomb_is_one_line(tmp_path: Path) -> None:
    bomb = _archive(tmp_path / "bomb.pt2", b"0" * (100 << 20))
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(ModelError, match="larger than 1048576 bytes"):
        pt2.read_spec(bomb)
    whole = _archive(tmp_path / "whole.pt2", made.SPEC.to_json().encode())
    assert pt2.read_spec(whole) == made.SPEC
    content = whole.read_bytes()
    for place in range(0, len(content), 3):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        whole.write_bytes(changed)
        try:
            pt2.read_spec(whole)
        except MerError as error:
            assert "\n" not in str(error)  # noqa: PT017
