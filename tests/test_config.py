"""Settings: what is written can be read back, and what is wrong ends in one clear line."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_mer.config import RENAMED, Config, load, merge, to_toml
from realtime_mer.errors import ConfigError, MerError

ENTRIES = [(section.name, entry) for section in fields(Config) for entry in fields(getattr(Config(), section.name))]


def test_the_defaults_come_back_from_toml(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(to_toml(Config()), encoding="utf-8")
    assert load(path) == Config()
    assert load() == Config()


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_model_name_comes_back_from_toml(tmp_path_factory, name):
    config = merge(Config(), {"classify": {"model": name}})
    path = tmp_path_factory.mktemp("toml") / "settings.toml"
    path.write_bytes(to_toml(config).encode())
    assert load(path) == config


def test_pairs_go_before_the_file(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("[spot]\nonset_noise = 3\noffset_fraction = 0.3\n[classify]\nprovisional = false\n")
    config = load(path, ["spot.onset_noise=9", "classify.model=none", "faces.max_faces = 2"])
    assert (config.spot.onset_noise, config.spot.offset_fraction) == (9.0, 0.3)
    assert (config.classify.model, config.classify.provisional, config.faces.max_faces) == ("none", False, 2)


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("onset_noise=2", "section.key=value"),
        ("spot.onset_noise", "section.key=value"),
        ("spott.onset_noise=2", "unknown section"),
        ("spot.onset_nosie=2", "unknown setting spot.onset_nosie"),
        ("spot.onset_noise=two", "must be a number"),
        ("spot.onset_noise=true", "must be a number"),
        ("spot.onset_noise=nan", "must be between"),
        ("spot.onset_noise=-1", "must be between"),
        ("spot.onset_noise=1" + "0" * 400, "spot.onset_noise must"),
        ("spot.onset_noise=1" + "0" * 5000, "spot.onset_noise must"),
        ("faces.max_faces=1" + "0" * 400, "must be between"),
        ("faces.max_faces=1.5", "of type int"),
        ("classify.provisional=1", "of type bool"),
        ("classify.model=3", "of type str"),
        ("spot.onset_noise=[1]", "must be a number"),
        ("spot.onset_noise=" + "[" * 100_000, "must be a number"),
        ("spot.onset_noise=[" + "1," * 1000 + "]", r"must be a number, not \[1, 1.*\.\.\.$"),
        ("faces.max_faces=0x" + "f" * 5000, "must be between 1 and 32 faces, not a int that is too large"),
        ("spot.on\nset=1", r"unknown setting spot\.'on\\nset'; known"),
        ("sp\not.onset=1", r"unknown section \['sp\\not'\]; known"),
        ("two\nlines", "is not section.key=value"),
    ],
)
def test_wrong_pairs(pair, says):
    with pytest.raises(ConfigError, match=says) as caught:
        load(None, [pair])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", [b"[spot", b"spot = 3", b"[spot]\nonset_noise = 'x'", b"[spot]\nenter = 3", b"\xff\xfe", b"[other]\nx = 1",
     b"x = " + b"[" * 100_000, b"[spot]\nonset_noise = nan", b"[spot]\nonset_noise = inf", b"spot = 1979-05-27",
     b'["a\\nb"]\nx = 1', b"[spot]\n'''a\nb''' = 1"],
    ids=lambda text: str(text[:20])
)  # fmt: skip
def test_wrong_files(tmp_path, text):
    path = tmp_path / "settings.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(("section", "entry"), ENTRIES, ids=lambda v: v if isinstance(v, str) else v.name)
def test_every_setting_says_what_it_is_and_keeps_to_its_range(section, entry):
    meta, default = entry.metadata, getattr(getattr(Config(), section), entry.name)
    assert meta["help"]
    if meta["low"] is not None:
        assert meta["unit"]
        assert meta["low"] <= default <= meta["high"]
        for outside in (meta["low"] - 1, meta["high"] + 1):
            with pytest.raises(ConfigError, match="must be between"):
                merge(Config(), {section: {entry.name: outside}})


OLD_NAMES = [(section, old, new) for section, names in RENAMED.items() for old, new in names.items()]


@pytest.mark.parametrize(("section", "old", "new"), OLD_NAMES, ids=lambda name: name)
def test_an_old_name_is_refused_with_the_new_one(tmp_path, section, old, new):
    """Whatever its value, from the command line and from a file, and the new one is a setting that an old one was."""
    names = {entry.name for entry in fields(getattr(Config(), section))}
    assert new in names
    assert old not in names
    path = tmp_path / "settings.toml"
    path.write_text(f"[{section}]\n{old} = 0.5\n")
    for given_settings in ((None, [f"{section}.{old}=0.5"]), (None, [f"{section}.{old}=word"]), (path, [])):
        with pytest.raises(ConfigError) as caught:
            load(*given_settings)
        assert str(caught.value) == f"setting {section}.{old} is now called {section}.{new}"


def test_no_two_old_names_became_one():
    assert len({(section, new) for section, _, new in OLD_NAMES}) == len(OLD_NAMES)


@given(st.lists(st.text(max_size=30), max_size=3))
def test_random_pairs_raise_only_our_errors(pairs):
    said = ""
    try:
        load(None, [f"spot.{pair}" for pair in pairs] + pairs)
    except MerError as error:
        said = str(error)
    else:
        assert not pairs or all("=" in pair for pair in pairs)
    assert "\n" not in said
