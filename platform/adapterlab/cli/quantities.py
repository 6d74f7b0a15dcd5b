"""Lengths of time as people type them; sizes, ages, clocks and dates as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from adapterlab.errors import UsageError

_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|min|m|s)")
_LONGEST_S = 100 * 366 * 86400.0


def seconds_of(text: str, option: str) -> float:
    """Return a length of time in seconds, from 0 to a hundred years.

    Args:
        text: Numbers with units, the larger ones first or not: ``"24h"``, ``"1d 12h"``, ``"90 min"``; ``"0"``.
        option: Where it was typed, for the message.

    Raises:
        UsageError: It is no length of time.
    """
    typed = text.strip().lower()
    parts = _PART.findall(typed)
    whole = re.fullmatch(rf"(?:{_PART.pattern}\s*)+", typed) is not None
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts) if whole else None
    if typed == "0":
        seconds = 0.0
    if seconds is None or seconds > _LONGEST_S:
        raise UsageError(
            f"{option}: {text[:80]!r} is no length of time",
            remedy="Write a number with its unit: 24h, 7d, 90min, 30s, 1d12h.",
        )
    return seconds


def size_text(count: int) -> str:
    """Return a number of bytes as people read it: ``"1.4 MiB"``."""
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def age_text(seconds: float | None) -> str:
    """Return an age as people read it: ``"3 days"``; ``"unknown"`` where it is."""
    if seconds is None:
        return "unknown"
    for unit, length in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds:.0f} s"


def clock_text(seconds: float | None) -> str | None:
    """Return a time that passed as a clock shows it: ``"3:07"``, ``"2:15:00"``, ``"3 d 02:15"``."""
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24:02d}:{minutes:02d}"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def remaining_text(seconds: float | None) -> str | None:
    """Return a guess of the time that is left, no finer than it is good: ``"about 4 min"``."""
    if seconds is None:
        return None
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h" if seconds < 36 * 3600 else f"about {seconds / 86400:.1f} d"


def date_text(seconds: float | None) -> str | None:
    """Return a moment, in seconds since 1970, in this machine's time zone: ``"2026-11-28 17:50"``."""
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%Y-%m-%d %H:%M}"
