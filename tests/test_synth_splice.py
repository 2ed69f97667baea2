"""Spliced streams, on a made-up tree in the layout of CASME II: random texture that moves a little, with noise."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest

from realtime_mer.errors import DataError
from realtime_mer.synth.splice import (
    AWAY,
    EMPTY,
    LEAD,
    RETURN,
    TAIL,
    TAILS,
    RealClip,
    Stream,
    read_casme2,
    splice,
    streams,
)

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


def test_the_published_sheet_is_read_and_what_cannot_be_used_is_left_out(tree: Path, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    page = book.active
    page.append(["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"])
    for row in (
        ("01", "EP01", 20, 32, 50, 12, "disgust"),
        ("01", "EP02", 5, 9, 30, "4+L2", "others"),
        ("02", "EP01", 1, 9, 26, 4, "others"),  # one frame more than there is
        ("01", "EP02", 9, 9, 9, 4, "others"),  # no interval
        ("01", "EP02", 5, "/", 30, 4, "others"),
        ("01", "EP02", 5, 31, 30, 4, "others"),  # the apex after the offset
    ):
        page.append(row)
    book.save(tmp_path / "CASME2-coding-20140508.xlsx")
    left_out: list[str] = []
    found = read_casme2(tree, tmp_path / "CASME2-coding-20140508.xlsx", left_out=left_out)
    assert [(c.subject, c.name, c.label, len(c.frames)) for c in found] == [
        ("sub01", "EP01", "disgust", 31),
        ("sub01", "EP02", "others", 26),
    ]
    assert found[0] == clips(tree)[0]
    assert len(left_out) == 4
    assert "row 4: sub02/EP01: 1 of 26 frames are missing" in left_out[0]


def test_a_missing_frame_inside_a_clip_leaves_it_out(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path / "copy")
    (tmp_path / "copy" / "sub01" / "EP01" / "reg_img33.jpg").unlink()
    assert [clip.name for clip in clips(tmp_path / "copy")] == ["EP02"]


def tail_of(stream: Stream) -> list[np.ndarray]:
    """The pictures after the offset, as gray levels."""
    end = round(stream.truth[0].offset * 200)
    return [f.gray.astype(np.float32) for f in stream.frames() if f.index > end]


def test_a_tail_holds_the_face_or_brings_it_back_in_the_time_asked_for(tree: Path) -> None:
    """The clip is cut at its apex, so that its last picture lies 2 px from its first."""
    whole = clips(tree)[0]
    clip = replace(whole, frames=whole.frames[: whole.apex + 1], offset=whole.apex)
    first, last = (
        np.mean([cv2.imread(str(p), 0) for p in part], axis=0) for part in (clip.frames[:4], clip.frames[-4:])
    )
    middle = (slice(8, 52), slice(8, 36))  # beside the edges that the warp repeats

    def nearer_to_first(picture: np.ndarray) -> bool:
        away = [
            np.abs(picture[: first.shape[0], : first.shape[1]][middle] - still[middle]).mean()
            for still in (first, last)
        ]
        return bool(away[0] < away[1])

    assert list(TAILS.values()) == [None, 0.4, 1.0]
    for back_s in TAILS.values():
        back = [nearer_to_first(picture) for picture in tail_of(splice([clip], seed=1, back_s=back_s))]
        assert len(back) == round(TAIL * 200)
        assert not back[0]
        if back_s is None:
            assert not any(back)
        else:
            half = back.index(True) / 200
            assert half == pytest.approx(back_s / 2, abs=0.15 * back_s)
            assert all(back[round(1.2 * half * 200) :])


def test_the_way_back_begins_without_a_jump_and_leaves_the_clip_alone(tree: Path) -> None:
    held, back = (list(splice(clips(tree)[:1], seed=1, back_s=back_s).frames()) for back_s in (None, 0.4))
    end = round(splice(clips(tree)[:1], seed=1).truth[0].offset * 200)
    for a, b in zip(held[: end + 1], back[: end + 1], strict=True):
        np.testing.assert_array_equal(a.gray, b.gray)
    changes = [np.abs(b.gray.astype(float) - a.gray).mean() for a, b in pairwise(back[end - 20 : end + 100])]
    assert max(changes) < 1.5 * np.median(changes)


def test_a_lower_rate_draws_the_nearest_frames_with_their_own_times(tree: Path) -> None:
    stream = splice(clips(tree), seed=1)
    full = list(stream.frames())
    for rate in (30, 60, 100):
        few = list(stream.frames(rate))
        assert len(few) == pytest.approx(stream.duration * rate, abs=1)
        assert [f.index for f in few] == list(range(len(few)))
        for frame, beat in zip(few, np.arange(len(few)) / rate, strict=True):
            assert abs(frame.time - beat) <= 0.5 / 200 + 1e-9 or frame is few[-1]
            same = full[round(frame.time * 200)]
            assert same.time == frame.time
            if any(t.onset <= frame.time <= t.offset for t in stream.truth):
                np.testing.assert_array_equal(frame.gray, same.gray)  # the clips are real at every rate
    assert len(list(stream.frames(1000))) == len(full)


def test_at_most_so_many_clips_of_a_subject(tree: Path) -> None:
    found = clips(tree)
    (one,) = streams(found, ["sub01"], seed=3, most=1)
    (both,) = streams(found, ["sub01"], seed=3)
    assert one.clips == both.clips[:1]


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
