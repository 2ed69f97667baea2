"""The rooms of the runtime: imports follow the data, no room is too large, and the picture shows what is there."""

import importlib.util
from pathlib import Path

import pytest

LARGEST = 0.2  # share of the runtime's lines that one room may have


@pytest.fixture(scope="module")
def rooms():
    spec = importlib.util.spec_from_file_location("rooms", Path(__file__).parents[1] / "docs" / "rooms.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "docs")
        spec.loader.exec_module(module)
    return module


def test_no_import_goes_against_the_data(rooms):
    assert rooms.against(rooms.imports(), rooms.layers()) == []


def test_an_import_against_the_data_is_noticed(rooms):
    order = [("app",), ("sinks", "pipeline"), ("records",)]
    found = {("app", "records"): 3, ("sinks", "pipeline"): 1, ("records", "app"): 1}
    assert rooms.against(found, order) == ["records -> app", "sinks -> pipeline"]
    assert "Against the data: records" in rooms.draw(
        order, dict.fromkeys(("app", "sinks", "records"), 50), {("records", "app"): 1}
    )


def test_every_room_has_its_place(rooms):
    assert set(rooms.lines()) <= {room for layer in rooms.layers() for room in layer}


def test_no_room_is_too_large(rooms):
    lines = rooms.lines()
    shares = {room: count / sum(lines.values()) for room, count in lines.items()}
    assert {room: share for room, share in shares.items() if share > LARGEST} == {}


def test_the_picture_shows_what_is_there(rooms):
    drawn = rooms.draw(rooms.layers(), rooms.lines(), rooms.imports())
    assert rooms.PICTURE.read_text(encoding="utf-8") == drawn, "the rooms have changed: `make rooms` draws them again"


def test_the_page_describes_each_room_in_its_own_words(rooms):
    text = rooms.PAGE.read_text(encoding="utf-8")
    assert rooms.page(text) == text, "the rooms have changed: `make rooms` writes the page again"
    assert all(rooms.about(room).endswith(".") for room in rooms.lines())
