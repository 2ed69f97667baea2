"""``realtime-mer demo``: makes the bundled clip, analyzes it, and compares the events with those drawn."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from realtime_mer.commands import analyze
from realtime_mer.commands.options import Commands
from realtime_mer.sinks import LOG
from realtime_mer.sinks.jsonl import read_jsonl
from realtime_mer.sinks.place import make_folder


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("demo", help="Make a clip with known movements and analyze it")
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="output folder (default: ./demo)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Makes, analyzes, compares."""
    from realtime_mer.spotting.scores import Movement, spotting
    from realtime_mer.synth import demo_clip, read_truth

    clip = arguments.out / "clip.mp4"
    truth_file = clip.with_suffix(".truth.json")
    if not (clip.is_file() and truth_file.is_file()):
        make_folder(arguments.out)
        print("making the clip: 20 s of a public-domain portrait with known movements (synthetic)", file=sys.stderr)
        demo_clip(clip)
    if code := _analyze(clip, arguments.out):
        return code
    drawn = [Movement("clip", t.onset, t.offset, t.apex) for t in read_truth(truth_file) if t.kind == "micro"]
    spans = [event.movement for event in read_jsonl(arguments.out / "clip" / LOG).events if event.final]
    found = [Movement("clip", s.onset, s.offset or s.apex, s.apex) for s in spans if s.kind == "micro"]
    scores = spotting(drawn, found)
    print(
        f"of {len(drawn)} micro-expressions drawn into the clip {scores.hits} were found, false: {scores.false_alarms}"
    )
    if scores.apex_error is not None and scores.onset_error is not None:
        onset = 1000 * scores.onset_error
        print(f"median error of the apex {1000 * scores.apex_error:.0f} ms, of the onset {onset:.0f} ms")
    return 0


def _analyze(clip: Path, out: Path) -> int:
    """``realtime-mer analyze``, as a user would call it."""
    parser = argparse.ArgumentParser()
    analyze.add(parser.add_subparsers())
    arguments = parser.parse_args(["analyze", str(clip), "--out", str(out), "--overwrite"])
    return int(arguments.run(arguments))
