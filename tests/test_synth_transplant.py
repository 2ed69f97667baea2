"""Transplants: donors are drawn movements of known size; carriers are other drawings. Needs the face model."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime_mer.errors import ConfigError, DataError, SourceError
from realtime_mer.face.align import similarity
from realtime_mer.face.regions import NAMES
from realtime_mer.records import Floats, Frame, Image, Kind
from realtime_mer.synth import MOVEMENTS, Blink, Camera, Pulse, Script, Sway, portrait, render
from realtime_mer.synth.donor import BOX, Donor, measure
from realtime_mer.synth.graft_plan import APART, FIRST, LAST, plan
from realtime_mer.synth.inject import Track
from realtime_mer.synth.splice import RealClip
from realtime_mer.synth.transplant import Graft, transplant, verify

STILL = Sway(shift=0, roll=0, yaw=0, pitch=0, scale=0)
NODDING = Sway(shift=2, roll=0.5, yaw=0, pitch=0, scale=0.005, band=(1.0, 2.0))
DONOR_FPS = 200.0
APEX, LENGTH = 24, 40  # frames from the onset: 0.12 s and 0.2 s
PEAK = 1.5  # px of the aligned face
CROP = np.s_[40:440, 150:480]  # a tight crop round the portrait's face, as CASME II's


def clip_of(folder: Path, script: Script, name: str) -> RealClip:
    """The frames of ``script`` from 0 s on as a clip's files, onset to offset."""
    times = np.arange(LENGTH + 1) / DONOR_FPS
    paths = []
    for frame in render(script, *portrait(), times=times):
        paths.append(folder / f"{name}{frame.index}.jpg")
        cv2.imwrite(str(paths[-1]), frame.image[CROP], [cv2.IMWRITE_JPEG_QUALITY, 96])
    return RealClip("sub01", name, "happiness", tuple(paths), 0, APEX, LENGTH, DONOR_FPS)


def pulse(name: str) -> Pulse:
    """At its peak at the apex, half-way back at the annotated offset."""
    return Pulse(MOVEMENTS[name], PEAK, 0.0, APEX / DONOR_FPS, 2 * LENGTH / DONOR_FPS - APEX / DONOR_FPS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def smile(folder: Path) -> RealClip:
    return clip_of(folder, Script(1, 200, seed=1, pulses=(pulse("smile"),), sway=STILL), "smile")


@pytest.fixture(scope="module")
def brows(folder: Path) -> RealClip:
    """A brow raise of a head that moves by more than the brows."""
    return clip_of(folder, Script(1, 200, seed=2, pulses=(pulse("brow raise"),), sway=NODDING), "brows")


def region(donor: Donor, name: str, time: float | None = None) -> np.ndarray:
    found = {region: (dx, dy) for region, dx, dy in donor.regions(donor.apex if time is None else time)}
    return np.array(found[name])


def carrier(turn: float = 0.0, scale: float = 1.0) -> tuple[Image, Floats]:
    """The portrait rolled and scaled, and its landmarks."""
    image, points = portrait()
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale)
    turned = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    return turned, (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def still(image: Image, points: Floats, fps: float, seconds: float) -> tuple[list[Frame], Track]:
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    frames = [Frame(i, i / fps, gray, image.copy) for i in range(round(seconds * fps))]
    return frames, [(frame.time, points) for frame in frames]


def test_a_donor_moves_as_its_clip_was_drawn(smile: RealClip) -> None:
    donor = measure(smile)
    assert donor.apex == pytest.approx(0.12)
    assert donor.offset == pytest.approx(0.2)
    assert donor.times[0] == 0
    assert donor.times[-1] == pytest.approx(donor.offset)
    for side, outward in (("left", 1), ("right", -1)):
        wanted = np.array([outward, -1]) * PEAK / np.sqrt(2)
        # flow is smooth: up to a fifth of a small spot's movement is lost
        share = region(donor, f"{side} lip corner") @ wanted / (wanted @ wanted)
        assert 0.8 < share < 1.05
        assert np.abs(region(donor, f"{side} lip corner") - share * wanted).max() < 0.15
    assert np.abs(region(donor, "left inner brow")).max() < 0.1
    assert donor.peak == pytest.approx(PEAK, rel=0.2)
    assert not donor.at(0).any()
    np.testing.assert_array_equal(donor.at(9), donor.at(donor.offset))


def test_a_donor_keeps_its_time_course(smile: RealClip) -> None:
    donor = measure(smile)
    drawn = pulse("smile")
    way = np.array([1, -1]) / np.sqrt(2)
    at_apex = region(donor, "left lip corner") @ way
    for time in (0.03, 0.06, 0.09, 0.15, 0.2):
        assert region(donor, "left lip corner", time) @ way / at_apex == pytest.approx(drawn.at(time) / PEAK, abs=0.06)


def test_the_heads_motion_is_no_movement_of_the_skin(brows: RealClip) -> None:
    donor = measure(brows)
    script = Script(1, 200, seed=2, sway=NODDING)
    assert np.hypot(*(script.head(donor.apex) - script.head(0))[:2]) > PEAK
    for name in ("left inner brow", "right inner brow"):
        assert region(donor, name)[1] == pytest.approx(-PEAK, rel=0.25)
    for name in ("left lip corner", "right nose wing", "lower lip"):
        assert np.abs(region(donor, name)).max() < 0.25


def test_a_clip_without_a_face_or_a_picture_is_refused_in_one_line(tmp_path: Path) -> None:
    gray = tmp_path / "gray.png"
    cv2.imwrite(str(gray), np.full((200, 160, 3), 128, np.uint8))
    with pytest.raises(SourceError, match="no face was found"):
        measure(RealClip("s", "c", "", (gray,) * 20, 0, 9, 19, 200.0))
    with pytest.raises(DataError, match="missing"):
        measure(RealClip("s", "c", "", (tmp_path / "none.jpg",) * 20, 0, 9, 19, 200.0))


def test_clips_with_a_blink_or_without_a_rise_are_not_planned(folder: Path, smile: RealClip) -> None:
    script = Script(1, 200, seed=1, blinks=(Blink(0.02, 0.1, 0.25),), sway=STILL)
    blinking = clip_of(folder, script, "blink")
    assert measure(blinking).blinks
    assert not measure(smile).blinks
    _, track = still(*carrier(), 30, 20)
    assert not plan(track, [blinking], 1, 15, 0.4)
    early = replace(smile, name="apex at the onset", apex=0)
    assert {graft.donor.clip.name for graft in plan(track, [blinking, early, smile], 1, 15, 0.4)} == {"smile"}


def test_frames_outside_the_grafts_are_handed_on_untouched(smile: RealClip) -> None:
    frames, track = still(*carrier(), 30, 2)
    graft = Graft(measure(smile), 0.7, 0.4)
    result = list(transplant(frames, track, [graft]))
    assert len(result) == len(frames)
    moved = [after is not before for before, after in zip(frames, result, strict=True)]
    assert moved == [graft.start < frame.time < graft.end for frame in frames]
    assert 15 <= sum(moved) <= 18
    before, after = next((b, a) for b, a in zip(frames, result, strict=True) if a is not b and b.time > 0.8)
    assert (after.index, after.time, after.size) == (before.index, before.time, before.size)
    x0, y0 = (int(v) for v in track[0][1].min(axis=0) - 10)
    for a, b in ((after.gray, before.gray), (after.image, before.image)):
        assert not np.array_equal(a, b)
        np.testing.assert_array_equal(a[:y0], b[:y0])
        np.testing.assert_array_equal(a[:, :x0], b[:, :x0])


def test_the_truth_is_the_annotation_on_the_carriers_clock(smile: RealClip) -> None:
    graft = Graft(measure(smile), 3.25, 1.0)
    truth = graft.truth
    assert (truth.kind, truth.name, truth.label) == (Kind.MICRO, "sub01/smile", "happiness")
    assert (truth.onset, truth.apex, truth.offset) == pytest.approx((3.25, 3.25 + 0.12, 3.25 + 0.2))
    assert truth.peak == measure(smile).peak
    assert [name for name, _, _ in truth.regions] == list(NAMES)
    assert graft.end == pytest.approx(3.25 + 0.2 + 1.0)
    with pytest.raises(ConfigError):
        replace(graft, back_s=0.0)


def test_what_is_left_at_the_offset_fades_away(smile: RealClip) -> None:
    graft = Graft(measure(smile), 1.0, 0.4)
    last = graft.donor.at(graft.donor.offset)
    assert np.abs(last).max() > 0.5
    for share, height in ((0.0, 1.0), (0.25, 0.854), (0.5, 0.5), (0.75, 0.146)):
        shift = graft.at(1.0 + graft.donor.offset + share * 0.4)
        assert shift is not None
        np.testing.assert_allclose(shift, height * last, atol=0.005)
    assert graft.at(graft.end) is None
    assert graft.at(1.0) is None


@pytest.mark.parametrize(("turn", "scale", "fps"), [(0, 1, 30), (25, 0.6, 25), (-15, 0.45, 60)])
def test_the_movement_has_its_size_in_any_carrier(
    smile: RealClip, brows: RealClip, turn: float, scale: float, fps: float
) -> None:
    frames, track = still(*carrier(turn, scale), fps, 4)
    grafts = [Graft(measure(smile), 0.51, 0.4), Graft(measure(brows), 2.02, 1.0)]
    checks = verify(frames, track, grafts)
    assert [check.name for check in checks] == ["sub01/smile", "sub01/brows"]
    for check in checks:
        assert check.correlation > 0.95
        assert 0.85 < check.ratio < 1.1  # the check's own flow is smooth too
        assert 0.9 < check.size < 1.1
    assert verify(frames, track, []) == []


def test_the_check_finds_nothing_where_nothing_can_be_seen(smile: RealClip) -> None:
    """A face without anything that could be seen to move."""
    frames, track = still(*carrier(), 30, 2)
    flat = [replace(frame, gray=np.full_like(frame.gray, 90)) for frame in frames]
    found = verify(flat, track, [Graft(measure(smile), 0.5, 0.4)])
    assert all(check.ratio < 0.1 and check.size < 0.1 for check in found)


def test_the_skin_arrives_where_the_donors_did(smile: RealClip) -> None:
    """By another instrument: a dot on the lip corner, found by its center of mass, in a rolled carrier."""
    image, points = carrier(20, 0.8)
    donor = measure(smile)
    center = points[[291, 409, 375]].mean(axis=0)
    dotted = np.full_like(image, 60)
    cv2.circle(dotted, tuple(int(16 * v) for v in center), 16 * 4, (200, 200, 200), -1, cv2.LINE_AA, 4)
    frames, track = still(dotted, points, 100, 1)
    result = list(transplant(frames, track, [Graft(donor, 0.3, 0.4)]))
    apex = round((0.3 + donor.apex) * 100)

    def dot(frame: Frame) -> np.ndarray:
        weight = frame.gray.astype(np.float64) - 60
        y, x = np.indices(weight.shape)
        return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()

    moved = similarity(points)[:, :2] @ (dot(result[apex]) - dot(frames[apex]))
    np.testing.assert_allclose(moved, region(donor, "left lip corner"), atol=0.2)


def test_repeated_frames_repeat_the_movement(smile: RealClip) -> None:
    frames, track = still(*carrier(), 30, 1)
    frames[15] = replace(frames[15], repeated=True, hole=0.0)
    result = list(transplant(frames, track, [Graft(measure(smile), 0.3, 0.4)]))
    np.testing.assert_array_equal(result[15].gray, result[14].gray)
    assert result[15].repeated
    assert not np.array_equal(result[16].gray, result[15].gray)


def test_a_carrier_without_a_face_is_refused(smile: RealClip) -> None:
    frames, track = still(*carrier(), 30, 1)
    nobody = [(time, None) for time, _ in track]
    with pytest.raises(SourceError, match="no face"):
        list(transplant(frames, nobody, [Graft(measure(smile), 0.3, 0.4)]))
    assert plan(nobody, [smile], 1, 15, 0.4) == []


def test_a_plan_keeps_its_distances_and_keeps_to_the_face(smile: RealClip, brows: RealClip) -> None:
    _, points = carrier()
    track = [(i / 30, None if 600 <= i < 630 else points) for i in range(1800)]
    cut = 1200  # the face is somewhere else from here on
    track = [(t, p + 80 if p is not None and i >= cut else p) for i, (t, p) in enumerate(track)]
    grafts = plan(track, [smile, brows], 5, 15, 0.4)
    assert 8 <= len(grafts) <= 20
    assert grafts[0].start >= FIRST
    assert grafts[-1].end <= track[-1][0] - LAST
    for one, other in pairwise(grafts):
        assert other.start - one.end >= APART - 1e-9
    for graft in grafts:
        assert graft.end < 20 or graft.start > 21 - 1 / 30
        assert not graft.start <= cut / 30 <= graft.end
    assert [g.start for g in plan(track, [smile, brows], 5, 15, 0.4)] == [g.start for g in grafts]
    assert [g.start for g in plan(track, [smile, brows], 6, 15, 0.4)] != [g.start for g in grafts]
    assert len(plan(track, [smile, brows], 5, 4, 0.4)) < len(grafts)
    with pytest.raises(ConfigError):
        plan(track, [smile], 5, 0, 0.4)


def test_the_kept_motion_lies_within_the_face(smile: RealClip) -> None:
    donor = measure(smile)
    height, width = donor.shifts.shape[1:3]
    assert (width, height) == (BOX[2] - BOX[0], BOX[3] - BOX[1])
    for edge in (donor.shifts[:, 0], donor.shifts[:, -1], donor.shifts[:, :, 0], donor.shifts[:, :, -1]):
        assert np.abs(edge).max() < 0.02


def test_noise_shakes_nothing(folder: Path) -> None:
    """A face at rest under a camera's noise: what is grafted is far below what a spotter can see."""
    noisy = clip_of(folder, Script(1, 200, seed=3, sway=STILL, camera=Camera(noise=2.0)), "rest")
    donor = measure(noisy)
    regions = np.array([[(dx, dy) for _, dx, dy in donor.regions(time)] for time in donor.times])
    assert np.sqrt((regions**2).mean()) < 0.03
