"""Inputs for ``test_fuzz``: valid ones with something changed, since bytes at random are refused by the first line."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict
from typing import Any

import made_models
from hypothesis import strategies as st
from made_observations import INFO, event

from realtime_mer.config import Config, to_toml
from realtime_mer.records import SourceStats
from realtime_mer.sinks.event_json import to_json
from realtime_mer.sinks.jsonl import Summary, header


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# What has broken readers before: limits, what is no number, what is not of the type, text that is no text.
ODD = st.sampled_from([
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, -(2**63), 10**400, 0.5, -0.0, 1e-300, 1e12, 1e15, 1e308, -1e308,
    math.nan, math.inf, -math.inf, "", "\0", "\n", "\ud800", "a" * 5000, "../../x", "NaN", "1", "micro", "confirmed",
    "negative", "\x1b[31m", "<b>&", [], {}, [[]], {"": 0}, {"a": {"b": 1}}, [1, "a", None], _nested(30), _nested(300),
])  # fmt: skip
JUNK = ODD | st.integers() | st.floats() | st.text(max_size=20)
TOKENS = st.sampled_from([
    b"", b"\0", b"\n", b"{", b"}", b"[", b"]", b'"', b",", b":", b"=", b"\xff", b"\xff\xd8", b"\xff\xd9", b"--cut\r\n",
    b"\r\n\r\n", b"Content-Length: 99999999999\r\n", b"NaN", b"1e999", b"-1", b"0x" + b"f" * 5000, b"[" * 2000,
    b"nan", b"'''", b"\xed\xa0\x80", b"\\ud800", b"1" * 5000, b"9223372036854775808",
])  # fmt: skip


def _places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for key, inner in items for place in _places(inner, (*here, key)))]


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """Nested plain data with one to three of its values replaced, removed or added to."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        place = draw(st.sampled_from(_places(value)))
        if not place:
            continue
        *way, last = place
        inner = value
        for key in way:
            inner = inner[key]
        match draw(st.sampled_from(("replace", "replace", "remove", "add"))):
            case "replace":
                inner[last] = copy.deepcopy(draw(JUNK))
            case "remove":
                del inner[last]
            case "add" if isinstance(inner, dict):
                inner[draw(st.text(max_size=5))] = copy.deepcopy(draw(JUNK))
            case "add":
                inner.append(copy.deepcopy(draw(JUNK)))
    return value


@st.composite
def damaged(draw: st.DrawFn, content: bytes, most: int = 6) -> bytes:
    """Bytes with some replaced, removed or inserted, and perhaps cut off."""
    data = bytearray(content)
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 8))
        data[at : at + size] = draw(st.binary(max_size=8) | TOKENS)
    if draw(st.integers(0, 9)) == 0:
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


def _log() -> list[dict[str, Any]]:
    head = header(INFO, asdict(Config()), "flow-default/1", "CPU")
    total = Summary(
        300, 2.99, 290, 290, 1, {"confirmed": 1}, {"negative": 1}, 1, {"low rate": 5}, SourceStats(301, 300)
    )
    return [
        {"type": "header", **json.loads(json.dumps(asdict(head)))},
        to_json(event()),
        to_json(event(2, 2.0, label=None)),
        {"type": "summary", **json.loads(json.dumps(asdict(total)))},
    ]


VALID_LOG = b"".join(json.dumps(line).encode() + b"\n" for line in _log())


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """An event log with changed fields; now and then with changed bytes."""
    lines = draw(changed(_log()))
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return draw(damaged(content)) if draw(st.integers(0, 3)) == 0 else content


@st.composite
def settings_files(draw: st.DrawFn) -> bytes:
    """The settings as TOML, with other values, keys and bytes."""
    lines = to_toml(Config()).splitlines()
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        name = lines[at].partition(" = ")[0]
        lines[at] = f"{name} = {draw(VALUES)}"
    content = "\n".join(lines).encode(errors="surrogatepass")
    return draw(damaged(content)) if draw(st.booleans()) else content


VALUES = st.sampled_from([
    "nan", "-inf", "1e400", "0x" + "f" * 5000, "1" * 5000, "true", '""', "''", "[]", "{}", "{a = 1}", "1979-05-27",
    "07:32:00", "[" * 2000, '"""a\nb"""', '"\\u0000"', "0.5", "1", "-1", '"x"', "1_000", "0b1", "'../x'",
]) | st.integers().map(str) | st.floats().map(str) | st.text(max_size=12)  # fmt: skip
KEYS = st.sampled_from([
    "spot.onset_noise", "spot.enter", "spot", "faces.max_faces", "classify.model", "classify.provisional", "", ".",
    "a.b", "spot.onset_noise.x", " spot . hold_s ",
]) | st.text(max_size=12)  # fmt: skip
GOOD = st.tuples(st.sampled_from(["spot.", " spot."]), st.sampled_from(list(asdict(Config().spot))), st.just("="),
                 st.floats(0, 2).map(str)).map("".join)  # fmt: skip
EQUALS = st.sampled_from(["=", "=", ""])
PAIRS = st.lists(GOOD | st.tuples(KEYS, EQUALS, VALUES).map("".join), max_size=2)

SPECS = changed({**asdict(made_models.SPEC), "labels": list(made_models.LABELS), "input_shape": [3, 28, 28],
                 "scores": {"UF1": {"value": 0.8, "low": 0.7, "high": 0.9}}})  # fmt: skip
