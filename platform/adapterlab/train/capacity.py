"""How many lanes share a pass when the spec does not say."""

from __future__ import annotations

import torch

_CPU_LANES = 4
"""A few lanes hide the interpreter's share of small steps; more only wait for each other's epochs."""
_GPU_LANES = 16
"""Small adapter batches leave a card idle; sixteen fill it without crowding its memory."""


def default_lanes(device: torch.device) -> int:
    """Return the number of lanes for a device, >= 1."""
    return _CPU_LANES if device.type == "cpu" else _GPU_LANES
