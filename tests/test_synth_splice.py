"""Spliced streams, on a made-up tree in the layout of CASME II: random texture that moves a little, with noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime_mer.errors import DataError
from realtime_mer.synth.splice import AWAY, EMPTY, LEAD, RETURN, TAIL, RealClip, read_casme2, splice, streams

ROWS = (("sub01", "EP01", 20, 32, 50, ""), ("sub01", "EP02", 5, 9, 30, ""), ("sub02", "EP01", 1, 9, 25, "partial"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("casme2")
    random = np.random.default_rng(0)
    for number, (subject, clip, onset, apex, offset, _) in enumerate(ROWS):
        folder = root / subject / clip
        folder.mkdir(parents=True)
        base = cv2.GaussianBlur(random.uniform(60, 190, (61 + number, 45, 3)).astype(np.float32), (0, 0), 2)
        for frame in range(onset, offset + 1):
            shift = 2 * np.exp(-(((frame - apex) / 5) ** 2))
            moved = cv2.warpAffine(
                base, np.array([[1.0, 0, shift], [0, 1, 0]]), base.shape[1::-1], borderMode=cv2.BORDER_REFLECT
            )
            picture = cv2.add(moved, random.normal(0, 2, base.shape).astype(np.float32), dtype=cv2.CV_8U)
            cv2.imwrite(str(folder / f"reg_img{frame}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 98])
    lines = [
        "subject,clip,emotion,onset,apex,offset,match",
        *(f"{s},{c},disgust,{a},{b},{d},{m}" for s, c, a, b, d, m in ROWS),
    ]
    (root / "table.csv").write_text("\n".join(lines))
    return root


def clips(tree: Path) -> list[RealClip]:
    return read_casme2(tree, tree / "table.csv")


def test_partial_clips_are_left_out(tree: Path) -> None:
    found = clips(tree)
    assert [(c.name, c.onset, c.apex, c.offset, len(c.frames)) for c in found] == [
        ("EP01", 0, 12, 30, 31),
        ("EP02", 0, 4, 25, 26),
    ]
    assert len(read_casme2(tree, tree / "table.csv", without=())) == 3


def test_the_truth_points_at_the_real_frames(tree: Path) -> None:
    found = clips(tree)
    stream = splice(found, seed=1)
    frames = list(stream.frames())
    assert len(frames) == round(stream.duration * 200)
    assert [f.index for f in frames] == list(range(len(frames)))
    np.testing.assert_allclose([f.time for f in frames], np.arange(len(frames)) / 200)
    for clip, event in zip(found, stream.truth, strict=True):
        for path, time in (
            (clip.frames[0], event.onset),
            (clip.frames[clip.apex], event.apex),
            (clip.frames[-1], event.offset),
        ):
            real = cv2.imread(str(path))
            np.testing.assert_array_equal(frames[round(time * 200)].image[: real.shape[0], : real.shape[1]], real)
        assert event.label == "disgust"
    assert len({f.gray.shape for f in frames}) == 1
    assert all(side % 2 == 0 for side in frames[0].gray.shape)


def test_only_the_time_between_clips_is_masked(tree: Path) -> None:
    stream = splice(clips(tree), seed=1)
    ((start, end),) = stream.masked
    assert start == pytest.approx(stream.truth[0].offset + TAIL + 1 / 200)
    assert end == pytest.approx(start + AWAY + RETURN)
    assert stream.truth[1].onset == pytest.approx(start + AWAY + LEAD)
    frames = list(stream.frames())
    assert (frames[round((start + AWAY / 2) * 200)].gray == EMPTY).all()


def test_the_seams_look_like_any_other_pair_of_frames(tree: Path) -> None:
    stream = splice(clips(tree)[:1], seed=1)
    grays = np.stack([f.gray for f in stream.frames()]).astype(np.float32)
    change = (grays[1:] - grays[:-1]).std(axis=(1, 2))
    onset, offset = (round(t * 200) for t in (stream.truth[0].onset, stream.truth[0].offset))
    usual = np.median(change)
    for seam in (onset, offset + 1):
        assert 0.7 * usual < change[seam - 1] < 1.3 * usual
    rest = change[: onset - 1]
    assert rest.std() < 0.1 * usual  # no loop, no repeated noise
    assert rest.max() < 1.3 * usual


def test_a_stream_is_reproducible_and_of_one_subject(tree: Path) -> None:
    found = clips(tree)
    (first,), (again,) = streams(found, ["sub01"], seed=3), streams(found, ["sub01"], seed=3)
    assert first == again
    assert all((a.gray == b.gray).all() for a, b in zip(first.frames(), again.frames(), strict=True))
    assert len(streams(found, ["sub01"], per_stream=1)) == 2


def test_what_is_missing_is_said_in_one_line(tree: Path, tmp_path: Path) -> None:
    found = clips(tree)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    for wrong in (
        lambda: streams(found, ["sub77"]),
        lambda: splice([]),
        lambda: read_casme2(tmp_path, tree / "table.csv"),
        lambda: read_casme2(tree, tmp_path / "none.csv"),
        lambda: read_casme2(tree, tmp_path / "bad.csv"),
    ):
        with pytest.raises(DataError) as caught:
            wrong()
        assert "\n" not in str(caught.value)
