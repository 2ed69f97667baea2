"""Measures the recognizer on each device: the time of a batch, and a live run. Rows that cannot run say why.

Without a GPU, its rows read "no NVIDIA GPU ...".
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Final

import numpy as np

from realtime_mer.bench import live
from realtime_mer.bench.clips import Clip, make
from realtime_mer.bench.paced import PacedSource
from realtime_mer.bench.results import Result, Series, machine, series
from realtime_mer.build import build
from realtime_mer.config import Config
from realtime_mer.errors import DeviceError
from realtime_mer.recognize import Recognizer, load
from realtime_mer.recognize.device import gpu
from realtime_mer.records import Floats

DEVICES: Final = ("cpu", "cuda", "tensorrt")
BATCHES: Final = (1, 8, 64)  # one face, a room of faces, several streams of them
CALLS: Final = 200  # of each batch; a 99th percentile needs that many
WARM: Final = 20


def run(fps: float, seconds: float, config: Config) -> Result:
    """Measures each device in turn. fps, seconds: of the live part. Raises ModelError for a model that cannot be
    read."""
    host, facts, lines = machine(), dict[str, Any](), list[Series]()
    host["gpu"] = gpu() or "none"
    for device in DEVICES:
        try:
            recognizer = load(config.classify.model, device)
        except DeviceError as error:
            facts[device] = str(error)
            continue
        facts[device] = recognizer.provider
        lines += _batches(recognizer, device)
        found, more = _live(replace(config, classify=replace(config.classify, device=device)), fps, seconds, device)
        facts |= found
        lines += more
    settings = {"fps": fps, "seconds": seconds, "config": asdict(config)}
    return Result("devices", settings, facts, tuple(lines), host)


def _batches(recognizer: Recognizer, device: str) -> list[Series]:
    """Times from samples in host memory to probabilities in host memory: upload, network, download."""
    samples = np.random.default_rng(0).standard_normal((max(BATCHES), *recognizer.spec.input_shape)).astype(np.float32)
    what = "one call, from samples in memory to probabilities in memory; on a GPU it includes both transfers"
    return [series(f"{device}, batch of {size}", "ms", what, _timed(recognizer, samples[:size])) for size in BATCHES]


def _timed(recognizer: Recognizer, batch: Floats) -> Sequence[float]:
    spent = []
    for _ in range(WARM + CALLS):
        began = time.perf_counter()
        recognizer.classify(batch)
        spent.append(1e3 * (time.perf_counter() - began))
    return spent[WARM:]


def _live(config: Config, fps: float, seconds: float, device: str) -> tuple[dict[str, Any], list[Series]]:
    """A live run whose events are classified on the device, and whether each event names it."""
    with build(config) as pipeline, PacedSource(make(Clip(fps=fps)), fps, remember=False) as source:
        session = live.watch(pipeline, source, seconds)
        assert pipeline.recognizer is not None
        provider, dropped = pipeline.recognizer.provider, source.stats().dropped
    frames = np.array(session.frames)
    warm = frames[frames[:, 0] >= frames[0, 0] + live.WARM_UP]
    named = [event.provider == provider for event, _ in session.events if event.prediction is not None]
    facts = {
        f"{device}, live: frames": len(frames),
        f"{device}, live: dropped": dropped,
        f"{device}, live: events that name {provider}": f"{sum(named)} of {len(named)}",
    }
    what = "from the capture stamp of a frame to its observation, at the real rate"
    return facts, [series(f"{device}, live: capture to observation", "ms", what, 1e3 * (warm[:, 1] - warm[:, 0]))]
