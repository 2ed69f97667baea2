"""Where a network looks: at what decides, in the mean, and in the report of networks on pictures only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from train import evaluate, looks, protocols, report
from train.inputs import Prepared
from train.models import create
from train.recipe import from_table
from train.records import Clip
from train.samples import Samples

LABELS = ("negative", "positive", "surprise")
EMOTIONS = {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}


def pictures(subjects: int = 3, each: int = 6, size: int = 32) -> Prepared:
    """Noise with a bright patch, in another corner for each class."""
    random = np.random.default_rng(0)
    clips, x, y = [], [], []
    for s in range(subjects):
        for k in range(each):
            label = k % 3
            picture = random.integers(0, 60, (3, size, size), np.uint8)
            top, left = ((0, 0), (0, size - 12), (size - 12, 0))[label]
            picture[:, top : top + 12, left : left + 12] += 180
            clips.append(Clip("drawn", f"s{s}", f"c{k}", (Path("x"),), None, 0, None, 0.0, (), EMOTIONS[LABELS[label]]))
            x.append(picture)
            y.append(label)
    samples = Samples(np.stack(x), np.array(y), tuple(c.group for c in clips))
    return Prepared(tuple(clips), samples, LABELS, ())


class Corners(nn.Module):
    """The class of the brightest corner, by one convolution and a mean over each corner."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        nn.init.ones_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.conv(x)[:, 0]
        return torch.stack(
            [seen[:, :12, :12].mean((1, 2)), seen[:, :12, -12:].mean((1, 2)), seen[:, -12:, :12].mean((1, 2))], 1
        )


def test_the_map_shows_what_decides() -> None:
    data = pictures()
    found = [np.array(each) for each in looks.by_class(Corners(), data.samples, 3, "cpu")]
    half = looks.SIDE // 2
    quarters = [
        (slice(0, half), slice(0, half)),
        (slice(0, half), slice(half, None)),
        (slice(half, None), slice(0, half)),
    ]
    for k, where in enumerate(quarters):
        assert found[k].shape == (looks.SIDE, looks.SIDE)
        assert found[k][where].sum() > 0.5 * found[k].sum()


def test_a_class_without_samples_has_no_map() -> None:
    data = pictures()
    only = data.samples.take(np.flatnonzero(data.samples.y != 1))
    first, second, third = looks.by_class(Corners(), only, 3, "cpu")
    assert second is None
    assert first != third


def test_an_attention_branch_shows_its_own_map() -> None:
    torch.manual_seed(0)
    model = create("hata-resnet", 3, attention=True, size=32)
    samples = pictures().samples
    found = np.array(looks.by_class(model, samples, 3, "cpu"))
    assert found.shape == (3, looks.SIDE, looks.SIDE)
    assert found.max() <= 1


def test_folds_are_weighted_by_what_they_tested() -> None:
    ones, zeros = np.ones((2, 2)).tolist(), np.zeros((2, 2)).tolist()
    found = looks.joined([[ones, None], [zeros, None]], [np.array([0, 0, 0]), np.array([0])])
    assert np.allclose(found[0], 0.75)
    assert found[1] is None


def test_the_report_has_a_map_for_each_class_of_a_network_on_pictures(tmp_path: Path) -> None:
    data = pictures()
    table = {
        "name": "drawn", "data": {"name": "drawn"}, "model": {"name": "squeezenet"},
        "input": {"feature": "apex-rgb/1", "size": 32}, "stage": [{"epochs": 1, "batch": 6}],
    }  # fmt: skip
    run = evaluate.evaluate(
        from_table(table), data, protocols.loso(data.clips), tmp_path / "run", protocol="loso", quiet=True
    )
    assert run.looks is not None
    assert [each.shape for each in run.looks] == [(looks.SIDE, looks.SIDE)] * 3
    page = report.page(tmp_path / "run")
    assert "where the network looks" in page
    assert "data:image/png" in page  # the maps, not the pictures: as many px as cells
