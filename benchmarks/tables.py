"""The tables of the model benchmark as Markdown. Nothing is measured here."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.folds import Change
from realtime_mer.models import device


@dataclass(frozen=True, slots=True)
class Row:
    """One cell of the measurement. Times in ms for a whole batch; size in bytes, 0 when there is no file.
    difference, agreement: of the probabilities and labels from torch, over the samples."""

    network: str
    back_end: str
    batch: int
    p50: float
    p95: float
    p99: float
    size: int
    difference: float
    agreement: float


def machine(busy: int, real: bool) -> str:
    """Where and with what this was measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime", "onnx", "numpy"))
    return (
        f"{datetime.date.today().isoformat()}; {_processor()}; GPU: {device.gpu() or 'none'}; "
        f"Python {platform.python_version()}, {packages}. "
        f"{'Weights trained on CASME II motion.' if real else 'Random weights, noise as input.'} "
        f"{f'{busy} core(s) loaded with optical flow meanwhile.' if busy else 'No load added.'}\n"
    )


def speed(rows: Sequence[Row], threads: int, reference: str) -> str:
    """Times, ratios to ``reference`` and to FP32, file size and parity."""
    medians = {(r.network, r.back_end, r.batch): r.p50 for r in rows}
    lines = [
        f"### {threads} thread(s)\n",
        "| Network | Back end | Batch | p50 ms | p95 | p99 | samples/s | against torch | File MB | Largest difference "
        "| Labels agree |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        ratio = medians[r.network, reference, r.batch] / r.p50
        lines.append(
            f"| {r.network} | {r.back_end} | {r.batch} | {r.p50:.3f} | {r.p95:.3f} | {r.p99:.3f} "
            f"| {1e3 * r.batch / r.p50:.0f} | {ratio:.2f}x | {f'{r.size / 1e6:.2f}' if r.size else ''} "
            f"| {r.difference:.1e} | {r.agreement:.1%} |"
        )
    return "\n".join([*lines, ""])


def changes(found: dict[str, Change], reference: str) -> str:
    """What each back end does to UF1 on people that the weights never saw."""
    lines = [
        "### UF1 on real clips\n",
        "| Network | Back end | UF1 | Change (95 % interval by subject) | Labels agree | Largest difference |",
        "|---|---|---|---|---|---|",
    ]
    for network, change in found.items():
        for name, uf1 in change.uf1.items():
            moved = "" if name == reference else str(change.change[name])
            lines.append(
                f"| {network} | {name} | {uf1:.4f} | {moved} | {change.agreement[name]:.1%} "
                f"| {change.difference[name]:.1e} |"
            )
    return "\n".join([*lines, ""])


def not_run(skipped: dict[str, str]) -> str:
    """What could not run, and why, one line a reason."""
    reasons: dict[str, list[str]] = {}
    for what, why in skipped.items():
        reasons.setdefault(why, []).append(what)
    lines = [f"- {why}: {'; '.join(what)}" for why, what in reasons.items()]
    return "\n".join(["### Not run\n", *(lines or ["- nothing"])])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()
