"""Evaluation of several lanes in one pass, without gradients or dropout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from adapterlab.data import metrics
from adapterlab.records import Examples, TaskFacts
from adapterlab.train.adaptation import Seat, read_states, trained_in
from adapterlab.train.answers import Answers, answers
from adapterlab.train.capacity import is_out_of_memory
from adapterlab.train.layers import Backbone
from adapterlab.train.passes import Rectangle, evaluation_rectangles
from adapterlab.train.step import nothing

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
    """
    share = min(MAX_TOKENS, max(_LEAST_TOKENS, _PASS_TOKENS // max(1, len(seats))))
    queues = [evaluation_rectangles(split, share) for split in examples]
    outputs = [
        torch.empty(len(split), task.n_labels * split.choices, dtype=trained_in(backbone.dtype))
        for split, task in zip(examples, facts, strict=True)
    ]
    losses = [0.0] * len(seats)
    open_lanes = list(range(len(seats)))
    while open_lanes:
        drawn = {lane: rectangle for lane in open_lanes if (rectangle := next(queues[lane], None))}
        open_lanes = list(drawn)
        if not drawn:
            break
        rectangles = [drawn[lane].to(backbone.device) for lane in open_lanes]
        found = _answers(backbone, [seats[i] for i in open_lanes], rectangles)
        on_pass()
        read = torch.cat([one.summed_losses for one in found]).tolist()
        for i, loss in zip((i for one in found for i in one.lanes), read, strict=True):
            losses[open_lanes[i]] += loss
        for one in found:
            sizes = [len(each.token_ids) for each in one.rectangles]
            for i, out, rectangle in zip(
                one.lanes, torch.split(one.outputs.cpu(), sizes), one.rectangles, strict=True
            ):
                outputs[open_lanes[i]][torch.from_numpy(rectangle.rows)] = out.view(len(rectangle.rows), -1)
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


def _answers(backbone: Backbone, seats: Sequence[Seat], rectangles: Sequence[Rectangle]) -> list[Answers]:
    """Return the heads' answers; a pass that does not fit into memory is done in two halves."""
    means = [seat.adaptation.means for seat in seats]
    noted = [None if one is None else one.snapshot() for one in means]
    try:
        states = read_states(backbone, seats, rectangles)
    except (RuntimeError, MemoryError) as error:
        if len(seats) == 1 or not is_out_of_memory(error):
            raise
    else:
        return answers(seats, states, rectangles)
    for one, before in zip(means, noted, strict=True):
        if one is not None and before is not None:
            one.restore(before)
    half = len(seats) // 2
    first = _answers(backbone, seats[:half], rectangles[:half])
    second = _answers(backbone, seats[half:], rectangles[half:])
    return [
        *first,
        *(replace(one, lanes=tuple(half + lane for lane in one.lanes)) for one in second),
    ]
