"""What the tests of the command line share: running the command, and pictures for a camera on the loopback."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from realtime_mer.bench.sender import MjpegSender

COMMAND = (sys.executable, "-m", "realtime_mer.cli")


def start(*arguments: str | Path, **options) -> subprocess.Popen:
    """The command in a process of its own, with text pipes; Ctrl-C reaches it.

    A shell that starts a job in the background has it ignore SIGINT, and so do the tests' own children then.
    """
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([*COMMAND, *map(str, arguments)], **options)
    finally:
        signal.signal(signal.SIGINT, ignored)


def encoded(pictures) -> list[bytes]:
    """Each picture as JPEG."""
    return [cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() for picture in pictures]


def play(pictures: Sequence[bytes], fps: float = 100.0) -> MjpegSender:
    """A camera on the loopback that sends the pictures once, with their times, and then stays connected."""
    return MjpegSender(pictures, fps, repeat=False, stamped=True)
