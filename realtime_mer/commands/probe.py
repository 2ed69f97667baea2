"""``realtime-mer probe``: measures what a camera, stream or file really delivers, and with --face what it can show."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from realtime_mer.build import NO_MODEL, build
from realtime_mer.commands.options import Commands, add_camera, camera, positive, print_json
from realtime_mer.config import Config, merge
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Frame, SourceInfo, SourceStats
from realtime_mer.sinks.lines import write_whole
from realtime_mer.sources import ProbeReport, Source, open_source, probe
from realtime_mer.spotting.quality import Quality, Sensitivity

CERTIFICATE = Path("drop-certificate.txt")
NO_FACE = "no face was seen for long enough: look at the camera, or read for longer (--for)"


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("probe", help="Check what a source delivers: size, rate, jitter, timestamps, losses")
    parser.add_argument(
        "source", metavar="SOURCE", help="0, /dev/video0, genicam:, basler:, rtsp://..., http://..., a file or a folder"
    )
    parser.add_argument(
        "--for", dest="seconds", type=positive, default=5.0, metavar="SECONDS", help="seconds to read (default: 5)"
    )
    parser.add_argument(
        "--face",
        action="store_true",
        help="also follow the faces and estimate the smallest movement the recording can show",
    )
    parser.add_argument(
        "--certificate",
        nargs="?",
        type=Path,
        const=CERTIFICATE,
        metavar="FILE",
        help=f"also write a drop certificate: text, or JSON if FILE ends in .json (default: {CERTIFICATE})",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    add_camera(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads the source for a while and prints what it delivered."""
    with ExitStack() as stack:
        pipeline = None
        if arguments.face:
            pipeline = stack.enter_context(build(merge(Config(), {"classify": {"model": NO_MODEL}})))
        source = stack.enter_context(open_source(arguments.source, **camera(arguments)))
        watched = None if pipeline is None else _Watched(source, pipeline)
        report = probe(watched or source, arguments.seconds)
        found = None if watched is None else watched.quality.result()
    if arguments.certificate is not None:
        _write(report, arguments.certificate)
    if arguments.json:
        print_json(report.to_dict() | ({"sensitivity": asdict(found) if found else None} if arguments.face else {}))
    else:
        print("\n".join([report.text(), *(_lines(found) if arguments.face else ())]))
    return 0


def _write(report: ProbeReport, path: Path) -> None:
    """The certificate. Raises OutputError."""
    values = report.certificate()
    if path.suffix.lower() == ".json":
        write_whole(path, json.dumps(values, indent=2) + "\n")
        return
    head = [
        "Drop certificate: what this source delivered",
        f"measured     {values['created']} by realtime-mer {values['product']}",
        f"machine      {values['machine']}",
    ]
    write_whole(path, "\n".join([*head, report.text(), ""]))


def _lines(found: Sensitivity | None) -> list[str]:
    if found is None:
        return [f"movements    {NO_FACE}"]
    return [f"movements    {found.line}", *(f"because      {reason}" for reason in found.reasons)]


class _Watched(Source):
    """A source whose frames go through a pipeline as they are read."""

    def __init__(self, source: Source, pipeline: Pipeline) -> None:
        self.quality = Quality(pipeline.config.spot)
        self._source, self._pipeline = source, pipeline

    @property
    def info(self) -> SourceInfo:
        return self._source.info

    def __iter__(self) -> Iterator[Frame]:
        self._pipeline.begin(live=self.info.live)
        for frame in self._source:
            self.quality.push(self._pipeline.push(frame), frame.gray)
            yield frame

    def stats(self) -> SourceStats:
        return self._source.stats()

    def close(self) -> None:
        self._source.close()
