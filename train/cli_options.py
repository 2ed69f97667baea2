"""Options that several training commands share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

DATA_FOLDER = "REALTIME_MER_DATA"


def add_data(parser: argparse.ArgumentParser) -> None:
    """--data."""
    default = Path(os.environ.get(DATA_FOLDER, "data"))
    parser.add_argument(
        "--data",
        type=Path,
        default=default,
        metavar="DIR",
        help=f"folder that holds the data sets (default: data, or ${DATA_FOLDER})",
    )


def add_common(parser: argparse.ArgumentParser) -> None:
    """--data, --out, --device, --threads and --quiet."""
    add_data(parser)
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="keep runs here (default: runs)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, or cuda:N for GPU number N (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's choice)")
    parser.add_argument("--quiet", action="store_true", help="hide progress bars")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """--jobs."""
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="train N folds at a time, each in a process with one CPU thread",
    )


def prepare_torch(args: argparse.Namespace) -> None:
    """Threads and repeatable arithmetic, once, before anything is trained. Raises DeviceError."""
    import torch

    from train.unit import open_unit

    if args.threads > 0:
        torch.set_num_threads(args.threads)
    if open_unit(args.device).gpu:
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
