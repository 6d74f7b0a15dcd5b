"""The project's documents, and what they say about the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *DOCS.rglob("*.md")])

_GAP = "\0"


def quoted_messages(page: Path) -> Iterator[tuple[str, str]]:
    """Yield heading and quote of each row of a table whose first column is ``message``."""
    heading, reading = "", False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif not line.startswith("|"):
            reading = False
        elif line.startswith("| message |"):
            reading = True
        elif reading and (quote := re.match(r"\| `([^`]+)` \|", line)):
            yield heading, quote[1]


def is_said(message: str) -> bool:
    """Return whether the code can say a message; ``…`` stands for what differs."""
    parts = [re.escape(part.strip()) for part in message.split("…")]
    gap = f"[^\\n]*{_GAP}[^\\n]*"
    pattern = re.compile(gap.join(parts) if len(parts) > 1 else parts[0])
    return any(pattern.search(text) for text in _texts())


@cache
def _texts() -> tuple[str, ...]:
    """Return every text of the code, with a NUL where a value is written into it."""
    found: list[str] = []
    for folder in ("platform", "plugins"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    found.append(
                        "".join(
                            str(one.value) if isinstance(one, ast.Constant) else _GAP for one in node.values
                        )
                    )
    return tuple(found)
