"""The trustworthy frames of a recorded video, in presentation order. ``clock`` puts their times on one clock.

A frame that the decoder could not read completely is never passed on, nor is one predicted from it: missing parts are
filled with gray or old blocks, which would be measured as a movement. Each is counted with its reason.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator
from fractions import Fraction
from typing import NamedTuple

import av
import av.error
from av.filter import Graph

from realtime_mer.sources.feed import Counts

DAMAGED = "damaged"
DEPENDS = "predicted from a damaged frame"
NO_START = "before the first frame that can be decoded"
REORDER_FRAMES = 16  # largest delay between storage and presentation in H.264 and HEVC
HEAL_S = 10.0  # after this long without a key frame, the stream uses gradual refresh


class Picture(NamedTuple):
    """A decoded frame and its time in the container, s, if any.

    frame: None for one that may not be shown; its time counts all the same.
    """

    time: float | None
    frame: av.VideoFrame | None


Pictures = Generator[Picture, None, None]


class Slots:
    """Presentation times for a container that knows only the decoding order.

    AVI numbers the stored frames. With B-frames, storage and presentation order differ, but both fill the same slots:
    each frame that comes out of the decoder takes the earliest one left.
    """

    def __init__(self) -> None:
        self._left: list[int] = []
        self._own: dict[int, int] = {}  # pts as libav guesses it -> number in the file
        self._latest = -1
        self.reordered = False  # a frame's presentation slot differs from its storage slot

    def store(self, packet: av.Packet) -> None:
        if packet.dts is not None:
            heapq.heappush(self._left, packet.dts)
            if packet.pts is not None:
                self._own[packet.pts] = packet.dts

    def take(self, frame: av.VideoFrame) -> int | None:
        """The slot of the next frame, in units of the stream's time base."""
        own = None if frame.pts is None else self._own.pop(frame.pts, None)
        # slots without a frame: nothing stored before a key frame is shown after it
        while own is not None and self._left and self._left[0] < own - (0 if frame.key_frame else REORDER_FRAMES):
            heapq.heappop(self._left)
        if own is not None:
            self.reordered |= own < self._latest
            self._latest = max(self._latest, own)
        return heapq.heappop(self._left) if self._left else own


class Trust:
    """Decides which frames can be trusted: none that the decoder could not read completely, and none predicted from
    such a frame.

    at_once: the decoder reports an error at its packet, not some packets later as with frame threads.
    """

    def __init__(self, counts: Counts, at_once: bool) -> None:
        self._counts, self._at_once = counts, at_once
        self._sent: set[int] = set()  # pts of packets whose frames are pending
        self._failed: set[int | None] = set()  # pts of refused packets
        self._sound: set[int] = set()  # pts of packets sent before the damage
        self._broken = self._started = False
        self._since: float | None = None  # time of the first frame that depends on a damaged one

    def sent(self, packet: av.Packet) -> None:
        """The decoder accepted the packet."""
        if packet.size and packet.pts is not None and not packet.is_discard:
            self._sent.add(packet.pts)

    def refused(self, packet: av.Packet) -> None:
        """The decoder refused the packet, or it is known to be partial."""
        self._counts.skip(DAMAGED if self._started else NO_START)
        self._failed.add(packet.pts)
        self._break(self._sent if self._at_once else set())

    def _break(self, sound: set[int]) -> None:
        self._broken, self._since, self._sound = True, None, set(sound)

    def _passed_over(self, frame: av.VideoFrame) -> None:
        """Counts frames missing before ``frame``: the decoder silently drops those it cannot start from."""
        gone = {pts for pts in self._sent if frame.pts is not None and pts < frame.pts}
        if gone:
            self._sent -= gone
            self._counts.skip(DEPENDS if self._started else NO_START, len(gone))

    def accepts(self, frame: av.VideoFrame, time: float | None) -> bool:
        """Whether the frame may be passed on; counts it otherwise."""
        self._sent -= {frame.pts}
        refused = frame.pts in self._failed  # some come out anyway
        if frame.is_corrupt or refused:
            if not refused:
                self._counts.skip(DAMAGED)
            self._break(set())  # pending frames may depend on it
            return False
        if self._broken and not frame.key_frame and frame.pts not in self._sound:
            self._since = time if self._since is None else self._since
            if time is None or self._since is None or time - self._since < HEAL_S:
                self._counts.skip(DEPENDS)
                return False
        if frame.key_frame or frame.pts not in self._sound:
            if self._broken or not self._started:
                self._passed_over(frame)
                self._failed.clear()  # joined files use the same pts again
            self._broken = False
        self._started = True
        return True


def pictures(
    container: av.container.InputContainer, stream: av.VideoStream, counts: Counts, slots: Slots | None
) -> Pictures:
    """Every frame of the video in presentation order, at the container's own time."""
    base, trust = float(stream.time_base or 1), Trust(counts, stream.codec_context.thread_count == 1)
    for packet in container.demux(stream):
        if slots is not None and packet.size:
            slots.store(packet)
        frames = []
        try:
            if packet.is_corrupt:
                raise av.error.InvalidDataError(0, "")
            frames = packet.decode()
            trust.sent(packet)
        except av.error.InvalidDataError:
            trust.refused(packet)
        for frame in frames:
            ticks = frame.pts if slots is None else slots.take(frame)
            time = None if ticks is None else ticks * base
            yield Picture(time, frame if trust.accepts(frame, time) else None)


def deinterlaced(shown: Pictures, stream: av.VideoStream, counts: Counts) -> Pictures:
    """Makes progressive frames, because the two fields of an interlaced frame are from different moments, which looks
    like a movement.

    Each interlaced frame gives one frame, at its own time, so the frame rate stays the same. Progressive frames are
    unchanged. libav's bwdif uses the frames before and after, so frames come out one later.
    """
    graph, size = None, (0, 0)
    waiting: list[float | None] = []
    for picture in shown:
        frame = picture.frame
        if graph is None and not (frame and frame.interlaced_frame):
            yield picture
            continue
        if frame is None:
            continue
        if graph is None:
            counts.notes.append("interlaced video: deinterlaced (bwdif), at the same frame rate")
        if graph is None or (frame.width, frame.height) != size:
            yield from _drained(graph, waiting)
            graph, size = _bwdif(frame, stream), (frame.width, frame.height)
        waiting.append(picture.time)
        graph.push(frame)
        yield from _ready(graph, waiting)
    yield from _drained(graph, waiting)


def _bwdif(frame: av.VideoFrame, stream: av.VideoStream) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base or Fraction(1, 1000)
    )
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph


def _ready(graph: Graph, waiting: list[float | None]) -> Pictures:
    while waiting:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, av.VideoFrame)
        yield Picture(waiting.pop(0), frame)


def _drained(graph: Graph | None, waiting: list[float | None]) -> Pictures:
    """The remaining frames of a graph at the end of the video, or at a change of size."""
    if graph is not None:
        graph.push(None)
        yield from _ready(graph, waiting)
