"""``realtime-mer share``: exports the motion of a recording without its pictures, and says which events survive."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Final

from realtime_mer.commands.options import Commands, add_settings, settings
from realtime_mer.commands.screen import RunProgress
from realtime_mer.console import print_status
from realtime_mer.errors import ConfigError
from realtime_mer.sinks import LOG

OUT: Final = Path("shared")


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("share", help="Export a recording's motion and signals without pictures of the face")
    parser.add_argument(
        "result", type=Path, metavar="RESULT", help="results folder of one recording, written by `analyze`"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"output folder (default: {OUT}/ and the name of RESULT)"
    )
    parser.add_argument(
        "--again", action="store_true", help="RESULT is a shared recording; analyze it again with these settings"
    )
    add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shares a recording, or analyzes a shared one again, and prints which of its events survive."""
    from realtime_mer.share.sharing import again, share
    from realtime_mer.share.survival import survivals, text

    result: Path = arguments.result
    if arguments.again:
        if arguments.out is not None:
            raise ConfigError("--again writes nothing: omit --out")
        shared = again(result, partial(settings, arguments))
    else:
        if arguments.config or arguments.set or arguments.model or arguments.device:
            raise ConfigError(
                "a recording is shared with the settings it was analyzed with; use other settings with --again"
            )
        out = arguments.out or OUT / result.resolve().name
        shared = share(result / LOG, out, lambda path, info: [RunProgress(path.name, info)])
        size = sum(path.stat().st_size for path in out.iterdir())
        print_status(f"{out}: {', '.join(sorted(p.name for p in out.iterdir()))}; {size / 1e6:.1f} MB, no picture")
    print(text(*survivals(shared.published, shared.found)))
    return 0
