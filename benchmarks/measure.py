"""Side-by-side timing: contenders take turns, so that a busy moment of the machine falls on all.

Ratios are taken round by round and summarised by their median, which a shared machine disturbs far
less than it disturbs the times themselves.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Times:
    """Wall seconds of one contender, round by round."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.seconds)

    def ratios(self, base: Times) -> list[float]:
        """Return this contender's time over another's, round by round."""
        return [mine / theirs for mine, theirs in zip(self.seconds, base.seconds, strict=True)]


def alternate(
    contenders: Mapping[str, Callable[[], Any]], *, rounds: int, warmups: int = 1
) -> dict[str, Times]:
    """Run every contender once a round, in turn, and return their times.

    Args:
        contenders: What to run, by name; each call is one measurement.
        rounds: Rounds that count.
        warmups: Rounds before, uncounted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warmups + rounds):
        # Every other round backwards: what follows a heavy contender would else always find a hot machine.
        names = list(contenders) if turn % 2 == 0 else list(reversed(contenders))
        for name in names:
            start = time.perf_counter()
            contenders[name]()
            if turn >= warmups:
                seconds[name].append(time.perf_counter() - start)
    return {name: Times(name, tuple(values)) for name, values in seconds.items()}


def spread(values: Sequence[float]) -> str:
    """Return ``median (least–greatest)``."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def surroundings(*packages: str) -> dict[str, Any]:
    """Return what decides speed beside the code: the machine, threads and versions."""
    facts: dict[str, Any] = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }
    for package in packages:
        facts[package] = importlib.metadata.version(package)
    return facts


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header, first column left, others right."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip())


def write_json(path: Path | None, facts: Mapping[str, Any]) -> None:
    """Write results for programs, if a file was asked for."""
    if path is not None:
        path.write_text(json.dumps(facts, indent=2, default=str) + "\n")
        print(f"written to {path}")
