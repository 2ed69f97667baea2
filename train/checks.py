"""Checks that a recipe fits its network, before any data are read. Keys without effect are errors."""

from __future__ import annotations

import dataclasses

import torch

from realtime_mer.errors import ConfigError
from train import models
from train.folds import model_options
from train.gather import usual_input
from train.recipe import Input, Recipe

_PLAIN = Input()


def completed(plan: Recipe, where: str) -> Recipe:
    """The recipe with its network's usual input filled in. where: the recipe's file.

    Raises ConfigError, beginning with ``where``, when network and input do not fit together or a key has no effect.
    """
    try:
        plan = dataclasses.replace(plan, input=usual_input(plan.input, plan.model.name))
        _check_network(plan)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return plan


def _check_network(plan: Recipe) -> None:
    how = plan.input
    if how.feature != models.FLOW:
        if plan.capture is not None:
            raise ConfigError(f"[capture] has no effect unless feature is {models.FLOW}: remove it")
        for key in ("onset_moves_s", "apex_moves_s", "tested_moves_s"):
            if getattr(how, key):
                raise ConfigError(f"{key} has no effect unless feature is {models.FLOW}: remove it")
    unused = {models.FLOW: ("crop",), models.MAPS: ("crop", "apex")}
    for key in unused.get(how.feature, ()):
        if getattr(how, key) != getattr(_PLAIN, key):
            raise ConfigError(f"{key} has no effect on the feature {how.feature}: remove it")
    options = model_options(dataclasses.replace(plan, model=dataclasses.replace(plan.model, weights="none")))
    with torch.device("meta"):  # nothing is computed or kept
        models.create(plan.model.name, 2, **options)
    for key, there in (("none", plan.none is not None), ("head", bool(plan.head))):
        if there:
            models.check_motion(key, how.feature, how.size)
