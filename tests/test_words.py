"""The words of the product: American spelling, and the few that must not come back. docs/glossary.md has the terms."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KINDS = (".py", ".md", ".toml", ".js", ".html", ".css", ".yml", ".yaml", ".cff")
DATA = ("docs/data/", "tests/test_words.py")
# What is not to be found, what to write instead, and the places that may have it.
FORBIDDEN = {
    r"colour|\bgrey\b|\bcentre|neighbour|catalogue": ("American spelling", set()),
    r"behaviour": ("American spelling", {"realtime_mer/review/codings.py"}),
    r"(recogni|normali|initiali|quanti|standardi|minimi|summari)s(e|ed|er|ing|ation)\b": ("American spelling", set()),
    r"\banalys(e|ed|ing)\b": ("analyze", set()),
    r"\blicence": ("license", {"realtime_mer/recognize/spec.py", "tests/test_recognize_spec.py"}),
    r"\bunsure\b": (
        "abstained (of the recognizer), undecided (of the spotter)",
        {"README.md", "docs/glossary.md", "realtime_mer/records.py", "realtime_mer/review/codings.py",
         "tests/test_recognize_shipped.py", "CHANGELOG.md"},
    ),
    r"\baffair\b": ("say which part does it", set()),
    r"\banew\b": ("again", set()),
    r"\b(some|every|any)body\b": ("-one", set()),
    r"\bfilms?\b": ("video", set()),
    r"\bwish(es|ed)?\b": ("request", set()),
    r"(?<![\w.\]\)\"'/*\\:,{-])-?\.\d+(?![\w.%])": ("0.5, not .5", {"realtime_mer/app/timeline.py"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    names = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()
    if not names:
        pytest.skip("not a git checkout")
    chosen = [name for name in names if name.endswith(KINDS) and not name.startswith(DATA)]
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in chosen if (ROOT / name).exists()}


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_words_that_must_not_come_back(pattern: str, texts: dict[str, str]) -> None:
    instead, allowed = FORBIDDEN[pattern]
    css = r"\.css$|\.html$|\.js$" if "0.5" in instead else "$^"  # style sheets write .5
    found = [
        f"{name}:{text[: match.start()].count(chr(10)) + 1}: {match[0]}"
        for name, text in texts.items()
        if name not in allowed and not re.search(css, name)
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]
    assert not found, f"write {instead}: {found[:20]}"


def test_the_glossary_defines_each_term_once_and_in_order() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.M)
    terms = [row for row in rows if row not in ("Term", "---")]
    assert len(terms) > 30
    assert terms == sorted(set(terms))
