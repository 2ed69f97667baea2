"""``python -m train default``: makes the shipped recogniser and its model card from the data, in one command.

    python -m train default --casme2 DIR --sheet XLSX [--maps DIR] [--onnx FILE] [--card FILE] [--report FILE]

Reads, measures (``scoring``), fits on everything, writes the ONNX file and the card. A few minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from realtime_mer.errors import ConfigError, DataError, MerError
from realtime_mer.face.detect import FaceDetector
from realtime_mer.face.regions import SIZE
from realtime_mer.recognise.spec import ModelSpec
from train import datasets
from train.recogniser import card, onnx_file
from train.recogniser.card import Findings, Row, row
from train.recogniser.data import VIEWS, Motions, from_maps, join, own_flow, with_maps
from train.recogniser.network import Fitting, FlowNet
from train.recogniser.scoring import (
    Tested,
    calibrated,
    dataset_out,
    leave_one_subject_out,
    permuted,
    plain_loso,
    train,
)
from train.records import THREE, labelled
from train.runs import commit

NAME: Final = "flow-default"
VERSION: Final = "2"
FEATURE: Final = "flow-uvs/1"
_ONNX: Final = Path(__file__).parents[2] / "realtime_mer/recognise/shipped/default.onnx"
_CARD: Final = Path(__file__).parents[2] / "docs/model-card.md"
_MOVES: Final = ((0.0, -0.030), (0.0, 0.030), (0.020, 0.015))  # s, of onset and apex: what a spotter may do to us
_SHUFFLES: Final = 3  # permuted-label runs that are averaged
_LICENCE: Final = (
    "The weights were trained on data that their makers (Chinese Academy of Sciences, University of Oulu, Manchester "
    "Metropolitan University) give for research only: the same holds for the weights"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code. Errors of the user are one line on stderr."""
    torch.set_num_threads(1)  # small matrices: more threads are slower, and one gives the same sums everywhere
    cv2.setNumThreads(1)
    options = _parser().parse_args(argv)
    try:
        own, moved, skipped = read_own(options.casme2, options.sheet, options.maps)
        parts = [own] if options.maps is None else read_maps(own, options.maps)
        if options.leave_out:
            return _held_out(join(parts), options.leave_out.split(","), options.onnx)
        findings, net, spec = make(join(parts), moved, skipped, _command(options))
        onnx_file.write(net, spec, options.onnx)
        options.card.parent.mkdir(parents=True, exist_ok=True)
        options.card.write_text(card.render(findings, spec), encoding="utf-8")
        if options.report is not None:
            options.report.write_text(json.dumps(_report(findings, spec), indent=1), encoding="utf-8")
    except MerError as error:
        print(f"train default: {error}", file=sys.stderr)
        return error.exit_code
    print(card.render(findings, spec))
    print(f"written: {options.onnx}, {options.card}")
    return 0


def _held_out(data: Motions, subjects: Sequence[str], out: Path) -> int:
    """The recipe fitted without some subjects, unmeasured: for scoring recordings that show them."""
    groups = [f"casme2/{name}" for name in subjects]
    if unknown := set(groups) - set(data.groups):
        raise DataError(f"no clips of {', '.join(sorted(unknown))} to leave out")
    if out == _ONNX:
        raise ConfigError("name another file with --onnx: a model fitted without some subjects is not the shipped one")
    rest = data.take(~np.isin(data.groups, groups))
    spec = ModelSpec(
        f"{NAME}-without-{len(groups)}-subjects",
        VERSION,
        THREE,
        FEATURE,
        (3, SIZE, SIZE),
        training_data=f"{len(rest)} micro-expressions; without {', '.join(subjects)}",
        licence=_LICENCE,
        protocol="not measured, not calibrated",
        commit=commit(),
        created=datetime.now(UTC).date().isoformat(),
    )
    onnx_file.write(train(rest, Fitting()), spec, out)
    print(f"written: {out}, fitted on {len(rest)} of {len(data)} clips")
    return 0


def read_own(casme2: Path, sheet: Path, maps: Path | None) -> tuple[Motions, list[Motions], list[str]]:
    """Own flow of CASME II as annotated, the same with moved key frames, and what was left out and why.

    With maps, only the clips of the MEGC2019 list are taken, as the field does.
    """
    clips = labelled(datasets.read("casme2", casme2, sheet).clips, "3")
    absent: list[str] = []
    if maps is not None:
        listed = {clip.key for clip in datasets.read("megc2019-maps", maps).clips if clip.dataset == "casme2"}
        absent = [f"{key}: not among the frames" for key in sorted(listed - {clip.key for clip in clips})]
        clips = [clip for clip in clips if clip.key in listed]
    with FaceDetector(max_faces=1) as detector:
        own, skipped = own_flow(clips, detector)
        moved = [own_flow(own.clips, detector, [move])[0] for move in _MOVES]
    if not len(own):
        raise DataError(
            f"no clip below {casme2} can be used; the first reason: {skipped[0] if skipped else 'no label'}"
        )
    return own, moved, absent + skipped


def read_maps(own: Motions, folder: Path) -> list[Motions]:
    """Own flow with the MEGC2019 maps of its clips among its views, and the maps of people whom it does not show."""
    clips = labelled(datasets.read("megc2019-maps", folder).clips, "3")
    same = [clip for clip in clips if clip.dataset == "casme2"]
    return [with_maps(own, same), from_maps([clip for clip in clips if clip.dataset != "casme2"])]


def make(
    data: Motions, moved: Sequence[Motions], skipped: Sequence[str], command: str, how: Fitting | None = None
) -> tuple[Findings, FlowNet, ModelSpec]:
    """Measures the recipe on ``data``, then fits the network that ships on all of it."""
    how = how or Fitting()
    _say("leave one subject out, with inner splits")
    tested = leave_one_subject_out(data, how, _at_other_key_frames(data, moved))
    rows = _rows(data, tested.logits) + _controls(data, tested, how)
    findings = Findings(data, tested, tuple(rows), tuple(skipped), command)
    _say("the network on all subjects")
    net = train(data, how)
    decision = calibrated(data, tested.logits)
    sources = sorted({clip.dataset for clip in data.clips})
    size = sum(p.numel() for p in net.parameters())
    spec = ModelSpec(
        NAME,
        VERSION,
        THREE,
        FEATURE,
        (3, SIZE, SIZE),
        temperature=round(decision.temperature, 4),
        abstain_below=round(decision.abstain_below, 3),
        training_data=f"{len(data)} micro-expressions of {len(set(data.groups))} subjects: {', '.join(sources)}",
        licence=_LICENCE,
        protocol="leave one subject out, pooled; temperature and threshold nested; scores of own flow on CASME II",
        scores=card.scores(findings) | {"parameters": {"value": float(size)}},
        commit=commit(),
        created=datetime.now(UTC).date().isoformat(),
    )
    return findings, net, spec


def _at_other_key_frames(data: Motions, moved: Sequence[Motions]) -> list[Motions]:
    """All samples, with own flow replaced by that between moved key frames."""
    own = data.own
    rest = data.take(~own)
    # the views of a map are all the same: as many of them as the other key frames have
    return [
        other if own.all() else join([other, replace(rest, views=rest.views[:, : other.views.shape[1]])])
        for other in moved
    ]


def _rows(data: Motions, logits: np.ndarray) -> list[Row]:
    every = np.ones(len(data), np.bool_)
    names = np.array([clip.dataset for clip in data.clips])
    rows = [row("own flow, CASME II", data, logits, data.own)]
    if not data.own.all():
        rows.append(row("all: own flow and maps", data, logits, every, "MEGC2019 composite"))
        rows += [row(f"{name} maps", data, logits, names == name) for name in sorted(set(names[~data.own]))]
    return rows


def _controls(data: Motions, tested: Tested, how: Fitting) -> list[Row]:
    own, every = data.own, np.ones(len(data), np.bool_)
    rows: list[Row] = []
    if not own.all():
        _say("control: own flow only")
        alone = replace(data.take(own), views=data.views[own][:, : len(VIEWS)])
        rows.append(row("own flow, trained without maps", alone, plain_loso(alone, how, len(alone)), alone.own))
        _say("control: a data set left out")
        out = dataset_out(data, how)
        rows.append(row("leave one data set out, all", data, out, every, "trained on the other two"))
        rows.append(row("leave one data set out, own flow", data, out, own, "trained on maps only"))
    for (onset, apex), found in zip(_MOVES, tested.others, strict=True):
        note = f"onset {onset * 1000:+.0f} ms, apex {apex * 1000:+.0f} ms"
        rows.append(row("own flow, other key frames", data, found, own, note))
    for seed in range(_SHUFFLES):
        _say("control: permuted labels")
        shuffled = permuted(data, seed)
        rows.append(row("permuted labels", shuffled, plain_loso(shuffled, how), every, f"shuffle {seed + 1}"))
    return rows


def _report(findings: Findings, spec: ModelSpec) -> dict[str, object]:
    """The run in numbers, with every clip's probabilities, for whoever wants to compute other scores."""
    clips = [
        {"clip": clip.key, "truth": THREE[y], "own": bool(own), "probabilities": [round(float(v), 5) for v in p]}
        for clip, y, own, p in zip(
            findings.data.clips, findings.data.y, findings.data.own, findings.tested.probabilities, strict=True
        )
    ]
    return {"spec": json.loads(spec.to_json()), "rows": [asdict(r) for r in findings.rows], "clips": clips}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m train default", description="Trains the shipped recogniser.")
    parser.add_argument("--casme2", type=Path, required=True, metavar="DIR", help="CASME II, the cropped frames")
    parser.add_argument("--sheet", type=Path, required=True, metavar="XLSX", help="its annotation sheet")
    parser.add_argument("--maps", type=Path, metavar="DIR", help="the public MEGC2019 flow maps and their list")
    parser.add_argument("--onnx", type=Path, default=_ONNX, metavar="FILE", help="what to write; the shipped model")
    parser.add_argument("--card", type=Path, default=_CARD, metavar="FILE", help="what to write; docs/model-card.md")
    parser.add_argument("--leave-out", metavar="LIST", help="only fit, without these subjects, e.g. sub03,sub08")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also every clip's probabilities, as JSON")
    return parser


def _command(options: argparse.Namespace) -> str:
    """The command without this machine's paths."""
    words = ["python -m train default --casme2 CASME2/Cropped --sheet CASME2-coding.xlsx"]
    return " ".join([*words, "--maps megc2019"] if options.maps is not None else words)


def _say(what: str) -> None:
    print(f"... {what}", file=sys.stderr, flush=True)
