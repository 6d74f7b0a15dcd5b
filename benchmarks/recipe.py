"""Training the stacked reference as the papers' code does: one trial, every row padded."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor

from reference import Reference
from world import METHOD, World


class Recipe:
    """Forward, backward, clipping to 1, AdamW; on a GPU autocast to fp16 with a scaled loss.

    Args:
        model: What to train, on its device.
        lr: Learning rate.
        device: Where the model lies.
    """

    def __init__(self, model: Reference, *, lr: float, device: str = "cpu") -> None:
        self._model, self._device = model, torch.device(device).type
        self._half = self._device != "cpu"
        self._scaler = torch.amp.GradScaler(enabled=self._half)
        self.optimizer = torch.optim.AdamW(model.trainable(), lr=lr, weight_decay=0.0)

    def step(self, loss: Callable[[], Tensor]) -> None:
        """Advance by one batch, whose loss is computed here."""
        with torch.autocast(self._device, torch.float16, enabled=self._half):
            value = loss()
        self._scaler.scale(value).backward()
        self._scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self._model.trainable(), 1.0)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)


def recipe(world: World, kind: str, *, padded: int | None = None) -> Callable[[], None]:
    """Return a step of the reference on a world's first batch.

    Args:
        world: Its model, rows and device; its precision is this engine's own and not looked at.
        kind: One of ``reference.KINDS``.
        padded: Tokens that every row is padded to; ``None``: no padding.
    """
    width = METHOD.width(world.backbone.shape.hidden_size)
    model = Reference(deepcopy(world.model), kind, sources=world.sources, width=width)
    model = model.to(world.device).train()
    train, rows = world.task.train, world.batch
    real = torch.from_numpy(train.token_ids[: rows * world.tokens].reshape(rows, -1)).long()
    padding = max(0, (padded or 0) - world.tokens)
    ids = F.pad(real, (0, padding)).to(world.device)
    mask = F.pad(torch.ones_like(real), (0, padding)).to(world.device)
    labels = torch.from_numpy(train.labels[:rows]).to(world.device)
    training = Recipe(model, lr=1e-3, device=world.device)
    return lambda: training.step(lambda: F.cross_entropy(model(ids, mask), labels))
