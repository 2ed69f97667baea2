"""What is minimised: cross-entropy, focal loss, ArcFace. Each is a function (logits, labels) -> scalar tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from realtime_mer.errors import ConfigError
from train.models.heads import ARC_SCALE

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(weights: Sequence[float] = ()) -> Loss:
    """Mean cross-entropy in nats; weights: one a class, empty for equal ones (then a weighted mean)."""
    table = torch.tensor(weights) if weights else None
    return lambda logits, labels: F.cross_entropy(logits, labels, None if table is None else table.to(logits.device))


def focal(gamma: float, weights: Sequence[float] = ()) -> Loss:
    """Mean of -alpha_c (1 - p)^gamma log p (Lin et al. 2017, eq. 5; several classes).

    Ab Razak & Sahran: gamma 2, alpha .27, .35, .38 for negative, positive, surprise. gamma 0 without weights is
    cross-entropy.
    """
    table = torch.tensor(weights) if weights else None

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        log_p = F.log_softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
        value = -((1 - log_p.exp()) ** gamma) * log_p
        return value.mean() if table is None else (table.to(logits.device)[labels] * value).mean()

    return loss


def arcface(margin: float) -> Loss:
    """Additive angular margin (Deng et al. 2019, eq. 3) on the logits of ``train.models.heads.CosineHead``.

    margin: radians. Beyond pi - margin the cosine would rise again; there the published code's straight line is used.
    """
    cos_m, sin_m = math.cos(margin), math.sin(margin)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        cosine = (logits / ARC_SCALE).clamp(-1, 1)
        # The square root has no finite slope at 0.
        sine = (1 - cosine**2).clamp_min(1e-12).sqrt()
        turned = torch.where(cosine > -cos_m, cosine * cos_m - sine * sin_m, cosine - sin_m * margin)
        target = F.one_hot(labels, logits.shape[1]).bool()
        return F.cross_entropy(ARC_SCALE * torch.where(target, turned, cosine), labels)

    return loss


def make(name: str, *, gamma: float, margin: float, weights: Sequence[float], classes: int) -> Loss:
    """The loss a recipe names. Raises ConfigError."""
    if weights and len(weights) != classes:
        raise ConfigError(f"class_weights has {len(weights)} numbers for {classes} classes")
    if name == "ce":
        return cross_entropy(weights)
    if name == "focal":
        return focal(gamma, weights)
    if name == "arcface":
        return arcface(margin)
    raise ConfigError(f"unknown loss {name!r}: choose ce, focal or arcface")
