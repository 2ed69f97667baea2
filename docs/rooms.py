"""Draws docs/images/rooms.svg (the rooms of the runtime and their imports) and the rooms of docs/architecture.md.

python docs/rooms.py

The order is that of the contract in pyproject.toml: what is run comes first, what flows comes last. A room imports only
from rooms further down. Commands, which ``cli`` finds by name, do not count as its imports. Lines are rounded to
hundreds, so that not every change of the code changes the picture.
"""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import grimp
from drawn import within

ROOT: Final = Path(__file__).resolve().parents[1]
PICTURE: Final = ROOT / "docs" / "images" / "rooms.svg"
PAGE: Final = ROOT / "docs" / "architecture.md"
SCRIPT: Final = "docs/rooms.py"
PACKAGE: Final = "realtime_mer"
Imports = Mapping[tuple[str, str], int]  # (room, room that it imports) -> imports of a module by a module

STEP_X, STEP_Y = 42, 34  # px from one room to the next
BOX_X, BOX_Y = 128, 24  # px of a room
LEFT, TOP, NOTE = 14, 16, 40  # px of the margins and of the note below


def layers() -> list[tuple[str, ...]]:
    """The contract: rooms by layer, from what is run to what flows. Those of one layer do not import each other."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(c for c in table["tool"]["importlinter"]["contracts"] if c.get("containers") == [PACKAGE])
    return [tuple(name.strip(" ()") for name in layer.split("|")) for layer in contract["layers"]]


def lines() -> dict[str, int]:
    """Lines of Python by room."""
    found: Counter[str] = Counter()
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        found[file.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")] += file.read_text("utf-8").count("\n")
    found.pop("__init__", None)  # the package's own front door, no room
    return dict(found)


def imports() -> Counter[tuple[str, str]]:
    """Imports between rooms, those inside functions included."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found: Counter[tuple[str, str]] = Counter()
    for module in graph.modules - {PACKAGE}:
        for imported in graph.find_modules_directly_imported_by(module) - {PACKAGE}:
            pair = module.split(".")[1], imported.split(".")[1]
            found[pair] += pair[0] != pair[1]
    return +found


def against(found: Imports, order: Sequence[tuple[str, ...]]) -> list[str]:
    """The imports that the order forbids, each as "room -> room"."""
    place = {room: number for number, layer in enumerate(order) for room in layer}
    return sorted(f"{a} -> {b}" for a, b in found if place[a] >= place[b])


def draw(order: Sequence[tuple[str, ...]], sizes: Mapping[str, int], found: Imports) -> str:
    """Rooms on the diagonal; an import leaves a room to the right and goes down into the one that it imports."""
    rooms = [room for layer in order for room in layer if room in sizes]
    x = {room: LEFT + BOX_X + STEP_X * number for number, room in enumerate(rooms)}
    y = {room: TOP + BOX_Y // 2 + STEP_Y * number for number, room in enumerate(rooms)}
    width, bottom = x[rooms[-1]] + 24, y[rooms[-1]] + BOX_Y // 2 + TOP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + NOTE}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        "<title>The rooms of realtime_mer and their imports</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number, layer in enumerate(order):
        here = [y[room] for room in layer if room in y]
        if here and number % 2:
            top, height = here[0] - STEP_Y / 2, len(here) * STEP_Y
            parts.append(f'<rect y="{top:g}" width="{width}" height="{height}" fill="#f3f5f8"/>')
    for b in rooms:
        users = [a for a in rooms if (a, b) in found and y[a] < y[b]]
        parts += [f'<path d="M{x[a]} {y[a]}H{x[b] - 12}" stroke="#b9c2cf"/>' for a in users]
        if users:
            end = y[b] - BOX_Y // 2
            parts.append(f'<path d="M{x[b] - 12} {y[users[0]]}V{end - 5}" stroke="#6b7a90"/>')
            parts.append(f'<path d="M{x[b] - 16} {end - 6}h8l-4 6z" fill="#6b7a90"/>')
    for (a, b), count in sorted(found.items()):
        if y[a] < y[b]:
            at = x[b] - 12
            parts.append(f'<circle cx="{at}" cy="{y[a]}" r="10" fill="#fff" stroke="#6b7a90"/>')
            parts.append(f'<text x="{at}" y="{y[a] + 4}" text-anchor="middle" font-size="11">{count}</text>')
    for room in rooms:
        left, base = x[room] - BOX_X, y[room] + 4
        parts.append(
            f'<rect x="{left}" y="{y[room] - BOX_Y // 2}" width="{BOX_X}" height="{BOX_Y}" rx="4" fill="#e3ecf9" '
            'stroke="#3b5b8c"/>'
        )
        parts.append(f'<text x="{left + 8}" y="{base}" font-weight="600">{room}</text>')
        parts.append(f'<text x="{x[room] - 8}" y="{base}" text-anchor="end" fill="#445">{_rounded(sizes[room])}</text>')
    note = "An arrow goes from a room to one that it imports; the number counts imports. In the boxes: lines of code."
    parts.append(f'<text x="{LEFT}" y="{bottom + 8}" fill="#445">{note}</text>')
    if wrong := against(found, order):
        parts.append(f'<text x="{LEFT}" y="{bottom + 26}" fill="#b00020">Against the data: {", ".join(wrong)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _rounded(size: int) -> str:
    return f"{100 * round(size / 100):,}" if size >= 100 else "&lt; 100"


def about(room: str) -> str:
    """The first paragraph of a room's own docstring."""
    path = ROOT / PACKAGE / room
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
    return " ".join((ast.get_docstring(ast.parse(source)) or "").partition("\n\n")[0].split())


def page(text: str) -> str:
    """The page of the architecture with each room in its own words, in the order of the contract."""
    sizes = lines()
    rooms = [room for layer in layers() for room in layer if room in sizes]
    return within(text, SCRIPT, "\n".join(f"- **{room}**: {about(room)}" for room in rooms) + "\n")


def main() -> None:
    """Draws both."""
    PICTURE.write_text(draw(layers(), lines(), imports()), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
