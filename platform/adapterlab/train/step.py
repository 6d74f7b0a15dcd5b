"""One step of many lanes: one forward, one backward, one AdamW update a lane."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from adapterlab.errors import TrainingError
from adapterlab.train.adaptation import first_states
from adapterlab.train.capacity import Capacity, is_out_of_memory
from adapterlab.train.lane import Lane
from adapterlab.train.layers import Backbone
from adapterlab.train.passes import Rectangle


def train_step(backbone: Backbone, lanes: Sequence[Lane], capacity: Capacity | None = None) -> None:
    """Advance every lane by one step with one forward and one backward pass.

    A pass that does not fit into memory is done again in two halves; the lanes' random numbers are put
    back first, so that nothing of it shows in their results.

    Args:
        backbone: The shared frozen backbone.
        lanes: Those to advance, of equal group side by side.
        capacity: Told how fast it was, and when memory ran out.

    Raises:
        TrainingError: A single lane's step does not fit into memory.
    """
    rectangles = [lane.next_rectangle() for lane in lanes]
    start = time.monotonic()
    _advance(backbone, lanes, rectangles, capacity or Capacity(len(lanes)))
    if capacity is not None:
        capacity.observe(len(lanes), sum(one.tokens for one in rectangles), time.monotonic() - start)


def _advance(
    backbone: Backbone, lanes: Sequence[Lane], rectangles: Sequence[Rectangle], capacity: Capacity
) -> None:
    numbers = [lane.random_state() for lane in lanes]
    try:
        losses = _backward(backbone, lanes, rectangles)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error)
    else:
        for lane, loss in zip(lanes, losses, strict=True):
            lane.update(loss)
        return
    # Outside of the handler: the error's traceback, which holds the pass's tensors, is gone here.
    for lane, state in zip(lanes, numbers, strict=True):
        lane.retry_step(state)
    if len(lanes) == 1:
        raise TrainingError(
            f"{lanes[0].name}: one step of {len(rectangles[0].token_ids)} sequences does not fit into memory: "
            f"{reason}",
            remedy="Lower batch_size or data.max_length, or give the worker more memory.",
        )
    capacity.ran_out(len(lanes))
    half = len(lanes) // 2
    _advance(backbone, lanes[:half], rectangles[:half], capacity)
    _advance(backbone, lanes[half:], rectangles[half:], capacity)


def _backward(
    backbone: Backbone, lanes: Sequence[Lane], rectangles: Sequence[Rectangle]
) -> list[torch.Tensor]:
    """Make every lane's gradients and return the lanes' losses."""
    states = first_states(backbone, [lane.seat() for lane in lanes], rectangles)
    losses = [lane.loss(first, one) for lane, first, one in zip(lanes, states, rectangles, strict=True)]
    # Lanes share no parameter, so the gradient of the sum is each lane's own gradient.
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    return [loss.detach() for loss in losses]
