"""What the fused operations are told beside the tensors that they compute with.

Shapes: ``K`` lanes, ``B`` sequences, ``N`` rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from adapterlab.train.counters import LEVELS, SiteWords

FLAT_COLUMNS = 1024
"""Entries of a row where numbers are drawn for a flat mask: entry ``n`` is in row ``n // 1024``."""


@dataclass(frozen=True)
class Drawn:
    """Which numbers the rows of several lanes draw at a site."""

    keys: Tensor
    """The lanes', (K,), int64."""
    lanes: Tensor
    """The lane of each row, (N,), int64."""
    places: Tensor
    """Which of its lane's rows each one is, (N,), int64."""
    site: SiteWords
    dropped: int
    """The chance that an entry is dropped, in 2⁻¹⁶; below 2¹⁶."""

    @property
    def share(self) -> float:
        """The chance that an entry stays."""
        return 1 - self.dropped / LEVELS


@dataclass(frozen=True)
class Attended:
    """Which rows attend to which, and which of their probabilities are dropped.

    An entry's row is its token's place in the sequence and the number of sequence and head in the lane; its column is the
    place of the token that is looked at.
    """

    starts: Tensor
    """Row of each sequence's first token, (B,), int64."""
    lengths: Tensor
    """Tokens of each sequence, (B,), int64."""
    longest: int
    """Most tokens of a sequence."""
    heads: int
    drawn: Drawn
    """Of sequences, not of rows."""


class Moments(NamedTuple):
    """Running means of n tensors' gradients and of their squares."""

    means: Sequence[Tensor]
    squares: Sequence[Tensor]
    beta1: float
    beta2: float


@dataclass(frozen=True)
class Stepped:
    """What AdamW does to each of n tensors in a step, beside what their runs' gradients decide on the device.

    ``θ ← shrink·θ − rate · m / ((√v + before) / correction + after)``.
    """

    runs: Sequence[int]
    """Which of the K runs each tensor belongs to."""
    shrinks: Sequence[float]
    """1 − lr · weight decay."""
    rates: Sequence[float]
    """lr / (1 − β₁ᵏ) at the tensor's step k."""
    corrections: Sequence[float]
    """√(1 − β₂ᵏ)."""
    before: Sequence[float]
    """Added to the root before it is corrected; 0 but where ε comes first."""
    after: Sequence[float]
    """Added to the root afterwards; 0 where ε comes first."""
