"""From the measurements of one face to movements with onset, apex and offset. Independent of frames and emotions.

``Spotter`` is what the pipeline needs of a spotter; ``detector.MovementDetector`` is the one that ships. To use
another, write a class with the same four members: demos/own_spotter.py is a worked example, and
tests/test_spotting_contract.py tests what every spotter must do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from realtime_mer.config import SpotConfig
from realtime_mer.records import Activity, Measurement, Movement


class Spotter(Protocol):
    """Watches one face. Causal: a report depends on its frame and earlier ones only.

    One is made for each face that comes into view, with the settings and the id of its first movement; ids increase by
    one. A movement is reported at most once as provisional (after its apex, ``offset`` is None) and exactly once with
    an offset. Times are those of the measurements, in s, and onset <= apex <= offset.
    """

    @property
    def settled(self) -> bool:
        """Whether the resting face is known; movements are reported only then."""
        ...

    @property
    def quiet(self) -> bool:
        """Whether nothing moves, so that a new anchor can be taken."""
        ...

    def push(self, measurement: Measurement) -> tuple[Activity, Sequence[Movement]]:
        """Takes the next frame's measurement; returns the signals and the movements reported at this frame."""
        ...

    def interrupt(self, reason: str) -> Sequence[Movement]:
        """Ends the current movement, because measuring was interrupted: face lost or turned away, end of the recording.

        reason: that of the ended movement. Later measurements do not continue earlier ones. Called again for every
        frame that cannot be measured; it then returns nothing.
        """
        ...


# Makes the spotter of one face from the settings and the id of its first movement, as ``MovementDetector`` does.
MakeSpotter = Callable[[SpotConfig, int], Spotter]
