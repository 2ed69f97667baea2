"""The README and the docs hold: commands and their options exist, Python examples run, links lead somewhere, and every
command is really run by a test or by continuous integration."""

import contextlib
import io
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from made_observations import INFO, play

from realtime_mer import cli
from realtime_mer.sinks.jsonl import JsonLines, header
from realtime_mer.synth import write_video

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
SHELL = ("sh", "bash", "console")
NOT_RUN = "<!-- not run: "  # before a Python block that cannot run here, with the reason

# Where each command of the docs is really run: the file, and words that show it there.
RUN_BY = {
    "make test": (".ci/run", "make test"),
    "make check": (".ci/run", "make check"),
    "make system": (".ci/run", "make system"),
    "make kills": ("Makefile", "tests/test_cli_kills.py"),  # of which `make test` runs a part
    "make fuzz": ("Makefile", "tests/test_fuzz.py"),
    "make wheels": ("Makefile", "tests/test_deploy.py"),  # of which `make test` runs one Python
    "make rooms": ("Makefile", "docs/rooms.py"),  # whose drawing tests/test_rooms.py compares
    "make docs": ("tests/test_site.py", '"mkdocs", "build"'),
    "make demo": ("Makefile", "realtime-mer demo"),  # which tests/test_cli_commands.py runs
    "realtime-mer analyze": ("tests/test_cli_analyze.py", 'main(["analyze"'),
    "realtime-mer live": ("tests/test_cli_live.py", 'start("live"'),
    "realtime-mer probe": ("tests/test_cli_commands.py", 'main(["probe"'),
    "realtime-mer convert": ("tests/test_cli_commands.py", 'main(["convert"'),
    "realtime-mer collect": ("tests/test_study.py", 'main(["collect"'),
    "realtime-mer share": ("tests/test_share.py", 'main(["share"'),
    "realtime-mer report": ("tests/test_cli_commands.py", 'main(["report"'),
    "realtime-mer agree": ("tests/test_review.py", 'main(["agree"'),
    "realtime-mer models": ("tests/test_cli_commands.py", 'main(["models"'),
    "realtime-mer config": ("tests/test_cli_commands.py", 'main(["config"'),
    "realtime-mer doctor": ("tests/test_cli_commands.py", 'main(["doctor"'),
    "realtime-mer demo": ("tests/test_cli_commands.py", 'main(["demo"'),
    "realtime-mer --print-completion": ("tests/test_cli_commands.py", 'main(["--print-completion"'),
    "realtime-mer setup": ("Makefile", "realtime-mer setup"),
    "realtime-mer bench": ("tests/test_bench_command.py", 'parse_args(["bench"'),
    "realtime-mer app": ("tests/test_cli_commands.py", 'start("app"'),
    "python -m train datasets": ("tests/test_docs.py", 'main(["datasets"])'),
    "python -m train init": ("tests/test_train_own.py", 'main(["init"'),
    "python -m train check": ("tests/test_train_own.py", 'main(["check"'),
    "python -m train fit": ("tests/test_train_cli.py", 'call(tree, "fit"'),
    "python -m train evaluate": ("tests/test_train_cli.py", 'call(tree, "evaluate"'),
    "python -m train choose": ("tests/test_train_choose.py", 'main(["choose"'),
    "python -m train report": ("tests/test_train_cli.py", 'main(["report"'),
    "python -m train reproduce": ("tests/test_train_reproduce.py", '["reproduce", "selection"'),
    "python -m train early": ("tests/test_spotting_early.py", '"early", "--casme2"'),
    "python -m train compare": ("tests/test_train_compare.py", 'main(["compare"'),
    "python -m train card": ("tests/test_train_default.py", 'main(["card"'),
    "python -m train default": ("tests/test_train_default.py", 'call(out, "default"'),
    "python -m export onnx": ("tests/test_export_int8.py", 'main(["onnx"'),
    "python -m export int8": ("tests/test_export_int8.py", 'main(["int8"'),
    "python -m export pt2": ("tests/test_export_pt2.py", 'main(["pt2"'),
    "python -m export verify": ("tests/test_export_int8.py", 'main(["verify"'),
    "python -m export bench": ("tests/test_export_bench.py", 'main(["bench"'),
}
GPU_ONLY = {"make test-gpu", "python -m export tensorrt"}  # run by hand on a machine with an NVIDIA GPU


def blocks(page, languages):
    """The fenced blocks of a page, each with its line number and the line before it."""
    lines = page.read_text(encoding="utf-8").splitlines()
    opened = None
    for number, line in enumerate(lines):
        if line.startswith("```"):
            if opened is None:
                opened = number
            else:
                if lines[opened][3:].strip() in languages:
                    before = next((text for text in reversed(lines[:opened]) if text.strip()), "")
                    yield opened + 2, "\n".join(lines[opened + 1 : number]), before
                opened = None


def shell_lines(page):
    """Each command of the page's shell blocks as (line number, words); `inline` ones of realtime-mer too."""
    for number, text, _ in blocks(page, SHELL):
        console = text.lstrip().startswith("$ ")
        for line in text.replace("\\\n", "  ").splitlines():
            if console and not line.startswith("$ "):
                continue  # what the command prints
            for part in re.split(r"&&|\|(?![a-z0-9])|;", line.removeprefix("$ ").partition(" #")[0]):
                words = [re.sub(r"\$[A-Z_]+", "1", word) for word in shlex.split(part, comments=True)]
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    del words[0]
                if words:
                    yield number, words
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for match in re.finditer(r"`((?:realtime-mer|python -m train|python -m export|make) [^`]+)`", text):
        words = shlex.split(match[1])
        if "..." not in words and "…" not in words:
            yield text[: match.start()].count("\n") + 1, words


COMMANDS = [
    pytest.param(words, id=f"{page.relative_to(ROOT)}:{number} {' '.join(words)}")
    for page in PAGES
    for number, words in shell_lines(page)
]


def parse(parser, words):
    """Fails with argparse's own words when the parser does not take them."""
    said, code = io.StringIO(), 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            parser.parse_args(words)
        except SystemExit as done:
            code = done.code
    assert not code, said.getvalue()


def options(words):
    return [word.partition("=")[0] for word in words if word.startswith("-") and not re.fullmatch(r"-\d.*", word)]


def check_realtime_mer(words):
    if len(words) == 1:  # a mention, without the arguments that it may need
        assert words[0] in cli.COMMANDS, f"there is no realtime-mer {words[0]}"
    else:
        parse(cli.parser(), words)


def check_make(words):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for word in words:
        assert "=" in word or word in targets, f"the Makefile has no target {word}"


def check_python(words):
    if words[:2] == ["-m", "export"]:
        from export.__main__ import parser

        return parse(parser(), words[2:])
    if words[:2] == ["-m", "train"]:
        from train.cli import COMMANDS, parser

        if len(words) == 3:  # a mention, without the arguments that it may need
            assert words[2] in COMMANDS, f"there is no python -m train {words[2]}"
            return None
        return parse(parser(words[2:3]), ["ho2023" if word == "PAPER" else word for word in words[2:]])
    if words[0] == "-m":
        return check(words[1:])
    script = ROOT / words[0]
    assert script.is_file(), f"there is no {words[0]}"
    for option in options(words[1:]):
        assert f'"{option}"' in script.read_text(), f"{words[0]} has no {option}"
    return None


def check_pip(words):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words:
        if match := re.fullmatch(r"(?:realtime-mer|\.)\[(.+)\]", word):
            assert set(match[1].split(",")) <= set(extras), f"pyproject.toml has no extra {match[1]}"


def check_pytest(words):
    for word in words:
        if word.startswith("tests/"):
            assert (ROOT / word.partition("::")[0]).exists(), f"there is no {word}"


CHECKS = {
    "realtime-mer": check_realtime_mer,
    "make": check_make,
    "python": check_python,
    "pip": check_pip,
    "pytest": check_pytest,
}
OF_THE_SYSTEM = {".", "cd", "git", "apt-get", "ls", "pre-commit"}  # not ours to check


def check(words):
    program = Path(words[0]).name
    if program in OF_THE_SYSTEM or words[0] == ".":
        return
    assert program in CHECKS, f"unknown program {program}: check it here or name it in OF_THE_SYSTEM"
    CHECKS[program](words[1:])


@pytest.mark.parametrize("words", COMMANDS)
def test_the_command_exists_with_its_options(words):
    check(words)


def test_each_command_of_ours_is_run_somewhere():
    for parameter in COMMANDS:
        words = parameter.values[0]
        name = " ".join(words[:4] if words[0] == "python" else words[:2])
        if re.match(r"make |realtime-mer |python -m (train|export) ", name):
            assert name in RUN_BY.keys() | GPU_ONLY, f"{name} is in the docs: say in RUN_BY which test runs it"
    for name, (file, shown) in RUN_BY.items():
        assert shown in (ROOT / file).read_text(encoding="utf-8"), f"{file} does not run {name}"


def test_the_data_sets_can_be_listed(tmp_path, monkeypatch, capsys):
    from train.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["datasets"]) == 0
    assert "casme2" in capsys.readouterr().out


PYTHON = [
    pytest.param(text, id=f"{page.relative_to(ROOT)}:{number}")
    for page in PAGES
    for number, text, before in blocks(page, ("python",))
    if not before.startswith(NOT_RUN)
]


@pytest.mark.parametrize("text", PYTHON)
def test_the_python_example_runs(text, recording, tmp_path, monkeypatch, capsys):
    """In a folder with a clip and a log, under the names that the docs use."""
    write_video(recording.frames[:300], tmp_path / "clip.mp4")
    play(JsonLines(tmp_path / "events.jsonl", header(INFO, {})))
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "example", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().err == ""
    shutil.rmtree(tmp_path)


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"dead link {target}"
        if anchor:
            assert anchor in anchors(file), f"{name or page.name} has no heading #{anchor}"


def test_every_test_that_the_reliability_page_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")))
    there = {
        name
        for file in (ROOT / "tests").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
    assert len(named) > 30
    assert named - there == set()
