"""A lane: one independent training run, wherever it is trained.

A lane owns its tensors, optimizer, schedule, data order, random numbers and early stopping. Nothing
of it depends on the lanes it shares a pass with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapterlab.errors import DataError
from adapterlab.records import EpochResult, LaneResult, State, TaskData, TrainSettings
from adapterlab.train.adaptation import Adaptation, OwnAdapter, Seat, trained_in
from adapterlab.train.combination import Combination
from adapterlab.train.heads import head_of
from adapterlab.train.layers import Backbone, HeadLayer, MethodLayer, Tensors
from adapterlab.train.passes import Rectangle, epoch_batches, gather
from adapterlab.train.rng import stream


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
        self._order = stream(self.seed, "order")
        self._dropout = stream(self.seed, "dropout", device=self.device)
        self._head_dropout = stream(self.seed, "head dropout", device=self.device)
        self._backbone_dropout = stream(self.seed, "backbone dropout", device=self.device)
        self.optimizer = torch.optim.AdamW(self._groups(), lr=self.settings.lr, foreach=True)
        self._steps_an_epoch = math.ceil(len(self.task.train) / self.settings.batch_size)
        self._step = 0
        self._epoch_loss = 0.0
        # Not a method's generator: lane and generator would hold each other, and the lane's tensors with it.
        self._batches = _drawn(self.task.train.example_lengths, self.settings.batch_size, self._order)
        self._best: tuple[float, int, Tensors] | None = None

    # -- one step ---------------------------------------------------------------------------------

    def next_rectangle(self) -> Rectangle:
        """Return the lane's next batch, on its device."""
        rows = next(self._batches)
        self.train_rows += len(rows) * self.task.train.choices
        return gather(self.task.train, rows).to(self.device)

    def seat(self) -> Seat:
        """Return the lane's place in a training pass."""
        return Seat(
            self.adaptation,
            self.tensors,
            self.head,
            self._dropout,
            self._backbone_dropout if self.settings.backbone_dropout else None,
        )

    def random_state(self) -> tuple[Tensor, ...]:
        """Return where the streams stand that a step draws from."""
        return tuple(one.get_state() for one in self._drawn_from)

    def retry_step(self, state: tuple[Tensor, ...]) -> None:
        """Forget what an unfinished step left: its gradients and the random numbers it drew.

        Args:
            state: What :meth:`random_state` returned before the step.
        """
        for drawn_from, kept in zip(self._drawn_from, state, strict=True):
            drawn_from.set_state(kept)
        self.optimizer.zero_grad(set_to_none=True)

    @property
    def _drawn_from(self) -> tuple[torch.Generator, ...]:
        return self._dropout, self._head_dropout, self._backbone_dropout

    def loss(self, states: Tensor, rectangle: Rectangle) -> Tensor:
        """Return the training loss of the lane's rows, with the adaptation's own term if it has one.

        Args:
            states: What the head reads of the last hidden states, (B·K, d) or (tokens, d).
            rectangle: The rows they belong to.
        """
        outputs = self.seat().outputs(
            states, rectangle, dropout=self.settings.head_dropout, generator=self._head_dropout
        )
        loss = self.head.loss(outputs, rectangle.labels)
        penalty = self.adaptation.penalty(self.tensors)
        return loss if penalty is None else loss + penalty

    def update(self, loss: Tensor) -> None:
        """Clip, set the scheduled rate and take one AdamW step; gradients must be there.

        A loss or gradient that is not finite ends the lane with a reason and changes nothing.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.tensors.values(), self.settings.max_grad_norm)
        if not (math.isfinite(value := loss.item()) and math.isfinite(norm.item())):
            self.reason = (
                f"diverged in step {self._step + 1} of epoch {len(self.epochs) + 1}: "
                f"loss {value}, gradient norm {norm.item()}"
            )
        else:
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.lr * group["factor"] * self._rate(self._step)
            self.optimizer.step()
            self._epoch_loss += value
        self.optimizer.zero_grad(set_to_none=True)
        self._step += 1

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

    def _groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's groups: tensors alike in weight decay and in their share of the rate."""
        groups: dict[tuple[bool, float], list[Tensor]] = {}
        for name, tensor in self.tensors.items():
            kind = self.adaptation.decays(name), self.adaptation.lr_factor(name)
            groups.setdefault(kind, []).append(tensor)
        decay = self.settings.weight_decay
        return [
            {"params": tensors, "weight_decay": decay if decays else 0.0, "factor": factor}
            for (decays, factor), tensors in groups.items()
        ]

    def _score(self, result: EpochResult) -> float:
        if self.settings.select_by == "metric":
            return result.metrics[self.task.facts.metric]
        return -result.validation_loss

    def _rate(self, step: int) -> float:
        """Return the share of the peak rate for a step: linear warm-up, then linear decay to 0."""
        total = self.settings.max_epochs * self._steps_an_epoch
        warmup = int(self.settings.warmup_ratio * total)
        if step < warmup:
            return step / warmup
        return (total - step) / (total - warmup)


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
        DataError: A row is longer than the backbone can take.
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
        DataError: A row is longer than the backbone can take.
        UsageError: The task's head cannot answer tasks of its kind.
    """
    tensors = combination.combiner.initial(stream(seed, "combiner init"))
    return _lane(backbone, task, combination, tensors, settings, seed, name, sees_test=sees_test)


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
    return Lane(
        name=name,
        task=task,
        adaptation=adaptation,
        settings=settings,
        seed=seed,
        tensors=_trainable(backbone, task, tensors | head.initial(stream(seed, "head init"))),
        head=head,
        sees_test=sees_test,
        device=backbone.device,
    )


def _trainable(backbone: Backbone, task: TaskData, tensors: Tensors) -> Tensors:
    """Return fresh tensors as leaves that need gradients, where the backbone is; checks the task's rows."""
    longest = max(int(split.lengths.max()) for split in (task.train, task.validation, task.test))
    if longest > backbone.max_length:
        raise DataError(
            f"{task.facts.task}: a row has {longest} tokens, the backbone takes {backbone.max_length}",
            remedy=f"Set data.max_length to {backbone.max_length} or less.",
        )
    return {
        name: tensor.to(device=backbone.device, dtype=trained_in(backbone.dtype)).requires_grad_()
        for name, tensor in tensors.items()
    }
