"""One fault of a spec, and how a list of them reads.

specs/rte.toml:5:1: unknown key "lerning_rate" - did you mean "lr"?
    5 | lerning_rate = 3e-4
      | ^^^^^^^^^^^^
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from adapterlab.errors import SpecError
from adapterlab.passwords import hide_passwords

MAX_SHOWN = 50
_MAX_LINE = 110


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and where."""

    file: str
    """Name of the file, or ``--set KEY=VALUE`` for a fault of an override."""
    line: int | None
    """Counted from 1; ``None`` where a line means nothing."""
    column: int | None
    """In characters, counted from 1."""
    key: str
    """Dotted path of the key, ``""`` for the whole file."""
    message: str
    """What is wrong: the rule, and what was found instead."""
    hint: str | None = None
    """What to do: the near name, the known names, or an example."""
    source: str = ""
    """The offending line."""
    width: int = 1
    """Characters of it that are at fault."""

    @property
    def place(self) -> str:
        """``file:line:column``, as editors and terminals make it a link."""
        return ":".join(
            _printable(str(part)) for part in (self.file, self.line, self.column) if part is not None
        )

    def to_json(self) -> dict[str, str | int | None]:
        """Return the fault as a JSON-able mapping."""
        return asdict(self)

    def render(self) -> str:
        """Return the fault as a person reads it, the offending line under it."""
        end = f" - {self.hint}" if self.hint else ""
        head = f"{self.place}: {_printable(self.message)}{_printable(end)}"
        return f"{head}\n{self._excerpt()}" if self.source and self.column else head

    def _excerpt(self) -> str:
        column = (self.column or 1) - 1
        cut = max(0, column - _MAX_LINE // 2) if len(self.source) > _MAX_LINE else 0
        shown = self.source[cut : cut + _MAX_LINE]
        before, at = shown[: column - cut], shown[column - cut : column - cut + self.width]
        carets = "^" * max(1, _display_width(at))
        number = f"{self.line:>5}"
        return f"{number} | {_printable(shown)}\n{' ' * len(number)} | {' ' * _display_width(before)}{carets}"


def spec_error(faults: Sequence[Fault], name: str) -> SpecError:
    """Return the one error that carries every fault of a spec, in reading order.

    Args:
        faults: At least one fault; files in the order in which they are read.
        name: What messages call the spec.
    """
    files = list(dict.fromkeys(fault.file for fault in faults if fault.line is not None))
    in_order = [
        _without_secrets(fault)
        for fault in sorted(
            faults,
            key=lambda fault: (
                (True, 0, 0, 0)
                if fault.line is None
                else (False, files.index(fault.file), fault.line, fault.column or 0)
            ),
        )
    ]
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    shown = [fault.render() for fault in in_order[:MAX_SHOWN]]
    if len(in_order) > MAX_SHOWN:
        shown.append(f"… and {len(in_order) - MAX_SHOWN} more")
    message = "\n".join([*shown, f"{count} in {_printable(name)}"])
    return SpecError(message, faults=[fault.to_json() for fault in in_order], spec=name)


def _without_secrets(fault: Fault) -> Fault:
    return replace(
        fault,
        file=hide_passwords(fault.file),
        message=hide_passwords(fault.message),
        source=hide_passwords(fault.source),
    )


def _printable(text: str) -> str:
    """Replace what would move a terminal's cursor; a spec is somebody else's text."""
    return "".join(
        " " if char == "\t" else char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def _display_width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    joined = sum(unicodedata.combining(char) > 0 for char in text)
    return len(text) + wide - joined
