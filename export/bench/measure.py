"""Measures each network on each back end at batch 1, 8 and 64: the tables of docs/export.md.

All back ends of a network are timed in turns, so that other load on the machine falls on all alike: the ratios hold
better than the times. GPU back ends run where there is one; what cannot run is listed with the reason.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from export import int8, pt2, tensorrt, to_onnx
from export.bench import folds, tables
from export.bench.folds import Answer, Trained
from export.data import Data
from export.program import ATTENTION, INPUT, Probabilities
from realtime_mer import recognize as runtime
from realtime_mer.errors import DeviceError, ModelError
from realtime_mer.recognize import device
from realtime_mer.recognize import pt2 as programs
from realtime_mer.recognize import tensorrt as engines
from realtime_mer.recognize.opening import open_model
from realtime_mer.recognize.spec import ModelSpec
from train import models
from train.records import THREE

NETWORKS = ("efficient-me", "efficient-me-lite", "mobilenet-v3-small", "ststnet")
SIZES = {"ststnet": 28}  # px; the others run at --size
BATCHES = (1, 8, 64)
WARM = 5  # rounds before the clock counts
ROUNDS = 60  # at least so many rounds in each cell: a 99th percentile of fewer says nothing
TORCH, ORT, OURS, INT8 = "torch", "ONNX Runtime FP32", "this runtime FP32", "ONNX Runtime INT8"


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured, and how.

    data: folder of data sets with CASME II in it, to train on real clips first; None: random weights, so speed and
    parity only. cache: for inputs and trained folds. networks: keys of ``train.models.MODELS``. size: px of the input,
    where SIZES does not say. threads: of every back end, one table each. busy: so many cores do other work meanwhile.
    seconds: for each network, back end and batch.
    """

    data: Path | None = None
    cache: Path = Path("runs/benchmark-models")
    networks: Sequence[str] = NETWORKS
    size: int = 112
    threads: Sequence[int] = (1,)
    busy: int = 0
    seconds: float = 3.0


def run(options: Options) -> Iterator[str]:
    """Measures what the options ask for: the tables as Markdown, each as soon as it is there. Raises MerError."""
    for name in options.networks:
        models.find(name)
    cv2.setNumThreads(1)
    yield tables.machine(options.busy, bool(options.data))
    changes: dict[str, folds.Change] = {}
    skipped: dict[str, str] = {}
    work_of: dict[str, tables.Work] = {}
    for threads in options.threads:
        torch.set_num_threads(threads)
        rows: list[tables.Row] = []
        for name in options.networks:
            trained = _trained(name, options)
            work_of[name] = _work(trained[0])
            with tempfile.TemporaryDirectory() as work:
                answers = [back_ends(fold, Path(work, str(i)), threads, skipped) for i, fold in enumerate(trained)]
                with _busy(options.busy):
                    rows += time_all(name, answers[0], trained[0].test, options.seconds)
                if options.data and name not in changes:
                    plain = [{k: run for k, (run, _) in one.items()} for one in answers]
                    changes[name] = folds.change(trained, plain, TORCH)
        with _busy(options.busy):
            rows += time_all("default (shipped)", _default(threads), _noise(128), options.seconds)
        yield tables.speed(rows, threads, TORCH)
        yield tables.roofline(rows, work_of)
    if changes:
        yield tables.changes(changes, TORCH)
    yield tables.not_run(skipped)


def back_ends(fold: Trained, work: Path, threads: int, skipped: dict[str, str]) -> dict[str, tuple[Answer, int]]:
    """Everything that can run this network here, with the size of its file in bytes (0: none)."""
    work.mkdir()
    name, spec = fold.spec.name, fold.spec
    plain, small = work / "m.onnx", work / "m-int8.onnx"
    whole = Probabilities(fold.module, spec.temperature).eval()
    to_onnx.export(fold.module, spec, plain)
    calibration = Data(fold.train, None)
    small_model = int8.to_proto(to_onnx.read(plain)[0], fold.train)
    to_onnx.set_spec(small_model, spec)
    to_onnx.write(small_model, small)
    found: dict[str, tuple[Answer, int]] = {
        TORCH: (_eager(whole), 0),
        ORT: (plain_session(str(plain), threads), plain.stat().st_size),
        INT8: (plain_session(str(small), threads), small.stat().st_size),
    }
    if threads == 1:
        found[OURS] = (open_model(plain, "cpu").classify, plain.stat().st_size)
    for label, start in _gpu(plain, fold.module, spec, calibration, work).items():
        try:
            found[label] = (start(), 0)
        except (DeviceError, ModelError) as error:
            skipped[f"{name}, {label}"] = str(error)
    return found


def _gpu(
    plain: Path, module: torch.nn.Module, spec: ModelSpec, calibration: Data, work: Path
) -> dict[str, Callable[[], Answer]]:
    """The GPU back ends by name, each as a function that opens it, or raises DeviceError or ModelError."""

    def graph() -> Answer:
        path = pt2.export(module, spec, work / "m.pt2").path
        return programs.load(path, spec, "cuda")[1]

    def engine(precision: str) -> Answer:
        path = tensorrt.from_onnx(plain, work / f"m.{precision}.engine", precision, calibration)
        return engines.load(path, spec)[1]

    def checked(start: Callable[[], Answer]) -> Answer:
        if not device.gpu():
            raise DeviceError("no NVIDIA GPU was available")
        return start()

    found: dict[str, Callable[[], Answer]] = {"torch CUDA graph": partial(checked, graph)}
    for precision in tensorrt.PRECISIONS:
        found[f"TensorRT {precision.upper()}"] = partial(checked, partial(engine, precision))
    return found


def time_all(
    name: str, running: dict[str, tuple[Answer, int]], samples: NDArray[np.float32], seconds: float
) -> list[tables.Row]:
    """Times every back end in turns, for each batch, and compares the answers with the first one's."""
    reference = next(iter(running.values()))[0](samples)
    rows = []
    for batch in BATCHES:
        x = np.resize(samples, (batch, *samples.shape[1:]))
        times: dict[str, list[float]] = {label: [] for label in running}
        end = time.perf_counter() + seconds * len(running)
        turn = -WARM
        while turn < ROUNDS or time.perf_counter() < end:
            for label, (run, _) in running.items():
                begin = time.perf_counter()
                run(x)
                if turn >= 0:
                    times[label].append(time.perf_counter() - begin)
            turn += 1
        for label, (run, size) in running.items():
            answer = run(samples)
            difference = float(np.abs(answer - reference).max())
            agreement = float(np.mean(answer.argmax(1) == reference.argmax(1)))
            p50, p95, p99 = np.percentile(times[label], (50, 95, 99)) * 1e3
            rows.append(tables.Row(name, label, batch, p50, p95, p99, size, difference, agreement))
    return rows


def _trained(name: str, options: Options) -> list[Trained]:
    """The folds trained on real clips (kept between thread settings), or one with random weights and noise."""
    size = SIZES.get(name, options.size)
    if options.data:
        return folds.trained(name, options.data, size, options.cache)
    torch.manual_seed(0)
    module = models.create(name, len(THREE), feature="flow-uvs/1", size=size).eval()
    spec = ModelSpec(name, "random", THREE, "flow-uvs/1", (3, size, size))
    x = _noise(size)
    return [Trained(module, spec, x, x, np.zeros(len(x), np.int64), ())]


def _work(fold: Trained) -> tables.Work:
    """Operations of one sample as torch counts them (convolutions and matrix products), and the bytes it needs."""
    x = torch.zeros(1, *fold.spec.input_shape)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        fold.module(x)
    weights = 4.0 * sum(p.numel() for p in fold.module.parameters())
    return tables.Work(counter.get_total_flops(), weights, 4.0 * (x.numel() + len(fold.spec.labels)))


def _default(threads: int) -> dict[str, tuple[Answer, int]]:
    """The shipped model. It is an ONNX file only, so it has no row by torch."""
    path = runtime.find(runtime.DEFAULT)
    opened = open_model(path, "cpu")
    size = path.stat().st_size
    found = {ORT: (plain_session(str(path), threads), size)}
    return {**found, OURS: (opened.classify, size)} if threads == 1 else found


def _eager(module: torch.nn.Module) -> Answer:
    module = module.to(memory_format=torch.channels_last)

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(x).contiguous(memory_format=torch.channels_last)))

    return run


def plain_session(model: str | bytes, threads: int) -> Answer:
    """Plain ONNX Runtime on a file or its content, as its documentation shows it; all answers side by side, but for the
    map of an Attention Branch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs() if output.name != ATTENTION]

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        answers = session.run(outputs, {INPUT: x})
        return answers[0] if len(answers) == 1 else np.concatenate(answers, axis=1)

    return run


def _noise(size: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((64, 3, size, size), dtype=np.float32)


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """Keeps ``count`` cores at the motion lane's work (flow at 128 px) as long as the block lasts."""
    workers = [multiprocessing.get_context("spawn").Process(target=_flow, daemon=True) for _ in range(count)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _flow() -> None:
    cv2.setNumThreads(1)
    first, second = np.random.default_rng(0).integers(0, 255, (2, 128, 128), np.uint8)
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]  # stubs lack DIS
    while True:
        flow.calc(first, second, None)
