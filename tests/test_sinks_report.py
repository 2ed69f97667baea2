"""The report: complete, self-contained, safe against what names and reasons contain."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_observations import INFO, event, play

from realtime_mer.errors import OutputError, SourceError
from realtime_mer.records import Kind, Prediction, SourceStats
from realtime_mer.sinks.csv import SignalsCsv
from realtime_mer.sinks.jsonl import JsonLines, header
from realtime_mer.sinks.report import write_report


class Page(HTMLParser):
    """Checks that elements close in order, and collects tags, attributes and text."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.stack and self.stack[-1] in ("html", "body", "li") and self.stack[-1] != tag:
            self.stack.pop()  # may be left open in HTML
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def inputs(folder: Path) -> tuple[Path, Path]:
    log, signals = folder / "events.jsonl", folder / "signals.csv"
    info = dataclasses.replace(INFO, uri="/v/<b>evil</b> & co.mp4")
    sinks = (
        JsonLines(log, header(info, {}), stats=lambda: SourceStats(301, 300, 1, notes=("cut off at 2.99 s",))),
        SignalsCsv(signals),
    )
    play(*sinks, last=(event(3, 2.6, kind=Kind.HEAD, reason="<script>alert(1)</script>"),))
    return log, signals


def test_the_report_says_everything_and_loads_nothing(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    picture = np.full((40, 120, 3), 90, np.uint8)
    write_report(*inputs(tmp_path), out, {(1, 1): picture})
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert [tag for tag in page.stack if tag not in ("html", "body")] == []
    for words in (
        "<b>evil</b> & co.mp4", "1 micro-expressions", "2 rejected movements", "negative", "70 %", "left lip corner",
        "AU12", "1.120 s (frame 112)", "300 ms", "100.0 frames/s", "largest gap 12.5 ms", "290 (96.7 %)",
        'eyes only, "a, b"', "<script>alert(1)</script>", "301 captured", "low rate (5", "cut off at 2.99 s",
        "It proves no feeling", "Smallest movement seen with 80 % probability: 0.",
        "% of the distance between the eyes", "the face at rest wanders by 0.05 px",
    ):  # fmt: skip
        assert words in page.text, words
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert not re.search(r"url\(|@import|https?://", text)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert sum(tag == "img" for tag, _ in page.tags) == 1
    assert sum(attributes.get("class") in ("micro", "rejected") for tag, attributes in page.tags if tag == "g") == 3


def test_the_report_shows_the_objective_class_and_the_likely_action_units(tmp_path: Path) -> None:
    plain = event()
    assert plain.coded == "objective class I 80 %, AU12 81 %"
    assert dataclasses.replace(plain, objective=None, action_units=None).coded == ""
    assert dataclasses.replace(plain, objective=Prediction(None, {"I": 0.4}), action_units={"AU4": 0.4}).coded == ""
    log, signals = inputs(tmp_path)
    write_report(log, signals, tmp_path / "a.html")
    assert "objective class I 80 %, AU12 81 %" in Page((tmp_path / "a.html").read_text(encoding="utf-8")).text


def test_the_timeline_keeps_the_peak_of_a_long_recording(tmp_path: Path) -> None:
    """The highest level is a single row among many; it must be the highest point of the drawn curve."""
    log, signals = inputs(tmp_path)
    lines = signals.read_text().splitlines()
    lines[20] = re.sub(r"^(\d+,[\d.]+,0,1,),1\.000,", r"\g<1>,55.000,", lines[20])
    assert "55.000" in lines[20]
    body = [re.sub(r"^\d+,[\d.]+", f"{i},{i / 1000:.6f}", lines[1 + i % 300]) for i in range(15, 6000)]
    signals.write_text("\n".join([lines[0], *body, ""]))
    write_report(log, signals, tmp_path / "r.html")
    curve = re.search(r'class="level"[^>]*points="([^"]*)"', (tmp_path / "r.html").read_text())
    assert curve is not None
    points = [tuple(map(float, p.split(","))) for p in curve.group(1).split()]
    assert len(points) <= 1600
    assert min(y for _, y in points) == pytest.approx(200 * (1 - 1 / 1.1), abs=0.1)


def test_an_interrupted_run_is_said_to_be_one(tmp_path: Path) -> None:
    log, signals = inputs(tmp_path)
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    write_report(log, signals, tmp_path / "r.html")
    assert "was interrupted" in Page((tmp_path / "r.html").read_text()).text


def test_without_signals_pictures_or_frames(tmp_path: Path) -> None:
    log = tmp_path / "e.jsonl"
    play(JsonLines(log, header(INFO, {})), frames=0)
    write_report(log, None, tmp_path / "r.html")
    text = Page((tmp_path / "r.html").read_text()).text
    assert "No micro-expression was found." in text
    assert "Nothing was recorded." in text
    write_report(inputs(tmp_path)[0], None, tmp_path / "r.html")
    assert "left lip corner" in Page((tmp_path / "r.html").read_text()).text


def test_a_cue_without_a_direction_has_no_arrow(tmp_path: Path) -> None:
    log, _ = inputs(tmp_path)
    log.write_text(log.read_text().replace('"dx": 2.5', '"dx": null'))
    write_report(log, None, tmp_path / "r.html")
    assert "left lip corner" in Page((tmp_path / "r.html").read_text()).text


def test_errors_are_one_line(tmp_path: Path) -> None:
    log, signals = inputs(tmp_path)
    with pytest.raises(OutputError, match="cannot write"):
        write_report(log, signals, tmp_path / "none" / "r.html")
    with pytest.raises(SourceError):
        write_report(log, tmp_path / "missing.csv", tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()
