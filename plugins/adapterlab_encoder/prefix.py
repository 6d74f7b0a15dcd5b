"""What a frozen encoder computes before any lane can add something, kept for the rows it has seen.

Without dropout, the embeddings and the first layer up to its adapter do not depend on a lane: not on
its coefficients, its head, its seed or its target. They are computed once a row and read every epoch,
by every lane on that row, in training and evaluation alike.

Shapes: ``d`` hidden size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
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
    known: Tensor
    """(tokens of the split,), bool."""


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

    def rows(self, rectangle: Rectangle, compute: Callable[[Rectangle], Tensor]) -> Tensor:
        """Return the rectangle's rows, (tokens, d), computed where they are not known yet.

        Args:
            rectangle: Rows of a split, or given from outside; those are always computed.
            compute: Gives the rows.
        """
        kept = self._split_of(rectangle)
        if kept is None or rectangle.positions is None:
            return compute(rectangle)
        if bool(kept.known[rectangle.positions].all()):
            return kept.states.index_select(0, rectangle.positions)
        states = compute(rectangle)
        kept.states.index_copy_(0, rectangle.positions, states)
        kept.known[rectangle.positions] = True
        return states

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
                torch.zeros(tokens, dtype=torch.bool, device=self._device),
            )
        self._splits[id(examples)] = made
        return made
