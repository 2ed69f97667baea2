"""Trains, evaluates and calibrates recognizers: ``python -m train``."""

import realtime_mer.privacy  # noqa: F401 - first, because libraries read its variables while they are imported
