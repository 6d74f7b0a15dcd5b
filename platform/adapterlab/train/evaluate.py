"""Evaluation of several lanes in one pass, without gradients or dropout.

As in training, a GPU is given passes ahead, and their outputs come to the host on their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from adapterlab.data import metrics
from adapterlab.errors import TrainingError
from adapterlab.records import Examples, TaskFacts
from adapterlab.train.adaptation import Seat, read_states, trained_in
from adapterlab.train.answers import Answers, answers
from adapterlab.train.capacity import give_back_kept, halved, in_halves
from adapterlab.train.layers import Backbone
from adapterlab.train.passes import Rectangle, evaluation_rectangles, gather, placed
from adapterlab.train.step import nothing, passes_ahead
from adapterlab.train.transfer import Fetched

MAX_TOKENS = 4096
"""Token rows of one lane in an evaluation pass: enough to fill a processor, little memory."""
_PASS_TOKENS = 16384
"""Token rows of all lanes in an evaluation pass."""
_LEAST_TOKENS = 512
"""Token rows of one lane in a pass of very many."""


@dataclass(frozen=True)
class Evaluation:
    """What one lane scored on one split."""

    loss: float
    """Mean over examples."""
    metrics: dict[str, float]
    outputs: NDArray[np.float64]
    """Head outputs in the examples' order, (N, C); for multiple choice one a choice, (N, K)."""


@dataclass(frozen=True)
class _Flight:
    """What heads that answer together made of a pass, on its way to the host."""

    lanes: Sequence[int]
    rows: Sequence[NDArray[np.int64]]
    """Which examples of its split each lane's are."""
    sequences: list[int]
    """Of each lane."""
    losses: Fetched
    """Summed over the lane's examples, (K,)."""
    outputs: Fetched
    """(Σ sequences, C)."""

    @classmethod
    def of(cls, found: Answers, lanes: Sequence[int]) -> _Flight:
        """Send answers of some lanes on their way."""
        return cls(
            lanes,
            [one.rows for one in found.rectangles],
            [len(one.token_ids) for one in found.rectangles],
            Fetched(found.summed_losses),
            Fetched(found.outputs),
        )


@torch.inference_mode()
def evaluate(
    backbone: Backbone,
    seats: Sequence[Seat],
    examples: Sequence[Examples],
    facts: Sequence[TaskFacts],
    *,
    on_pass: Callable[[], None] = nothing,
) -> list[Evaluation]:
    """Evaluate lanes together, each on its own split.

    Args:
        backbone: The shared frozen backbone.
        seats: The lanes, with the tensors to evaluate; they have no key.
        examples: The split of each lane.
        facts: The task of each lane.
        on_pass: Called after each pass; may raise to stop.

    Raises:
        TrainingError: A single example does not fit into memory.
    """
    share = min(MAX_TOKENS, max(_LEAST_TOKENS, _PASS_TOKENS // max(1, len(seats))))
    queues = [evaluation_rectangles(split, share) for split in examples]
    outputs = [
        torch.empty(len(split), task.n_labels * split.choices, dtype=trained_in(backbone.dtype))
        for split, task in zip(examples, facts, strict=True)
    ]
    losses = [0.0] * len(seats)
    flights: deque[list[_Flight]] = deque()

    def land() -> None:
        for flight in flights.popleft():
            read = zip(flight.lanes, flight.losses.read().tolist(), flight.rows, strict=True)
            whole = torch.split(flight.outputs.read(), flight.sequences)
            for (lane, loss, rows), out in zip(read, whole, strict=True):
                losses[lane] += loss
                outputs[lane][torch.from_numpy(rows)] = out.view(len(rows), -1)

    ahead = passes_ahead(backbone.device)
    open_lanes = list(range(len(seats)))
    while open_lanes:
        drawn = {lane: rectangle for lane in open_lanes if (rectangle := next(queues[lane], None))}
        open_lanes = list(drawn)
        if not drawn:
            break
        found = answers_that_fit(
            backbone, [seats[i] for i in open_lanes], placed(list(drawn.values()), backbone.device)
        )
        flights.append([_Flight.of(one, [open_lanes[i] for i in one.lanes]) for one in found])
        while len(flights) > ahead:
            land()
        on_pass()
    while flights:
        land()
    return [
        Evaluation(
            loss=losses[lane] / len(examples[lane]),
            metrics=metrics.score(
                facts[lane].metrics, outputs[lane].numpy(), examples[lane], facts[lane].problem_type
            ),
            outputs=outputs[lane].double().numpy(),
        )
        for lane in range(len(seats))
    ]


def answers_that_fit(
    backbone: Backbone, seats: Sequence[Seat], rectangles: Sequence[Rectangle]
) -> list[Answers]:
    """Return the heads' answers; a pass that does not fit into memory is done in two halves, of lanes or of one's rows.

    Args:
        backbone: The shared frozen backbone.
        seats: The lanes; they have no key.
        rectangles: Their rows, where the backbone is.

    Returns:
        Answers, of a lane whose rows were halved several.

    Raises:
        TrainingError: A single example does not fit.
    """
    asked = [_Asked(*one) for one in zip(range(len(seats)), seats, rectangles, strict=True)]
    return [
        replace(answer, lanes=tuple(some[place].lane for place in answer.lanes))
        for some, found in in_halves(
            asked,
            partial(_answers, backbone),
            ran_out=lambda _: give_back_kept(),
            too_large=_too_large,
            halves=partial(_halves, device=backbone.device),
        )
        for answer in found
    ]


@dataclass(frozen=True)
class _Asked:
    """Rows that one lane is asked about in a pass."""

    lane: int
    """Which of the lanes that are asked together."""
    seat: Seat
    rectangle: Rectangle


def _answers(backbone: Backbone, asked: Sequence[_Asked]) -> list[Answers]:
    """Return the heads' answers; where memory runs out, coefficients that were noted are forgotten."""
    seats, rectangles = [one.seat for one in asked], [one.rectangle for one in asked]
    means = [seat.adaptation.means for seat in seats]
    noted = [None if one is None else one.snapshot() for one in means]
    try:
        return answers(seats, read_states(backbone, seats, rectangles), rectangles)
    except (RuntimeError, MemoryError):
        for one, before in zip(means, noted, strict=True):
            if one is not None and before is not None:
                one.restore(before)
        raise


def _halves(asked: Sequence[_Asked], device: torch.device) -> Sequence[Sequence[_Asked]]:
    """Return halves of lanes, or of one lane's rows."""
    if len(asked) > 1:
        return halved(asked)
    (one,) = asked
    rows, examples = one.rectangle.rows, one.rectangle.examples
    half = len(rows) // 2
    if not half or examples is None:
        return ()
    rectangles = placed([gather(examples, part) for part in (rows[:half], rows[half:])], device)
    return [[replace(one, rectangle=rectangle)] for rectangle in rectangles]


def _too_large(asked: _Asked, reason: str) -> TrainingError:
    sequences, tokens = asked.rectangle.token_ids.shape
    return TrainingError(
        f"an evaluation of {sequences} sequences of up to {tokens} tokens does not fit into memory: {reason}",
        remedy="Lower data.max_length, or give the worker more memory.",
    )
