"""Where a pass goes the way that is made for a GPU: lanes together, numbers by counter, kernels over all rows.

On a CPU it does not. A product of stacked lanes is rounded otherwise than each lane's own, and how many lanes share a
pass is found by the clock; what is a lane's own is computed on its own rows there, so that sweeps done twice
have come out the same to the bit. And a CPU draws a mask faster by a bit generator than by hashing counters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_ANYWHERE: ContextVar[bool] = ContextVar("anywhere", default=False)


def on_gpu_path(device: torch.device) -> bool:
    """Return whether passes on a device go the GPU's way."""
    return device.type != "cpu" or _ANYWHERE.get()


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Go the GPU's way on a CPU too: to count what it takes, and to test it."""
    before = _ANYWHERE.set(True)
    try:
        yield
    finally:
        _ANYWHERE.reset(before)
