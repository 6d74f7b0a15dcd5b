"""Where lanes and their sequences lie among the token rows of a pass: what kernels over all rows are told.

Shapes: ``K`` lanes, ``B`` sequences of all lanes, ``N`` token rows of all lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from adapterlab.train.transfer import on_device


@dataclass(frozen=True)
class LaneOfRows:
    """Which lane each of some rows belongs to, and which of the lane's rows it is."""

    lanes: Tensor
    """(rows,), int64."""
    places: Tensor
    """From 0 within each lane, (rows,), int64."""

    @classmethod
    def of(cls, sizes: Sequence[int], device: torch.device) -> LaneOfRows:
        """Lay out lanes of so many rows one after another."""
        rows = sum(sizes)
        counts = on_device(sizes, torch.int64, device)
        lanes = torch.arange(len(sizes), device=device).repeat_interleave(counts, output_size=rows)
        firsts = counts.cumsum(0) - counts
        return cls(lanes, torch.arange(rows, device=device) - firsts[lanes])


@dataclass(frozen=True)
class PackedRows:
    """The rows of a pass: real tokens alone, sequence after sequence, lane after lane."""

    lengths: Tensor
    """Tokens of each sequence, (B,), int64."""
    longest: int
    """Most tokens of a sequence, or more."""
    sequences_of_lanes: tuple[int, ...]
    """How many sequences each lane has, (K,)."""
    tokens_of_lanes: tuple[int, ...]
    """How many token rows each lane has, (K,)."""

    @cached_property
    def starts(self) -> Tensor:
        """Row of each sequence's first token, (B,), int64."""
        return self.lengths.cumsum(0) - self.lengths

    @cached_property
    def sequences(self) -> LaneOfRows:
        """The lanes of sequences, (B,)."""
        return LaneOfRows.of(self.sequences_of_lanes, self.lengths.device)

    @cached_property
    def tokens(self) -> LaneOfRows:
        """The lanes of token rows, (N,)."""
        return LaneOfRows.of(self.tokens_of_lanes, self.lengths.device)

    def rows_of(self, x: Tensor) -> LaneOfRows:
        """Return the lanes of the rows of ``x``, which has a row a token or a row a sequence."""
        return self.tokens if len(x) == sum(self.tokens_of_lanes) else self.sequences
