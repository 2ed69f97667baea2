"""The records that flow between the parts: frozen dataclasses with plain data and a few derived properties.

Times are in seconds on the source's own clock, never frame counts. Arrays must not be modified. Only numpy is imported,
so that a reader of events needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]  # (H, W)
Image = NDArray[np.uint8]  # (H, W, 3), BGR
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One captured frame.

    ``gray`` is the luma plane, uint8 (H, W): all that measuring needs. Color is converted only when ``image`` is
    read, because the conversion costs more than measuring.

    index: position among the frames that the source delivered, from 0.
    time:  capture time in seconds on the source's own clock (container timestamp, or monotonic time at the grab).
    lost:  frames known to be lost between the previous delivered frame and this one.
    hole:  seconds before this frame that the source did not see: a damaged part, timestamps that restart, a lost
           connection. 0 if the recording is continuous. Nothing is measured across a hole.
    repeated: same content as the previous frame, duplicated by the camera or the file.
    keyframe: the codec stored this frame without reference to earlier ones, so it may jump against them. Always false
           where frames are independent (MJPEG, raw video), and for the first frame.
    """

    index: int
    time: float
    gray: Gray
    to_bgr: Callable[[], Image] | None = None
    lost: int = 0
    hole: float = 0.0
    repeated: bool = False
    keyframe: bool = False

    @property
    def image(self) -> Image:
        """The frame as uint8 BGR (H, W, 3); converted again at each read."""
        return np.repeat(self.gray[:, :, None], 3, axis=2) if self.to_bgr is None else self.to_bgr()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.gray.shape[1], self.gray.shape[0]


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face in one frame.

    track: its number while it stays in view, from 1, never reused; 0 from a detector, before tracking.
    box: x0, y0, x1, y1 in px. points: float32 (478, 2) px, MediaPipe's face mesh order. score: 0 to 1.
    pose: yaw, pitch, roll in degrees; yaw > 0 turns to the subject's left, pitch > 0 looks up, roll > 0 tilts
    clockwise as seen in the frame. Between detections, points and box are carried along by registration.
    """

    track: int
    box: tuple[float, float, float, float]
    points: Floats
    score: float
    pose: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """What registration found of one face in one frame.

    index, time:  of the frame; time in s.
    displacement: float32 (R, 2), px of the aligned face, x to the right and y down as in the frame; head motion
                  removed, continuous when the anchor is renewed. Order as in ``realtime_mer.face.regions.REGIONS``.
    noise:        float32 (R,), px: standard deviation per axis of each region's displacement in this frame, from the
                  contrast of the face and what the anchor leaves unexplained.
    head:         speed of the head, aligned px/s.
    eyes:         similarity of the eyes to the anchor, 1 = the same, 0 = closed.
    fit:          share of the anchor's contrast that is explained, 1 = perfect, <= 0 = something else.
    lost:         the face was not found where it was expected; displacement, head and transform are the previous ones.
    stale:        the anchor is old, or no longer resembles the face: take a new one when nothing moves.
    aligned:      the aligned face, uint8 (S, S).
    transform:    float64 (2, 3), maps frame px to aligned px.
    """

    index: int
    time: float
    displacement: Floats
    noise: Floats
    head: float
    eyes: float
    fit: float
    lost: bool
    stale: bool
    aligned: Gray
    transform: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """The spotter's signals for one measurement.

    displacement: float32 (R, 2), px from the baseline. noise: float32 (R,), px, of the regions at rest.
    head, eyes:   as in Measurement.
    level:        the activity, in units of resting noise.
    threshold:    what ``level`` must exceed now to start a movement, same units.
    least:        px; a weaker movement would not be reported now, whatever its shape. 0 if unknown.
    """

    displacement: Floats
    noise: Floats
    head: float
    eyes: float
    level: float
    threshold: float
    least: float = 0.0


class Kind(StrEnum):
    """What a movement was. Only MICRO is reported as a micro-expression."""

    MICRO = "micro"
    HELD = "held"  # rose as fast as a micro-expression, but the face did not return
    MACRO = "macro"  # too long
    BLINK = "blink"  # the eyes only
    HEAD = "head"  # the head moved
    SPEECH = "speech"  # one of a run of mouth movements
    UNDECIDED = "undecided"  # cannot be decided from this recording
    DISMISSED = "dismissed"  # a coder says that it is no micro-expression

    @classmethod
    def _missing_(cls, value: object) -> Kind | None:
        """As logs of version 0.1 spell it."""
        return cls.UNDECIDED if value == "unsure" else None


class Status(StrEnum):
    PROVISIONAL = "provisional"  # after its apex, before its offset
    CONFIRMED = "confirmed"  # a micro-expression with onset, apex and offset
    REJECTED = "rejected"  # a movement that is not a micro-expression; ``reason`` says why


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement of one face: onset, apex and offset in seconds on the source's clock; offset is None while it lasts.

    id:           unique within a track, from 1; all reports of one movement share it.
    strength:     displacement at the apex in px of the aligned face (mean of the regions that moved most).
    kind, reason: what it was, and why it was rejected; the reason of a micro-expression is empty.
    held:         it rose as fast as a micro-expression, and then the face stayed. The offset is when it came to rest,
                  limited to the longest duration of a micro-expression; the true one was not seen. The kind is HELD,
                  or MICRO if the settings count it as one.
    displacement: float32 (R, 2) px, from onset to apex; None if read from a file.
    """

    id: int
    onset: float
    apex: float
    offset: float | None
    strength: float
    kind: Kind
    reason: str = ""
    displacement: Floats | None = field(default=None, compare=False, repr=False)
    held: bool = False

    @property
    def status(self) -> Status:
        """Provisional without an offset; otherwise confirmed if it is a micro-expression."""
        if self.offset is None:
            return Status.PROVISIONAL
        return Status.CONFIRMED if self.kind is Kind.MICRO else Status.REJECTED

    @property
    def end(self) -> float:
        """The offset in seconds; the apex while there is none."""
        return self.apex if self.offset is None else self.offset

    @property
    def duration(self) -> float | None:
        """Offset minus onset in seconds."""
        return None if self.offset is None else self.offset - self.onset


@dataclass(frozen=True, slots=True)
class Cue:
    """A region that moved, in FACS terms.

    region: as in REGIONS, e.g. "left lip corner" (the subject's left). dx, dy: displacement at the apex in percent
    of the distance between the eyes' centers, dx to the right of the frame, dy down. action_units: candidates that
    match this movement, e.g. ("AU12",); not a FACS coding.
    """

    region: str
    dx: float
    dy: float
    action_units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The recognizer's answer. ``label`` is None if it abstained; ``probabilities`` are calibrated and sum to 1."""

    label: str | None
    probabilities: dict[str, float]

    @property
    def abstained(self) -> bool:
        return self.label is None


LIKELY: Final = 0.5  # an action unit below it is more likely absent


@dataclass(frozen=True, slots=True)
class Event:
    """One movement of one face, as reported.

    onset_frame, apex_frame, offset_frame: index of the frame nearest to each; None while there is no offset.
    fps:      frame rate around the movement, from the frames' times; repeated frames do not count.
    gap:      longest interval between two such frames inside the movement, seconds.
    lost:     frames known lost inside the movement.
    side:     "left" or "right" (the subject's) if one side of the face moved far more than the other, else "both";
              empty if unknown.
    objective: class I to V by the action units that moved (Davison et al. 2018); None if the model does not have it,
              or nothing moves.
    action_units: calibrated probability of each unit that the model knows, e.g. {"AU4": 0.81}; they do not add up to 1.
    model:    id of the recognizer, empty if there was none. provider: the device that really ran it.
    reported: source time of the frame at which this was reported; ``reported - movement.apex`` is the look-ahead.
    motion:   the recognizer's input, float32 (3, S, S); None if there was none or the event was read from a file.
    """

    track: int
    movement: Movement
    onset_frame: int
    apex_frame: int
    offset_frame: int | None
    prediction: Prediction | None
    cues: tuple[Cue, ...]
    fps: float
    gap: float
    lost: int
    model: str
    provider: str
    reported: float
    side: str = ""
    objective: Prediction | None = None
    action_units: dict[str, float] | None = None
    motion: Floats | None = field(default=None, compare=False, repr=False)

    @property
    def status(self) -> Status:
        return self.movement.status

    @property
    def final(self) -> bool:
        """Whether this is the last report of the movement."""
        return self.movement.offset is not None

    @property
    def one_sided(self) -> str:
        """ "left side" or "right side" if one side of the face moved alone, else empty."""
        return f"{self.side} side" if self.side in ("left", "right") else ""

    @property
    def coded(self) -> str:
        """Objective class and the action units with a probability of at least 0.5, most likely first, e.g.
        "objective class II 74 %, AU4 81 %"; empty if neither is known."""
        parts = []
        if self.objective is not None and self.objective.label is not None:
            share = self.objective.probabilities[self.objective.label]
            parts.append(f"objective class {self.objective.label} {100 * share:.0f} %")
        units = sorted((self.action_units or {}).items(), key=lambda item: -item[1])
        parts += [f"{unit} {100 * share:.0f} %" for unit, share in units if share >= LIKELY]
        return ", ".join(parts)

    @property
    def key(self) -> tuple[int, int]:
        """(track, movement id): the same for the provisional and the final report."""
        return self.track, self.movement.id


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker set while recording: by a key, or by the program itself.

    time: s on the source's clock. key: "space", "e", ... or "" if set by the program. text: its text.
    """

    time: float
    key: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class FaceSignal:
    """One face in one frame: where it is and, if it is measured, how it moves.

    note: why it is not measured now ("face too small", "face turned away", ...), else empty.
    """

    face: Face
    activity: Activity | None
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """Everything known after one frame; exactly one per frame. ``faces`` is empty if there is none.

    events: reported at this frame, provisional and final (confirmed or rejected).
    fps:    frame rate over the last second, 0 while unknown; repeated frames do not count.
    notes:  current warnings about the recording, e.g. that the frame rate is too low.
    """

    index: int
    time: float
    faces: tuple[FaceSignal, ...]
    events: tuple[Event, ...]
    fps: float
    lost: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """What is known once the source has ended.

    time:   of the last frame, s; None if there was none.
    events: the last events: movements cut short by the end, and those that were still being classified.
    """

    time: float | None
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Description of a source. ``rate`` is the nominal rate in frames/s, 0 if unknown; ``frames`` is None if unknown.

    kind: "file", "camera", "stream", "images" or "array". clock: "container", "monotonic", "sender" (the
    sender's times, mapped to the monotonic clock at arrival), "device" (a camera's clock, mapped to the monotonic
    one), "page" (a browser's) or "given".
    """

    uri: str
    kind: str
    live: bool
    size: tuple[int, int]
    rate: float
    clock: str
    frames: int | None = None
    duration: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceStats:
    """Counts since opening.

    captured: frames read from the device or file. delivered: passed on. dropped: captured, then discarded because the
    reader was too slow. missed: never captured, estimated from the capture times; None if they are too few or too
    irregular. reconnects: of a stream.
    skipped: captured, but damaged or without a usable time. reasons: the number of frames for each reason.
    repeated: delivered, but with the content of the previous frame. notes: what the user should know about the
    recording, such as that the file was cut off; complete once the source has been read to its end.
    """

    captured: int
    delivered: int
    dropped: int = 0
    missed: int | None = 0
    reconnects: int = 0
    skipped: int = 0
    notes: tuple[str, ...] = ()
    repeated: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
