"""A camera's own clock and frame numbers, put to use: times on our monotonic clock, and exactly how many were lost.

A camera stamps a frame with its own clock, whose origin and speed are its own. The difference between our clock at the
arrival and the stamp is the offset of the clocks plus the time that the frame traveled. The least difference of late
is the offset and the shortest travel. So intervals are the camera's own to microseconds, and all times are late by the
same shortest travel (exposure, read-out, transfer), which nobody can see from here.
"""

from __future__ import annotations

import math

WINDOW_S = 10.0  # over which the least difference is taken, twice
SLEW = 2e-4  # by which an interval may be stretched to follow a clock that runs differently; crystals differ by 5e-5
JUMP_S = 1.0  # a difference that changes by more than this: the camera's clock was set again
SHORT_ID = 0xFFFF  # GigE Vision 1: numbers go from 1 to this, and then from 1 again


class DeviceClock:
    """Times of frames on the monotonic clock. ``settle`` it with some frames first: the very first may come late."""

    def __init__(self) -> None:
        self._offset: float | None = None  # from the camera's clock to ours, s
        self._least = self._least_before = math.inf  # difference in this window and in the one before it, s
        self._window = 0.0  # when this one began, s on our clock
        self._stamp = 0.0

    def settle(self, frames: list[tuple[float, float]]) -> None:
        """Begins with these (stamp, arrival), s."""
        self._start(min(arrived - stamp for stamp, arrived in frames), frames[-1][1])
        self._stamp = frames[-1][0]

    def local(self, stamp: float, arrived: float) -> tuple[float, bool]:
        """The frame's time on the monotonic clock, s; and whether the camera's clock was set again before it."""
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
    """Counts the frames that are missing between two numbers. Numbers of 16 bits begin again."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._lap = SHORT_ID

    def lost(self, number: int, longest: int) -> int | None:
        """Frames between the last number and this one. longest: no more can have been lost, by the time that went by;
        None if the numbers began again, and nothing can be said."""
        last, self._last = self._last, number
        if number == 0 and last is not None and last > SHORT_ID // 2:
            self._lap = SHORT_ID + 1  # this camera counts from 0
        if last is None:
            return 0
        missing = number - last - 1
        if missing < 0 and last <= SHORT_ID:
            missing += self._lap
        return missing if 0 <= missing <= longest else None
