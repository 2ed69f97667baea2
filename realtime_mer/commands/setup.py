"""``realtime-mer setup``: downloads and verifies the face model, once."""

from __future__ import annotations

import argparse

from realtime_mer.commands.options import Commands


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("setup", help="Download the face model (3.8 MB); needed once")
    parser.set_defaults(run=run)


def run(_arguments: argparse.Namespace) -> int:
    """Downloads the face model if it is missing."""
    from realtime_mer.assets import fetch_face_model

    print(f"face model: {fetch_face_model()}")
    return 0
