"""Which task's rows each step of a joint run sees.

Source: HyperFormer (arXiv 2106.04489), section 3.1, for the temperature; the order in which numbers are drawn is that
of its official code, so that the same seed gives the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from adapterlab.errors import DataError, UsageError
from adapterlab.records import JointRegime
from adapterlab.train.rng import key_of_numbers

Batch = tuple[int, NDArray[np.int64]]
"""Number of the task, and rows of its training split, (B,)."""
_SEEDS = 1 << 62
"""Above every seed of an epoch, so that adding the epoch's number stays within 63 bits."""


class JointSampler:
    """Batches of one task each: the task at random by its size, its rows uniformly with replacement.

    What a step sees depends on the settings, the seed and the step's number alone.

    Args:
        sizes: Training rows by full task name, in the order of the run.
        regime: Batch size, temperature, caps and the sampler's own seed.
        seed: The run's.

    Raises:
        DataError: A task has no training rows.
        UsageError: A cap is for a task that is not of the run.
    """

    def __init__(self, sizes: Mapping[str, int], regime: JointRegime, *, seed: int) -> None:
        for task, rows in sizes.items():
            if rows < 1:
                raise DataError(f"{task} has no training rows, so no batch of it can be drawn")
        for task in regime.caps:
            if task not in sizes:
                raise UsageError(
                    f"a cap is given for {task}, which is not a task of this run",
                    remedy=f"Its tasks are {', '.join(sizes)}.",
                )
        counted = [min(rows, regime.caps.get(task, rows)) for task, rows in sizes.items()]
        self.drawn_from = counted if regime.capped_rows == "first" else list(sizes.values())
        """Rows of each task that can be drawn."""
        self.probabilities = probabilities(counted, regime.temperature)
        """Of each task, (T,), float64."""
        self.batches_per_epoch = math.ceil(sum(counted) / regime.batch_size)
        """Batches whose numbers one seed gives; as many as see every counted row once on average."""
        self._batch_size = regime.batch_size
        own = regime.sampler_seed
        self._seed = key_of_numbers(seed, "joint order") % _SEEDS if own is None else own
        self._known: tuple[int, list[Batch]] | None = None

    def batch(self, step: int) -> Batch:
        """Return what a step sees, steps from 0."""
        epoch, place = divmod(step, self.batches_per_epoch)
        if self._known is None or self._known[0] != epoch:
            self._known = epoch, self.epoch(epoch)
        return self._known[1][place]

    def epoch(self, number: int) -> list[Batch]:
        """Return all batches of an epoch, from 0."""
        generator = torch.Generator().manual_seed(self._seed + number)
        orders = [torch.randperm(rows, generator=generator) for rows in self.drawn_from]
        weights = torch.from_numpy(self.probabilities)
        tasks = torch.multinomial(weights, self.batches_per_epoch, replacement=True, generator=generator)
        batches: list[Batch] = []
        for task in tasks.tolist():
            size = (self._batch_size,)
            places = torch.randint(0, self.drawn_from[task], size, generator=generator)
            batches.append((task, orders[task][places].numpy()))
        return batches


def probabilities(sizes: Sequence[int], temperature: float) -> NDArray[np.float64]:
    """Return how likely each task is drawn, ``p ∝ (n / Σn)^(1/temperature)``, (T,).

    Args:
        sizes: Rows of each task, >= 1.
        temperature: Above 0; 1 is by size, more is more even.
    """
    total = sum(sizes)
    weights = np.array([(rows / total) ** (1.0 / temperature) for rows in sizes])
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares
