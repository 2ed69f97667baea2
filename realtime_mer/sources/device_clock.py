"""Converts a camera's own clock and frame numbers to times on our monotonic clock and an exact count of losses.

A camera stamps a frame with its own clock, with its own origin and speed. The difference between our clock at the
arrival and the stamp is the offset of the clocks plus the transfer time of the frame. The least recent difference is
the offset plus the shortest transfer. So intervals are the camera's own to microseconds, and all times are late by the
same shortest transfer (exposure, read-out, transmission), which cannot be known here.
"""

from __future__ import annotations

import math

WINDOW_S = 10.0  # window for the least difference; two are used
SLEW = 2e-4  # largest relative change of an interval to follow the other clock; crystals differ by 5e-5
JUMP_S = 1.0  # a larger change of the difference means that the camera's clock was reset
SHORT_ID = 0xFFFF  # GigE Vision 1: numbers run from 1 to this, then from 1 again


class DeviceClock:
    """Times of frames on the monotonic clock. ``settle`` it with some frames first, because the very first may be
    late."""

    def __init__(self) -> None:
        self._offset: float | None = None  # from the camera's clock to ours, s
        self._least = self._least_before = math.inf  # least difference in this window and in the previous one, s
        self._window = 0.0  # start of this window, s on our clock
        self._stamp = 0.0

    def settle(self, frames: list[tuple[float, float]]) -> None:
        """Starts with these (stamp, arrival), s."""
        self._start(min(arrived - stamp for stamp, arrived in frames), frames[-1][1])
        self._stamp = frames[-1][0]

    def local(self, stamp: float, arrived: float) -> tuple[float, bool]:
        """The frame's time on the monotonic clock, s, and whether the camera's clock was reset before it."""
        lag = arrived - stamp
        if self._offset is None or stamp <= self._stamp or abs(lag - self._offset) > JUMP_S:
            again = self._offset is not None
            self._start(lag, arrived)
            self._stamp = stamp
            return arrived, again
        if arrived - self._window > WINDOW_S:
            self._window, self._least_before, self._least = arrived, self._least, math.inf
        self._least = min(self._least, lag)
        wanted = min(self._least, self._least_before) - self._offset
        most = SLEW * (stamp - self._stamp)
        self._offset += min(max(wanted, -most), most)
        self._stamp = stamp
        return stamp + self._offset, False

    def _start(self, lag: float, arrived: float) -> None:
        self._offset = self._least = self._least_before = lag
        self._window = arrived


class FrameNumbers:
    """Counts the frames missing between two numbers. 16-bit numbers wrap around."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._lap = SHORT_ID

    def lost(self, number: int, longest: int) -> int | None:
        """Number of frames between the last number and this one. longest: largest possible loss in the elapsed time.
        None if the numbers restarted, and losses are unknown."""
        last, self._last = self._last, number
        if number == 0 and last is not None and last > SHORT_ID // 2:
            self._lap = SHORT_ID + 1  # this camera counts from 0
        if last is None:
            return 0
        missing = number - last - 1
        if missing < 0 and last <= SHORT_ID:
            missing += self._lap
        return missing if 0 <= missing <= longest else None
