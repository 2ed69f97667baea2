"""``realtime-mer models``: lists the recognizers with their metadata."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from realtime_mer.commands.options import Commands, print_json
from realtime_mer.errors import ModelError
from realtime_mer.recognize import Listed, catalog, described, find
from realtime_mer.tables import table


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("models", help="List recognizers with their classes, training data and scores")
    parser.add_argument(
        "model",
        nargs="*",
        help="model names or files (.onnx, .pt2, .engine) (default: shipped and cached models)",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Lists them. Raises ModelError for a name or a file that is not a model."""
    listed = [described(find(name)) for name in arguments.model] or catalog()
    if bad := next((one for one in listed if arguments.model and one.spec is None), None):
        raise ModelError(bad.problem)
    if arguments.json:
        print_json([{**asdict(one), "path": str(one.path)} for one in listed])
    else:
        print("\n\n".join(_text(one) for one in listed))
    return 0


def _people(people: Sequence[str]) -> str:
    """Number of people of each data set; empty if the model does not say."""
    counts = Counter(person.split("/")[0] for person in people)
    text = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"{text} (--json names them)" if text else ""


def _text(listed: Listed) -> str:
    """A block on one model: its name, then a row per fact, then those of each head."""
    rows = [("file", str(listed.path)), ("sha256", listed.sha256)]
    spec = listed.spec
    if spec is None:
        rows.append(("unusable", listed.problem))
    else:
        below = f"abstains below {spec.abstain_below:.2f}{f' and on {spec.none}' if spec.none else ''}"
        rows += [
            ("id", f"{spec.id}, made {spec.created} from {spec.commit or 'an unknown commit'}"),
            ("classes", f"{', '.join(spec.labels)}; {below}"),
            ("calibrated", f"temperature {spec.temperature:.3f}" if spec.temperature != 1 else ""),
            ("input", f"{spec.feature}, {' x '.join(map(str, spec.input_shape))}"),
            ("data", spec.training_data),
            ("license", spec.license),
            ("people", _people(spec.people)),
            ("protocol", spec.protocol),
            *((name, _score(score)) for name, score in spec.scores.items()),
        ]
        for head in spec.heads:
            below = "" if head.each else f"; abstains below {head.abstain_below:.2f}"
            rows += [
                (f"{head.name}: answers", f"{', '.join(head.labels)}{below}"),
                (f"{head.name}: data", head.training_data),
                *((f"{head.name}: {name}", _score(score)) for name, score in head.scores.items()),
            ]
    stated = [row for row in rows if row[1]]
    return f"{listed.path.stem} ({listed.origin})\n{table((), stated, left=(0, 1), indent=2)}"


def _score(score: dict[str, float]) -> str:
    interval = f" ({score['low']:.3f} to {score['high']:.3f})" if "low" in score else ""
    value = score["value"]
    return f"{f'{value:.0f}' if value > 1 else f'{value:.3f}'}{interval}"  # counts, and scores
