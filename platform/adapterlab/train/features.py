"""What a frozen adapter makes of a few rows: the states a head would read, and what they should lead to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from adapterlab.records import Examples, ProblemType, Reads, TaskData
from adapterlab.train.adaptation import OwnAdapter, Seat, read_states
from adapterlab.train.evaluate import MAX_TOKENS
from adapterlab.train.heads import head_of
from adapterlab.train.layers import Backbone, MethodLayer
from adapterlab.train.passes import evaluation_rectangles
from adapterlab.train.row_checks import check_examples


class FewRows:
    """Random rows of a task's training split, on a backbone.

    Args:
        backbone: The frozen backbone.
        method: Torch side of the adapters' method, on it.
        task: The task; no other split of it is looked at.
    """

    def __init__(self, backbone: Backbone, method: MethodLayer, task: TaskData) -> None:
        self._backbone, self._method, self._task = backbone, method, task

    @torch.inference_mode()
    def __call__(self, adapter: Mapping[str, Tensor], rows: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return the states under an adapter and their targets, float64 on the CPU.

        Args:
            adapter: Its tensors.
            rows: How many; fewer where the split has not as many.
            seed: Of the choice of rows.

        Returns:
            States, (N, d), one a sequence: that of the token the task's head reads, of the first one where it reads
            all. Targets, (N, C): 1 for the row's classes, labels or right choice and 0 for others, or its number.
        """
        examples = self._chosen(rows, seed)
        check_examples(self._backbone, examples, self._task.facts.task)
        head = head_of(self._task.facts, self._backbone.shape.hidden_size)
        placed = {
            name: one.to(device=self._backbone.device, dtype=self._backbone.dtype)
            for name, one in adapter.items()
        }
        seat = Seat(OwnAdapter(self._method), placed, None if head.reads is Reads.EVERY else head)
        found: dict[int, Tensor] = {}
        for one in evaluation_rectangles(examples, MAX_TOKENS):
            (states,) = read_states(self._backbone, [seat], [one.to(self._backbone.device)])
            by_example = states.double().cpu().view(len(one.rows), examples.choices, -1)
            found |= dict(zip(one.rows.tolist(), by_example, strict=True))
        return torch.cat([found[row] for row in range(len(examples))]), self._targets(examples)

    def _chosen(self, rows: int, seed: int) -> Examples:
        split = self._task.train
        if rows >= len(split):
            return split
        places = np.random.default_rng(seed).permutation(len(split))[:rows]
        return split.take(sorted(places.tolist()))

    def _targets(self, examples: Examples) -> Tensor:
        """Return what each sequence should lead to, (N, C)."""
        labels = torch.as_tensor(examples.labels)
        kind = self._task.facts.problem_type
        if kind is ProblemType.MULTIPLE_CHOICE:
            return torch.nn.functional.one_hot(labels, examples.choices).double().reshape(-1, 1)
        if kind is ProblemType.CLASSIFICATION:
            return torch.nn.functional.one_hot(labels, self._task.facts.n_labels).double()
        return labels.double().reshape(len(examples), -1)
