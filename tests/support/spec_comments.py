"""The commands that stand in the comment a packaged spec begins with."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

SPECS = Path(__file__).parents[2] / "specs"


def packaged() -> list[str]:
    """Return the specs by path below ``specs/``, without ending."""
    return sorted(path.relative_to(SPECS).with_suffix("").as_posix() for path in SPECS.rglob("*.toml"))


def commands(name: str) -> dict[str, list[list[str]]]:
    """Return the ``platform`` commands of a spec's comment, as words, by the label they stand under."""
    found: dict[str, list[list[str]]] = {}
    label, pending = "", ""
    for line in (SPECS / f"{name}.toml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        text = line[1:].removeprefix(" ")
        if text and not text.startswith(" "):
            head, _, rest = text.partition(":") if text.startswith("Run:") else text.partition("  ")
            label, text = (head.strip(), rest) if rest else ("", text)
        text = text.strip()
        if not pending and not text.startswith("platform "):
            continue
        pending += text.removesuffix("\\")
        if not text.endswith("\\"):
            found.setdefault(label, []).append(shlex.split(pending))
            pending = ""
    return found


def overrides(words: list[str]) -> list[str]:
    """Return the ``--set`` arguments of a command."""
    return [word for before, word in pairwise(words) if before == "--set"]
