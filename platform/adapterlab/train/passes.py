"""Rectangles of rows, and how several lanes' rectangles share one pass.

A lane brings ``B_k`` rows of up to ``S_k`` tokens; an example of several choices brings as many rows,
one below the other, and is never split. A pass lays the real tokens of all rectangles one after
another, ``N`` token rows: every product with frozen weights runs once over all of them, and whatever
belongs to a lane runs on that lane's slice. Padding is computed nowhere but inside attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import groupby, pairwise
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapterlab.records import Examples, Reads
from adapterlab.train.packed import PackedRows
from adapterlab.train.transfer import sent_together

_MEGABATCH = 8
"""Batches whose rows are sorted by length together: enough to make rows of a batch alike in
length, few enough that the make-up of batches stays random."""
_LENGTH_JITTER = 0.1
"""Relative noise on lengths while sorting, so that small data sets do not repeat their batches."""


@dataclass(frozen=True)
class Rectangle:
    """Some rows of one lane, padded to their own longest row."""

    token_ids: Tensor
    """(B, S), int64; padding is 0 and masked."""
    type_ids: Tensor
    """(B, S), int64."""
    lengths: Tensor
    """Real tokens of each row, (B,), int64."""
    labels: Tensor
    """Labels of the examples, (E,) or (E, C); ``E`` is ``B``, or ``B`` by the choices of an example."""
    rows: NDArray[np.int64]
    """Which examples of the split these are, (E,)."""
    given_mask: Tensor | None = None
    """True at the tokens that may be looked at, (B, S), where these are not each row's first ones."""
    position_ids: Tensor | None = None
    """(B, S), int64, where positions are not the backbone's usual ones for padding at the end."""
    examples: Examples | None = None
    """The split the rows are of, if they are of one."""
    positions: Tensor | None = None
    """Which of the split's tokens the real ones are, in order, (tokens,), int64."""
    cells: Tensor | None = None
    """Cells of the real tokens in the (B · S) grid, in order, (tokens,), int64; ``None``: every cell is
    computed, because none is padding or a mask was given. Found where rows are gathered, because asking
    a card which cells these are would make it wait."""

    @cached_property
    def mask(self) -> Tensor | None:
        """True at real tokens, (B, S); ``None`` when nothing is padded."""
        if self.given_mask is not None:
            return self.given_mask
        if self.cells is None:
            return None
        columns = torch.arange(self.token_ids.shape[1], device=self.lengths.device)
        return columns[None, :] < self.lengths[:, None]

    @property
    def tokens(self) -> int:
        """Token rows it takes in a pass: its real tokens, or all cells where a mask was given."""
        return self.token_ids.numel() if self.cells is None else len(self.cells)

    @property
    def starts(self) -> Tensor:
        """Row of each sequence's first token among the rectangle's token rows, (B,), int64."""
        if self.cells is None:
            return torch.arange(len(self.token_ids), device=self.token_ids.device) * self.token_ids.shape[1]
        return self.lengths.cumsum(0) - self.lengths

    def row_of(self, reads: Reads) -> Tensor:
        """Return the token row of each sequence that a head reads, its first or its last one, (B,), int64."""
        return self.starts if reads is Reads.FIRST else self.starts + self.lengths - 1

    def read(self, states: Tensor, reads: Reads) -> Tensor:
        """Return what a head reads of the rectangle's states, (tokens, d) -> (B, d) or (tokens, d)."""
        if reads is Reads.EVERY:
            return states
        if reads is not Reads.MEAN:
            return states.index_select(0, self.row_of(reads))
        sequences = torch.arange(len(self.lengths), device=states.device).repeat_interleave(
            self.lengths,
            output_size=len(states),  # which a card would be asked for
        )
        sums = states.new_zeros(len(self.lengths), states.shape[1]).index_add(0, sequences, states)
        return sums / self.lengths.unsqueeze(1).to(states.dtype)

    def packed(self, grid: Tensor) -> Tensor:
        """Return the entries of a (B, S) tensor that a pass computes, (tokens,)."""
        flat = grid.flatten()
        return flat if self.cells is None else flat[self.cells]

    def to(self, device: torch.device) -> Rectangle:
        """Return the same rows on another device."""
        return placed([self], device)[0]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by their fields' names."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in parts.items() if isinstance(value, Tensor)}


def placed(rectangles: Sequence[Rectangle], device: torch.device) -> list[Rectangle]:
    """Return the same rows on a device, in one copy that nobody waits for.

    Args:
        rectangles: All on the CPU; or all on the device, and then they come back as they are.
        device: Where to.
    """
    if device.type == "cpu" or all(one.token_ids.device.type == device.type for one in rectangles):
        return list(rectangles)
    arrived = iter(sent_together([each for one in rectangles for each in one.tensors.values()], device))
    return [
        replace(one, **cast("dict[str, Any]", {name: next(arrived) for name in one.tensors}))
        for one in rectangles
    ]


@dataclass(frozen=True)
class Pass:
    """Several lanes' rectangles, laid one after another."""

    rectangles: tuple[Rectangle, ...]

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Each rectangle's rows in the packed tensor."""
        return _consecutive([one.tokens for one in self.rectangles])

    def sizes_of(self, x: Tensor) -> tuple[int, ...]:
        """Return how many rows each rectangle has in ``x``, which has a row a token or a row a sequence."""
        by_token = len(x) == self.tokens
        return tuple(one.tokens if by_token else len(one.token_ids) for one in self.rectangles)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return each rectangle's rows of ``x``; the gradient of all of them is one tensor."""
        return parts(x, self.sizes_of(x))

    @cached_property
    def merged(self) -> Pass:
        """The same rows with neighbouring rectangles of one width as one: what is alike for all lanes."""
        runs = [list(run) for _, run in groupby(self.rectangles, key=_width)]
        return self if len(runs) == len(self.rectangles) else Pass(tuple(_merged(run) for run in runs))

    @property
    def is_packed(self) -> bool:
        """Whether it has real tokens alone: no rectangle came with a mask of its own."""
        return all(one.given_mask is None for one in self.rectangles)

    @cached_property
    def packed(self) -> PackedRows:
        """Where sequences and lanes lie among its token rows."""
        return PackedRows(
            lengths=torch.cat([one.lengths for one in self.rectangles]),
            longest=max(one.token_ids.shape[1] for one in self.rectangles),
            sequences_of_lanes=tuple(len(one.token_ids) for one in self.rectangles),
            tokens_of_lanes=tuple(one.tokens for one in self.rectangles),
        )

    def rows_read(self, reads: Sequence[Reads]) -> Tensor:
        """Return the packed row of each sequence that its lane's head reads, (Σ B,), int64.

        Args:
            reads: The first or the last token, for each rectangle.
        """
        starts = self.packed.starts
        if all(which is Reads.FIRST for which in reads):
            return starts
        own = zip(self.rectangles, reads, strict=True)
        return starts + torch.cat(
            [torch.zeros_like(one.lengths) if which is Reads.FIRST else one.lengths - 1 for one, which in own]
        )

    @property
    def tokens(self) -> int:
        """Token rows in all, ``N``."""
        return sum(one.tokens for one in self.rectangles)


def _width(rectangle: Rectangle) -> tuple[int, bool, bool]:
    """Return what rectangles have in common that can be one."""
    size = rectangle.token_ids.shape[1]
    return size, rectangle.given_mask is None, rectangle.position_ids is None


def _merged(run: Sequence[Rectangle]) -> Rectangle:
    """Return rectangles of one width as one, without labels: nothing but a backbone reads it."""
    first = run[0]
    if len(run) == 1:
        return first
    starts = np.cumsum([0, *(one.token_ids.numel() for one in run)]).tolist()
    cells = None
    if any(one.cells is not None for one in run):
        own = [
            torch.arange(one.token_ids.numel(), device=first.lengths.device)
            if one.cells is None
            else one.cells
            for one in run
        ]
        cells = torch.cat(torch._foreach_add(own, starts[:-1]))
    return Rectangle(
        token_ids=torch.cat([one.token_ids for one in run]),
        type_ids=torch.cat([one.type_ids for one in run]),
        lengths=torch.cat([one.lengths for one in run]),
        labels=first.labels[:0],
        rows=np.concatenate([one.rows for one in run]),
        given_mask=None if first.given_mask is None else torch.cat([_of(one.given_mask) for one in run]),
        position_ids=None
        if first.position_ids is None
        else torch.cat([_of(one.position_ids) for one in run]),
        cells=cells,
    )


def _of(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


def parts(x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """Return rows of ``x`` one after another, (N, …) -> (size, …) each; their gradients make one tensor."""
    return (x,) if len(sizes) == 1 else torch.split(x, list(sizes))


def _consecutive(sizes: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in pairwise(np.cumsum([0, *sizes])))


def gather(examples: Examples, rows: NDArray[np.int64]) -> Rectangle:
    """Return the given examples as a rectangle padded to their own longest sequence."""
    sequences = rows
    if examples.choices > 1:  # (E,) -> (E·K,)
        sequences = (rows[:, None] * examples.choices + np.arange(examples.choices)).reshape(-1)
    lengths = examples.lengths[sequences]
    size = int(lengths.max())
    columns = np.arange(size)
    inside = columns[None, :] < lengths[:, None]
    index = np.where(inside, examples.offsets[sequences][:, None] + columns[None, :], 0)
    token_ids = np.where(inside, examples.token_ids[index], 0)
    type_ids = np.where(inside, examples.type_ids[index], 0)
    return Rectangle(
        token_ids=torch.from_numpy(token_ids.astype(np.int64)),
        type_ids=torch.from_numpy(type_ids.astype(np.int64)),
        lengths=torch.from_numpy(lengths.astype(np.int64)),
        labels=torch.from_numpy(np.ascontiguousarray(examples.labels[rows])),
        rows=rows,
        examples=examples,
        positions=torch.from_numpy(index[inside].astype(np.int64)),
        cells=None if inside.all() else torch.from_numpy(np.flatnonzero(inside)),
    )


def epoch_batches(
    lengths: NDArray[np.int64], batch_size: int, generator: torch.Generator
) -> list[NDArray[np.int64]]:
    """Return one epoch's batches: every example once, in random order, rows of like length together.

    Args:
        lengths: Tokens of each example's longest sequence, (N,).
        batch_size: Examples a batch; the last one may be smaller.
        generator: The lane's order stream.
    """
    order = torch.randperm(len(lengths), generator=generator).numpy()
    noise = 1 + _LENGTH_JITTER * (2 * torch.rand(len(lengths), generator=generator).numpy() - 1)
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), _MEGABATCH * batch_size):
        rows = order[start : start + _MEGABATCH * batch_size]
        rows = rows[np.argsort(-(lengths[rows] * noise[rows]), kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[i] for i in shuffled]


def evaluation_rectangles(examples: Examples, max_tokens: int) -> Iterator[Rectangle]:
    """Yield every example once, sorted by length, in rectangles of at most ``max_tokens`` tokens.

    An example that is longer than that by itself is a rectangle of its own.
    """
    lengths = examples.example_lengths
    order = np.argsort(lengths, kind="stable")
    widest = max_tokens // examples.choices
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * lengths[order[end]] <= widest:
            end += 1
        yield gather(examples, order[start:end])
        start = end
