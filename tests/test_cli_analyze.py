"""``realtime-mer analyze`` from the command line to its files, on a short synthetic clip with known movements."""

import csv
import re
import shutil
import signal
import time

import av
import cv2
import numpy as np
import pytest
from cli_media import start
from source_media import write_video as write_numbered

from realtime_mer.cli import main
from realtime_mer.console import INTERRUPTED
from realtime_mer.records import Frame, Kind, Status
from realtime_mer.sinks.jsonl import read_jsonl
from realtime_mer.synth import write_video


@pytest.fixture(scope="module")
def clip(recording, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "face.mp4"
    write_video(recording.frames, path)
    return path


@pytest.fixture(scope="module")
def results(clip, tmp_path_factory):
    """The clip analyzed once, with everything that can be written."""
    out = tmp_path_factory.mktemp("results")
    assert (
        main(["analyze", str(clip), "--out", str(out), "--clips", "--formats", "csv,elan,webvtt,bids,boris,openface"])
        == 0
    )
    return out


def micro(recording):
    return [truth for truth in recording.truth if truth.kind == "micro"]


def assert_frames_are_the_nearest(event):
    """The clips have 100 frames/s, the first at 0 s."""
    movement = event.movement
    frames = (event.onset_frame, event.apex_frame, event.offset_frame)
    for at, frame in zip((movement.onset, movement.apex, movement.offset), frames, strict=True):
        assert abs(100 * at - frame) <= 0.5 + 1e-6


def test_the_movements_drawn_are_found_in_time(results, recording):
    log = read_jsonl(results / "face" / "events.jsonl")
    found = [e for e in log.events if e.final and e.movement.kind is Kind.MICRO]
    drawn = micro(recording)
    assert len(found) == len(drawn)
    for event, truth in zip(found, drawn, strict=True):
        assert abs(event.movement.apex - truth.apex) < 0.04
    assert log.summary.frames == len(recording.frames)
    assert all(e.prediction is not None for e in log.events if e.movement.kind is Kind.MICRO)
    for event in log.events:
        assert_frames_are_the_nearest(event)


def test_every_output_is_there(results, recording):
    folder = results / "face"
    names = {path.name for path in folder.iterdir()}
    assert {"events.jsonl", "events.csv", "signals.csv", "annotated.mp4", "report.html", "clips", "stills"} <= names
    assert {"events.eaf", "events.vtt", "events_events.tsv", "events.boris.tsv"} <= names
    with open(folder / "signals.csv", newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == len(recording.frames)
    with av.open(str(folder / "annotated.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == len(recording.frames) / 4  # 25 of 100 frames/s
    assert len(list((folder / "clips").glob("*.mp4"))) >= len(micro(recording))


def test_what_was_done_is_left_as_it_is(clip, results, recording, capfd):
    log = results / "face" / "events.jsonl"
    before = log.stat().st_mtime_ns
    assert main(["analyze", str(clip), "--out", str(results)]) == 0
    out, err = capfd.readouterr()
    assert log.stat().st_mtime_ns == before
    assert err == f"{clip}: already analyzed; use --overwrite to run it again\n"
    lines = out.splitlines()
    assert lines[0].startswith(f"{clip}: 800 frames, 8.0 s, 3 micro-expressions, rejected: ")
    assert re.fullmatch(r"  smallest movement seen with 80 % probability: 0\.\d\d px, .* between the eyes", lines[1])
    assert lines[2].split() == ["onset", "s", "apex", "s", "offset", "s", "label", "what", "moved"]
    assert len(lines) == 4 + len(micro(recording))
    assert main(["analyze", str(clip), "--out", str(results), "--set", "spot.onset_noise=9"]) == 0
    assert "already analyzed with other settings" in capfd.readouterr().err


def test_the_results_of_another_recording_are_not_taken_for_this_one(clip, results, tmp_path, capfd):
    other = write_numbered(tmp_path / clip.name, range(0, 200, 10))
    assert main(["analyze", str(other), "--out", str(results)]) == 2
    assert "has the results of another recording" in capfd.readouterr().err


def test_a_log_that_cannot_be_read_stops_neither_the_batch_nor_overwriting(tmp_path, capfd):
    """Whatever lies in its place is not replaced unasked."""
    other, good = (write_numbered(tmp_path / f"{name}.mp4", range(0, 200, 10)) for name in ("other", "good"))
    log = tmp_path / "out" / "other" / "events.jsonl"
    log.parent.mkdir(parents=True)
    line = ["analyze", str(other), str(good), "--out", str(tmp_path / "out"), "--no-video", "--model", "none"]
    for garbage in (b"\0" * 100, b'{"type": "header", "format": 2}\n', b"[" * 10**6 + b"\n", b"\xff"):
        log.write_bytes(garbage)
        assert main(line) == 2
        out, err = capfd.readouterr()
        said = [text for text in err.splitlines() if text.startswith("realtime-mer: ")]
        assert len(said) == 1
        assert str(log) in said[0]
        assert said[0].endswith(f"; choose another --out for {other}, or add --overwrite to replace it")
        assert f"{good}: 20 frames" in out
        assert log.read_bytes() == garbage
    assert main([*line, "--overwrite"]) == 0
    assert read_jsonl(log).summary.frames == 20


def test_overwriting_leaves_nothing_of_the_earlier_run_and_all_that_is_the_users(clip, results, tmp_path, capfd):
    """The earlier run wrote everything, the new one (of another recording, without a face) writes the least."""
    folder = tmp_path / "out" / "face"
    shutil.copytree(results / "face", folder)
    clips = sorted(path.name for path in (folder / "clips").iterdir())
    assert clips
    own = {"notes.txt": "mine", "events_mine.eaf": "mine", "clips/event-99-99.mp4": "mine"}
    for name, text in own.items():
        (folder / name).write_text(text)
    edited = folder / "events.eaf"
    edited.write_text(edited.read_text() + "<!-- worked on -->")
    other = write_numbered(tmp_path / clip.name, range(0, 200, 10))
    line = ["analyze", str(other), "--out", str(tmp_path / "out"), "--no-video", "--model", "none", "--overwrite"]
    assert main(line) == 0
    assert f"{edited}: changed since the earlier run, so it is kept\n" in capfd.readouterr().err
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {"events.jsonl", "events.csv", "signals.csv", "report.html", "events.eaf", *own}
    assert all((folder / name).read_text() == text for name, text in own.items())


def test_overwriting_touches_nothing_where_no_log_says_that_an_earlier_run_wrote_it(tmp_path):
    folder = tmp_path / "face"
    folder.mkdir()
    for name in ("annotated.mp4", "events.vtt"):
        (folder / name).write_text("mine")
    video = write_numbered(tmp_path / "face.mp4", range(0, 200, 10))
    line = ["analyze", str(video), "--out", str(tmp_path), "--no-video", "--model", "none", "--overwrite"]
    assert main(line) == 0
    assert (folder / "annotated.mp4").read_text() == (folder / "events.vtt").read_text() == "mine"


def test_one_that_is_broken_does_not_stop_the_others(tmp_path, capfd):
    for name in ("a", "c"):
        write_numbered(tmp_path / f"{name}.mp4", range(0, 300, 10))
    (tmp_path / "b.mp4").write_text("this is no video")
    names = [str(tmp_path / f"{name}.mp4") for name in "abc"]
    assert main(["analyze", *names, "--out", str(tmp_path / "out"), "--model", "none"]) == 3
    out, err = capfd.readouterr()
    # neither MediaPipe nor libav nor OpenCV add anything to these three lines
    told = [line for line in err.splitlines() if " of 3" not in line]
    assert [line.partition(":")[0] for line in told[:-1]] == [names[0], "realtime-mer", names[2]]
    assert told[-1].startswith("3 recordings: 2 analyzed, 0 done before, 1 failed; ")
    assert out.count("no face was found") == 2
    assert not (tmp_path / "out" / "b").exists()


def test_a_single_frame_is_a_recording(recording, tmp_path, capfd):
    one = tmp_path / "one.mp4"
    write_video(recording.frames[:1], one)
    assert main(["analyze", str(one), "--out", str(tmp_path)]) == 0
    out, _ = capfd.readouterr()
    assert "1 frame, 0.0 s, 0 micro-expressions" in out
    assert "nothing could be judged: learning the resting face alone takes 1 s" in out


def test_a_movement_that_the_end_cuts_short_is_in_the_log_and_in_the_summary(recording, tmp_path, capfd):
    """The last frame is shortly after the first movement's apex: that movement is reported once the file has ended."""
    drawn = micro(recording)[0]
    number = round(100 * drawn.apex) + 2
    write_video(recording.frames[:number], tmp_path / "cut.mp4")
    assert main(["analyze", str(tmp_path / "cut.mp4"), "--out", str(tmp_path), "--no-video"]) == 0
    log = read_jsonl(tmp_path / "cut" / "events.jsonl")
    (event,) = log.events
    assert (event.movement.kind, event.status, event.movement.reason) == (
        Kind.UNDECIDED, Status.REJECTED, "the recording ended before the movement did",
    )  # fmt: skip
    assert abs(event.movement.apex - drawn.apex) < 0.04
    assert_frames_are_the_nearest(event)
    assert number - 3 <= event.offset_frame <= number - 1
    assert event.reported == pytest.approx((number - 1) / 100)
    assert (log.summary.frames, log.summary.events) == (number, {"undecided": 1})
    assert "0 micro-expressions, rejected: 1 undecided" in capfd.readouterr().out
    with open(tmp_path / "cut" / "signals.csv", newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == number
    with open(tmp_path / "cut" / "events.csv", newline="") as file:
        assert [row["kind"] for row in csv.DictReader(file)] == ["undecided"]


def test_a_file_that_was_cut_off_is_analysed_to_where_it_ends(recording, tmp_path, capfd):
    whole = tmp_path / "whole.mkv"
    write_video(recording.frames[:100], whole)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert main(["analyze", str(cut), "--out", str(tmp_path / "out"), "--no-video"]) == 0
    out, err = capfd.readouterr()
    assert "warning: the file was cut off: it ends at" in err
    frames = read_jsonl(tmp_path / "out" / "cut" / "events.jsonl").summary.frames
    assert 0 < frames < 100
    assert f"cut.mkv: {frames} frames" in out


def test_two_faces_and_one_that_leaves(recording, tmp_path, capfd):
    """The right face is half a second behind; the left one is gone for the last 2 s."""
    frames = []
    for index in range(0, 500):
        left, right = (recording.frames[max(i, 0)].image for i in (index, index - 50))
        left = left if index < 300 else np.full_like(left, 90)
        picture = np.hstack([left, right])
        gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        frames.append(Frame(index, index / 100, gray, lambda picture=picture: picture))
    write_video(frames, tmp_path / "two.mp4")
    assert main(["analyze", str(tmp_path / "two.mp4"), "--out", str(tmp_path), "--no-video", "--model", "none"]) == 0
    out, _ = capfd.readouterr()
    assert "500 frames, 5.0 s, 2 faces, " in out
    assert "a cut in the recording (1 frame)" in out  # half of the picture goes gray at once
    assert out.splitlines()[3].split()[0] == "face"
    events = [e for e in read_jsonl(tmp_path / "two" / "events.jsonl").events if e.final]
    firsts = {e.track: e.movement.apex for e in reversed(events) if e.movement.kind is Kind.MICRO}
    assert len(firsts) == 2
    assert abs(abs(firsts[1] - firsts[2]) - 0.5) < 0.03


def test_ctrl_c_leaves_whole_files_that_are_not_taken_for_complete(clip, tmp_path):
    log = tmp_path / "face" / "events.jsonl"
    with start("analyze", clip, "--out", tmp_path, "--video-rate", "0") as process:
        until = time.monotonic() + 60
        while not (log.is_file() and log.read_text().count("\n") >= 2):  # the header and an event
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert out == ""
    kept = f"{tmp_path / 'face'} holds what was analyzed so far, and the same command analyzes {clip} again"
    assert err.splitlines()[1:] == [f"realtime-mer: interrupted; {kept}"]
    recording = read_jsonl(log)
    assert recording.events
    assert recording.summary.stopped == "SIGINT"
    with av.open(str(tmp_path / "face" / "annotated.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) > 100
    assert (tmp_path / "face" / "signals.csv").read_text().endswith("\n")
