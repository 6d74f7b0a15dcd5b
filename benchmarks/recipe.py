"""A training step of the stacked reference, as the papers' code makes it: one trial, every row padded."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
import torch.nn.functional as F

from reference import Reference
from world import REDUCTION, World


def recipe(world: World, kind: str, *, padded: int | None = None) -> Callable[[], None]:
    """Return a step of the reference: forward, backward, clipping, AdamW; on a GPU autocast to fp16.

    Args:
        world: Its model, rows and device; its precision is this engine's own and not looked at.
        kind: One of ``reference.KINDS``.
        padded: Tokens that every row is padded to; ``None``: no padding.
    """
    width = max(1, world.backbone.shape.hidden_size // REDUCTION)
    model = Reference(deepcopy(world.model), kind, sources=world.sources, width=width)
    model = model.to(world.device).train()
    optimizer = torch.optim.AdamW(model.trainable(), lr=1e-3, weight_decay=0.0)
    train, rows = world.task.train, world.batch
    real = torch.from_numpy(train.token_ids[: rows * world.tokens].reshape(rows, -1)).long()
    padding = max(0, (padded or 0) - world.tokens)
    ids = F.pad(real, (0, padding)).to(world.device)
    mask = F.pad(torch.ones_like(real), (0, padding)).to(world.device)
    labels = torch.from_numpy(train.labels[:rows]).to(world.device)
    on_card = world.device != "cpu"
    scaler = torch.amp.GradScaler(enabled=on_card)

    def step() -> None:
        with torch.autocast(torch.device(world.device).type, torch.float16, enabled=on_card):
            loss = F.cross_entropy(model(ids, mask), labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.trainable(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    return step
