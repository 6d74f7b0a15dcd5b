"""What lanes' heads make of the states they read, and how far that is from the labels.

Heads that are alike answer together, lanes being an axis of their tensors.

Shapes: ``K`` lanes, ``R`` states of the lane that has most, ``B`` sequences of a lane, ``C`` outputs, ``E`` examples.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from adapterlab.records import Reads
from adapterlab.train.adaptation import Seat, numbers_of
from adapterlab.train.layers import HeadLayer
from adapterlab.train.packing import LaneRows
from adapterlab.train.passes import Rectangle, parts
from adapterlab.train.together import Together, head_shapes
from adapterlab.train.transfer import on_device


@dataclass(frozen=True)
class Answers:
    """Outputs of lanes whose heads answer together; often of one alone."""

    lanes: tuple[int, ...]
    """Which of the lanes that were asked for."""
    head: HeadLayer
    rectangles: tuple[Rectangle, ...]
    outputs: Tensor
    """(Σ B, C)."""

    @property
    def by_lane(self) -> Sequence[Tensor]:
        """Each lane's outputs, (B, C)."""
        return parts(self.outputs, [len(one.token_ids) for one in self.rectangles])

    @cached_property
    def losses(self) -> Tensor:
        """Each lane's mean loss over its examples, (K,)."""
        if len(self.lanes) == 1:
            return self.head.loss(self.outputs, self.rectangles[0].labels).unsqueeze(0)
        examples = [len(one.labels) for one in self.rectangles]
        return self._sums / on_device(examples, self.outputs.dtype, self.outputs.device)

    @cached_property
    def summed_losses(self) -> Tensor:
        """Each lane's loss summed over its examples, (K,)."""
        if len(self.lanes) == 1:
            return self.head.loss(self.outputs, self.rectangles[0].labels, reduction="sum").unsqueeze(0)
        return self._sums

    @property
    def _sums(self) -> Tensor:
        labels = torch.cat([one.labels for one in self.rectangles])
        each = self.head.loss(self.outputs, labels, reduction="none")  # (Σ E,)
        return LaneRows(tuple(len(one.labels) for one in self.rectangles), each.device).sums(each)


def answers(
    seats: Sequence[Seat], states: Sequence[Tensor], rectangles: Sequence[Rectangle]
) -> list[Answers]:
    """Return what the lanes' heads make of their states.

    Args:
        seats: The lanes; each has a head.
        states: What each head reads, (B, d), or (tokens, d) for one that reads every token.
        rectangles: The rows they belong to.
    """
    kin: dict[Hashable, list[int]] = {}
    for lane, (seat, rectangle) in enumerate(zip(seats, rectangles, strict=True)):
        assert seat.head is not None
        kin.setdefault(_kin(seat.head, seat, rectangle) or lane, []).append(lane)
    return [_answers(members, seats, states, rectangles) for members in kin.values()]


def in_order(found: Sequence[Answers], values: Sequence[Tensor]) -> Tensor:
    """Return lanes' values, (K,) for each answer, in the order in which the lanes were given."""
    together = torch.cat(list(values))
    order = [lane for one in found for lane in one.lanes]
    if order == sorted(order):
        return together
    back = sorted(range(len(order)), key=order.__getitem__)
    return together[on_device(back, torch.int64, together.device)]


def _kin(head: HeadLayer, seat: Seat, rectangle: Rectangle) -> Hashable | None:
    """Return what is equal for lanes whose heads answer together; ``None``: alone."""
    if head.alike is None or head.reads is Reads.EVERY or not seat.joins:
        return None
    choices = len(rectangle.token_ids) // len(rectangle.labels)
    own = head_shapes(seat.tensors)
    return type(head), head.alike, head.problem_type, choices, rectangle.labels.dtype, seat.key is None, own


def _answers(
    lanes: Sequence[int], seats: Sequence[Seat], states: Sequence[Tensor], rectangles: Sequence[Rectangle]
) -> Answers:
    members = [seats[lane] for lane in lanes]
    head, own = members[0].head, tuple(rectangles[lane] for lane in lanes)
    assert head is not None
    read = [states[lane] for lane in lanes]
    numbers = numbers_of(members, "head", read[0].device)
    draws = None if numbers is None else numbers.at()
    if head.alike is None or head.reads is Reads.EVERY:
        outputs = head.forward(
            members[0].tensors,
            read[0],
            own[0].lengths,
            dropout=members[0].head_dropout,
            generator=None if draws is None else draws.generator(),
        )
        return Answers(tuple(lanes), head, own, outputs)
    rows = LaneRows(tuple(len(one) for one in read), read[0].device)
    outputs = head.together([seat.head for seat in members]).forward(
        Together([seat.tensors for seat in members]),
        rows.apart(torch.cat(read) if len(read) > 1 else read[0]),  # (K, R, d)
        rows.apart(torch.cat([one.lengths for one in own])),
        dropout=[seat.head_dropout for seat in members],
        generator=draws,
    )
    return Answers(tuple(lanes), head, own, rows.together(outputs))
