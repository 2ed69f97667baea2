"""Every exchange format, read back by a reader that is not ours: pympi for ELAN, the csv, json and xml modules."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from made_observations import INFO, event, frame, play, recording

from realtime_mer.errors import ConfigError, OutputError, SourceError
from realtime_mer.records import Event, Kind, SourceInfo
from realtime_mer.sinks.convert import FORMATS, NAMES, convert
from realtime_mer.sinks.csv import SignalsCsv
from realtime_mer.sinks.jsonl import JsonLines, header, read_jsonl
from realtime_mer.sinks.megc import write_megc

pympi = pytest.importorskip("pympi")


def logged(folder: Path, extra: tuple[Event, ...] = (), info: SourceInfo = INFO, first: float = 0.0) -> Path:
    path = folder / "events.jsonl"
    play(JsonLines(path, header(info, {})), SignalsCsv(folder / "signals.csv"), first=first, last=extra)
    return path


def test_elan(tmp_path: Path) -> None:
    # overlapping movements of one kind, and one of a single frame, as the end of a recording can leave it
    short = event(5, 2.5, kind=Kind.HEAD, reason="turned")
    short = dataclasses.replace(short, movement=dataclasses.replace(short.movement, onset=2.62, offset=2.62))
    more = (event(3, 1.1, label=None), event(4, 0.2, track=2), short)
    out = convert(logged(tmp_path, more), "elan")
    eaf = pympi.Elan.Eaf(str(out))
    assert set(eaf.get_tier_names()) == {
        "face 1 micro", "face 1 micro (2)", "face 1 apex", "face 1 blink", "face 1 head", "face 2 micro", "face 2 apex",
    }  # fmt: skip
    assert [a[:3] for a in eaf.get_annotation_data_for_tier("face 1 micro")] == [
        (1000, 1300, "negative 0.70 (left lip corner AU12, left cheek)")
    ]
    assert [a[:2] for a in eaf.get_annotation_data_for_tier("face 1 apex")] == [(1120, 1130), (1220, 1230)]
    assert eaf.get_annotation_data_for_tier("face 1 micro (2)")[0][2].startswith("abstained")
    assert [a[:3] for a in eaf.get_annotation_data_for_tier("face 1 head")] == [(2620, 2630, "turned")]
    assert eaf.get_linked_files()[0]["MEDIA_URL"] == "file:///videos/subject%201%20%26%202.mp4"
    for tier in eaf.get_tier_names():
        ends = sorted(a[:2] for a in eaf.get_annotation_data_for_tier(tier))
        assert all(start < end for start, end in ends)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(ends))


def test_provisional_events_are_in_no_format(tmp_path: Path) -> None:
    """A live run's standard output, kept as a file, holds them: each is repeated when final, or is superseded."""
    head, found = header(INFO, {}), {}
    for kept in (False, True):
        folder = tmp_path / str(kept)
        folder.mkdir()
        log = folder / "events.jsonl"
        sinks = JsonLines(log, head, provisional=kept), SignalsCsv(folder / "signals.csv")
        play(*sinks, last=(event(3, 2.6, provisional=True),))
        assert len(read_jsonl(log).events) == (4 if kept else 2)
        found[kept] = {name: convert(log, name).read_bytes() for name in NAMES}
    assert found[True] == found[False]


def test_elan_document_is_in_the_schemas_order(tmp_path: Path) -> None:
    root = ElementTree.parse(convert(logged(tmp_path), "elan")).getroot()
    assert (root.tag, root.get("FORMAT"), root.get("VERSION")) == ("ANNOTATION_DOCUMENT", "3.0", "3.0")
    assert list(dict.fromkeys(child.tag for child in root)) == ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"]
    times = [int(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")]
    assert times == sorted(times)


def test_a_live_clock_starts_at_the_first_frame(tmp_path: Path) -> None:
    live = dataclasses.replace(INFO, uri="0", kind="camera", live=True, clock="monotonic", frames=None)
    path = logged(tmp_path, info=live, first=86_400.0)
    eaf = pympi.Elan.Eaf(str(convert(path, "elan")))
    assert eaf.get_annotation_data_for_tier("face 1 micro")[0][:2] == (1000, 1300)
    assert eaf.get_linked_files() == []
    assert "00:00:01.000 --> 00:00:01.300" in convert(path, "webvtt").read_text()


def test_webvtt(tmp_path: Path) -> None:
    text = convert(logged(tmp_path, (event(7, 0.5, label="a<b & -->"),)), "webvtt").read_text()
    assert text.startswith("WEBVTT\n\n")
    blocks = text.strip().split("\n\n")[1:]
    stamp = r"(\d\d):([0-5]\d):([0-5]\d)\.(\d{3})"
    found = [re.fullmatch(f"{stamp} --> {stamp}\n(.+)", block) for block in blocks]
    assert [m.group(9) for m in found if m] == [
        "Face 1: a&lt;b &amp; --&gt; 0.70 (left lip corner AU12, left cheek)",
        "Face 1: negative 0.70 (left lip corner AU12, left cheek)",
    ]


def test_bids(tmp_path: Path) -> None:
    out = convert(logged(tmp_path), "bids")
    assert out.name == "events_events.tsv"
    with open(out, newline="", encoding="utf-8") as file:
        micro, blink = csv.DictReader(file, delimiter="\t")
    assert list(micro)[:3] == ["onset", "duration", "trial_type"]
    assert (float(micro["onset"]), float(micro["duration"])) == (pytest.approx(1.0), pytest.approx(0.3))
    assert (micro["trial_type"], micro["label"], micro["reason"]) == ("micro", "negative", "n/a")
    assert (blink["trial_type"], blink["label"]) == ("blink", "n/a")
    assert set(json.loads(out.with_suffix(".json").read_text())) == set(micro)


def test_boris(tmp_path: Path) -> None:
    with open(convert(logged(tmp_path), "boris"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [(r["Behavior"], r["Behavior type"], r["Time"]) for r in rows] == [
        ("micro", "START", "1.000"),
        ("micro-expression apex", "POINT", "1.120"),
        ("micro", "STOP", "1.300"),
        ("blink", "START", "2.000"),
        ("blink", "STOP", "2.300"),
    ]
    assert {r["Media file name"] for r in rows} == {"subject 1 & 2.mp4"}
    assert (rows[0]["Modifier #1"], rows[0]["Modifier #2"]) == ("negative", "left lip corner+left cheek")


def test_a_boris_project(tmp_path: Path) -> None:
    """As BORIS 8.27 reads it: its own check of a project finds nothing to mend in such a file."""
    project = json.loads(convert(logged(tmp_path), "boris-project").read_text(encoding="utf-8"))
    behaviors = {b["code"]: b for b in project["behaviors_conf"].values()}
    (found,) = project["observations"].values()
    assert found["events"] == [
        [1.0, "face 1", "micro", "negative|left lip corner,left cheek", "", 100],
        [1.12, "face 1", "micro-expression apex", "negative|left lip corner,left cheek", "", 112],
        [1.3, "face 1", "micro", "negative|left lip corner,left cheek", "", 130],
        [2.0, "face 1", "blink", "None|left lip corner,left cheek", 'eyes only, "a, b"', 200],
        [2.3, "face 1", "blink", "None|left lip corner,left cheek", 'eyes only, "a, b"', 230],
    ]
    assert {code: b["type"] for code, b in behaviors.items()} == {
        "micro": "State event",
        "micro-expression apex": "Point event",
        "blink": "State event",
    }
    assert {name for name, *_ in (e[1:2] for e in found["events"])} == {
        s["name"] for s in project["subjects_conf"].values()
    }
    label, regions = behaviors["micro"]["modifiers"].values()
    assert "negative" in label["values"]
    assert {"left lip corner", "left cheek"} <= set(regions["values"])
    assert found["file"]["1"] == list(found["media_info"]["fps"]) == ["/videos/subject 1 & 2.mp4"]


@pytest.mark.parametrize(
    ("base", "inclusive", "ends"), [(0, True, "100,130"), (1, True, "101,131"), (0, False, "100,131")]
)
def test_megc(tmp_path: Path, base: int, inclusive: bool, ends: str) -> None:
    macro = event(4, 0.3, kind=Kind.MACRO, reason="longer than 0.5 s")
    recording_ = read_jsonl(logged(tmp_path, (macro,)))
    write_megc(recording_, tmp_path / "m.csv", index_base=base, inclusive_end=inclusive)
    lines = (tmp_path / "m.csv").read_text().splitlines()
    assert lines[:2] == ["vid,pred_onset,pred_offset,type", f"subject 1 & 2,{ends},me"]
    assert len(lines) == 3
    assert lines[2].endswith(",mae")


@pytest.mark.parametrize("fps", ["0", "null", "-3", "1e-308", "1e12"])
def test_an_odd_frame_rate_breaks_no_format(tmp_path: Path, fps: str) -> None:
    log = logged(tmp_path)
    log.write_text(log.read_text().replace('"fps": 99.5', f'"fps": {fps}'))
    for name in FORMATS:
        convert(log, name)


def test_openface_has_only_what_we_estimate(tmp_path: Path) -> None:
    with open(convert(logged(tmp_path), "openface"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 300
    assert not [name for name in rows[0] if name.startswith(("AU", "gaze", "x_", "pose_T"))]
    assert (rows[0]["frame"], rows[0]["success"], rows[0]["pose_Rx"]) == ("1", "0", "")
    assert (rows[10]["face_id"], rows[10]["success"], rows[10]["confidence"]) == ("0", "1", "0.970")
    assert float(rows[10]["timestamp"]) == pytest.approx(0.1)
    # yaw 3 to the subject's left, pitch 5 down, roll 1.5 clockwise
    angles = [math.degrees(float(rows[10][f"pose_R{axis}"])) for axis in "xyz"]
    assert angles == pytest.approx([5.0, -3.0, 1.5], abs=0.01)


def test_every_format_of_an_empty_recording_and_of_no_log(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    play(JsonLines(path, header(INFO, {})), SignalsCsv(tmp_path / "signals.csv"), frames=0)
    for name in NAMES:
        assert convert(path, name, tmp_path / f"{name}.out").stat().st_size > 0
        with pytest.raises(SourceError):
            convert(tmp_path / "none" / "events.jsonl", name, tmp_path / "o")
        with pytest.raises(OutputError, match="cannot write"):
            convert(path, name, tmp_path / "none" / "o")
    with pytest.raises(ConfigError, match="choose from csv, elan"):
        convert(path, "xls")


NASTY = "a\tb\nc\r\x00\x0b\x1b[31m\x85\u2028d\ufffe\udc80"


def test_control_characters_reach_no_format(tmp_path: Path) -> None:
    """A model's labels, a rejection's reason and a file's name may hold any character."""
    info = dataclasses.replace(INFO, uri=f"/videos/{NASTY}.mp4")
    more = (event(3, 0.4, label=NASTY), event(4, 2.5, kind=Kind.HEAD, reason=NASTY))
    more = tuple(dataclasses.replace(e, model=NASTY) for e in more)
    head = dataclasses.replace(header(info, {}), model=NASTY)
    log = tmp_path / "events.jsonl"
    play(JsonLines(log, head), SignalsCsv(tmp_path / "signals.csv"), last=more)
    for name in NAMES:
        text = convert(log, name).read_bytes().decode()
        allowed = {"\n", "\t"} if name in ("bids", "boris") else {"\n"}
        found = {c for c in text if (ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\ufffe") and c not in allowed}
        assert not found, name
    ElementTree.parse(tmp_path / "events.eaf")
    eaf = pympi.Elan.Eaf(str(tmp_path / "events.eaf"))
    assert [a[2] for a in eaf.get_annotation_data_for_tier("face 1 head")] == ["a b c [31m d "]
    with open(tmp_path / "events.csv", newline="", encoding="utf-8") as file:
        assert {row["reason"] for row in csv.DictReader(file)} >= {"a b c [31m d "}
    with open(tmp_path / "events.boris.tsv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert {len(row) for row in rows} == {12}
    assert "a b c [31m d " in {row[7] for row in rows}
    captions = (tmp_path / "events.vtt").read_text().strip().split("\n\n")[1:]
    assert [len(caption.splitlines()) for caption in captions] == [2, 2]


def test_signals_hold_a_row_a_line_whatever_a_note_holds(tmp_path: Path) -> None:
    path = tmp_path / "signals.csv"
    with SignalsCsv(path) as sink:
        seen = next(o for o in recording() if o.faces)
        noted = tuple(dataclasses.replace(signal, activity=None, note=NASTY) for signal in seen.faces)
        sink.write(dataclasses.replace(seen, faces=noted), frame(seen.index, seen.time))
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert row["note"] == "a b c [31m d "
