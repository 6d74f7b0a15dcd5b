"""The optimizer of a joint run: AdamW with moments and a counter of steps for each tensor.

A tensor that has no gradient in a step is not touched, and its counter and moments stay as they are: heads, task
embeddings and masks of a task move only in batches of that task.

Source: transformers' AdamW, with which the papers' joint rows were trained; it adds its least denominator before the
correction of the moments, which matters where gradients are far below 1e-8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from adapterlab.errors import CorruptBlobError
from adapterlab.records import JointSettings
from adapterlab.train.layers import Tensors
from adapterlab.train.optimizer import Update, linear_rate

MEANS, SQUARES = "mean/", "square/"
"""What the names of running means of gradients, and of their squares, begin with in a checkpoint."""


class JointSteps:
    """The steps of a run over its tensors, in place.

    Args:
        tensors: The run's leaves.
        settings: Rate, schedule and decay.
        lr_factor: Of a tensor, by its name.
    """

    def __init__(self, tensors: Tensors, settings: JointSettings, lr_factor: Callable[[str], float]) -> None:
        self._tensors, self._settings, self._lr_factor = tensors, settings, lr_factor
        self._moments: dict[str, tuple[Tensor, Tensor]] = {}
        self.counts: dict[str, int] = {}
        """Steps that each tensor has had; those that had none are not in it."""
        self.taken = 0
        """Steps so far."""

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        settings = self._settings
        return settings.lr * linear_rate(self.taken, settings.steps, settings.warmup_ratio)

    def updates(self, gradients: Mapping[str, Tensor]) -> list[Update]:
        """Count a step, and return what the optimizer does in it, the rate as scheduled.

        Args:
            gradients: Of the tensors that have one.
        """
        rate = self.rate
        self.taken += 1
        for name in gradients:
            self.counts[name] = self.counts.get(name, 0) + 1
        return [
            Update(
                self._tensors[name],
                gradient,
                *self._moments_of(name),
                self.counts[name],
                rate * self._lr_factor(name),
                self._settings.weight_decay,
                eps_first=True,
            )
            for name, gradient in gradients.items()
        ]

    def moments(self) -> Tensors:
        """Return all moments, for a checkpoint."""
        means = {f"{MEANS}{name}": mean for name, (mean, _) in self._moments.items()}
        return means | {f"{SQUARES}{name}": square for name, (_, square) in self._moments.items()}

    def restore(self, moments: Mapping[str, Tensor], counts: Mapping[str, int], taken: int) -> None:
        """Go on from where a checkpoint was made.

        Args:
            moments: What :meth:`moments` returned.
            counts: What :attr:`counts` was.
            taken: What :attr:`taken` was.

        Raises:
            CorruptBlobError: A tensor's moments are missing or misshapen.
        """
        restored: dict[str, tuple[Tensor, Tensor]] = {}
        for name in counts:
            own = self._tensors.get(name)
            found = [moments.get(f"{kind}{name}") for kind in (MEANS, SQUARES)]
            if own is None or any(one is None or one.shape != own.shape for one in found):
                raise CorruptBlobError(f"the checkpoint's moments of {name} are not this run's")
            mean, square = (one.to(own, copy=True) for one in found if one is not None)
            restored[name] = mean.detach(), square.detach()
        self._moments, self.counts, self.taken = restored, dict(counts), taken

    def _moments_of(self, name: str) -> tuple[Tensor, Tensor]:
        if name not in self._moments:
            own = self._tensors[name].detach()
            self._moments[name] = torch.zeros_like(own), torch.zeros_like(own)
        return self._moments[name]
