"""``realtime-mer models``: the recognisers that are here, and what they say of themselves."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from realtime_mer.commands.options import Commands, print_json
from realtime_mer.recognise import Listed, catalogue


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("models", help="shipped and cached recognisers: classes, data, licence, scores")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Lists them."""
    listed = catalogue()
    if arguments.json:
        print_json([{**asdict(one), "path": str(one.path)} for one in listed])
    else:
        print("\n\n".join(_text(one) for one in listed))
    return 0


def _text(listed: Listed) -> str:
    lines = [f"{listed.path.stem} ({listed.origin})  {listed.path}", f"  sha256     {listed.sha256}"]
    spec = listed.spec
    if spec is None:
        return "\n".join([*lines, f"  unusable   {listed.problem}"])
    lines += [
        f"  id         {spec.id}, made {spec.created} from {spec.commit or 'an unknown commit'}",
        f"  classes    {', '.join(spec.labels)}; abstains below {spec.abstain_below:.2f}"
        + (f" and on {spec.none}" if spec.none else ""),
        f"  input      {spec.feature}, {' x '.join(map(str, spec.input_shape))}",
        f"  data       {spec.training_data}",
        f"  licence    {spec.licence}",
        f"  protocol   {spec.protocol}",
    ]
    lines = [line for line in lines if line.split()[1:]]  # what the model does not say is left out
    for name, score in spec.scores.items():
        interval = f" ({score['low']:.3f} to {score['high']:.3f})" if "low" in score else ""
        value = score["value"]
        lines.append(f"  {name:10} {f'{value:.0f}' if value > 1 else f'{value:.3f}'}{interval}")  # counts, and scores
    return "\n".join(lines)
