"""Measurements behind the figures in the docs: ``python -m benchmarks.NAME``."""

import realtime_mer.privacy  # noqa: F401 - first, because libraries read its variables while they are imported
