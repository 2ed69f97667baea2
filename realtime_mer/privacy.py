"""Turns off the telemetry of other libraries before any of them is imported.

Some dependencies report usage to their vendors unless an environment variable forbids it. ONNX Runtime does so on
Linux, too: importing it writes a lasting device id and a queue of reports into the user's cache, and seconds later it
looks up its vendor's host. It reads its variable only while it is imported; ``disable_telemetry_events()`` stops none
of this.

Importing this module sets the variables. Nothing else in this project has an effect when it is imported; this has,
because every later moment is too late. ``realtime_mer``, ``train`` and ``export`` each import it before anything else,
and subprocesses inherit the variables. A value that asks for reports is overridden: nothing leaves the machine,
whatever else the environment was set up for.
"""

from __future__ import annotations

import os
import sys
from typing import Final

# What each library reads. All of them are set whether or not the library is installed.
SWITCHES: Final = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime
    "GRADIO_ANALYTICS_ENABLED": "False",  # Gradio, which also asks for its newest version; "False", spelled so
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub and hf_xet, which Gradio and timm bring along
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray
    "DO_NOT_TRACK": "1",  # a convention that huggingface_hub and many command-line tools follow
}
_OFF: Final = ("1", "true")  # values with which ONNX Runtime stays silent


def _turn_off() -> str:
    """Sets every variable; returns a line for the user when that is too late for a library, else "".

    Only ONNX Runtime can be too late: Gradio reads its variable at each use, and huggingface_hub reports only what
    Gradio gives it.
    """
    was_off = os.environ.get("ORT_DISABLE_TELEMETRY", "").lower() in _OFF
    os.environ.update(SWITCHES)
    if was_off or "onnxruntime" not in sys.modules:
        return ""
    return (
        "onnxruntime was imported before realtime_mer and may report to its vendor: "
        "import realtime_mer first, or set ORT_DISABLE_TELEMETRY=1 in the environment"
    )


TOO_LATE: Final = _turn_off()
if TOO_LATE:
    # A log record, not a warning: one plain line on standard error unless the program has set up logging, and no
    # exception in a program that turns warnings into errors.
    import logging

    logging.getLogger(__name__).warning(TOO_LATE)
