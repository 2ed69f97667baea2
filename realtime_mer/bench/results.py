"""The stored result of a benchmark: every sample, and what it was measured on. Nothing is measured here."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from realtime_mer.errors import OutputError, SourceError
from realtime_mer.tables import table

FORMAT: Final = 1
PACKAGES: Final = ("realtime-mer", "numpy", "opencv-python", "opencv-python-headless", "mediapipe", "onnxruntime", "av")
DIGITS: Final = 5  # significant digits of a stored sample; timers are no better


@dataclass(frozen=True, slots=True)
class Series:
    """Many measurements of one thing. what: one sentence on what a sample includes."""

    name: str
    unit: str
    what: str
    samples: tuple[float, ...]

    def quantiles(self) -> tuple[float, float, float, float]:
        """p50, p95, p99 and maximum; nan without samples."""
        if not self.samples:
            return (float("nan"),) * 4
        p50, p95, p99 = np.percentile(self.samples, (50, 95, 99))
        return float(p50), float(p95), float(p99), max(self.samples)


@dataclass(frozen=True, slots=True)
class Result:
    """One run of a benchmark.

    kind: the benchmark's name, e.g. "latency". settings: its options. facts: single numbers and words. machine:
    ``machine()`` before the run, which shows other load.
    """

    kind: str
    settings: dict[str, Any]
    facts: dict[str, Any]
    series: tuple[Series, ...]
    machine: dict[str, Any]
    versions: dict[str, str] = field(default_factory=lambda: versions())
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    format: int = FORMAT

    def text(self) -> str:
        """A short printed table, with a description of each row below it."""
        host = self.machine
        lines = [f"{self.kind} on {host['cpu']}, {host['cores']} cores, load {host['load']:.1f} before, {self.created}"]
        lines += [f"  {name}: {_short(value)}" for name, value in self.facts.items()]
        if self.series:
            rows = [
                (s.name, str(len(s.samples)), *(f"{value:.3f}" for value in s.quantiles()), s.unit) for s in self.series
            ]
            lines.append(table(("series", "n", "p50", "p95", "p99", "max", "unit"), rows, left=(0, 6), indent=2))
        lines += [f"  {s.name}: {s.what}" for s in self.series]
        return "\n".join(lines)

    def deliver(self, path: Path | None) -> None:
        """Saves the result if a path is given, and prints the table. Raises OutputError."""
        if path is not None:
            self.save(path)
        print(self.text())

    def save(self, path: Path) -> None:
        """Writes the whole result as JSON. Raises OutputError."""
        values = asdict(self)
        for entry in values["series"]:
            entry["samples"] = [float(f"{sample:.{DIGITS}g}") for sample in entry["samples"]]
        save_json(values, path)


def save_json(values: Mapping[str, Any], path: Path) -> None:
    """Writes plain data as indented JSON. Raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values, indent=1, default=str) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None


def read(path: Path) -> Result:
    """Reads what ``save`` wrote. Raises SourceError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}, this version reads {FORMAT}")
        series = tuple(Series(**{**entry, "samples": tuple(entry["samples"])}) for entry in values.pop("series"))
        return Result(series=series, **values)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"{path} is not a benchmark result of this version: {error}") from None


def series(name: str, unit: str, what: str, samples: Iterable[float]) -> Series:
    """A Series of plain floats."""
    return Series(name, unit, what, tuple(float(sample) for sample in samples))


def machine() -> dict[str, Any]:
    """The machine, and how busy it is: cpu, cores that this process may use, memory in GB, load average, system."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def processor() -> str:
    """Number of cores and name of the processor, as text."""
    host = machine()
    return f"{host['cores']} x {host['cpu']}"


def versions() -> dict[str, str]:
    """Versions of this package and of the main libraries."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def growth(seconds: Sequence[float], megabytes: Sequence[float]) -> float:
    """Slope of a straight line through memory over time, MB per hour; nan for fewer than two samples."""
    return float(np.polyfit(seconds, megabytes, 1)[0] * 3600) if len(seconds) > 1 else float("nan")


def resident(process: int | None = None) -> float:
    """Current memory of a process (by its id; None: this one), MB; nan if the system does not say."""
    try:
        pages = int(Path(f"/proc/{process or 'self'}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_resident() -> float:
    """Peak memory of this process, MB; nan if the system does not say.

    Not from ``getrusage``, which on Linux starts with the parent's memory.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    kilobytes = dict(line.split(":", 1) for line in lines)["VmHWM"].split()[0]
    return int(kilobytes) * 1024 / 1e6


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(entry)}" for key, entry in value.items())
    return str(value)
