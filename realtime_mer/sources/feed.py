"""The contract of all sources, and the thread and queue behind it. The other modules read.

A source is a generator of ``RawFrame``s that runs ahead of its reader in a thread. Recorded sources wait for the reader
and lose nothing; live ones cannot wait, so a frame that finds the queue full is dropped and counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from math import isfinite
from time import monotonic
from types import TracebackType
from typing import NamedTuple, Protocol, Self, runtime_checkable

from realtime_mer.errors import SourceError
from realtime_mer.records import Frame, Gray, Image, SourceInfo, SourceStats
from realtime_mer.sources.gaps import Gaps
from realtime_mer.sources.repeats import Repeats

AHEAD_FRAMES = 16  # how far a recorded source is read ahead, to even out the decoder's pace; costs 5 MB at 640x480
UNSEEN_S = 0.04  # a longer damaged part is a hole: the shortest micro-expression takes this long
ROUNDING_S = 0.001  # common rounding of timestamps
NO_BEAT = "lost frames cannot be counted: the frames do not arrive at a regular rate"
NO_BEAT_FRAMES = 200  # frames before this is reported
PACE = 0.2  # weight of the newest interval in the reader's mean time per frame
JOIN_S = 1.0  # how long close() waits for the capture thread


@runtime_checkable
class Source(Protocol):
    """What every source offers. It can be iterated once; afterwards it must be opened again.

    Iterating gives ``Frame``s with strictly increasing times and raises SourceError when the source fails. They are of
    ``info.size`` unless the size changes in the middle: the first frame of another size has a ``hole``. ``close`` may
    be called at any time, from any thread, more than once; iteration then ends.
    """

    @property
    def info(self) -> SourceInfo: ...

    def __iter__(self) -> Iterator[Frame]: ...

    def stats(self) -> SourceStats: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RawFrame(NamedTuple):
    """A frame as read, before it is accepted. ``time`` is None if the source gave none.

    hole, lost, keyframe: as of a Frame.
    """

    time: float | None
    gray: Gray
    to_bgr: Callable[[], Image] | None
    hole: float = 0.0
    lost: int = 0
    keyframe: bool = False


RawFrames = Generator[RawFrame, None, None]


@dataclass(slots=True)
class Counts:
    """Current counts, as in SourceStats; written by the capture thread (``delivered`` by the reader)."""

    captured: int = 0
    delivered: int = 0
    dropped: int = 0
    missed: int = 0  # of a recorded source; ``Gaps`` estimates those of a live one
    skipped: int = 0
    reconnects: int = 0
    repeated: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def skip(self, reason: str = "damaged", frames: int = 1) -> None:
        """Count frames that exist but cannot be used. reason: completes "3 frames skipped: ..."."""
        self.captured += frames
        self.skipped += frames
        self.reasons[reason] = self.reasons.get(reason, 0) + frames

    def note(self, text: str) -> None:
        """Adds a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def stats(self) -> SourceStats:
        return SourceStats(
            captured=self.captured,
            delivered=self.delivered,
            dropped=self.dropped,
            missed=self.missed,
            reconnects=self.reconnects,
            skipped=self.skipped,
            repeated=self.repeated,
            reasons=dict(self.reasons),
            notes=tuple(self.notes),
        )


class Feed(Source):
    """A Source made from a generator of raw frames. Live sources capture from the start, recorded ones when first read.

    first:  the raw frame that was read at opening to learn the size.
    stop:   set by ``close``; the generator must end soon after. abort: unblocks it when it waits on a network.
    buffer_s: how much a live source may buffer for a slow reader, in s of capture time.
    numbered: a live source whose raw frames have the number lost before them, so that nothing is estimated.
    """

    def __init__(
        self,
        info: SourceInfo,
        first: RawFrame,
        raw_frames: RawFrames,
        counts: Counts,
        stop: threading.Event,
        *,
        abort: Callable[[], None] | None = None,
        buffer_s: float = 1.0,
        numbered: bool = False,
    ) -> None:
        self._info, self._first, self._raw_frames, self._counts, self._stop = info, first, raw_frames, counts, stop
        self._abort, self._buffer_s, self._gaps, self._numbered = abort, buffer_s, Gaps(), numbered
        self._queue: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._reading = self._done = False
        self._error: BaseException | None = None
        self._last: float | None = None
        self._index = self._lost = self._skipped_before = 0
        self._hole, self._size, self._repeats = 0.0, info.size, Repeats()
        self._keyframe = False  # there was one since the last queued frame, from which later ones are predicted
        self._pace = 0.0  # reader's time per frame, s
        self._thread = threading.Thread(target=self._run, name=f"source {info.uri}", daemon=True)
        if info.live:
            self._thread.start()

    @property
    def info(self) -> SourceInfo:
        return self._info

    def stats(self) -> SourceStats:
        stats = self._counts.stats()
        if not self._info.live or self._numbered:
            return stats
        missed = self._gaps.missed
        notes = (*stats.notes, NO_BEAT) if missed is None and stats.captured >= NO_BEAT_FRAMES else stats.notes
        return replace(stats, missed=missed, notes=notes)

    def __iter__(self) -> Iterator[Frame]:
        if self._stop.is_set():
            raise SourceError(f"{self._info.uri} is closed: open it again")
        if self._reading:
            raise SourceError(f"{self._info.uri} can be read only once: open it again")
        with self._changed:
            self._reading = True
        if not self._info.live:
            self._thread.start()
        return self._frames()

    def close(self) -> None:
        with self._changed:
            self._stop.set()
            self._changed.notify_all()
        if self._abort is not None:
            self._abort()
        if self._thread.ident is None:  # never read, so that nothing else ends the generator
            self._raw_frames.close()
        elif self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    def _frames(self) -> Iterator[Frame]:
        taken = None
        while True:
            with self._changed:
                if taken is not None and self._queue:  # the frame was waiting: the reader's own pace
                    self._pace += PACE * (monotonic() - taken - self._pace)
                while not (self._queue or self._done or self._stop.is_set()):
                    self._changed.wait()
                if self._stop.is_set():
                    return
                if not self._queue:
                    break
                frame, taken = self._queue.popleft(), monotonic()
                self._counts.delivered += 1
                self._changed.notify_all()
            yield frame
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._take(self._first)
            for raw in self._raw_frames:
                if self._stop.is_set():
                    break
                self._take(raw)
        except BaseException as error:  # passed to the reader, who raises it
            self._error = error
        finally:
            self._raw_frames.close()
            self._gaps.finish()
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _full(self, time: float) -> bool:
        """Whether a live source has no room for the frame captured at ``time``: no buffered frame may become older than
        ``buffer_s``. A reader slower than the camera gets less buffer, so that its frames are evenly spaced."""
        usual, pace = self._gaps.usual, self._pace
        if usual is None:
            places = AHEAD_FRAMES
        elif pace > usual:
            # one less, because at the age limit itself it would alternate between stop and go
            places = max(int(self._buffer_s / pace) - 1, 1)
        else:
            places = max(round(self._buffer_s / usual), AHEAD_FRAMES)  # in a burst, many frames arrive at once
        return len(self._queue) >= places or (bool(self._queue) and time - self._queue[0].time > self._buffer_s)

    def _take(self, raw: RawFrame) -> None:
        """Numbers and times one raw frame and queues it, waits (recorded), or drops it (live)."""
        counts, live = self._counts, self._info.live
        if live and not self._reading:
            return  # not requested yet, so neither kept nor counted
        self._keyframe |= raw.keyframe
        if raw.time is None or not isfinite(raw.time) or (self._last is not None and raw.time <= self._last):
            counts.skip("without a usable time")
            return
        counts.captured += 1
        counts.missed += raw.lost
        skipped = counts.skipped - self._skipped_before
        unusable = skipped + raw.lost
        self._lost += unusable
        self._hole = max(self._hole, raw.hole, self._unseen(raw.time, raw.gray, unusable))
        self._last, self._skipped_before = raw.time, counts.skipped
        if live:
            judged = (self._gaps.restart(raw.hole) if raw.hole else 0) + self._gaps.judge(raw.time, skipped)
            self._lost += 0 if self._numbered else judged
        with self._changed:
            if live and self._full(raw.time):
                counts.dropped += 1
                self._lost += 1
                return
            while not live and len(self._queue) >= AHEAD_FRAMES and not self._stop.is_set():
                self._changed.wait()
            raw.gray.flags.writeable = False
            repeated = self._repeats.seen(raw.gray)
            counts.repeated += repeated
            before = self._lost, self._hole, repeated, self._keyframe
            self._queue.append(Frame(self._index, raw.time, raw.gray, raw.to_bgr, *before))
            self._changed.notify_all()
        self._index += 1
        self._lost, self._hole, self._keyframe = 0, 0.0, False

    def _unseen(self, time: float, gray: Gray, unusable: int) -> float:
        """Unseen seconds before the frame at ``time``, 0 if negligible.

        unusable: frames since the last one that were damaged or are known to be missing.
        """
        if self._last is None:
            return 0.0
        interval = time - self._last
        size = gray.shape[1], gray.shape[0]
        if size != self._size:
            before, self._size = self._size, size
            if before == self._info.size:  # reported once, as a broken sender may change it in every frame
                words = "the frame size changes from {}x{} to {}x{}: faces are detected again"
                self._counts.note(words.format(*before, *size))
            return interval
        unseen = interval * unusable / (unusable + 1)
        return interval if unseen > UNSEEN_S + ROUNDING_S else 0.0
