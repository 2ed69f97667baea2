"""Prints events while they happen, from a program that was started with --to ws://127.0.0.1:8765.

    realtime-mer live 0 --to ws://127.0.0.1:8765
    python demos/listen.py [ADDRESS]

It waits for the other program, and connects again when that is started again. Needs websockets.
"""

import json
import sys
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def listen(address: str, runs: int | None = None) -> int:
    """Prints a line per event until so many runs have ended; returns how many micro-expressions were told."""
    confirmed = ended = 0
    while runs is None or ended < runs:
        try:
            with connect(address) as socket:
                for text in socket:
                    message = json.loads(text)
                    if message["type"] == "event":
                        name = f"face {message['track']}, movement {message['id']}"
                        print(f"{message['report']:6} {name}: {message['status']}, apex {message['apex']:.3f} s")
                        confirmed += message["report"] == "end" and message["status"] == "confirmed"
                    ended += message["type"] == "end"
        except (ConnectionClosed, OSError):
            time.sleep(0.2)
    return confirmed


if __name__ == "__main__":
    try:
        listen(*sys.argv[1:2] or ["ws://127.0.0.1:8765"])
    except KeyboardInterrupt:
        sys.exit(130)
