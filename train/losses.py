"""Losses: cross-entropy, focal loss, ArcFace. Each is a function (logits, labels, weights) -> scalar tensor.

weights: of the samples, (N,), with mean 1 over the training samples; None for equal ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from realtime_mer.errors import ConfigError
from train.models.heads import ARC_SCALE


class Loss(Protocol):
    def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None, /) -> Tensor: ...


def cross_entropy(class_weights: Sequence[float] = ()) -> Loss:
    """Mean cross-entropy in nats. class_weights: one per class, giving a weighted mean; empty for equal ones."""
    table = torch.tensor(class_weights) if class_weights else None

    def loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        of_class = None if table is None else table.to(logits.device)
        if weights is None:
            return F.cross_entropy(logits, labels, of_class)
        value = F.cross_entropy(logits, labels, of_class, reduction="none")
        return (weights * value).sum() / (len(labels) if of_class is None else of_class[labels].sum())

    return loss


def focal(gamma: float, class_weights: Sequence[float] = ()) -> Loss:
    """Mean of -alpha_c (1 - p)^gamma log p (Lin et al. 2017, eq. 5; several classes).

    Ab Razak & Sahran: gamma 2, alpha 0.27, 0.35, 0.38 for negative, positive, surprise. gamma 0 without weights is
    cross-entropy.
    """
    table = torch.tensor(class_weights) if class_weights else None

    def loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        log_p = F.log_softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
        value = -((1 - log_p.exp()) ** gamma) * log_p
        if table is not None:
            value = table.to(logits.device)[labels] * value
        return value.mean() if weights is None else (weights * value).mean()

    return loss


def arcface(margin: float) -> Loss:
    """Additive angular margin (Deng et al. 2019, eq. 3) on the logits of ``train.models.heads.CosineHead``.

    margin: radians. Beyond pi - margin the cosine would rise again; there, as in the published code, a straight line
    replaces it.
    """
    cos_m, sin_m = math.cos(margin), math.sin(margin)
    plain = cross_entropy()

    def loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        cosine = (logits / ARC_SCALE).clamp(-1, 1)
        # the slope of the square root is infinite at 0
        sine = (1 - cosine**2).clamp_min(1e-12).sqrt()
        turned = torch.where(cosine > -cos_m, cosine * cos_m - sine * sin_m, cosine - sin_m * margin)
        target = F.one_hot(labels, logits.shape[1]).bool()
        return plain(ARC_SCALE * torch.where(target, turned, cosine), labels, weights)

    return loss


def make(name: str, *, gamma: float, margin: float, class_weights: Sequence[float], classes: int) -> Loss:
    """The loss a recipe names. Raises ConfigError."""
    if class_weights and len(class_weights) != classes:
        raise ConfigError(f"class_weights has {len(class_weights)} numbers for {classes} classes")
    if name == "ce":
        return cross_entropy(class_weights)
    if name == "focal":
        return focal(gamma, class_weights)
    if name == "arcface":
        return arcface(margin)
    raise ConfigError(f"unknown loss {name!r}: choose ce, focal or arcface")
