"""``realtime-mer bench spotting``: its options, and the recordings that they request."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from realtime_mer.commands.options import add_settings, positive, settings
from realtime_mer.console import print_status
from realtime_mer.errors import ConfigError

if TYPE_CHECKING:
    from realtime_mer.bench.spotting import Case, Row
    from realtime_mer.synth.splice import RealClip

LONG: Final = ("samm-lv", "casme-sq", "casme3")
AS_THEY_ARE: Final = "as they are"
Trial = tuple["Row", "list[Case]"]


def add(parts: Any) -> None:
    """Declares the benchmark among the others."""
    parser = parts.add_parser("spotting", help="Measure spotting: F1, onset, apex and offset errors, false alarms")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="length of each synthetic recording, used if no data are given (default: %(default)g)",
    )
    parser.add_argument(
        "--casme2", type=Path, nargs=2, metavar=("FRAMES", "SHEET"), help="use streams spliced from real CASME II clips"
    )
    parser.add_argument("--subjects", default="", metavar="LIST", help="only these CASME II subjects (default: all)")
    parser.add_argument("--most", type=int, metavar="N", help="at most N clips per subject (default: all)")
    parser.add_argument(
        "--long",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "FRAMES", "SHEET"),
        help=f"use long annotated videos of a data set ({', '.join(LONG)}); repeatable",
    )
    parser.add_argument(
        "--conditions",
        default="full",
        metavar="LIST",
        help="conditions of --casme2 and --long: frames/s or full, h for H.264, @ and the face width in px, "
        "e.g. full,200,30h,30h@125",
    )
    parser.add_argument(
        "--negatives",
        action="append",
        default=[],
        metavar="KIND=DIR",
        help="recordings without micro-expressions, e.g. talk=DIR; every event in them is a false alarm; repeatable",
    )
    parser.add_argument(
        "--transplant",
        action="append",
        default=[],
        metavar="KIND=DIR",
        help="transplant real movements of --casme2 into these recordings, e.g. calm=DIR; repeatable",
    )
    parser.add_argument("--videos", type=Path, metavar="DIR", help="inject pulses into these real recordings")
    parser.add_argument(
        "--peaks",
        default="0.5,1,2,3",
        metavar="LIST",
        help="peak displacement of the injected pulses in px (default: %(default)s)",
    )
    parser.add_argument("--half", choices=("A", "B"), help="use only one half of the people and recordings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="number of processes (default: 1)")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep each stream's result here, so that an interrupted run can resume"
    )
    parser.add_argument(
        "--streams", type=Path, metavar="DIR", help="keep compressed streams here for the next run (these show people)"
    )
    parser.add_argument(
        "--sheets", type=Path, metavar="DIR", help="write an image of each false alarm here (these show people)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the scores and every movement as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--score", type=Path, metavar="FILE", help="only score this file (from --out, or a MEGC .csv)")
    parser.add_argument(
        "--truth",
        nargs=2,
        metavar=("NAME", "SHEET"),
        help=f"annotation sheet that a .csv is scored against: {', '.join(LONG)}",
    )
    add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scores known movements: synthetic ones, or in the user's recordings."""
    from realtime_mer.bench import score_file, spotting_tables, stream_runs

    if arguments.score:
        return _score(arguments)
    if arguments.jobs < 1:
        raise ConfigError("--jobs must be at least 1")
    config = settings(arguments)
    trials = list(_trials(arguments))
    options = stream_runs.Options(arguments.jobs, arguments.keep, arguments.sheets)
    rows: list[Row] = []
    if not arguments.markdown:
        print(spotting_tables.HEADER)
    for row in stream_runs.measure(trials, config, options, print_status):
        rows.append(row)
        if not arguments.markdown:
            print(spotting_tables.line(row), flush=True)
    print("\n".join([spotting_tables.markdown(rows)] if arguments.markdown else spotting_tables.results(rows)))
    if arguments.out is not None:
        about = score_file.describe(config, arguments.seed, arguments.half or "")
        score_file.save(rows, about, arguments.out)
    return 0


def compare(a: Path, b: Path, pooled: bool, out: Path | None) -> int:
    """Compares two score files, or pools two halves."""
    from realtime_mer.bench import score_file, spotting_tables

    files = [score_file.read(path) for path in (a, b)]
    if not pooled:
        if out is not None:
            raise ConfigError("--out writes a pooled result: add --pool")
        print(spotting_tables.side_by_side(*files))
        return 0
    both = score_file.pool(files)
    _table(both.rows)
    if out is not None:
        score_file.save(both.rows, both.about, out)
    return 0


def _score(arguments: argparse.Namespace) -> int:
    from realtime_mer.bench import score_file, spotting_tables
    from realtime_mer.bench.others import score_others

    if arguments.score.suffix.lower() != ".csv":
        rows = score_file.read(arguments.score).rows
        if arguments.markdown:
            print(spotting_tables.markdown(rows))
        else:
            _table(rows)
        return 0
    if not arguments.truth:
        raise ConfigError("--score FILE.csv needs --truth NAME SHEET, the annotation to score against")
    row, notes = score_others(arguments.score, _long_name(arguments.truth[0]), Path(arguments.truth[1]))
    for note in notes:
        print_status(note)
    print(spotting_tables.counted(row))
    return 0


def _table(rows: Sequence[Row]) -> None:
    from realtime_mer.bench import spotting_tables

    print("\n".join([spotting_tables.HEADER, *map(spotting_tables.line, rows), *spotting_tables.results(rows)]))


def _trials(arguments: argparse.Namespace) -> Iterator[Trial]:
    """Empty rows, each with its cases."""
    from realtime_mer.bench import cases
    from realtime_mer.bench.spotting import Row, halved

    if arguments.casme2:
        yield from _casme2(arguments)
    for name, frames, sheet in arguments.long:
        yield from _long(arguments, _long_name(name), Path(frames), Path(sheet))
    for text in arguments.negatives:
        kind, folder = _kind(text, "--negatives")
        found = halved(cases.negatives(folder), arguments.half or "")
        yield Row(AS_THEY_ARE, kind or "negatives", negatives=True), found
    if arguments.transplant:
        yield from _transplants(arguments)
    if arguments.videos:
        yield from _pulses(arguments)
    if not (arguments.casme2 or arguments.long or arguments.negatives or arguments.transplant or arguments.videos):
        for condition, drawn in cases.synthetic(arguments.seconds, arguments.seed):
            yield Row(condition), drawn


def _casme2(arguments: argparse.Namespace) -> Iterator[Trial]:
    """Every condition with every tail: the worst is the result."""
    from dataclasses import replace

    from realtime_mer.bench import cases, conditions
    from realtime_mer.bench.spotting import Row
    from realtime_mer.synth.splice import TAILS

    clips = _clips(arguments)
    chosen = _subjects(arguments, clips)
    for condition in conditions.parse(arguments.conditions):
        for tail, back_s in TAILS.items():
            found = cases.spliced(
                clips, _order(arguments), arguments.seed, back_s=back_s, rate=condition.rate, most=arguments.most
            )
            seen = replace(condition, rate=None)  # the stream is reduced where it is made, which takes less time
            yield (
                Row(condition.name, "CASME II spliced", tail),
                [conditions.under(case, seen, arguments.streams) for case in found if case.subject in chosen],
            )


def _transplants(arguments: argparse.Namespace) -> Iterator[Trial]:
    """Real movements in other faces, with the returning tails. In a half: its people's movements, in its recordings."""
    from dataclasses import replace

    from realtime_mer.bench import cases, transplants
    from realtime_mer.bench.spotting import Row, in_half
    from realtime_mer.synth.splice import TAILS

    if not arguments.casme2:
        raise ConfigError("--transplant takes its movements from CASME II: add --casme2 FRAMES SHEET")
    clips = _clips(arguments)
    chosen = _subjects(arguments, clips)
    clips = [clip for clip in clips if clip.subject in chosen]
    for text in arguments.transplant:
        kind, folder = _kind(text, "--transplant")
        units = {path: cases.unit(path, folder) for path in cases.videos_below(folder)}
        half = in_half(units.values(), arguments.half) if arguments.half else set(units.values())
        paths = [path for path, unit in units.items() if unit in half]
        of_name = {path.name: unit for path, unit in units.items()}
        for tail, back_s in TAILS.items():
            if back_s is None:
                continue
            found = transplants.cases(paths, clips, arguments.seed, transplants.PER_MINUTE, back_s)
            yield (
                Row(AS_THEY_ARE, f"CASME II movements transplanted, {kind or 'videos'}", tail),
                [replace(case, subject=of_name[case.name]) for case in found],
            )


def _kind(text: str, option: str) -> tuple[str, Path]:
    """ "talk=DIR" -> "talk" and the folder; the kind of a folder alone is empty."""
    kind, _, folder = text.rpartition("=")
    if not folder:
        raise ConfigError(f"{option} takes a folder, or KIND=DIR such as talk=DIR, not {text!r}")
    return kind, Path(folder)


def _clips(arguments: argparse.Namespace) -> list[RealClip]:
    from realtime_mer.synth.splice import read_casme2

    left_out: list[str] = []
    frames, sheet = arguments.casme2
    clips = read_casme2(frames, sheet, left_out=left_out)
    if left_out:
        print_status(f"CASME II: {len(clips)} clips; {len(left_out)} rows are left out, e.g. {left_out[0]}")
    return clips


def _order(arguments: argparse.Namespace) -> list[str]:
    return [name for name in arguments.subjects.split(",") if name]


def _subjects(arguments: argparse.Namespace, clips: Sequence[RealClip]) -> set[str]:
    """The requested subjects. Halves are made of all people in the sheet, so that they do not depend on --subjects."""
    from realtime_mer.bench.spotting import in_half

    everyone = {clip.subject for clip in clips}
    half = in_half(everyone, arguments.half) if arguments.half else everyone
    chosen = half & set(_order(arguments) or everyone)
    if not chosen:
        raise ConfigError(f"none of --subjects {arguments.subjects} is in half {arguments.half}")
    return chosen


def _long(arguments: argparse.Namespace, name: str, frames: Path, sheet: Path) -> Iterator[Trial]:
    from realtime_mer.bench import conditions
    from realtime_mer.bench.long_videos import NAMES, long_videos
    from realtime_mer.bench.spotting import Row, halved

    videos = long_videos(name, frames, sheet)
    for note in videos.notes:
        print_status(note)
    chosen = halved(videos.cases, arguments.half or "")
    for condition in conditions.parse(arguments.conditions):
        yield (
            Row(condition.name, NAMES[name]),
            [conditions.under(case, condition, arguments.streams) for case in chosen],
        )


def _long_name(name: str) -> str:
    if name not in LONG:
        raise ConfigError(f"no long videos called {name!r}: choose from {', '.join(LONG)}")
    return name


def _pulses(arguments: argparse.Namespace) -> Iterator[Trial]:
    from realtime_mer.bench import cases
    from realtime_mer.bench.spotting import Row, halved

    try:
        peaks = [positive(peak) for peak in arguments.peaks.split(",") if peak]
    except argparse.ArgumentTypeError:
        raise ConfigError(f"--peaks takes numbers such as 0.5,1,2, not {arguments.peaks}") from None
    for peak in (None, *peaks):
        found = halved(cases.from_videos(arguments.videos, peak, arguments.seed), arguments.half or "")
        condition = AS_THEY_ARE if peak is None else f"pulses of {peak:g} px"
        yield Row(condition, "real videos", negatives=peak is None), found
