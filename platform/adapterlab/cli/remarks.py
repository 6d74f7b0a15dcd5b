"""Tags and notes as people type them, of records and of sweeps, and as they are shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from adapterlab.errors import UsageError

if TYPE_CHECKING:
    from adapterlab.catalog.records import Annotation

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_NOTE = 4000


def checked_tags(tags: Sequence[str] | None) -> Sequence[str]:
    """Return tags that may be kept.

    Raises:
        UsageError: One of them is none.
    """
    for one in tags or ():
        if not _TAG.fullmatch(one):
            raise UsageError(
                f"{one[:80]!r} is no tag", remedy="Letters, digits, dots, hyphens and _, at most 64."
            )
    return tags or ()


def checked_note(text: str) -> str:
    """Return a note that may be kept.

    Raises:
        UsageError: It is too long.
    """
    if len(text) > _LONGEST_NOTE:
        raise UsageError(f"a note has at most {_LONGEST_NOTE} characters, got {len(text)}")
    return text


def said_of(noted: Annotation) -> str:
    """Return what is noted of something, in one line."""
    parts = [
        f"name {noted.name!r}" if noted.name else "",
        f"tags {', '.join(noted.tags)}" if noted.tags else "",
        f"note {noted.note!r}" if noted.note else "",
    ]
    return "; ".join(filter(None, parts)) or "nothing is noted"
