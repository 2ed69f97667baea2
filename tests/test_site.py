"""The site builds without a warning, loads nothing from other hosts and has every page; its reference is up to date."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import util
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[1]
# What a page loads by itself: of a link that a reader may follow only `a` is one.
LOADS = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loaded(HTMLParser):
    """Collects the addresses that a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if (
            tag in LOADS
            and (address := values.get(LOADS[tag]))
            and values.get("rel") not in ("canonical", "prev", "next")
        ):
            self.addresses.append(address)


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        parser = Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.addresses
        assert not [address for address in parser.addresses if urlsplit(address).netloc], page
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_a_page_that_loads_from_elsewhere_would_be_noticed() -> None:
    parser = Loaded()
    parser.feed('<a href="https://example.org">x</a><script src="https://example.org/x.js"></script>')
    assert parser.addresses == ["https://example.org/x.js"]


def test_every_page_is_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = re.findall(r"[\w-]+\.md", str(nav))
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_the_api_page_documents_what_the_package_exports(site: Path) -> None:
    import realtime_mer

    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    missing = {"Config", "ArraySource"}  # the settings have a page of their own; a source of arrays is in extending.md
    for name in set(realtime_mer.__all__) - missing:
        assert re.search(rf'id="realtime_mer\.[a-z_.]*{name}"', text), name


@pytest.mark.parametrize("name", ["commands.md", "settings.md"])
def test_the_reference_is_what_the_program_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    spec = util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert module.pages()[ROOT / "docs" / name] == written, "run python docs/reference.py"
