"""The text of the About page: what this is, what it is not, the model card, law and privacy."""

from __future__ import annotations

from typing import Final

from realtime_mer.errors import MerError
from realtime_mer.recognize.spec import ModelSpec

WHAT: Final = """
## What micro-expressions are

Short, involuntary movements of the face, 1/25 to 1/2 second from onset to offset, often of one part of the face
only. To time them, a camera should deliver 100 or more frames per second; below 20 they cannot be resolved, and the
page says so. This program aligns the face in every frame, measures how fifteen regions move against the resting
face, and reports movements that rise above the resting noise and end within half a second. Longer movements, blinks,
speech and head motion are rejected, and the reason is shown.

## What they are not

- **No proof of a feeling.** People have feelings without such movements, and make such movements without the
  feeling.
- **No sign of a lie or of stress.** There is no such score here, and there will be none.
- **No fact about a person.** The class is a classifier's opinion on one movement. Its probability says how often
  such opinions were right on the data below. It may also abstain.
- **No FACS coding.** Action units are candidates that match the direction in which a region moved.
"""

USE: Final = """
## Intended use, and limits

For research, for teaching the method, and for your own recordings, with people who know about it and agree. Not for
decisions about anyone. Movements that are weak, hidden, outside the frame or made during head motion are missed; dim
light, low frame rates and strong compression add to that. The model was trained on a few dozen people, most of them
young adults in laboratory recordings; expect it to be worse for everyone else.

## The law

- **EU AI Act, Art. 5(1)(f)**: inferring emotions of people **at work and in education is prohibited**, except for
  medical and safety reasons.
- **EU AI Act, Art. 50(3)**: people who are exposed to an emotion recognition system **must be told**.
- Images of faces are personal data (GDPR). You need a legal basis, usually consent.

This is not legal advice.

## Privacy

- Live frames are analyzed in memory and discarded. **Nothing is stored unless you record or save it.**
- Uploads, recordings and their results belong to your browser. They are deleted when you delete them, half an hour
  after you close the page, and when the server ends.
- Privacy mode blurs the video, saves no images of faces, and keeps only events.
- The program contacts no other machine, except a stream that you open and, if started with `--share`, Gradio's
  relay. There is no telemetry: that of the libraries it uses, such as ONNX Runtime and Gradio, is turned off before
  they load. Fonts and scripts come from this server. Viewers do not see each other.
"""


def card(spec: ModelSpec, provider: str = "") -> str:
    """The metadata of a model file as Markdown."""
    rows = [
        ("model", f"{spec.id}" + (f", {provider}" if provider else "")),
        ("classes", ", ".join(spec.labels)),
        ("input", f"{spec.feature}, {' x '.join(map(str, spec.input_shape))}"),
        ("abstains below", f"{100 * spec.abstain_below:.0f} %"),
        *(((head.name.replace("_", " ")), ", ".join(head.labels)) for head in spec.heads),
        ("trained on", spec.training_data),
        ("evaluated by", spec.protocol),
        ("license", spec.license),
        ("created", " ".join(filter(None, (spec.created, spec.commit)))),
    ]
    lines = ["| | |", "|---|---|"] + [f"| **{name}** | {_cell(value) or 'not stated'} |" for name, value in rows]
    scores = dict(spec.scores)
    for head in spec.heads:
        scores |= {f"{head.name.replace('_', ' ')}: {name}": score for name, score in head.scores.items()}
    if scores:
        lines += ["", "| score | value | 95 % interval |", "|---|---|---|"]
        for name, score in scores.items():
            interval = f"{score['low']:.3f} to {score['high']:.3f}" if {"low", "high"} <= score.keys() else "-"
            lines.append(f"| {_cell(name)} | {score.get('value', float('nan')):.3f} | {interval} |")
    return "\n".join(lines)


def text(model: str) -> str:
    """The whole page for the recognizer called ``model``."""
    from realtime_mer.recognize import find
    from realtime_mer.recognize.opening import read_spec

    try:
        shown = card(read_spec(find(model)))
    except MerError as error:
        shown = f"No recognizer is in use: {error}"
    return f"{WHAT}\n## The model\n\n{shown}\n{USE}"


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")
