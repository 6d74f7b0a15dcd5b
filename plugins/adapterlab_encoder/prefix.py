"""What a frozen encoder computes before any lane can add something, kept for the rows it has seen.

Without dropout, the embeddings and the first layer up to its adapter do not depend on a lane: not on
its coefficients, its head, its seed or its target. They are computed once a row and read every epoch,
by every lane on that row, in training and evaluation alike.

Shapes: ``d`` hidden size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapterlab.plugin import Examples, Rectangle

BUDGET_BYTES = 1 << 30
"""Most memory for all kept rows, 1 GiB; a split that needs more by itself is computed each time."""


@dataclass
class _Kept:
    """Rows of one split."""

    examples: Examples
    """Held, so that nothing else can take its identity."""
    states: Tensor
    """(tokens of the split, d); rows are there where ``known`` says so."""
    known: NDArray[np.bool_]
    """(examples of the split,)."""


class PrefixCache:
    """Rows by split, the least recently used split dropped first.

    Args:
        width: Hidden size, d.
        dtype: Precision of the rows.
        device: Where they are kept.
        budget_bytes: Most memory.
    """

    def __init__(
        self, width: int, dtype: torch.dtype, device: torch.device, budget_bytes: int = BUDGET_BYTES
    ) -> None:
        self._width, self._dtype, self._device, self._budget = width, dtype, device, budget_bytes
        self._splits: OrderedDict[int, _Kept] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """Memory of all kept rows."""
        return sum(one.states.nbytes for one in self._splits.values())

    def rows(
        self, rectangles: Sequence[Rectangle], compute: Callable[[Rectangle], Tensor]
    ) -> Sequence[Tensor]:
        """Return the rectangles' rows one after another, (tokens, d), in as few tensors as there are splits.

        Args:
            rectangles: Rows of a split, or given from outside; those are always computed.
            compute: Gives the rows of one of them, where they are not known yet.
        """
        found: list[Tensor] = []
        for _, run in groupby(rectangles, key=lambda one: id(one.examples)):
            same = list(run)
            kept = self._split_of(same[0])
            places = [one.positions for one in same if one.positions is not None]
            if kept is None or len(places) < len(same):
                found += map(compute, same)
                continue
            for rectangle, positions in zip(same, places, strict=True):
                if not kept.known[rectangle.rows].all():
                    kept.states.index_copy_(0, positions, compute(rectangle))
                    kept.known[rectangle.rows] = True
            found.append(kept.states.index_select(0, places[0] if len(places) == 1 else torch.cat(places)))
        return found

    def _split_of(self, rectangle: Rectangle) -> _Kept | None:
        examples = rectangle.examples
        if examples is None:
            return None
        found = self._splits.get(id(examples))
        if found is not None:
            self._splits.move_to_end(id(examples))
            return found
        tokens = int(examples.offsets[-1])
        needed = tokens * self._width * torch.empty(0, dtype=self._dtype).element_size()
        if needed > self._budget:
            return None
        while self.size_bytes + needed > self._budget:
            self._splits.popitem(last=False)
        with torch.inference_mode(mode=False):  # evaluation makes them, training reads them
            made = _Kept(
                examples,
                torch.empty(tokens, self._width, dtype=self._dtype, device=self._device),
                np.zeros(len(examples), dtype=np.bool_),
            )
        self._splits[id(examples)] = made
        return made
