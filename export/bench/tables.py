"""The tables of the model benchmark as Markdown. Nothing is measured here."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from export.bench.folds import Change
from realtime_mer.bench.results import processor
from realtime_mer.recognize import device


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


@dataclass(frozen=True, slots=True)
class Work:
    """What one sample costs at the least: floating-point operations, bytes of all weights, bytes of input and output
    (float32, as the back ends take and give them)."""

    operations: float
    weights: float
    sample: float


# H200 SXM, dense, from its data sheet: operations/s of the unit that each back end may use.
PEAKS = {"torch CUDA graph": 67e12, "TensorRT FP32": 67e12, "TensorRT FP16": 989e12, "TensorRT INT8": 1979e12}
BANDWIDTH = 4.8e12  # bytes/s of its memory
LINK = 64e9  # bytes/s of PCIe 5 x16: samples come from the host


def machine(busy: int, real: bool) -> str:
    """Where and with what this was measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime", "onnx", "numpy"))
    return (
        f"{datetime.date.today().isoformat()}; {processor()}; GPU: {device.gpu() or 'none'}; "
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
        base = medians.get((r.network, reference, r.batch))
        ratio = "" if base is None else f"{base / r.p50:.2f}x"
        lines.append(
            f"| {r.network} | {r.back_end} | {r.batch} | {r.p50:.3f} | {r.p95:.3f} | {r.p99:.3f} "
            f"| {1e3 * r.batch / r.p50:.0f} | {ratio} | {f'{r.size / 1e6:.2f}' if r.size else ''} "
            f"| {r.difference:.1e} | {r.agreement:.1%} |"
        )
    return "\n".join([*lines, ""])


def roofline(rows: Sequence[Row], work: dict[str, Work]) -> str:
    """Samples/s at the best batch against the least time that an H200 could need; empty without GPU rows."""
    best: dict[tuple[str, str], Row] = {}
    for r in rows:
        if r.back_end in PEAKS and r.network in work:
            other = best.setdefault((r.network, r.back_end), r)
            if r.batch / r.p50 > other.batch / other.p50:
                best[r.network, r.back_end] = r
    lines = []
    for (network, back_end), r in best.items():
        need = work[network]
        compute = PEAKS[back_end] / need.operations
        memory = BANDWIDTH / (need.weights / r.batch + need.sample)
        link = LINK / need.sample
        bound, by = min((compute, "arithmetic"), (memory, "memory"), (link, "copy to the GPU"))
        rate = 1e3 * r.batch / r.p50
        lines.append(f"| {network} | {back_end} | {r.batch} | {rate:.0f} | {bound:.0f} ({by}) | {rate / bound:.1%} |")
    head = (
        "| Network | Back end | Best batch | samples/s | Roofline bound, samples/s | Share |\n|---|---|---|---|---|---|"
    )
    return "\n".join(["### Against the roofline of an H200\n", head, *lines, ""]) if lines else ""


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
