"""Checkpoint to .pt2: the network as torch's own program file, for a GPU machine that has torch but no onnxruntime-gpu.

The ModelSpec travels inside the archive. The result is opened as the runtime will open it and compared with the network
before it is written; running the file is the runtime's work.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn

from export.program import Probabilities, Report, check_parity, trace, write_file
from realtime_mer.errors import ConfigError
from realtime_mer.recognize import pt2
from realtime_mer.recognize.device import PROGRAM
from realtime_mer.recognize.spec import KEY, ModelSpec


def export(module: nn.Module, spec: ModelSpec, path: Path) -> Report:
    """Writes ``module`` (logits from float32 (N, *spec.input_shape)) as one .pt2 file with ``spec`` inside.

    Raises ModelError when the network cannot be exported or the file would differ from it by more than the tolerance;
    nothing is left behind then. OutputError when the file cannot be written, ConfigError for another suffix.
    """
    if path.suffix != PROGRAM:
        raise ConfigError(f"{path.name} must end in {PROGRAM}: the runtime knows the kind of a file by its name")
    whole = Probabilities(module, spec.temperature).eval()
    program = trace(whole, spec)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, f"model{PROGRAM}")
        torch.export.save(program, draft, extra_files={KEY: spec.to_json()})
        difference = check_parity(whole, pt2.load(draft, spec, "cpu")[1], spec, "the .pt2 file")
        return Report(path, difference, write_file(path, draft.read_bytes()))
