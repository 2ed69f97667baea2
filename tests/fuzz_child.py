"""What ``test_fuzz`` runs in another process: it reaches libraries in C, and a crash there must not end the tests."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from realtime_mer.errors import MerError

LIMIT_S = 30.0
MEMORY = 4 << 30  # bytes of address space
FRAMES = 100  # of a video that are looked at


class Child:
    """One process at a time; it is replaced when it crashed or hung."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def call(self, function: Callable[..., str], *arguments: Any) -> str:
        """What ``function`` returns; "crashed" or "did not end" when it returns nothing."""
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=_limit)
        try:
            return self._pool.submit(function, *arguments).result(LIMIT_S)
        except BrokenProcessPool:
            self.close()
            return "crashed"
        except TimeoutError:
            self.close()
            return "did not end"

    def close(self) -> None:
        if self._pool is not None:
            for process in (self._pool._processes or {}).values():
                process.kill()
            self._pool.shutdown(cancel_futures=True)
        self._pool = None


def _limit() -> None:
    for stream in (1, 2):  # the libraries say there what they think of each input
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def read_model(content: bytes) -> str:
    """Opens and runs an ONNX file, as a trial does."""
    from realtime_mer.recognize.onnx import OnnxRecognizer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        return _outcome(lambda: OnnxRecognizer(path, tried=True))


def read_video(content: bytes, suffix: str) -> str:
    """Opens a video file and looks at its frames, in gray and in color."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"video{suffix}"
        path.write_bytes(content)
        return _outcome(lambda: _watch(path, None))


def read_images(contents: list[bytes], suffix: str) -> str:
    """Opens a folder of images."""
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(contents):
            (Path(folder) / f"{number}{suffix}").write_bytes(content)
        return _outcome(lambda: _watch(Path(folder), 100.0))


def _watch(path: Path, rate: float | None) -> None:
    from realtime_mer.sources import open_source

    with open_source(path, rate=rate) as source:
        for number, frame in enumerate(source):
            assert frame.image.shape == (*frame.gray.shape, 3)
            if number == FRAMES:
                break
        source.stats()


def _outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except MerError as error:
        assert "\n" not in str(error), str(error)  # noqa: PT017
        return "refused"
    return "read"
