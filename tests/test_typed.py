"""The typed reader: what is of the type comes through, the rest is a ValueError of one line that names the place."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_mer.typed import DEEPEST, Count, Fraction, Measure, convert, from_json, from_toml, shown

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@dataclass(frozen=True, slots=True)
class Inner:
    share: Fraction


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    size: tuple[int, int]
    inner: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("NaN", "NaN is not a finite number"),
        ("[-Infinity]", "-Infinity is not a finite number"),
        ('{"a": [1e999]}', "too large is not a finite number"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' occurs twice"),
        ("[" * 100_000, "nested more than 32 levels deep"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested more than 32 levels deep"),
        ("1" * 5000, "digits"),
        ("", "not JSON: Expecting value at column 1"),
    ],
    ids=lambda value: value[:12],
)
def test_what_json_does_not_allow(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        from_json(text)
    assert "\n" not in str(caught.value)


def test_nesting_up_to_the_limit_is_read() -> None:
    assert from_json("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)) is not None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], "expected object, got array"),
        ({"name": "x"}, "missing required field size"),
        ({"name": 1, "size": [1, 2]}, "name: expected str, got int"),
        ({"name": "x", "size": [1, 2, 3]}, "size: expected array of length 2"),
        ({"name": "x", "size": [1, True]}, r"size\[1\]: expected int, got bool"),
        ({"name": "x", "size": [1, 2.0]}, r"size\[1\]: expected int, got float"),
        ({"name": "x", "size": [1, 2], "inner": [{"share": math.nan}]}, r"inner\[0\].share: expected float >= 0"),
        ({"name": "x", "size": [1, 2], "inner": [{"share": 10**400}]}, r"inner\[0\].share: number out of range"),
    ],
)
def test_a_wrong_type_is_named_with_its_place(values: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        convert(values, Outer)


def test_what_fits_comes_through_and_a_field_of_a_later_version_is_left_out() -> None:
    values = {"name": "x", "size": [1, 2], "inner": [{"share": 1, "later": 3}], "later": {}}
    assert convert(values, Outer) == Outer("x", (1, 2), (Inner(1.0),))


@pytest.mark.parametrize(
    ("value", "kind"),
    [(math.nan, Measure), (math.inf, Measure), (1e13, Measure), (-1, Count), (2**60, Count), (1.01, Fraction)],
)
def test_numbers_that_nothing_could_use(value: float, kind: type) -> None:
    with pytest.raises(ValueError, match="expected"):
        convert(value, kind)


def test_deep_toml_is_an_error_and_not_a_crash() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        from_toml("x = " + "[" * 100_000)


@given(plain, st.sampled_from([Outer, dict[str, int], list[Inner], Measure, str, bool]))
def test_any_data_is_of_the_type_or_a_value_error(value: object, kind: type) -> None:
    said = ""
    try:
        convert(value, kind)
    except ValueError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize(
    "value", ["a\nb" * 50, int("f" * 5000, 16), list(range(1000)), "\x1b[31m"], ids=lambda value: type(value).__name__
)
def test_a_value_is_shown_in_one_short_line(value: object) -> None:
    assert shown(value).isprintable()
    assert len(shown(value)) <= 60
