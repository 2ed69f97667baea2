"""Model files for training: weights, how to rebuild the network, and the model's metadata.

A file holds plain data only and is read with ``weights_only=True``, so opening one never runs code.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from realtime_mer.errors import ModelError, OutputError
from realtime_mer.recognize.spec import ModelSpec
from train.models import create

FORMAT: Final = 1


def save(path: Path, model_name: str, options: dict[str, Any], state: dict[str, Tensor], spec: ModelSpec) -> None:
    """Writes a model file, atomically.

    model_name, options: what ``train.models.create`` needs to rebuild it (without ``weights``).
    Raises OutputError when the file cannot be written.
    """
    options = {key: value for key, value in options.items() if key != "weights"}
    content = {"format": FORMAT, "model": model_name, "options": options, "state": state, "spec": spec.to_json()}
    write(path, content)


def load(path: Path) -> tuple[nn.Module, ModelSpec]:
    """Reads a model file: the network in evaluation mode on the CPU, and its metadata.

    Raises ModelError when the file is missing, is not one of ours, or does not fit this version.
    """
    content = read(path)
    if content.get("format") != FORMAT or not isinstance(content.get("spec"), str):
        raise ModelError(f"{path} is not a model file of this version: train it again or give the right file")
    spec = ModelSpec.from_json(content["spec"])
    try:
        classes = len(spec.labels) - bool(spec.none)
        model = create(content["model"], classes, **content["options"])
        model.load_state_dict(content["state"])
    except (TypeError, KeyError, RuntimeError) as error:
        first_line = str(error).splitlines()[0]
        raise ModelError(f"{path} does not fit this version ({first_line}): train it again") from None
    return model.eval(), spec


def write(path: Path, content: dict[str, Any]) -> None:
    """Saves plain data and tensors via a temporary file, so that an interruption leaves the old one."""
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path} ({error}): check the folder and the space left") from None


def read(path: Path) -> dict[str, Any]:
    """Reads what ``write`` wrote. Raises ModelError."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"model file {path} does not exist") from None
    except Exception as error:  # a foreign or truncated file fails in many ways, refused unpickling among them
        raise ModelError(f"{path} cannot be read as a model file ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} is not a model file of this version: train it again or give the right file")
    return content
