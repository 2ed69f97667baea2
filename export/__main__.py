"""`python -m export COMMAND`: arguments in, a few lines out; the work is in the modules."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_mer.commandline import Parser
from realtime_mer.console import finish
from realtime_mer.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from export.program import Report
    from realtime_mer.recognize.spec import ModelSpec


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or that of the MerError whose line was printed."""

    def command() -> int:
        arguments = parser().parse_args(argv)
        arguments.run(arguments)
        return 0

    return finish(command, "python -m export", "interrupted")


def _onnx(a: argparse.Namespace) -> None:
    from export import to_onnx
    from train import checkpoint

    module, spec = checkpoint.load(a.checkpoint)
    report = to_onnx.export(module, spec, a.out or a.checkpoint.with_suffix(".onnx"))
    _print(report, spec)


def _pt2(a: argparse.Namespace) -> None:
    from export import pt2
    from train import checkpoint

    module, spec = checkpoint.load(a.checkpoint)
    _print(pt2.export(module, spec, a.out or a.checkpoint.with_suffix(".pt2")), spec)


def _print(report: Report, spec: ModelSpec) -> None:
    from export.program import TOLERANCE

    print(f"{report.path}: {spec.id}, {report.size / 1e6:.2f} MB")
    print(f"largest difference from torch at batch 1 and 8: {report.difference:.2g} (allowed {TOLERANCE:g})")


def _int8(a: argparse.Namespace) -> None:
    from export import data, int8, to_onnx

    _, spec = to_onnx.read(a.model)
    calibration = data.load(a.calibrate, spec, a.fps)
    held_out = data.load(a.on, spec, a.fps) if a.on else None
    target = a.out or a.model.with_name(f"{a.model.stem}-int8.onnx")
    report = int8.quantize(a.model, target, calibration, held_out, a.signed)
    print(f"{report.path}: {report.int8_size / 1e6:.2f} MB instead of {report.fp32_size / 1e6:.2f} MB")
    ratio = report.fp32_ms / report.int8_ms
    print(
        f"one sample on one CPU thread: {report.fp32_ms:.3f} ms -> {report.int8_ms:.3f} ms ({ratio:.2f} times as fast)"
    )
    print(f"{report.comparison}{'' if held_out else ' (on the calibration samples)'}")


def _tensorrt(a: argparse.Namespace) -> None:
    from export import data, tensorrt, to_onnx
    from train import checkpoint

    target = a.out or a.model.with_suffix(f".{a.precision}.engine")
    if a.model.suffix == ".onnx":
        _, spec = to_onnx.read(a.model)
        if a.precision == "int8" and not a.calibrate:
            raise ConfigError("int8 needs samples to calibrate on: give --calibrate DATA")
        calibration = data.load(a.calibrate, spec, a.fps) if a.calibrate else None
        tensorrt.from_onnx(a.model, target, a.precision, calibration)
    else:
        module, spec = checkpoint.load(a.model)
        tensorrt.from_checkpoint(module, spec, target, a.precision)
    print(f"{target}: {spec.id} in {a.precision}, its spec beside it")


def _verify(a: argparse.Namespace) -> None:
    from export import data, verify
    from realtime_mer.recognize.opening import open_model

    spec = open_model(a.first, "auto" if a.first.suffix == ".engine" else "cpu").spec
    print(verify.compare(a.first, a.second, data.load(a.on, spec, a.fps), a.device))


def _bench(a: argparse.Namespace) -> None:
    from export.bench import measure

    chosen = {"networks": a.networks} if a.networks else {}
    options = measure.Options(a.data, a.cache, size=a.size, threads=a.threads, busy=a.busy, seconds=a.seconds, **chosen)
    parts = []
    for text in measure.run(options):
        print(text, flush=True)
        parts.append(text)
    if a.out is not None:
        try:
            a.out.parent.mkdir(parents=True, exist_ok=True)
            a.out.write_text("\n".join([*parts, ""]), encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {a.out}: {error.strerror or error}") from None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = Parser(
        prog="python -m export",
        description="Exports trained recognizers, and compares model files.",
        epilog="Run `python -m export COMMAND --help` for a command's options.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    onnx = commands.add_parser("onnx", help="Export a checkpoint to ONNX and check it against torch")
    onnx.add_argument("checkpoint", type=Path, metavar="MODEL.pt", help="checkpoint written by `python -m train fit`")
    onnx.add_argument("--out", type=Path, help="output file (default: beside the checkpoint)")
    onnx.set_defaults(run=_onnx)

    pt2 = commands.add_parser("pt2", help="Export a checkpoint to a torch program (.pt2), for torch on a GPU")
    pt2.add_argument("checkpoint", type=Path, metavar="MODEL.pt", help="checkpoint written by `python -m train fit`")
    pt2.add_argument("--out", type=Path, help="output file (default: beside the checkpoint)")
    pt2.set_defaults(run=_pt2)

    int8 = commands.add_parser("int8", help="Quantize an ONNX file; reports accuracy and latency before and after")
    int8.add_argument("model", type=Path, metavar="MODEL.onnx", help="model to quantize")
    _data(int8, "--calibrate", "samples for the ranges", required=True)
    int8.add_argument("--on", type=Path, help="samples for the comparison (default: the calibration samples)")
    int8.add_argument(
        "--signed", action="store_true", help="make a file that TensorRT accepts too; several times slower on a CPU"
    )
    int8.add_argument("--out", type=Path, help="output file (default: MODEL-int8.onnx)")
    int8.set_defaults(run=_int8)

    trt = commands.add_parser(
        "tensorrt", help="Build a TensorRT engine from an ONNX file, or from a checkpoint with torch-tensorrt"
    )
    trt.add_argument("model", type=Path, metavar="MODEL", help="ONNX file or checkpoint (.pt)")
    trt.add_argument(
        "--precision", default="fp16", choices=("fp32", "fp16", "int8"), help="arithmetic (default: %(default)s)"
    )
    _data(trt, "--calibrate", "samples for the ranges (int8 only)", required=False)
    trt.add_argument("--out", type=Path, help="output file (default: MODEL.PRECISION.engine)")
    trt.set_defaults(run=_tensorrt)

    verify = commands.add_parser("verify", help="Compare two files of one model: largest difference, agreement, score")
    verify.add_argument("first", type=Path, metavar="FIRST", help="model file")
    verify.add_argument("second", type=Path, metavar="SECOND", help="model file to compare it with")
    _data(verify, "--on", "samples", required=True)
    verify.add_argument(
        "--device",
        default="cpu",
        choices=("auto", "cpu", "cuda", "tensorrt"),
        help="device that runs both (default: %(default)s)",
    )
    verify.set_defaults(run=_verify)

    bench = commands.add_parser("bench", help="Benchmark networks on every back end: time, size, accuracy")
    bench.add_argument("--data", type=Path, help="folder of data sets with CASME II, to train on real clips first")
    bench.add_argument("--out", type=Path, metavar="FILE", help="write the tables as Markdown")
    bench.add_argument(
        "--cache",
        type=Path,
        default=Path("runs/benchmark-models"),
        metavar="DIR",
        help="keep inputs and trained folds here (default: %(default)s)",
    )
    bench.add_argument("--networks", nargs="+", metavar="NAME", help="networks of `train.models` (default: four)")
    bench.add_argument(
        "--size", type=int, default=112, help="input size in px (ststnet: always 28) (default: %(default)s)"
    )
    bench.add_argument(
        "--threads",
        nargs="+",
        type=int,
        default=[1],
        metavar="N",
        help="CPU threads; one table for each value (default: 1)",
    )
    bench.add_argument("--busy", type=int, default=0, metavar="N", help="keep N cores busy with other work meanwhile")
    bench.add_argument(
        "--seconds", type=float, default=3.0, help="seconds per network, back end and batch size (default: %(default)g)"
    )
    bench.set_defaults(run=_bench)
    return top


def _data(parser: argparse.ArgumentParser, flag: str, what: str, required: bool) -> None:
    about = f"{what}: an npz (x and, if known, y) or a folder of clips"
    parser.add_argument(flag, type=Path, metavar="DATA", required=required, help=about)
    parser.add_argument("--fps", type=float, default=200.0, help="frame rate of the clips in a folder (default: 200)")


if __name__ == "__main__":
    sys.exit(main())
