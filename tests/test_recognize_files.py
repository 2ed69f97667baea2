"""Files that a back end must refuse in one clear line, and engines with their spec beside them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from backend_models import exported, noise, spec_of

from realtime_mer import recognize
from realtime_mer.errors import DeviceError, MerError, ModelError
from realtime_mer.recognize import device, tensorrt
from realtime_mer.recognize.spec import KEY


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("files") / "small.onnx")


def _without_spec(good: bytes) -> bytes:
    model = onnx.load_model_from_string(good)
    del model.metadata_props[:]
    return model.SerializeToString()


def _other_feature(good: bytes) -> bytes:
    model = onnx.load_model_from_string(good)
    next(e for e in model.metadata_props if e.key == KEY).value = spec_of("x", 28, "flow-uvs/99").to_json()
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_without_spec, "no ModelSpec"),
        (_other_feature, "flow-uvs/99"),
        (lambda good: good[: len(good) // 2], "not a complete ONNX file"),
        (lambda _: b"not a model at all", "not a complete ONNX file"),
        (lambda _: b"", "not a complete ONNX file"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(file: Path, tmp_path: Path, damage, says: str) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelError, match=says) as caught:
        recognize.load(bad, "cpu")
    assert "\n" not in str(caught.value)


def test_an_engine_needs_its_spec_beside_it(tmp_path: Path) -> None:
    engine = tmp_path / "m.engine"
    engine.write_bytes(b"engine")
    with pytest.raises(ModelError, match=r"m\.engine\.json"):
        recognize.load(engine, "auto")


def test_an_engine_keeps_its_spec_and_runs_with_tensorrt_only(tmp_path: Path) -> None:
    engine, spec = tmp_path / "m.engine", spec_of("m", 28)
    tensorrt.save(b"engine", spec, engine)
    assert tensorrt.read_spec(engine) == spec
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(DeviceError, match="cannot run on cpu"):
        recognize.load(engine, "cpu")
    with pytest.raises(MerError) as caught:  # no TensorRT, or an engine that is none
        recognize.load(engine, "tensorrt")
    assert "\n" not in str(caught.value)


def test_tensorrt_that_fails_to_import_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its package raises plain Exceptions when NVIDIA's libraries are missing."""
    import importlib

    def broken(_name: str) -> object:
        raise Exception("libnvinfer.so.10: cannot open shared object file\nsecond line")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(DeviceError, match="libnvinfer") as caught:
        tensorrt.import_tensorrt()
    assert "second line" not in str(caught.value)


def test_the_key_of_an_engine_changes_with_model_gpu_version_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trt:
        __version__ = "10.15"

    def key(content: bytes = b"a", gpu: str = "H200", version: str = "10.15", precision: str = "fp32") -> str:
        Trt.__version__ = version
        monkeypatch.setattr(tensorrt, "gpu", lambda: gpu)
        monkeypatch.setattr(tensorrt, "import_tensorrt", lambda: Trt)
        return tensorrt.key(content, precision)

    keys = {key(), key(content=b"b"), key(gpu="L4"), key(version="10.16"), key(precision="fp16")}
    assert len(keys) == 5
    assert key() == key()


def test_the_catalog_lists_shipped_and_cached_models_and_names_what_is_broken(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REALTIME_MER_CACHE", str(tmp_path))
    cache = tmp_path / "models"
    cache.mkdir()
    (cache / "good.onnx").write_bytes(file.read_bytes())
    (cache / "bad.onnx").write_bytes(b"no model")
    listed = {(row.origin, row.path.name): row for row in recognize.catalog()}
    assert listed["shipped", "default.onnx"].spec is not None
    good, bad = listed["cached", "good.onnx"], listed["cached", "bad.onnx"]
    assert good.spec == spec_of("ststnet", 28)
    assert len(good.sha256) == 64
    assert bad.spec is None
    assert "bad.onnx" in bad.problem
    assert recognize.load("good", "cpu").classify(noise(1)).shape == (1, 3)


def test_gpu_name_is_text() -> None:
    assert isinstance(device.gpu(), str)
