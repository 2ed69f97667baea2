"""How long a training will take, from a few timed steps: said before it begins when it is long."""

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

SAMPLES: Final = 8  # in a timed step of a large network, whose cost grows with its samples
QUICK_S: Final = 0.2  # a step that takes less is timed with as many samples as it will have: it costs more than they do
STEPS: Final = 2  # timed, after one that is not
LONG_S: Final = 300.0  # what is shorter needs no word
FEW: Final = 500  # samples that a training visits: so few are done before a word about it helps


def tell(
    what: str, make: Callable[[], nn.Module], samples: Samples, known: Sequence[int], stages: Sequence[Stage],
    classes: int, device: str, *, times: float = 1.0, threads: int = 0,
) -> None:  # fmt: skip
    """Says on standard error how long a training takes at most, if that is long; also where no progress is shown.

    make: gives a network as it is before training. known: positions of the samples that it will be shown. times: how
    often it is done. threads: of torch that it will have; 0: as many as now.
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
        print(f"{what}: at most {clock(seconds)} here, going by a few timed steps", file=sys.stderr, flush=True)


def _sample(model: nn.Module, samples: Samples, known: Sequence[int], stage: Stage, classes: int, device: str) -> float:
    """Seconds that a sample takes."""
    for size in (SAMPLES, stage.batch or len(known)):
        few = samples.take(known[:size])
        _, *timed = fit.timed_steps(model, few, stage, classes, device, 1 + STEPS)
        if sum(timed) > STEPS * QUICK_S:
            break
    return sum(timed) / STEPS / len(few)
