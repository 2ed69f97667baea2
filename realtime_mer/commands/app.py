"""``realtime-mer app``: the front end in a browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from realtime_mer.commands.options import Commands, add_settings, add_targets, settings, targets
from realtime_mer.errors import ConfigError


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("app", help="Start the browser app: live, recorded, benchmark")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument(
        "--port", type=int, default=7860, help="port to listen on; 0 picks a free one (default: %(default)s)"
    )
    parser.add_argument("--share", action="store_true", help="make the page reachable through Gradio's public relay")
    parser.add_argument(
        "--server-cameras",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let viewers open this server's cameras and streams (default: only if no other machine can reach it)",
    )
    parser.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME",
        help="host name under which the page may be requested, such as a proxy's; repeatable",
    )  # fmt: skip
    parser.add_argument("--root-path", default="", metavar="PATH", help="path under which a proxy serves the page")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep recordings and reviews here (default: delete them on exit)"
    )
    parser.add_argument(
        "--auth", type=Path, metavar="FILE", help="require a password; FILE has one NAME:PASSWORD per line"
    )
    add_targets(parser)
    add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves until Ctrl-C."""
    from realtime_mer.app.server import serve
    from realtime_mer.app.settings import AppSettings, read_passwords

    if not 0 <= arguments.port < 65536:
        raise ConfigError("--port must be from 0 to 65535")
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
