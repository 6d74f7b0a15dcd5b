"""The device a worker trains on, and how many lanes share a pass on it."""

from __future__ import annotations

import torch

_CPU_LANES = 4
"""A few lanes hide the interpreter's share of small steps; more only wait for each other's epochs."""
_GPU_LANES = 16
"""Small adapter batches leave a card idle; sixteen fill it without crowding its memory."""


def prepare(*, threads: int, gpu: bool) -> torch.device:
    """Set this process's CPU threads and return the device to train on.

    Args:
        threads: CPU threads, >= 1.
        gpu: Whether this process was given a GPU; without one at hand, the CPU serves.
    """
    torch.set_num_threads(threads)
    return torch.device("cuda" if gpu and torch.cuda.is_available() else "cpu")


def default_lanes(device: torch.device) -> int:
    """Return the number of lanes for a device, >= 1."""
    return _CPU_LANES if device.type == "cpu" else _GPU_LANES


def precision_of(name: str) -> torch.dtype:
    """Return the precision a spec names: ``"float32"`` or ``"bfloat16"``."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
