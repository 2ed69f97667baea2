"""One face in view: followed by registration, checked by detections, spotted. Independent of other faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from realtime_mer.config import FacesConfig
from realtime_mer.face.align import Transform
from realtime_mer.motion.follow import Follower
from realtime_mer.motion.ring import Ring
from realtime_mer.observe import Observer, Stage, observed
from realtime_mer.records import Activity, Face, FaceSignal, Frame, Measurement, Movement
from realtime_mer.spotting import Spotter

MISSES: int = 2  # consecutive detections that must miss a face before it is dropped


class Place(NamedTuple):
    """The position of a face when a detection was requested; comparable with the answer while the anchor stays."""

    anchors: int
    transform: Transform


class WatchedFace:
    """One watched face. Call ``step`` for every frame, and ``confirm`` or ``miss`` with the result of a detection."""

    def __init__(
        self, face: Face, frame: Frame, spotter: Spotter, settings: FacesConfig, observers: Sequence[Observer] = ()
    ) -> None:
        self.ring = Ring()
        self.latest_id = 0  # id of its next movement
        self._settings = settings
        self._follower, self._spotter = Follower(face, frame), spotter
        self._measure: Callable[[Frame], Measurement] = observed(self._follower.step, Stage.FOLLOW, observers)
        self._spot: Callable[[Measurement], tuple[Activity, Sequence[Movement]]] = observed(
            spotter.push, Stage.SPOT, observers
        )
        self._misses = 0
        self.in_sight = True  # registration found it in the latest frame

    @property
    def place(self) -> Place:
        return Place(self._follower.anchors, self._follower.transform)

    def settled_until(self, time: float) -> bool:
        """Whether it is in view and needs no new landmarks before ``time`` (s), because no new anchor is due by
        then."""
        return self.in_sight and not self._follower.old(time)

    @property
    def gone(self) -> bool:
        """Whether neither registration nor detections find it anymore."""
        return self._misses >= MISSES or (self._misses > 0 and not self.in_sight)

    def carried(self) -> Face:
        """The face as last detected, carried to the latest frame."""
        return self._follower.carried()

    def step(self, frame: Frame) -> tuple[FaceSignal, Sequence[Movement]]:
        """Measures the next frame; returns the face's signals and the movements reported at this frame."""
        measurement = self._measure(frame)
        self.ring.push(measurement, frame.lost, frame.repeated)
        face = self.carried()
        self.in_sight = not measurement.lost
        if problem := self._problem(face):
            return FaceSignal(face, None, problem), self.interrupt(problem)
        activity, movements = self._spot(measurement)
        if measurement.stale and self._spotter.quiet:
            self._follower.renew(frame)
        note = "" if self._spotter.settled else "learning the resting face"
        return FaceSignal(face, activity, note), self._counted(movements)

    def confirm(self, face: Face, frame: Frame, asked: Place | None) -> Sequence[Movement]:
        """A detection found the face in ``frame``; ``asked`` is its position then. Returns the movements that this
        ends.

        A detection that agrees with registration changes nothing. If it does not agree, or if registration has lost the
        face, the face gets a new anchor.
        """
        self._misses = 0
        comparable = asked is not None and asked.anchors == self._follower.anchors
        slipped = comparable and asked is not None and not self._follower.agrees(face, asked.transform)
        if not slipped and self.in_sight:
            return ()
        ended = self.interrupt("the face was lost and found again")
        self._follower.reinitialize(face, frame)
        self.in_sight = True
        return ended

    def seen(self) -> None:
        """A light check confirmed the position from registration."""
        self._misses = 0

    def miss(self) -> None:
        """A detection did not find the face."""
        self._misses += 1

    def interrupt(self, reason: str) -> Sequence[Movement]:
        """Ends the current movement."""
        return self._counted(self._spotter.interrupt(reason))

    def _problem(self, face: Face) -> str:
        """The reason why the face cannot be measured in this frame; empty if it can."""
        settings = self._settings
        if not self.in_sight:
            return "face out of sight"
        if face.box[2] - face.box[0] < settings.min_width_px:
            return "face too small"
        if max(abs(face.pose[0]), abs(face.pose[1])) > settings.max_turn_deg:
            return "face turned away"
        return ""

    def _counted(self, movements: Sequence[Movement]) -> Sequence[Movement]:
        self.latest_id = max([self.latest_id, *(movement.id for movement in movements)])
        return movements
