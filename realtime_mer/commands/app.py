"""``realtime-mer app``: the front end in a browser."""

from __future__ import annotations

import argparse

from realtime_mer.commands.options import Commands, add_settings, settings
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
    add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves until Ctrl-C."""
    from realtime_mer.app.server import serve
    from realtime_mer.app.settings import AppSettings

    if not 0 <= arguments.port < 65536:
        raise ConfigError("--port takes a number from 0 to 65535")
    serve(AppSettings(settings(arguments), arguments.host, arguments.port, arguments.share, arguments.server_cameras))
    return 0
