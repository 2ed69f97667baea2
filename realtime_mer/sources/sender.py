"""Converts a sender's clock to our monotonic clock: intervals are kept, the origin is matched at arrival."""

from __future__ import annotations

AHEAD_S = 2.0  # a frame cannot arrive before its capture; a time further ahead means that the clock jumped
LATE_S = 10.0  # a network may delay frames, but not longer than this
LEAST_S = 1e-6  # least interval between two times: frames of one burst arrive close together
TICK_S = 0.001  # least step of time when the sender's clock jumped


class SenderClock:
    """Times on the monotonic clock that never go back, whatever the sender's clock does.

    A clock that jumps back, or far ahead, is matched again: the frame gets its arrival time, and the interval before it
    is a hole, because its length is unknown.
    """

    def __init__(self) -> None:
        self._offset: float | None = None  # from the sender's clock to ours, s; None until matched
        self._ahead = 0.0  # s from arrival to the assigned time of the last matched frame
        self._sent = self._arrived = 0.0
        self._last: float | None = None

    def reconnected(self) -> None:
        """Matches the clock again at the next frame, because the sender may have restarted."""
        self._offset = None

    def local(self, sent: float | None, arrived: float) -> tuple[float | None, float]:
        """``sent`` (s, sender's clock) as monotonic time, and the hole before it, s.

        The time is None when nothing was sent, or the same as for the previous frame.
        """
        if sent is None or (self._offset is not None and sent == self._sent):
            return None, 0.0
        hole = 0.0
        if self._offset is None or sent < self._sent or not -LATE_S < self._early(sent, arrived) < AHEAD_S:
            hole = self._match(sent, arrived)
        assert self._offset is not None
        at = sent + self._offset
        self._sent, self._arrived = sent, arrived
        if not hole and self._last is not None and at <= self._last:  # later by less than a float can show
            return None, 0.0
        self._last = at
        return at, hole

    def arrival(self, arrived: float) -> float:
        """The time of a frame without a credible one: its arrival, but after the previous frame."""
        self._last = arrived if self._last is None else max(arrived, self._last + LEAST_S)
        return self._last

    def _early(self, sent: float, arrived: float) -> float:
        assert self._offset is not None
        return sent + self._offset - arrived - self._ahead

    def _step(self, arrived: float) -> float:
        assert self._last is not None
        return max(arrived - self._last, arrived - self._arrived, TICK_S)

    def _match(self, sent: float, arrived: float) -> float:
        hole = 0.0 if self._last is None else self._step(arrived)
        at = arrived if self._last is None else self._last + hole
        self._offset, self._ahead = at - sent, at - arrived
        return hole
