"""A lane: one independent training run, wherever it is trained.

A lane owns its tensors, their moments, schedule, data order, random numbers and early stopping. Nothing
of it depends on the lanes it shares a pass with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapterlab.records import EpochResult, LaneResult, State, TaskData, TrainSettings
from adapterlab.train.adaptation import Adaptation, OwnAdapter, Seat, trained_in
from adapterlab.train.combination import Combination
from adapterlab.train.heads import head_of
from adapterlab.train.layers import Backbone, HeadLayer, MethodLayer, Tensors
from adapterlab.train.optimizer import Update, linear_rate
from adapterlab.train.passes import epoch_batches, gather
from adapterlab.train.rng import key_of_numbers, stream
from adapterlab.train.row_checks import check_task
from adapterlab.train.step import RunStep
from adapterlab.train.weights import HEAD_PREFIX


@dataclass(eq=False)
class Lane:
    """One training run in progress; :func:`source_lane` and :func:`transfer_lane` make one."""

    name: str
    task: TaskData
    adaptation: Adaptation
    settings: TrainSettings
    seed: int
    tensors: Tensors
    """Trainable leaves, adapter or coefficients and head, on the backbone's device."""
    head: HeadLayer
    """Reads the backbone's states, and has the task's loss."""
    sees_test: bool = False
    """Whether its best epoch is evaluated once on the test split; only final runs do."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    epochs: list[EpochResult] = field(default_factory=list)
    reason: str | None = None
    """Why it failed; ``None`` while it is well."""
    seconds: float = 0.0
    """Its share of the computing so far."""
    train_rows: int = 0
    """Rows it trained on so far."""

    def __post_init__(self) -> None:
        self._moments: dict[str, tuple[Tensor, Tensor]] = {}
        self._steps_an_epoch = math.ceil(len(self.task.train) / self.settings.batch_size)
        self._step = 0
        self._known_steps = 0
        """Those whose loss is known."""
        self._epoch_loss = 0.0
        # Not a method's generator: lane and generator would hold each other, and the lane's tensors with it.
        self._batches = _drawn(
            self.task.train.example_lengths, self.settings.batch_size, stream(self.seed, "order")
        )
        self._best: tuple[float, int, Tensors] | None = None

    # -- one step ---------------------------------------------------------------------------------

    @property
    def max_grad_norm(self) -> float:
        """Norm that its gradients are clipped to."""
        return self.settings.max_grad_norm

    def next_step(self) -> RunStep:
        """Return the lane's part in the next pass: its next batch."""
        return RunStep(self.seat(), gather(self.task.train, next(self._batches)), self.tensors)

    def seat(self) -> Seat:
        """Return the lane's place in a training pass; what it draws follows from its seed and the step alone."""
        return Seat(
            self.adaptation,
            self.tensors,
            self.head,
            key_of_numbers(self.seed, "step", self._step),
            self.settings.backbone_dropout,
            self.settings.head_dropout,
        )

    def updates(self, gradients: Mapping[str, Tensor]) -> list[Update]:
        """Count a step, and return what the optimizer does in it, the rate as scheduled.

        Args:
            gradients: Of the lane's tensors.
        """
        rate = self.settings.lr * self._rate(self._step)
        self._step += 1
        return [
            Update(
                self.tensors[name],
                gradient,
                *self._moments_of(name),
                self._step,
                rate * self.adaptation.lr_factor(name),
                self.settings.weight_decay if self.adaptation.decays(name) else 0.0,
            )
            for name, gradient in gradients.items()
        ]

    def learn(self, loss: float, norm: float, sequences: int) -> None:
        """Take note of a step, possibly some steps later; one that is not finite ends the lane with a reason.

        Args:
            loss: The training loss.
            norm: Of all its gradients together.
            sequences: Rows it trained on.
        """
        if self.reason is not None:
            return
        self._known_steps += 1
        self.train_rows += sequences
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.reason = (
                f"diverged in step {self._known_steps} of epoch {len(self.epochs) + 1}: "
                f"loss {loss}, gradient norm {norm}"
            )
            return
        self._epoch_loss += loss

    @property
    def epoch_ended(self) -> bool:
        """Whether the last step was the last of its epoch."""
        return self._step > 0 and self._step % self._steps_an_epoch == 0

    # -- one epoch --------------------------------------------------------------------------------

    def close_epoch(
        self, validation_loss: float, metrics: Mapping[str, float], seconds: float
    ) -> EpochResult:
        """Record an epoch's validation and keep its weights if it is the best so far."""
        result = EpochResult(
            epoch=len(self.epochs) + 1,
            train_loss=self._epoch_loss / self._steps_an_epoch,
            validation_loss=validation_loss,
            metrics=dict(metrics),
            seconds=seconds,
        )
        self.epochs.append(result)
        self._epoch_loss = 0.0
        if not math.isfinite(validation_loss):
            self.reason = f"validation loss of epoch {result.epoch} is {validation_loss}"
            return result
        nowhere = [name for name, value in metrics.items() if not math.isfinite(value)]
        if nowhere:
            self.reason = f"{nowhere[0]} of epoch {result.epoch} is {metrics[nowhere[0]]}"
            return result
        score = self._score(result)
        if self._best is None or score > self._best[0]:
            kept = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
            self._best = (score, result.epoch, kept)
        return result

    @property
    def finished(self) -> bool:
        """Whether the lane has had its epochs, or has not improved for ``patience`` of them."""
        if self.reason is not None or len(self.epochs) >= self.settings.max_epochs:
            return True
        return self._best is not None and len(self.epochs) - self._best[1] >= self.settings.patience

    # -- the end ----------------------------------------------------------------------------------

    def as_final(self, name: str) -> Lane:
        """Return this lane, its training behind it, as the final run of its setting and seed.

        Trained again, it would come to the same numbers.
        """
        self.name, self.sees_test = name, True
        return self

    @property
    def best_tensors(self) -> Tensors:
        """The best epoch's tensors; the present ones before the first epoch ended."""
        return self.tensors if self._best is None else self._best[2]

    def result(self, state: State, *, reason: str | None = None) -> LaneResult:
        """Return what remains of the lane."""
        return LaneResult(
            name=self.name,
            state=state,
            epochs=tuple(self.epochs),
            best_epoch=None if self._best is None else self._best[1],
            reason=reason or self.reason,
            seconds=self.seconds,
            train_rows=self.train_rows,
            tensors={name: tensor.detach().cpu() for name, tensor in self.best_tensors.items()},
        )

    # -- inner ------------------------------------------------------------------------------------

    def _moments_of(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the running means of a tensor's gradients and of their squares."""
        if name not in self._moments:
            own = self.tensors[name].detach()
            self._moments[name] = torch.zeros_like(own), torch.zeros_like(own)
        return self._moments[name]

    def _score(self, result: EpochResult) -> float:
        if self.settings.select_by == "metric":
            return result.metrics[self.task.facts.metric]
        return -result.validation_loss

    def _rate(self, step: int) -> float:
        """Return the share of the peak rate for a step."""
        return linear_rate(step, self.settings.max_epochs * self._steps_an_epoch, self.settings.warmup_ratio)


def _drawn(
    lengths: NDArray[np.int64], batch_size: int, order: torch.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield batches of rows, epoch after epoch."""
    while True:
        yield from epoch_batches(lengths, batch_size, order)


def source_lane(
    backbone: Backbone,
    method: MethodLayer,
    task: TaskData,
    settings: TrainSettings,
    *,
    seed: int,
    name: str,
    sees_test: bool = False,
) -> Lane:
    """Return a lane that trains one adapter and its head on one task, both freshly initialised.

    A method that trains the backbone's own weights starts from a copy of them.

    Args:
        backbone: The frozen backbone.
        method: Torch side of the adapter method, on this backbone.
        task: The source task.
        settings: How to train.
        seed: Seed of init, data order and dropout.
        name: Shown in progress and results.
        sees_test: Whether the best epoch is evaluated once on the test split.

    Raises:
        DataError: A row is longer than the backbone can take, or an id or label is out of range.
        UsageError: The task's head cannot answer tasks of its kind.
    """
    tensors = backbone.weights() if method.trains_backbone else method.initial(stream(seed, "adapter init"))
    return _lane(backbone, task, OwnAdapter(method), tensors, settings, seed, name, sees_test=sees_test)


def transfer_lane(
    backbone: Backbone,
    combination: Combination,
    task: TaskData,
    settings: TrainSettings,
    *,
    seed: int,
    name: str,
    sees_test: bool = False,
) -> Lane:
    """Return a lane that learns to combine a frozen pool, and a head, on a target task.

    Args:
        backbone: The frozen backbone.
        combination: The frozen pool under a combiner's layer of one trial.
        task: The target task.
        settings: How to train.
        seed: Seed of init, data order and dropout.
        name: Shown in progress and results.
        sees_test: Whether the best epoch is evaluated once on the test split.

    Raises:
        DataError: A row is longer than the backbone can take, or an id or label is out of range.
        UsageError: The task's head cannot answer tasks of its kind.
    """
    tensors = combination.combiner.initial(stream(seed, "combiner init"))
    lane = _lane(backbone, task, combination, tensors, settings, seed, name, sees_test=sees_test)
    if combination.head is not None:
        fresh = {one: tensor.detach() for one, tensor in lane.tensors.items() if one.startswith(HEAD_PREFIX)}
        for one, start in combination.head.over(fresh).items():
            lane.tensors[one] = start.requires_grad_()
    return lane


def _lane(
    backbone: Backbone,
    task: TaskData,
    adaptation: Adaptation,
    tensors: Tensors,
    settings: TrainSettings,
    seed: int,
    name: str,
    *,
    sees_test: bool,
) -> Lane:
    head = head_of(task.facts, backbone.shape.hidden_size)
    check_task(backbone, task)
    return Lane(
        name=name,
        task=task,
        adaptation=adaptation,
        settings=settings,
        seed=seed,
        tensors=leaves_of(backbone, tensors | head.initial(stream(seed, "head init"))),
        head=head,
        sees_test=sees_test,
        device=backbone.device,
    )


def leaves_of(backbone: Backbone, tensors: Tensors) -> Tensors:
    """Return fresh tensors as leaves that need gradients, where the backbone is."""
    return {
        name: tensor.to(device=backbone.device, dtype=trained_in(backbone.dtype)).requires_grad_()
        for name, tensor in tensors.items()
    }
