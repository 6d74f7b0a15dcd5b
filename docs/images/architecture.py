"""Draw ``architecture.svg``: ``python docs/images/architecture.py``. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

WIDTH, HEIGHT = 960, 662
LEFT, RIGHT = 30, 640  # the floors; stores and plug-ins stand to the right of them
FLOOR, GAP = 44, 8

FLOORS: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (("cli", "commands", "1"),),
    (("api", "the Python API", ""), ("plugin", "all that plug-ins may import", "")),
    (("importing", "adapters that exist already", ""),),
    (("reporting", "tables, significance", "8"), ("exporting", "folders, predictions", "")),
    (("driver", "what is missing, whose it is, who does it", "4"),),
    (("cluster", "starts workers (Ray)", "5"), ("worker", "sources, studies, final runs", "6")),
    (("train", "the lane engine (torch)", "7"), ("search", "studies (Optuna)", "")),
    (
        ("planning", "keyed steps", "3"),
        ("catalog", "what is known", ""),
        ("tracking", "MLflow", ""),
        ("data", "tasks", ""),
    ),
    (
        ("backbones", "files, digests", ""),
        ("spec", "what was asked", "2"),
        ("registry", "plug-ins", ""),
        ("caching", "", ""),
    ),
    (
        ("errors", "", ""),
        ("fingerprint", "keys", ""),
        ("records", "plain values", ""),
        ("home", "where state is", ""),
        ("provenance", "what made it", ""),
    ),
)

ASIDE = (
    ("spec.toml", "what a person writes", 0, 1),
    ("Catalog", "SQLite or PostgreSQL, and weights in a folder or bucket", 3, 2),
    ("Studies", "Optuna's database", 5, 1),
    ("Runs", "MLflow's store or server", 6, 1),
    ("Plug-ins", "methods, combiners, backbone families, task suites: by entry point", 7, 2),
    ("Hugging Face hub", "backbones and data sets at a commit", 9, 1),
)


def top(floor: int) -> int:
    """Return where a floor begins, from the picture's top."""
    return 70 + floor * (FLOOR + GAP)


def text(x: float, y: float, words: str, kind: str) -> str:
    """Return one line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{words}</text>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """Return a rectangle."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" class="{kind}"/>'


def rooms() -> Iterator[str]:
    """Yield the floors, the highest first."""
    for floor, members in enumerate(FLOORS):
        width = (RIGHT - LEFT - GAP * (len(members) - 1)) / len(members)
        for place, (name, what, step) in enumerate(members):
            x, y = LEFT + place * (width + GAP), top(floor)
            yield box(x, y, width, FLOOR, "room" if floor < 10 else "ground")
            if len(members) > 2:
                yield text(x + 12, y + (19 if what else 27), name, "name")
                yield text(x + 12, y + 35, what, "what")
            else:
                yield text(x + 12, y + 27, name, "name")
                yield text(x + 95, y + 27, what, "what")
            if step:
                yield f'<circle cx="{x + width - 18:g}" cy="{y + FLOOR / 2:g}" r="11" class="step"/>'
                yield text(x + width - 18, y + FLOOR / 2 + 4.5, step, "number")


def aside() -> Iterator[str]:
    """Yield what is outside the package."""
    x, width = RIGHT + 30, WIDTH - RIGHT - 60
    for name, what, floor, floors in ASIDE:
        y, height = top(floor), floors * FLOOR + (floors - 1) * GAP
        yield box(x, y, width, height, "outside")
        lines, line = [], ""
        for word in what.split():
            if len(line) + len(word) > 36:
                lines.append(line)
                line = ""
            line = f"{line} {word}".strip()
        lines.append(line)
        start = y + height / 2 - (len(lines) * 15) / 2 + 4
        yield text(x + 14, start, name, "name")
        for number, shown in enumerate(lines, 1):
            yield text(x + 14, start + number * 15, shown, "what")


def picture() -> str:
    """Return the whole picture."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
            'aria-label="The rooms of adapterlab, floor by floor, and what is outside of it">',
            "<style>",
            "text { font-family: system-ui, sans-serif; fill: #1b2333 }",
            ".title { font-size: 17px; font-weight: 600 } .name { font-size: 14px; font-weight: 600 }",
            ".what, .note { font-size: 12px; fill: #4a5468 }",
            ".number { font-size: 13px; font-weight: 600; fill: #ffffff; text-anchor: middle }",
            ".step { fill: #3949ab } .room { fill: #e8eaf6; stroke: #9fa8da }",
            ".ground { fill: #eceff1; stroke: #b0bec5 } .outside { fill: #fff8e1; stroke: #ffcc80 }",
            "</style>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            text(LEFT, 32, "adapterlab, floor by floor", "title"),
            text(
                LEFT,
                54,
                "A room imports from the floors below it, never from above. Numbers: the way of a spec.",
                "note",
            ),
            text(RIGHT + 30, 54, "Outside", "note"),
            *rooms(),
            *aside(),
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture(), encoding="utf-8")
