"""The clock of a sender, put on our monotonic clock: its intervals are kept, its origin is matched at arrival."""

from __future__ import annotations

AHEAD_S = 2.0  # a picture cannot arrive before it was taken: a time further ahead means that the clock jumped
LATE_S = 10.0  # a network may hold pictures up, but not for longer than this
LEAST_S = 1e-6  # between two times: pictures of one burst come close together
TICK_S = 0.001  # the least that time moves on where the sender's clock jumped


class SenderClock:
    """Times on the monotonic clock that never go back, whatever the sender's clock does.

    A clock that jumps back, or far ahead, is followed: it is matched again, the picture is dated by its arrival, and
    the interval before it is a hole, because nobody knows how long it was.
    """

    def __init__(self) -> None:
        self._offset: float | None = None  # from the sender's clock to ours, s; None: to be matched
        self._ahead = 0.0  # s by which the last matched picture was dated after its arrival
        self._sent = self._arrived = 0.0
        self._last: float | None = None

    def reconnected(self) -> None:
        """The sender may have started again: match its clock at the next picture."""
        self._offset = None

    def local(self, sent: float | None, arrived: float) -> tuple[float | None, float]:
        """``sent`` (s, sender's clock) as monotonic time, and the hole before it, s.

        The time is None when there is none to be had: nothing was sent, or the same as for the picture before.
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
        """A time for a picture without one that can be believed: that of its arrival, but after the one before."""
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
