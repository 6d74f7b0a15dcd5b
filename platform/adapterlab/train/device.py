"""The device a worker trains on, and in which precision."""

from __future__ import annotations

import torch


def prepare(*, threads: int, gpu: bool) -> torch.device:
    """Set this process's CPU threads and return the device to train on.

    Args:
        threads: CPU threads, >= 1.
        gpu: Whether this process was given a GPU; without one at hand, the CPU serves.
    """
    torch.set_num_threads(threads)
    return torch.device("cuda" if gpu and torch.cuda.is_available() else "cpu")


def precision_of(name: str) -> torch.dtype:
    """Return the precision a spec names: ``"float32"`` or ``"bfloat16"``."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
