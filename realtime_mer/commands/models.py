"""``realtime-mer models``: the recognizers that are here, and what they say of themselves."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from realtime_mer.commands.options import Commands, print_json
from realtime_mer.errors import ModelError
from realtime_mer.recognize import Listed, catalog, described, find


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
    """Lists them. Raises ModelError for a name or a file that is no model."""
    listed = [described(find(name)) for name in arguments.model] or catalog()
    if bad := next((one for one in listed if arguments.model and one.spec is None), None):
        raise ModelError(bad.problem)
    if arguments.json:
        print_json([{**asdict(one), "path": str(one.path)} for one in listed])
    else:
        print("\n\n".join(_text(one) for one in listed))
    return 0


def _people(people: Sequence[str]) -> str:
    """How many of each data set; empty if the model does not say."""
    counts = Counter(person.split("/")[0] for person in people)
    text = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"{text} (--json names them)" if text else ""


def _text(listed: Listed) -> str:
    lines = [f"{listed.path.stem} ({listed.origin})  {listed.path}", f"  sha256     {listed.sha256}"]
    spec = listed.spec
    if spec is None:
        return "\n".join([*lines, f"  unusable   {listed.problem}"])
    lines += [
        f"  id         {spec.id}, made {spec.created} from {spec.commit or 'an unknown commit'}",
        f"  classes    {', '.join(spec.labels)}; abstains below {spec.abstain_below:.2f}"
        + (f" and on {spec.none}" if spec.none else ""),
        f"  calibrated {f'temperature {spec.temperature:.3f}' if spec.temperature != 1 else ''}",
        f"  input      {spec.feature}, {' x '.join(map(str, spec.input_shape))}",
        f"  data       {spec.training_data}",
        f"  license    {spec.license}",
        f"  people     {_people(spec.people)}",
        f"  protocol   {spec.protocol}",
    ]
    lines = [line for line in lines if line.split()[1:]]  # what the model does not say is left out
    lines += [_score(name, score) for name, score in spec.scores.items()]
    for head in spec.heads:
        below = "" if head.each else f"; abstains below {head.abstain_below:.2f}"
        lines += [
            f"  {head.name}",
            f"    answers    {', '.join(head.labels)}{below}",
            f"    data       {head.training_data}",
        ]
        lines += [f"  {_score(name, score)}" for name, score in head.scores.items()]
    return "\n".join(lines)


def _score(name: str, score: dict[str, float]) -> str:
    interval = f" ({score['low']:.3f} to {score['high']:.3f})" if "low" in score else ""
    value = score["value"]
    return f"  {name:10} {f'{value:.0f}' if value > 1 else f'{value:.3f}'}{interval}"  # counts, and scores
