"""Splits a multipart body into its parts (RFC 2046, section 5.1). Does no input or output of its own."""

from __future__ import annotations

from collections.abc import Iterator

PART_BYTES = 1 << 26  # largest JPEG; a larger part, or this much data without a boundary, is not MJPEG
HEADER_BYTES = 1 << 16  # as http.client allows for one line
HEADER_END = b"\r\n\r\n"


class Parts:
    """Splits a body that arrives in pieces into (headers, content). Each byte is examined once, so time is linear.

    Cameras disagree on whether the declared boundary includes its two dashes; either is understood. A part with
    Content-Length is returned when it is complete, any other when the next boundary has arrived.
    """

    def __init__(self, boundary: str) -> None:
        self._mark = b"--" + boundary.strip('"').lstrip("-").encode("latin-1", "replace")
        self._data = bytearray()
        self._searched = 0  # bytes already searched without a match
        self._passed = 0  # bytes discarded in the search for a boundary
        self._inside = False  # the data start with a boundary
        self._headers: dict[str, str] | None = None
        self._size: int | None = None  # of the content, when the headers give it

    def push(self, data: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
        """The parts that ``data`` completes. Raises ValueError when this cannot be a multipart body."""
        self._data += data
        while (part := self._next()) is not None:
            yield part

    def _next(self) -> tuple[dict[str, str], bytes] | None:
        if self._headers is None and not self._read_headers():
            return None
        size = self._find(self._mark) if self._size is None else self._size
        if size < 0 or len(self._data) < size:
            if max(size, len(self._data)) > PART_BYTES:
                raise ValueError(f"an image of more than {PART_BYTES >> 20} MiB: this is not an MJPEG stream")
            return None
        assert self._headers is not None
        headers, self._headers, content = self._headers, None, bytes(self._data[:size])
        self._drop(size)
        return headers, content

    def _read_headers(self) -> bool:
        """True when the headers of the next part are complete."""
        if not self._inside:
            start = self._find(self._mark)
            self._passed += self._drop(start if start >= 0 else self._searched)
            if self._passed > PART_BYTES:
                raise ValueError(f"no boundary in {PART_BYTES >> 20} MiB: this is not an MJPEG stream")
            if start < 0:
                return False
            self._inside, self._passed = True, 0
        end = self._find(HEADER_END)
        if end < 0:
            if len(self._data) > HEADER_BYTES:
                raise ValueError(f"the headers of an image are longer than {HEADER_BYTES >> 10} KiB")
            return False
        lines = bytes(self._data[:end]).decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines)
        self._headers = {key.strip().lower(): value.strip() for key, _, value in pairs}
        self._drop(end + len(HEADER_END))
        self._inside, self._size = False, _size(self._headers)
        return True

    def _find(self, what: bytes) -> int:
        at = self._data.find(what, self._searched)
        self._searched = 0 if at >= 0 else max(len(self._data) - len(what) + 1, 0)
        return at

    def _drop(self, count: int) -> int:
        del self._data[:count]
        self._searched = 0
        return count


def _size(headers: dict[str, str]) -> int | None:
    """Content-Length, None when it is missing or not a number. Raises ValueError when it is unreasonable."""
    given = headers.get("content-length", "")
    if not (given.isascii() and given.isdigit()):
        return None
    size = int(given) if len(given) < 20 else PART_BYTES + 1
    if size > PART_BYTES:
        raise ValueError(f"an image of more than {PART_BYTES >> 20} MiB: this is not an MJPEG stream")
    return size
