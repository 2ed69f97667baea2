"""From the measurements of one face to movements with onset, apex and offset. Knows no frames and no emotions.

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
    """Watches one face. Causal: what it reports at one frame rests on that frame and earlier ones.

    One is made for each face that comes into view, with the settings and the id of its first movement: ids rise by one.
    A movement is reported at most once as provisional (its apex is past, ``offset`` is None) and exactly once with an
    offset. Times are those of the measurements, in s, and onset <= apex <= offset.
    """

    @property
    def settled(self) -> bool:
        """The face at rest is known: movements are reported from now on."""
        ...

    @property
    def quiet(self) -> bool:
        """Nothing moves: the moment at which a new anchor disturbs nothing."""
        ...

    def push(self, measurement: Measurement) -> tuple[Activity, Sequence[Movement]]:
        """Takes the next frame's measurement; gives the signals, and the movements reported at this frame."""
        ...

    def interrupt(self, reason: str) -> Sequence[Movement]:
        """The measurement broke (face lost, turned away, end of the recording): ends the movement under way.

        reason: becomes the movement's own. Measurements after this one are not continuous with those before. Called
        again for every frame that cannot be measured, and then gives nothing.
        """
        ...


# Makes the spotter of one face from the settings and the id of its first movement, as ``MovementDetector`` does.
MakeSpotter = Callable[[SpotConfig, int], Spotter]
