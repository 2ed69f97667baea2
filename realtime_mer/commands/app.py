"""``realtime-mer app``: the front end in a browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from realtime_mer.commands.options import Commands, add_settings, add_targets, settings, targets
from realtime_mer.errors import ConfigError


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("app", help="the front end in a browser: live, recorded, benchmark")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--share", action="store_true", help="also reachable through Gradio's public relay")
    parser.add_argument(
        "--server-cameras",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="lend this machine's cameras and network to viewers (default: only when nobody else can reach the page)",
    )
    parser.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME",
        help="a name that the page is reached by, such as that of a proxy; may be given several times",
    )  # fmt: skip
    parser.add_argument("--root-path", default="", metavar="PATH", help="the path that a proxy serves the page under")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="where recordings and reviews stay (default: removed at the end)"
    )
    parser.add_argument(
        "--auth", type=Path, metavar="FILE", help="ask for a password: a file with a line NAME:PASSWORD each"
    )
    add_targets(parser)
    add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves until Ctrl-C."""
    from realtime_mer.app.server import serve
    from realtime_mer.app.settings import AppSettings, read_passwords

    if not 0 <= arguments.port < 65536:
        raise ConfigError("--port takes a number from 0 to 65535")
    root = "/" + arguments.root_path.strip("/") if arguments.root_path.strip("/") else ""
    with targets(arguments) as sending:
        serve(
            AppSettings(
                settings(arguments),
                arguments.host,
                arguments.port,
                arguments.share,
                arguments.server_cameras,
                allowed_hosts=tuple(name.lower() for name in arguments.allowed_host),
                root_path=root,
                keep=arguments.keep,
                passwords=read_passwords(arguments.auth) if arguments.auth else {},
                targets=tuple(sending),
            )
        )
    return 0
