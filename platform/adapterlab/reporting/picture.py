"""One figure of a report, and all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from adapterlab.tracking.drawing import Drawn

Kind = Literal["probing", "few-shot", "parameters", "difference", "coefficients", "attention", "search"]


@dataclass(frozen=True)
class Picture:
    """One figure, ready to be written."""

    name: str
    """Stem of its files, unique in a report."""
    kind: Kind
    caption: str
    """What it shows."""
    png: bytes
    svg: bytes | None = None
    """``None`` for pictures that other libraries draw."""
    is_printed: bool = True
    """Whether it has the size of print, which a screen shows larger."""

    @classmethod
    def of(cls, name: str, kind: Kind, caption: str, drawn: Drawn, *, is_printed: bool = True) -> Picture:
        """Return a figure in both formats under a name that may be a file's."""
        return cls(file_name(name), kind, caption, drawn.png, drawn.svg, is_printed)

    @property
    def files(self) -> dict[str, bytes]:
        """Content by file name, the SVG first."""
        drawn = {} if self.svg is None else {f"{self.name}.svg": self.svg}
        return {**drawn, f"{self.name}.png": self.png}


@dataclass(frozen=True)
class Figures:
    """What a report draws, and says where there is nothing to see."""

    pictures: tuple[Picture, ...] = ()
    words: tuple[str, ...] = ()
    """Sentences, each in place of pictures that would have one colour."""

    def __add__(self, other: Figures) -> Figures:
        """Return both, these first."""
        return Figures((*self.pictures, *other.pictures), (*self.words, *other.words))

    def to_json(self) -> dict[str, object]:
        """Return the figures' files and captions, and the sentences, as a JSON-able mapping."""
        pictures = [
            {"kind": one.kind, "caption": one.caption, "files": list(one.files)} for one in self.pictures
        ]
        return {"figures": pictures, "not_drawn": list(self.words)}


def file_name(name: str) -> str:
    """Return a name with nothing in it that a file's may not have."""
    kept = "".join(one if one.isalnum() or one in "._=" else "-" for one in name)
    return "-".join(part for part in kept.split("-") if part)
