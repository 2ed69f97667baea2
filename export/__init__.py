"""Exports trained recognizers to ONNX, INT8 and TensorRT: ``python -m export``."""

import realtime_mer.privacy  # noqa: F401 - first, because libraries read its variables while they are imported
