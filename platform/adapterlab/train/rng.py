"""Random numbers belong to a lane, not to the pass it shares.

Each lane has one generator a purpose, seeded from its seed and the purpose's name, so that joining,
leaving and neighbouring lanes cannot shift another lane's numbers.
"""

from __future__ import annotations

import hashlib

import torch


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
        probability: In [0, 1).
        generator: The lane's numbers, on the device of ``x``; ``None`` means evaluation, and ``x`` comes back as it is.
    """
    if generator is None or probability == 0:
        return x
    keep = torch.empty_like(x, requires_grad=False).bernoulli_(1 - probability, generator=generator)
    return x * keep.mul_(1 / (1 - probability))
