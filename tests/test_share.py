"""Sharing without the face: no picture and no name goes out, and the events are found again from what does."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_observations import event

from realtime_mer.batch.listing import Item
from realtime_mer.batch.recordings import Wanted, analyze
from realtime_mer.build import build
from realtime_mer.cli import main
from realtime_mer.errors import ConfigError, MerError, OutputError, SourceError
from realtime_mer.records import Frame, Kind
from realtime_mer.share.files import FLOW, MOTION, read_flow, read_motion
from realtime_mer.share.sharing import README, again, share
from realtime_mer.share.survival import survivals, text
from realtime_mer.sinks import LOG, Sink
from realtime_mer.sinks.jsonl import as_log, read_jsonl
from realtime_mer.synth.demo import demo_clip
from realtime_mer.synth.video import write_video


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the demo clip, in a folder that is named after someone, as is the video."""
    folder = tmp_path_factory.mktemp("share")
    demo_clip(folder / "Jane Doe.mp4", fps=60.0)
    with build() as pipeline:
        analyze(Item(str(folder / "Jane Doe.mp4"), folder / "doe", None), pipeline, Wanted(video=False))
    return folder / "doe"


@pytest.fixture(scope="module")
def shared(result: Path) -> Path:
    out = result.parent / "passed on"
    assert main(["share", str(result), "--out", str(out)]) == 0
    return out


def test_the_events_survive(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    micro = [e for e in read_jsonl(shared / LOG).events if e.movement.kind is Kind.MICRO]
    assert len(micro) >= 5
    assert main(["share", "--again", str(shared)]) == 0
    said = capsys.readouterr().out
    assert f"{len(micro)} of {len(micro)} micro-expressions survive" in said
    for published, found in zip(again(shared).published, again(shared).found, strict=True):
        assert found.movement.onset == published.movement.onset
        assert found.fps == pytest.approx(published.fps)
        assert [c.region for c in found.cues] == [c.region for c in published.cues]
        if published.prediction is not None:
            assert found.prediction is not None
            assert found.prediction.probabilities == pytest.approx(published.prediction.probabilities, abs=0.01)


def test_other_settings_find_other_events(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is shared is enough to spot again, not a list of what was found."""
    assert main(["share", "--again", str(shared), "--set", "spot.micro_max_s=0.1"]) == 0
    said = capsys.readouterr().out
    assert "0 of" in said
    assert "gone: now" in said


def test_no_picture_and_no_name_goes_out(result: Path, shared: Path) -> None:
    assert {path.name for path in shared.iterdir()} == {LOG, README, "signals.csv", MOTION, FLOW}
    header = json.loads((shared / LOG).read_text().splitlines()[0])
    assert "path" in read_jsonl(result / LOG).header.source.details
    assert header["source"]["uri"] == "recording"
    assert set(header["source"]["details"]) == {"container", "codec", "pixel_format", "content"}
    for path in shared.iterdir():
        content = path.read_bytes()
        parts = [content]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                parts = [packed.read(name) for name in packed.namelist()]
        for part in parts:
            assert not any(word in part for word in (b"Jane", b"Doe", b"doe", str(result.parent).encode()))
    pictures = 0
    for name in (MOTION, FLOW):
        with np.load(shared / name) as stored:
            for array in stored.values():
                pictures += array.dtype == np.uint8
                # the only planes are those of the flow: centered on no motion, so no shade of a face
                if array.ndim > 3:
                    assert name == FLOW
                    assert np.median(np.abs(array.astype(np.float32))) < 0.5
    assert pictures == 0


def test_a_recording_that_is_gone_or_another_is_told(result: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    folder.mkdir()
    (folder / LOG).write_text((result / LOG).read_text())
    video = result.parent / "Jane Doe.mp4"
    away = video.rename(tmp_path / "away.mp4")
    try:
        with pytest.raises(SourceError, match="no longer exists"):
            share(folder / LOG, tmp_path / "out")
        video.write_bytes(b"another")
        with pytest.raises(SourceError, match="its content differs"):
            share(folder / LOG, tmp_path / "out")
    finally:
        away.replace(video)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_shared_is_told_before_anything_is_written(result: Path, tmp_path: Path) -> None:
    recording = read_jsonl(result / LOG)
    log, other = tmp_path / LOG, tmp_path / "other"
    log.write_text(as_log(recording._replace(summary=None)))
    with pytest.raises(SourceError, match="is not complete"):
        share(log, tmp_path / "out")
    head = replace(recording.header, source=replace(recording.header.source, live=True))
    log.write_text(as_log(recording._replace(header=head)))
    with pytest.raises(SourceError, match="from a live run"):
        share(log, tmp_path / "out")
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="has files other than"):
        share(result / LOG, other)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]
    for wrong in (["--set", "spot.onset_noise=8"], ["--again", "--out", "x"]):
        assert main(["share", str(result), *wrong]) == ConfigError.exit_code


def test_a_run_that_was_cut_off_is_done_again(result: Path, tmp_path: Path) -> None:
    def interrupted(*_: object) -> list[Sink]:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        share(result / LOG, out, interrupted)
    assert not (out / LOG).exists()
    assert share(result / LOG, out).found


def test_a_recording_without_events(tmp_path: Path) -> None:
    """No face was ever followed: the files say so, and nothing survives of nothing."""
    wall = np.full((240, 320), 90, np.uint8)
    write_video((Frame(i, i / 30, wall) for i in range(30)), tmp_path / "wall.mp4")
    with build() as pipeline:
        analyze(Item(str(tmp_path / "wall.mp4"), tmp_path / "wall", None), pipeline, Wanted(video=False))
    shared = share(tmp_path / "wall" / LOG, tmp_path / "out")
    assert (shared.published, shared.found) == ([], [])
    assert text(*survivals(shared.published, shared.found)).startswith("0 of 0")


@pytest.mark.parametrize("harm", ["cut", "text", "pickle", "missing", "shape", "count", "breaks", "times", "nan"])
def test_a_damaged_file_ends_in_one_line(shared: Path, tmp_path: Path, harm: str) -> None:
    with np.load(shared / MOTION) as stored:
        arrays = dict(stored)
    match harm:
        case "pickle":
            arrays["break_reason"] = arrays["break_reason"].astype(object)
        case "missing":
            del arrays["noise"]
        case "shape":
            arrays["noise"] = arrays["noise"][:, :3]
        case "count":
            arrays["index"] = arrays["index"][1:]
        case "breaks":
            arrays["break_at"] = np.full((len(arrays["break_at"]), 2), 1 << 40)
        case "times":
            arrays["time"] = arrays["time"][::-1]
        case "nan":
            arrays["displacement"][3, 4, 1] = np.nan
    path = tmp_path / MOTION
    np.savez_compressed(path, **arrays)
    if harm in ("cut", "text"):
        path.write_bytes(path.read_bytes()[:1000] if harm == "cut" else b"hello")
    with pytest.raises(SourceError) as told:
        read_motion(path)
    assert "\n" not in str(told.value)
    assert MOTION in str(told.value)


def test_a_flow_that_the_recognizer_cannot_read_is_told(shared: Path, tmp_path: Path) -> None:
    for name in (LOG, MOTION):
        (tmp_path / name).write_bytes((shared / name).read_bytes())
    with np.load(shared / FLOW) as stored:
        arrays = dict(stored)
    np.savez_compressed(tmp_path / FLOW, **{**arrays, "feature": np.array("flow-other/1")})
    with pytest.raises(MerError, match="cannot use the motion"):
        again(tmp_path)
    np.savez_compressed(tmp_path / FLOW, **{**arrays, "track": arrays["track"][1:]})
    with pytest.raises(SourceError, match="do not match"):
        read_flow(tmp_path / FLOW)


def test_fates() -> None:
    """Moved by 20 ms, gone, turned into another kind, and one more."""
    published = [event(1, 1.0), event(2, 3.0), event(3, 5.0)]
    moved = replace(published[0], movement=replace(published[0].movement, onset=1.02))
    turned = replace(published[2], movement=replace(published[2].movement, kind=Kind.HELD, reason="it stayed"))
    results, more = survivals(published, [moved, turned, event(4, 8.0)])
    assert [fate.survives for fate in results] == [True, False, False]
    assert [e.movement.id for e in more] == [4]
    said = text(results, more)
    assert "survives, onset +20 ms" in said
    assert "gone: no movement found there" in said
    assert "gone: now held" in said
    assert "(it stayed)" in said
    assert "was not found before" in said
    assert said.endswith("1 of 3 micro-expressions survive, and 0 of 0 rejected movements")
