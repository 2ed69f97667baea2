"""The networks of the papers, by name. Nothing here trains; nothing here reads data.

``MODELS`` lists each network, its usual input and the source of its ImageNet weights. ``create`` is the only way to
make one. Every network takes float32 (N, C, H, W) and returns logits (N, classes). The network itself scales its input,
so that the scaling travels with the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from realtime_mer.errors import ConfigError
from realtime_mer.face.regions import SIZE
from train.models import attention, backbones, classic, efficient_me, flow, flow_default, resnet, scaling
from train.models.coding import WithHeads
from train.models.none import WithNone
from train.models.weights import load

# Feature ids: what the runtime computes for a sample.
APEX: Final = "apex-rgb/1"  # one face crop, RGB, 0 to 1
FRAMES: Final = "frames-gray/1"  # onset, middle, apex in gray, 0 to 1
FLOW: Final = "flow-uvs/1"  # onset-to-apex motion: u, v, strain, in px of the aligned face
MAPS: Final = "maps-uvs/1"  # the public MEGC2019 maps: u, v, strain, scaled per clip to 0..1
FEATURES: Final = (APEX, FRAMES, FLOW, MAPS)
Keep = Callable[[NDArray[Any]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table.

    feature, size: usual input. build: makes the network from (classes, Settings). features: the inputs it can take.
    keep: its fixed first step, which reduces samples (N, 3, S, S), done once when inputs are made. Such a network takes
    both forms; the product always runs the whole network.
    """

    about: str
    feature: str
    size: int
    build: backbones.Builder
    features: tuple[str, ...] = (APEX, FLOW)
    keep: Keep | None = None


def _vision(name: str, about: str, size: int = 224) -> Entry:
    return Entry(about, APEX, size, backbones.builder(name))


MODELS: Final[dict[str, Entry]] = {
    "alexnet": _vision("alexnet", "AlexNet (Ho 2023)", 227),
    "alexnet-2012": Entry("AlexNet with cross-channel normalization (Ho 2023)", APEX, 227, classic.alexnet),
    "squeezenet": _vision("squeezenet1_1", "SqueezeNet 1.1 (Ho 2023)", 227),
    "squeezenet-relu": _vision("squeezenet1_1+relu", "SqueezeNet 1.1 with its last ReLU (Ho 2023)", 227),
    "squeezenet-1.0": _vision("squeezenet1_0+relu", "SqueezeNet 1.0, whose weights are public (Ho 2023)", 227),
    "googlenet": _vision("googlenet", "GoogLeNet (Ho 2023)"),
    "googlenet-2015": Entry("GoogLeNet with cross-channel normalization (Ho 2023)", APEX, 224, classic.googlenet),
    "efficientnet-b0": _vision("efficientnet_b0", "EfficientNet-B0 (Ho 2023, Ab Razak 2023)"),
    "resnet18": _vision("resnet18", "ResNet-18 (Ibrahim 2020)"),
    "resnet34": _vision("resnet34", "ResNet-34 (Ibrahim 2020)"),
    "resnet50": _vision("resnet50", "ResNet-50 (Ibrahim 2020, Ho 2023)"),
    "resnet101": _vision("resnet101", "ResNet-101 (Ibrahim 2020)"),
    "resnet152": _vision("resnet152", "ResNet-152 (Ibrahim 2020)"),
    "mobilenet-v2": _vision("mobilenet_v2", "MobileNet-v2 (Ho 2023)"),
    "mobilenet-v3-small": _vision("mobilenet_v3_small", "MobileNet-v3-small"),
    "resnet10": Entry("ResNet-10 (Peng 2018)", APEX, 224, resnet.resnet10),
    "efficient-me": Entry(
        "Efficient-ME: EfficientNet-B0 to block 5 (Ab Razak 2023)", APEX, 224, efficient_me.to_block5
    ),
    "efficient-me-tr3": Entry("Efficient-ME (tr3): to block 3 (Ab Razak 2023)", APEX, 224, efficient_me.to_block3),
    "efficient-me-lite": Entry(
        "Efficient-ME-Lite: EfficientNet-Lite0 to block 5, no squeeze-excitation", APEX, 224, efficient_me.lite
    ),
    "ststnet": Entry("STSTNet (Liong 2019)", MAPS, 28, flow.ststnet, (MAPS, FLOW)),
    "off-apexnet": Entry("OFF-ApexNet (Gan 2019)", MAPS, 28, flow.off_apexnet, (MAPS, FLOW)),
    "flow-default": Entry(
        "the shipped recognizer: four perceptrons on block means of motion",
        FLOW,
        128,
        flow_default.flow_default,
        (FLOW,),
        flow_default.cell_means,
    ),
    "hata-resnet": Entry(
        "ResNet-18 with 2-D or 3-D stem, ABN, ArcFace (Hata 2025)", FRAMES, 224, attention.hata, (APEX, FRAMES)
    ),
}


def create(
    name: str,
    classes: int,
    *,
    feature: str = "",
    size: int = 0,
    weights: str = "none",
    head: str = "linear",
    stem: str = "2d",
    attention: bool = False,
    dropout: float | None = None,
    none: bool = False,
    heads: Sequence[tuple[str, int, bool]] = (),
    unit_motion: bool = False,
) -> nn.Module:
    """Makes a network.

    name:      a key of MODELS. classes: number of outputs.
    feature:   input feature id; empty means the network's usual one. It determines how the input is scaled.
    size:      side of the input in px; 0 means the usual one.
    weights:   "none" (random), "imagenet", "default" (the shipped recognizer), the path of a model of ``train fit``, or
               of a state dict of the ImageNet network.
    head:      "linear" or "arcface" (cosines times a scale, for ``losses.arcface``; Deng et al. 2019).
    stem:      "2d" or "3d" (hata-resnet only: three frames convolved in time without padding).
    attention: with an Attention Branch (hata-resnet only).
    dropout:   before the last layer; None means as published.
    none:      with a gate for whether anything moves (``none.WithNone``), not counted in ``classes``.
    heads:     further answers: name, number of classes, whether each has its own probability (``coding.WithHeads``).
    unit_motion: the network sees means over 2 x 2 px of motion, scaled to one length (``scaling.unit``).
    Raises ConfigError for an unknown name or option, ModelError when the weights are not available.
    """
    entry = find(name)
    feature, size = feature or entry.feature, size or entry.size
    if feature not in entry.features:
        raise ConfigError(
            f"model {name!r} does not take the feature {feature!r}: choose from {', '.join(entry.features)}"
        )
    if classes < 2:
        raise ConfigError(f"a model needs at least 2 classes, not {classes}")
    if head not in ("linear", "arcface"):
        raise ConfigError(f"unknown head {head!r}: choose linear or arcface")
    if stem not in ("2d", "3d") or (name != "hata-resnet" and (stem != "2d" or attention)):
        raise ConfigError("stem must be 2d or 3d; only the model hata-resnet has the 3d stem and the attention branch")
    if unit_motion and (feature, size) != (FLOW, SIZE):
        raise ConfigError(f"unit_motion needs the feature {FLOW!r} at {SIZE} px, not {feature!r} at {size} px")
    if unit_motion and entry.keep is not None:
        raise ConfigError(f"the model {name!r} scales its own input: remove unit_motion")
    if stem == "3d" and feature != FRAMES:
        raise ConfigError(f"the 3d stem needs three frames: feature = {FRAMES!r}")
    settings = backbones.Settings(size, head, stem, attention, dropout, scaling.for_feature(feature, unit_motion))
    model = entry.build(classes, settings)
    if weights != "none":
        load(model, name, weights)
    for key, wanted in (("none", none), ("head", bool(heads))):
        if wanted:
            check_motion(key, feature, size)
    model = WithNone(model) if none else model
    return WithHeads(model, heads) if heads else model


def check_motion(what: str, feature: str, size: int) -> None:
    """Raises ConfigError when an input is not motion of the whole face in px, which a gate or a head needs. what: the
    recipe's key that asks for one."""
    if (feature, size) != (FLOW, SIZE):
        raise ConfigError(f"[{what}] needs the feature {FLOW!r} at {SIZE} px, not {feature!r} at {size} px")


def kept(name: str, unit_motion: bool) -> Keep | None:
    """The fixed first step of the network, done once when inputs are made; None if there is none."""
    return scaling.halves if unit_motion else find(name).keep


def name_of(keep: Keep | None) -> str | None:
    """The name of ``keep`` in cache keys."""
    return None if keep is None else f"{keep.__module__}.{keep.__qualname__}"


def find(name: str) -> Entry:
    """The entry of a model. Raises ConfigError."""
    if name not in MODELS:
        raise ConfigError(f"unknown model {name!r}: choose from {', '.join(MODELS)}")
    return MODELS[name]


def input_shape(name: str, size: int = 0) -> tuple[int, int, int]:
    """Shape of one sample, without the batch axis, for a ModelSpec: every feature has three planes."""
    side = size or find(name).size
    return 3, side, side


def parameters(model: nn.Module) -> int:
    """Number of learnable parameters."""
    return sum(p.numel() for p in model.parameters())


def keras_parameters(model: nn.Module) -> int:
    """Number of parameters as Keras counts them, including batch-norm statistics and the input's normalization."""
    statistics = (b for name, b in model.named_buffers() if not name.endswith("num_batches_tracked"))
    return parameters(model) + sum(b.numel() for b in statistics)
