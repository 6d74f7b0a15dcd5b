"""Random numbers belong to a lane, not to the pass it shares.

Each lane has one generator a purpose, seeded from its seed and the purpose's name, so that joining,
leaving and neighbouring lanes cannot shift another lane's numbers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch

_FAST_FROM = 4096
"""Entries from which drawing many numbers at once pays for seeding a generator."""
_LEVELS = 1 << 16


def stream(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator for one purpose.

    Args:
        seed: The run's seed, >= 0.
        *names: The purpose, for example ``"order"``; different names give independent numbers.
        device: Where the numbers are drawn; CPU and GPU draw different ones.
    """
    text = "/".join(str(part) for part in (seed, *names))
    digest = hashlib.sha256(text.encode()).digest()
    generator = torch.Generator(device=device)
    generator.manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return generator


def dropout(x: torch.Tensor, probability: float, generator: torch.Generator | None) -> torch.Tensor:
    """Return ``x`` with entries zeroed and the rest scaled by ``1 / (1 - probability)``.

    Args:
        x: Any tensor.
        probability: In [0, 1); on a CPU, large tensors use the nearest multiple of 2⁻¹⁶.
        generator: The lane's numbers, on the device of ``x``; ``None`` means evaluation, and ``x``
            comes back as it is.
    """
    if generator is None or probability == 0:
        return x
    keep, share = keep_mask(x.shape, probability, generator)
    return (x * keep).mul_(1 / share)


def keep_mask(
    shape: Sequence[int], probability: float, generator: torch.Generator
) -> tuple[torch.Tensor, float]:
    """Return a mask, 0 where an entry is dropped and 1 elsewhere, and the chance of a 1.

    It has 8 bits an entry, because a backward pass keeps it.

    Args:
        shape: Of the mask.
        probability: Of a 0, in [0, 1).
        generator: The lane's numbers; the mask is on its device.
    """
    if generator.device.type == "cpu" and math.prod(shape) >= _FAST_FROM:
        return _cpu_mask(shape, probability, generator)
    keep = torch.empty(tuple(shape), dtype=torch.uint8, device=generator.device)
    return keep.bernoulli_(1 - probability, generator=generator), 1 - probability


def _cpu_mask(
    shape: Sequence[int], probability: float, generator: torch.Generator
) -> tuple[torch.Tensor, float]:
    """Draw a large mask on a CPU.

    Torch draws one 64-bit number an entry there, and that alone costs a fifth of a training step;
    16 bits decide as well. NumPy's generator is seeded from the lane's, so a mask is the lane's own.
    """
    seed = int(torch.empty((), dtype=torch.int64).random_(generator=generator))
    # random_raw, because a bit generator's own stream never changes between versions of NumPy.
    count = math.prod(shape)
    bits = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.uint16)
    dropped = round(probability * _LEVELS)
    keep = (bits[:count] >= dropped).view(np.uint8)
    return torch.from_numpy(keep).view(tuple(shape)), 1 - dropped / _LEVELS
