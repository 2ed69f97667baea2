"""Results are kept: those of another recording are never taken or replaced, two runs never share a folder, and what is
missing is made again without another analysis."""

import json
import os
import shutil
import stat
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from cli_media import encoded, play, start
from source_media import picture, write_video

from realtime_mer.cli import main
from realtime_mer.errors import OutputError
from realtime_mer.sinks.jsonl import read_jsonl
from realtime_mer.sinks.lock import Lock
from realtime_mer.synth import write_video as write_face

PLAIN = ("--model", "none", "--no-video")
EVERYTHING = ("--clips", "--formats", "elan,webvtt,bids,boris,megc,openface")


@pytest.fixture(scope="module")
def face(recording, tmp_path_factory):
    """3 s with one micro-expression."""
    path = tmp_path_factory.mktemp("clip") / "face.mp4"
    write_face(recording.frames[:300], path)
    return path


@pytest.fixture(scope="module")
def analyzed(face, tmp_path_factory):
    out = tmp_path_factory.mktemp("analyzed")
    assert main(["analyze", str(face), "--out", str(out), *EVERYTHING]) == 0
    assert any((out / "face" / "stills").iterdir())
    return out


@pytest.fixture
def results(analyzed, tmp_path):
    """A copy, whose links to the recording are those of its own place."""
    shutil.copytree(analyzed, tmp_path / "results")
    assert main(["convert", str(tmp_path / "results" / "face" / "events.jsonl"), "--to", "elan"]) == 0
    return tmp_path / "results"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def altered(log: Path, change) -> None:
    """The log with its header's source changed."""
    head, *rest = log.read_text().splitlines(keepends=True)
    values = json.loads(head)
    change(values["source"])
    log.write_text(json.dumps(values) + "\n" + "".join(rest))


def test_another_recording_of_the_same_name_length_and_size_is_told_apart(tmp_path, capfd):
    """The two differ in a few bytes in the middle, which any camera's files may."""
    video = write_video(tmp_path / "clip.mp4", range(0, 1000, 10), options={"movflags": "faststart"})
    assert main(["analyze", str(video), "--out", str(tmp_path / "out"), *PLAIN]) == 0
    before = files(tmp_path / "out")
    content = bytearray(video.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    video.write_bytes(content)
    capfd.readouterr()
    assert main(["analyze", str(video), "--out", str(tmp_path / "out"), *PLAIN]) == 2
    assert capfd.readouterr().err == (
        f"realtime-mer: {tmp_path / 'out' / 'clip'} has the results of another recording, {video}, whose content "
        f"differs: choose another --out for {video}, or add --overwrite\n"
    )
    assert files(tmp_path / "out") == before


def test_a_recording_that_was_moved_is_the_same(face, results, tmp_path, capfd):
    moved = shutil.copy(face, tmp_path / "face.mp4")
    assert main(["analyze", str(moved), "--out", str(results)]) == 0
    assert "already analyzed; use --overwrite" in capfd.readouterr().err


def test_the_whole_file_is_compared_on_request(tmp_path, capfd):
    """A file of more than three parts, changed between them."""
    video = write_video(tmp_path / "clip.mp4", range(0, 200, 10))
    with video.open("ab") as file:
        file.write(b"\0" * 5_000_000)  # after the end of the video: no decoder reads it
    out = ("--out", str(tmp_path / "out"), *PLAIN)
    assert main(["analyze", str(video), *out]) == 0
    assert main(["analyze", str(video), *out, "--verify"]) == 0
    assert (
        "have no hash of the whole file; start, middle, end and size of the file are the same" in capfd.readouterr().err
    )
    assert main(["analyze", str(video), *out, "--verify", "--overwrite"]) == 0
    with video.open("r+b") as file:
        file.seek(1_500_000)
        file.write(b"x")
    assert main(["analyze", str(video), *out]) == 0
    capfd.readouterr()
    assert main(["analyze", str(video), *out, "--verify"]) == 2
    assert "whose content differs" in capfd.readouterr().err


def test_a_log_of_the_first_version_is_compared_as_it_was_then(face, results, capfd):
    log = results / "face" / "events.jsonl"

    def first_version(source):
        for name in ("content", "path", "from_log"):
            del source["details"][name]

    altered(log, first_version)
    assert main(["analyze", str(face), "--out", str(results)]) == 0
    assert "already analyzed; use --overwrite" in capfd.readouterr().err
    altered(log, lambda source: source.update(duration=9.0))
    assert main(["analyze", str(face), "--out", str(results)]) == 2
    assert "has the results of another recording" in capfd.readouterr().err


def test_a_folder_of_images_at_another_rate_is_not_the_same(tmp_path, capfd):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, content in enumerate(encoded(picture(n) for n in range(5))):
        (frames / f"{number}.jpg").write_bytes(content)
    line = ["analyze", str(frames), "--out", str(tmp_path / "out"), *PLAIN, "--rate"]
    assert main([*line, "100"]) == 0
    assert main([*line, "100"]) == 0
    capfd.readouterr()
    assert main([*line, "200"]) == 2
    assert "has the results of this recording at 100 frames/s, not 200" in capfd.readouterr().err
    (frames / "2.jpg").write_bytes(encoded([picture(9)])[0])
    assert main([*line, "100"]) == 2
    assert "whose content differs" in capfd.readouterr().err


@pytest.mark.parametrize("state", ["cut off", "another's, cut off", "damaged"])
def test_what_is_not_this_recordings_is_not_replaced(state, face, results, capfd):
    log = results / "face" / "events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:-1]) if state != "damaged" else lines[0] + '{"type": "event"}\n')
    if state == "another's, cut off":
        altered(log, lambda source: source["details"]["content"].update(sha256_parts="0" * 64))
    before = log.read_bytes()
    code = main(["analyze", str(face), "--out", str(results), *PLAIN])
    err = capfd.readouterr().err
    if state == "cut off":
        assert code == 0
        assert read_jsonl(log).summary is not None
    else:
        assert code == 2
        assert "or add --overwrite" in err
        assert log.read_bytes() == before


def test_results_that_are_half_removed_are_not_taken_for_complete(face, results, monkeypatch):
    """A kill while --overwrite clears the earlier run away."""

    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.name == "report.html":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        assert main(["analyze", str(face), "--out", str(results), *EVERYTHING, "--overwrite"]) == 130
    assert not (results / "face" / "annotated.mp4").exists()
    assert main(["analyze", str(face), "--out", str(results), *EVERYTHING]) == 0
    assert (results / "face" / "annotated.mp4").exists()
    assert read_jsonl(results / "face" / "events.jsonl").summary is not None
    assert (results / "face" / "stills" / "event-1-1.jpg").is_file()


@pytest.mark.parametrize(
    "missing", [["report.html"], ["events.csv"], ["events.eaf", "events.vtt", "openface.csv"], ["events.boris.tsv"]]
)
def test_what_follows_from_the_log_is_made_again_without_an_analysis(missing, face, results, monkeypatch, capfd):
    before = files(results)
    for name in missing:
        (results / "face" / name).unlink()
    monkeypatch.setattr("realtime_mer.batch.recordings.run_source", None)  # would be called to analyze
    assert main(["analyze", str(face), "--out", str(results), *EVERYTHING]) == 0
    assert files(results) == before
    assert capfd.readouterr().err == f"{face}: already analyzed; use --overwrite to run it again\n"


def test_what_was_edited_is_left_as_it_is(face, results):
    edited = results / "face" / "events.eaf"
    edited.write_text(edited.read_text() + "<!-- mine -->")
    before = files(results)
    assert main(["analyze", str(face), "--out", str(results), *EVERYTHING]) == 0
    assert files(results) == before


def test_what_only_the_recording_can_give_is_named(face, results, capfd):
    (results / "face" / "annotated.mp4").unlink()
    shutil.rmtree(results / "face" / "clips")
    assert main(["analyze", str(face), "--out", str(results), *EVERYTHING]) == 0
    gone = results / "face" / "annotated.mp4"
    assert f"{gone} and 1 more files are missing: use --overwrite to make what is missing\n" in capfd.readouterr().err
    assert main(["analyze", str(face), "--out", str(results), "--no-video"]) == 0
    assert "not there" not in capfd.readouterr().err


def test_all_that_shows_a_face_or_tells_of_it_is_private(analyzed):
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [analyzed / "face", *(analyzed / "face").rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert len(modes) > 12


def test_the_second_run_into_a_folder_says_who_has_it(tmp_path, capfd):
    video = write_video(tmp_path / "a.mp4", range(0, 100, 10))
    other = write_video(tmp_path / "b.mp4", range(0, 100, 10))
    (tmp_path / "out" / "a").mkdir(parents=True)
    with Lock(tmp_path / "out" / "a"):
        assert main(["analyze", str(video), str(other), "--out", str(tmp_path / "out"), *PLAIN]) == 6
        held = tmp_path / "out" / "a"
        (line,) = (line for line in capfd.readouterr().err.splitlines() if line.startswith("realtime-mer"))
        assert line.startswith(f"realtime-mer: {held} is in use by process {os.getpid()} since 20")
        assert line.endswith(": wait for it to end, or choose another --out")
        assert not (held / "events.jsonl").exists()
    assert (tmp_path / "out" / "b" / "report.html").is_file()  # which one folder in use does not stop


def test_a_run_that_has_just_taken_the_folder_is_named(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        later = threading.Timer(0.1, lambda: (file.write("process 7 since now\n"), file.flush()))
        later.start()
        with pytest.raises(OutputError, match="in use by process 7 since now: wait"):
            Lock(tmp_path)
        later.join()


def test_two_runs_at_once_leave_one_whole_result(face, tmp_path):
    line = ("analyze", face, "--out", tmp_path, *PLAIN)
    with start(*line) as one, start(*line) as two:
        ends = [(process.communicate(timeout=120)[1], process.returncode) for process in (one, two)]
    assert sorted(code for _, code in ends) in ([0, 6], [0, 0])  # 0, 0: the one had ended when the other began
    assert all("in use by process" in err for err, code in ends if code == 6)
    log = read_jsonl(tmp_path / "face" / "events.jsonl")
    assert log.summary.frames == 300
    assert (tmp_path / "face" / "events.jsonl").read_text().count('"type": "header"') == 1


def test_each_live_run_has_a_folder_of_its_own(tmp_path, capfd):
    video = write_video(tmp_path / "a.mp4", range(0, 100, 10))
    out = tmp_path / "out"
    line = ["live", str(video), "--model", "none", "--out", str(out)]
    assert main(line) == 0
    first = files(out)
    assert set(first) == {"events.jsonl", "signals.csv"}
    assert f"; writing to {out}\n" in capfd.readouterr().err
    for _number in range(2):
        assert main(line) == 0
    assert {name: files(out)[name] for name in first} == first
    folders = [path for path in out.iterdir() if path.is_dir()]
    assert len(folders) == 2
    assert all(read_jsonl(path / "events.jsonl").summary.frames == 10 for path in folders)


def test_a_live_recording_is_not_replaced(tmp_path, capfd):
    video = write_video(tmp_path / "a.mp4", range(0, 100, 10))
    before = video.read_bytes()
    os.link(video, tmp_path / "b.mp4")
    for name, why in (("a.mp4", "is the input"), ("b.mp4", "is the input")):
        assert main(["live", str(video), "--model", "none", "--record", str(tmp_path / name)]) == 6
        assert why in capfd.readouterr().err
    earlier = write_video(tmp_path / "c.mp4", range(0, 200, 10)).read_bytes()
    assert main(["live", str(video), "--model", "none", "--record", str(tmp_path / "c.mp4")]) == 6
    assert "c.mp4 already exists: choose another name with --record" in capfd.readouterr().err
    assert (video.read_bytes(), (tmp_path / "c.mp4").read_bytes()) == (before, earlier)


def test_no_output_of_an_analysis_is_the_recording(tmp_path, capfd):
    (tmp_path / "annotated").mkdir()
    video = write_video(tmp_path / "annotated" / "annotated.mp4", range(0, 100, 10))
    before = video.read_bytes()
    assert main(["analyze", str(video), "--out", str(tmp_path), "--model", "none", "--overwrite"]) == 6
    assert f"{video} is the input: choose another output" in capfd.readouterr().err
    assert video.read_bytes() == before
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "1.jpg").write_bytes(encoded([picture(0)])[0])
    assert main(["analyze", str(frames), "--rate", "10", "--out", str(tmp_path), *PLAIN]) == 6
    assert [path.name for path in frames.iterdir()] == ["1.jpg"]


def test_no_conversion_or_report_replaces_what_it_is_made_from(face, results, capfd):
    log = results / "face" / "events.jsonl"
    before, video = files(results), face.read_bytes()
    for line in (
        ["convert", log, "--to", "csv", "--out", log],
        ["convert", log, "--to", "webvtt", "--out", face],
        ["report", log, "--out", log],
        ["report", log, "--out", log.with_name("signals.csv")],
    ):
        assert main(list(map(str, line))) == 6
        assert "is the input" in capfd.readouterr().err
    assert (files(results), face.read_bytes()) == (before, video)


def test_one_folder_that_cannot_be_written_does_not_stop_the_others(tmp_path, capfd):
    names = [str(write_video(tmp_path / f"{name}.mp4", range(0, 100, 10))) for name in ("a", "b", "c")]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("a file is here")
    (tmp_path / "out" / "b").mkdir()
    (tmp_path / "out" / "b" / "events.jsonl").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "empty").mkdir()
    assert main(["analyze", *names, str(tmp_path / "empty"), "--out", str(tmp_path / "out"), *PLAIN]) == 6
    out, err = capfd.readouterr()
    told = [line for line in err.splitlines() if line.startswith("realtime-mer: ")]
    assert [any(word in line for line in told) for word in ("cannot create the folder", "it is a link to")] == [
        True,
        True,
    ]
    assert len(told) == 3  # the third is of a folder without images
    assert out.startswith(f"{names[2]}: 10 frames")
    assert not (tmp_path / "elsewhere").exists()


def test_a_recording_that_vanishes_does_not_stop_the_others(tmp_path, monkeypatch, capfd):
    names = [write_video(tmp_path / f"{name}.mp4", range(0, 100, 10)) for name in ("a", "b")]
    from realtime_mer.batch import recordings

    read = recordings.identity

    def vanish(path, **options):
        if path == names[0]:
            path.unlink()
        return read(path, **options)

    monkeypatch.setattr(recordings, "identity", vanish)
    assert main(["analyze", *map(str, names), "--out", str(tmp_path / "out"), *PLAIN]) == 3
    out, err = capfd.readouterr()
    assert f"realtime-mer: {names[0]} cannot be read: No such file or directory\n" in err
    assert out.startswith(f"{names[1]}: 10 frames")


def media(document: Path) -> tuple[Path, Path]:
    """Where the two links of an ELAN document lead to."""
    linked = ElementTree.parse(document).getroot().find("HEADER/MEDIA_DESCRIPTOR")
    url = urlparse(linked.get("MEDIA_URL"))
    assert (url.scheme, url.netloc) == ("file", "")
    relative = linked.get("RELATIVE_MEDIA_URL")
    assert relative.startswith(("./", "../"))
    return Path(unquote(url.path)), Path(os.path.normpath(document.absolute().parent / relative))


def test_elan_finds_the_recording_from_whichever_folder_it_was_converted(tmp_path, monkeypatch):
    """The recording's name is relative when it is analyzed, and holds what addresses must not."""
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    (work / "videos").mkdir(parents=True)
    elsewhere.mkdir()
    video = write_video(work / "videos" / "subject 1 #2 50%.mp4", range(0, 100, 10))
    monkeypatch.chdir(work)
    name = f"videos/{video.name}"
    assert main(["analyze", name, "--out", "results", *PLAIN, "--formats", "elan"]) == 0
    folder = work / "results" / video.stem
    assert media(folder / "events.eaf") == (video, video)
    monkeypatch.chdir(elsewhere)
    for out in (folder / "again.eaf", elsewhere / "x.eaf", Path("y.eaf")):
        assert main(["convert", str(folder / "events.jsonl"), "--to", "elan", "--out", str(out)]) == 0
        assert media(out) == (video, video)
    # recording and results are moved together: the old place is no more
    moved = work.rename(tmp_path / "moved")
    there = moved / "videos" / video.name
    log = moved / "results" / video.stem / "events.jsonl"
    assert main(["convert", str(log), "--to", "elan"]) == 0
    assert media(log.with_name("events.eaf")) == (there, there)
    # the results alone
    alone = log.parent.rename(tmp_path / "alone")
    (moved / "videos").rename(tmp_path / "videos")
    (tmp_path / "moved").rename(work)
    (tmp_path / "videos").rename(work / "videos")
    assert main(["convert", str(alone / "events.jsonl"), "--to", "elan"]) == 0
    assert media(alone / "events.eaf") == (video, video)


def test_a_log_of_the_first_version_leads_elan_to_the_recording_too(tmp_path, monkeypatch):
    (tmp_path / "videos").mkdir()
    video = write_video(tmp_path / "videos" / "a.mp4", range(0, 100, 10))
    monkeypatch.chdir(tmp_path)
    assert main(["analyze", "videos/a.mp4", "--out", "results", *PLAIN]) == 0
    log = tmp_path / "results" / "a" / "events.jsonl"
    altered(log, lambda source: [source["details"].pop(name) for name in ("path", "from_log")])
    monkeypatch.chdir("/")
    assert main(["convert", str(log), "--to", "elan"]) == 0
    assert media(log.with_name("events.eaf")) == (video, video)


def test_a_stream_has_no_media_to_link_to(tmp_path):
    with play(encoded([picture(0)] * 20)) as player:
        assert main(["live", player.uri, "--out", str(tmp_path), "--quiet", "--for", "1", "--model", "none"]) == 0
    assert main(["convert", str(tmp_path / "events.jsonl"), "--to", "elan"]) == 0
    assert "MEDIA_DESCRIPTOR" not in (tmp_path / "events.eaf").read_text()


def test_an_edited_document_is_told_from_one_that_only_lies_elsewhere(face, results, capfd):
    """--overwrite removes a document that is as the log gives it, links included."""
    assert main(["analyze", str(face), "--out", str(results), *PLAIN, "--overwrite"]) == 0
    assert "is kept" not in capfd.readouterr().err
    assert not (results / "face" / "events.eaf").exists()
