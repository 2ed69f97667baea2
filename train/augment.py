"""Random augmentation of training batches, as each paper has it. Test samples are never augmented.

Every function takes float32 (N, 3, S, S) and a generator, and returns the same shape. Images are 0 to 1; motion is in
px, and only "flip-motion" and "shift" are valid for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
import torchvision.transforms.v2.functional as tv
from torch import Generator, Tensor
from torch.nn import functional as F

from realtime_mer.errors import ConfigError

Augment = Callable[[Tensor, Generator], Tensor]
_LEVELS = 255.0


def _coin(x: Tensor, g: Generator, p: float = 0.5) -> Tensor:
    """True for a share p of the samples, (N, 1, 1, 1)."""
    return (torch.rand(len(x), generator=g) < p)[:, None, None, None].to(x.device)


def _uniform(x: Tensor, g: Generator, low: float, high: float, planes: int = 1) -> Tensor:
    return (low + (high - low) * torch.rand(len(x), planes, 1, 1, generator=g)).to(x.device)


def flip(x: Tensor, g: Generator) -> Tensor:
    """Left-right, half of the samples (Ab Razak 2023; Hata 2025)."""
    return torch.where(_coin(x, g), x.flip(3), x)


def flip_motion(x: Tensor, g: Generator) -> Tensor:
    """Left-right flip of a motion field; the horizontal component changes its sign."""
    mirrored = x.flip(3).clone()
    mirrored[:, 0] = -mirrored[:, 0]
    return torch.where(_coin(x, g), mirrored, x)


def shift(x: Tensor, g: Generator) -> Tensor:
    """Shifts by up to 4 px per 128 px in both directions, borders repeated; simulates imperfect alignment."""
    reach = max(round(x.shape[3] * 4 / 128), 1)
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    side = x.shape[3]
    dx, dy = torch.randint(0, 2 * reach + 1, (2, len(x)), generator=g).tolist()
    return torch.stack([padded[i, :, b : b + side, a : a + side] for i, (a, b) in enumerate(zip(dx, dy, strict=True))])


def brightness(x: Tensor, g: Generator) -> Tensor:
    """Adds up to a tenth of the range, half of the samples (Ab Razak give no amount; this one is ours)."""
    return torch.where(_coin(x, g), (x + _uniform(x, g, -0.1, 0.1)).clamp(0, 1), x)


def contrast(x: Tensor, g: Generator) -> Tensor:
    """Scales by 0.8 to 1.2 around the mean (Hata 2025 give no amount; this one is ours)."""
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return ((x - mean) * _uniform(x, g, 0.8, 1.2) + mean).clamp(0, 1)


def color_shift(x: Tensor, g: Generator) -> Tensor:
    """Adds up to 20 of 255 levels to each channel, half of the samples (Peng 2018)."""
    moved = (x + _uniform(x, g, -20 / _LEVELS, 20 / _LEVELS, planes=3)).clamp(0, 1)
    return torch.where(_coin(x, g), moved, x)


def _rotate(x: Tensor, g: Generator, degrees: float) -> Tensor:
    angle = torch.deg2rad((2 * torch.rand(len(x), generator=g) - 1) * degrees)
    angle = torch.where(torch.rand(len(x), generator=g) < 0.5, angle, torch.zeros(()))
    zero = torch.zeros_like(angle)
    top = torch.stack([angle.cos(), -angle.sin(), zero], 1)
    bottom = torch.stack([angle.sin(), angle.cos(), zero], 1)
    grid = F.affine_grid(torch.stack([top, bottom], 1).to(x.device), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def rotate8(x: Tensor, g: Generator) -> Tensor:
    """Rotates by up to 8 degrees, half of the samples (Peng 2018, hold-out task)."""
    return _rotate(x, g, 8.0)


def rotate10(x: Tensor, g: Generator) -> Tensor:
    """Rotates by up to 10 degrees, half of the samples (Peng 2018, macro stage; Hata 2025 give no amount)."""
    return _rotate(x, g, 10.0)


def smooth(x: Tensor, g: Generator) -> Tensor:
    """Mean over a window of 2 to 6 px, half of the samples (Peng 2018: "maximum window size of 6").

    The window is drawn per batch, whether to apply it per sample.
    """
    window = int(torch.randint(2, 7, (1,), generator=g))
    before, after = (window - 1) // 2, window // 2
    blurred = F.avg_pool2d(F.pad(x, (before, after, before, after), mode="replicate"), window, stride=1)
    return torch.where(_coin(x, g), blurred, x)


def corners(x: Tensor, g: Generator) -> Tensor:
    """Enlarges by 240/224, then crops one of the four corners to the original size (Peng 2018, LOSO task)."""
    side = x.shape[3]
    big = tv.resize(x, [round(side * 240 / 224)] * 2, antialias=True)
    extra = big.shape[3] - side
    choice = torch.randint(0, 4, (len(x),), generator=g).tolist()
    spots = [(0, 0), (0, extra), (extra, 0), (extra, extra)]
    places = [spots[c] for c in choice]
    return torch.stack([big[i, :, a : a + side, b : b + side] for i, (a, b) in enumerate(places)])


AUGMENT: Final[dict[str, Augment]] = {
    "flip": flip,
    "flip-motion": flip_motion,
    "shift": shift,
    "brightness": brightness,
    "contrast": contrast,
    "color-shift": color_shift,
    "rotate8": rotate8,
    "rotate10": rotate10,
    "smooth": smooth,
    "corners": corners,
}


def chosen(names: tuple[str, ...]) -> list[Augment]:
    """The functions of these names, in order. Raises ConfigError."""
    for name in names:
        if name not in AUGMENT:
            raise ConfigError(f"unknown augmentation {name!r}: choose from {', '.join(AUGMENT)}")
    return [AUGMENT[name] for name in names]
