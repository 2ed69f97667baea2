""".pt2 files: what may be written, what is refused in one line, and what opening one does and does not do.

That every network computes the same as .pt2 file is in test_export_onnx.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from backend_models import Treacherous, exported, network, noise, programmed, spec_of

from export import __main__ as command
from export import pt2
from realtime_mer import recognize
from realtime_mer.errors import ConfigError, DeviceError, ModelError, OutputError
from realtime_mer.recognize import device, opening
from realtime_mer.recognize import pt2 as runtime
from realtime_mer.recognize.spec import KEY
from train import checkpoint


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programmed(tmp_path_factory.mktemp("pt2") / "small.pt2")


def changed(good: Path, target: Path, ends: str, content: bytes | None) -> Path:
    """The archive with the content of one member replaced, or the member left out."""
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            if not name.endswith(ends):
                copy.writestr(name, source.read(name))
            elif content is not None:
                copy.writestr(name, content)
    return target


def test_the_spec_is_read_without_torch(file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from realtime_mer.recognize import pt2; "
        f"print(pt2.read_spec(Path({str(file)!r})).to_json()); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == spec_of("ststnet", 28).to_json()


@pytest.mark.parametrize("write", [exported, programmed])
def test_a_file_does_not_name_folders_of_the_machine_that_exported_it(write, tmp_path: Path) -> None:
    path = write(tmp_path / f"m{'.pt2' if write is programmed else '.onnx'}")
    content = path.read_bytes()
    for folder in (Path(torch.__file__).parent, Path(__file__).parents[1], tmp_path):
        assert str(folder).encode() not in content


def test_a_program_that_computes_something_else_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="differs from torch by"):
        pt2.export(Treacherous(), spec_of("bad", 28), tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []


def test_the_name_must_end_in_pt2_and_the_place_must_be_writable(tmp_path: Path) -> None:
    module, spec = network("ststnet", 28), spec_of("ststnet", 28)
    with pytest.raises(ConfigError, match=r"must end in \.pt2"):
        pt2.export(module, spec, tmp_path / "m.pt")
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(OutputError, match="cannot write"):
        pt2.export(module, spec, tmp_path / "taken" / "m.pt2")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda good, bad: bad.write_bytes(good.read_bytes()[: good.stat().st_size // 2]), "not a complete .pt2 file"),
        (lambda _, bad: bad.write_bytes(b"not an archive"), "not a complete .pt2 file"),
        (lambda good, bad: changed(good, bad, f"extra/{KEY}", None), "has no ModelSpec"),
        (lambda good, bad: changed(good, bad, f"extra/{KEY}", b"{}"), "format None"),
        (lambda good, bad: changed(good, bad, f"extra/{KEY}", b"\xff"), "not a complete .pt2 file"),
        (lambda good, bad: changed(good, bad, "models/model.json", b"{}"), "cannot open"),
        (lambda good, bad: changed(good, bad, "archive_version", b"99"), "cannot open"),
        (
            lambda good, bad: changed(good, bad, f"extra/{KEY}", spec_of("m", 32).to_json().encode()),
            r"does not run on \(3, 32, 32\)",
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_line(
    file: Path, tmp_path: Path, damage, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.pt2"
    damage(file, bad)
    with pytest.raises(ModelError, match=says) as caught:
        recognize.load(bad, "cpu")
    assert "\n" not in str(caught.value)
    said = capfd.readouterr()
    assert "Traceback" not in said.err + said.out


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model '.*nothing\.pt2'"):
        recognize.load(tmp_path / "nothing.pt2", "cpu")


def test_without_torch_one_line_says_what_to_do(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DeviceError, match=r"needs torch .*pip install torch"):
        recognize.load(file, "cpu")


def test_a_program_cannot_run_on_tensorrt(file: Path) -> None:
    with pytest.raises(DeviceError, match=r"torch program and cannot run on tensorrt: give the \.onnx file"):
        recognize.load(file, "tensorrt")


def test_onnx_on_a_gpu_without_its_package_names_both_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpu", lambda: "Some GPU")
    monkeypatch.setattr(device, "onnxruntime_providers", lambda: ["CPUExecutionProvider"])
    path = exported(tmp_path / "m.onnx")
    with pytest.raises(DeviceError, match=r"m\.onnx needs onnxruntime-gpu.*export pt2") as caught:
        recognize.load(path, "cuda")
    assert "\n" not in str(caught.value)
    assert recognize.load(path, "auto").why == "auto: m.onnx needs onnxruntime-gpu to run on cuda"


def test_auto_goes_on_to_the_cpu_when_torch_cannot_use_the_gpu(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a torch that was built without CUDA."""
    monkeypatch.setattr(device, "gpu", lambda: "Some GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    opened = opening.open_model(file, "auto")
    assert opened.provider == f"torch {torch.__version__} CPU"
    assert "torch sees no CUDA device" in opened.why
    with pytest.raises(DeviceError, match="torch sees no CUDA device"):
        opening.open_model(file, "cuda")


def test_a_graph_is_captured_for_the_next_larger_batch_and_a_large_one_runs_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The padding and the parts, with the capture itself left out: it needs a GPU."""

    class Replay:
        def __init__(self, source: torch.Tensor, target: torch.Tensor) -> None:
            self.source, self.target = source, target

        def replay(self) -> None:
            self.target.copy_(self.source.sum(dim=(2, 3)))

    def capture(_: runtime.CudaGraphs, size: int) -> tuple[Replay, torch.Tensor, torch.Tensor]:
        source, target = torch.zeros(size, 3, 28, 28), torch.zeros(size, 3)
        return Replay(source, target), source, target

    monkeypatch.setattr(runtime.CudaGraphs, "_capture", capture)
    graphs = runtime.CudaGraphs(lambda x: x, (3, 28, 28))
    for count, sizes in ((1, {1}), (3, {1, 4}), (65, {1, 4, 64})):
        x = noise(count)
        np.testing.assert_allclose(graphs(x), x.sum(axis=(2, 3)), atol=1e-3)
        assert set(graphs.captured) == sizes


def test_the_command_line_exports_and_compares_with_onnx(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "d.npz", x=noise(16))
    options = {"size": 28, "feature": "flow-uvs/1"}
    state = network("ststnet", 28, "flow-uvs/1").state_dict()
    checkpoint.save(tmp_path / "m.pt", "ststnet", options, state, spec_of("ststnet", 28))
    at = {name: str(tmp_path / name) for name in ("m.pt", "m.onnx", "m.pt2", "d.npz")}
    assert command.main(["onnx", at["m.pt"]]) == 0
    assert command.main(["pt2", at["m.pt"]]) == 0
    assert command.main(["verify", at["m.onnx"], at["m.pt2"], "--on", at["d.npz"]]) == 0
    printed = capsys.readouterr().out
    assert "labels agree 100.0%" in printed
    assert "m.pt2: ststnet/0" in printed
