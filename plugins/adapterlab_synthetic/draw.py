"""Random draws that are the same on every machine and in every Python version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
_MASK = (1 << 64) - 1


class Draw:
    """A stream of draws, seeded by names.

    SplitMix64, seeded with sha256: the standard library promises neither its ``choice`` nor its
    ``shuffle`` across versions, and ``hash`` differs from process to process.

    Source: Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators.

    Args:
        names: What the stream is for; different names give independent streams.
    """

    def __init__(self, *names: str) -> None:
        self._state = int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:8], "big")

    def bits(self) -> int:
        """Return 64 random bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def below(self, bound: int) -> int:
        """Return a whole number in [0, bound)."""
        return (self.bits() * bound) >> 64

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return items[self.below(len(items))]

    def chance(self, percent: int) -> bool:
        """Return true in ``percent`` of 100 draws."""
        return self.below(100) < percent

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Return ``count`` different items, in random order."""
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]
