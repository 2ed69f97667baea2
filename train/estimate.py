"""Estimates how long a training will take, from a few timed steps, and says so before a long one."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import nn

from realtime_mer.progress import clock
from train import fit
from train.recipe import Stage
from train.samples import Samples

SAMPLES: Final = 8  # in a timed step of a large network, whose cost grows with the samples
QUICK_S: Final = 0.2  # a shorter step is timed with a whole batch, because its overhead exceeds the cost of the samples
STEPS: Final = 2  # timed steps, after one that is not timed
LONG_S: Final = 300.0  # shorter trainings are not announced
FEW: Final = 500  # fewer samples than this take too little time to announce


def tell(
    what: str, make: Callable[[], nn.Module], samples: Samples, known: Sequence[int], stages: Sequence[Stage],
    classes: int, device: str, *, times: float = 1.0, threads: int = 0,
) -> None:  # fmt: skip
    """Prints to standard error how long a training will take at most, if that is long, even with --quiet.

    make: creates an untrained network. known: positions of the training samples. times: number of trainings. threads:
    torch threads of the training; 0: as many as now.
    """
    visits = [fit.visited(samples.y[list(known)], stage) * stage.epochs for stage in stages]
    if times * sum(visits) < FEW:
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        model = make()
        each = [_sample(copy.deepcopy(model), samples, known, stage, classes, device) for stage in stages]
        seconds = times * sum(number * of_one for number, of_one in zip(visits, each, strict=True))
    finally:
        torch.set_num_threads(before)
    if seconds >= LONG_S:
        print(
            f"{what}: at most {clock(seconds)} on this machine, estimated from a few timed steps",
            file=sys.stderr,
            flush=True,
        )


def _sample(model: nn.Module, samples: Samples, known: Sequence[int], stage: Stage, classes: int, device: str) -> float:
    """Seconds that a sample takes."""
    for size in (SAMPLES, stage.batch or len(known)):
        few = samples.take(known[:size])
        _, *timed = fit.timed_steps(model, few, stage, classes, device, 1 + STEPS)
        if sum(timed) > STEPS * QUICK_S:
            break
    return sum(timed) / STEPS / len(few)
