"""``python -m train reproduce PAPER``: prints each table of a paper beside ours, and stores what was run."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Final

from realtime_mer.errors import ConfigError, DataError, MerError, ModelError
from train.cli_options import add_common, add_jobs, prepare_torch
from train.reproduce.common import RecipeOnlyError, Setting, Table
from train.runs import store

PAPERS: Final = {
    "abrazak2023": "Ab Razak & Sahran 2023: Efficient-ME, static apex, MEGC2019",
    "ho2023": "Ho et al. 2023: six pre-trained networks on frames of CASME II",
    "ibrahim2020": "Ibrahim et al. 2020: five ResNets on onset, apex and offset frames",
    "hata2025": "Hata et al. 2025: regions, three frames, attention branch, ArcFace",
    "peng2018": "Peng et al. 2018: ResNet-10 from macro to micro, MEGC2018",
    "selection": "STSTNet with a fixed last epoch, and what choosing the epoch on the test subject adds",
}

SCALES: Final = ("quick", "full")  # of papers that define no others


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    papers = "\n".join(f"  {name:12} {what}" for name, what in PAPERS.items())
    parser.epilog = f"papers:\n{papers}"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("paper", choices=PAPERS, metavar="PAPER", help=f"paper to reproduce: {', '.join(PAPERS)}")
    parser.add_argument("--table", action="append", metavar="N", help="only this table; repeatable")
    parser.add_argument(
        "--scale", choices=("quick", "cpu", "full"), default="quick",
        help="quick: reduced, minutes on a CPU; cpu: what two cores can do in hours; full: the paper's own size",
    )  # fmt: skip
    parser.add_argument(
        "--protocol", choices=("as-published", "clean"), default="as-published",
        help="as-published: the paper's protocol and the clean one; clean: only the clean one",
    )  # fmt: skip
    parser.add_argument(
        "--weights", default="", metavar="W", help="start from imagenet, none or a file (default: the recipe's)"
    )
    parser.add_argument("--recipe", action="store_true", help="print the recipe of each row as TOML and train nothing")
    add_common(parser)
    add_jobs(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the tables. Returns 0. Raises ConfigError; DataError or ModelError when no table could be run."""
    prepare_torch(args)
    module = importlib.import_module(f"train.reproduce.{args.paper}")
    wanted = tuple(args.table or module.TABLES)
    if unknown := [number for number in wanted if number not in module.TABLES]:
        raise ConfigError(f"{args.paper} has no table {unknown[0]} here: choose from {', '.join(module.TABLES)}")
    if args.scale not in (scales := getattr(module, "SCALES", SCALES)):
        raise ConfigError(f"{args.paper} has no scale {args.scale}: choose from {', '.join(scales)}")
    setting = Setting(
        args.data,
        args.out,
        args.scale,
        args.protocol == "as-published",
        args.weights,
        args.device,
        args.quiet,
        args.jobs,
        args.recipe,
    )
    missing: MerError | None = None
    done = 0
    for number in wanted:
        try:
            for table in module.tables(setting, (number,)):
                done += 1
                if not args.recipe:
                    print(table.text(), end="\n\n", flush=True)
                    _keep(setting.out / f"{args.paper}-{args.scale}" / "tables.json", table)
        except RecipeOnlyError:
            done += 1
        except (DataError, ModelError) as error:  # for this table only; others may have what they need
            missing = error
            print(f"{args.paper}, table {number}: not run: {error}", file=sys.stderr, flush=True)
    if missing is not None and not done:
        raise missing
    return 0


def _keep(file: Path, table: Table) -> None:
    """Stores the table in the file of this paper and scale, in place of an earlier one."""
    tables = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    tables[table.number] = dataclasses.asdict(table)
    store(file, tables)
