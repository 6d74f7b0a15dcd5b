"""Random numbers that a lane shares with no other, wherever it is trained and with whom.

Each purpose of a lane has numbers of its own, seeded from the lane's seed and the purpose's name. What a step
draws for dropout has no state that moves: it is decided by the lane's seed, the step, the site where it
is drawn and the position of an entry in what is drawn there. So joining, leaving, neighbouring lanes and
a step that is done again cannot shift another number. A GPU draws other numbers than a CPU, see
:mod:`adapterlab.train.counters`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cached_property
from typing import overload

import numpy as np
import torch
from torch import Tensor

from adapterlab.train.counters import LEVELS, SiteWords, levels, words_of_site
from adapterlab.train.gpu_path import on_gpu_path
from adapterlab.train.kernels import library
from adapterlab.train.transfer import on_device

_FAST_FROM = 4096
"""Entries from which drawing many numbers at once pays for seeding a generator."""


def key_of_numbers(seed: int, *names: str | int) -> int:
    """Return what seeds one purpose's numbers, 63 bits; different names give independent numbers.

    Args:
        seed: The run's seed, >= 0.
        *names: The purpose, for example ``"order"``, or a purpose and a step.
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def stream(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator for one purpose.

    Args:
        seed: The run's seed, >= 0.
        *names: The purpose, for example ``"order"``; different names give independent numbers.
        device: Where the numbers are drawn; CPU and GPU draw different ones.
    """
    return torch.Generator(device=device).manual_seed(key_of_numbers(seed, *names))


class Numbers(Sequence[torch.Generator]):
    """What the lanes of a pass draw in one step, for one purpose.

    It is also a sequence of one fresh generator a lane, for whoever draws lane by lane.

    Args:
        keys: Of each lane, see :func:`key_of_numbers`.
        device: Where numbers are drawn.
    """

    def __init__(self, keys: Sequence[int], device: torch.device) -> None:
        self.keys, self.device = tuple(keys), device
        self._values: dict[tuple[float, ...], Tensor] = {}

    @overload
    def __getitem__(self, lane: int) -> torch.Generator: ...

    @overload
    def __getitem__(self, lane: slice) -> Sequence[torch.Generator]: ...

    def __getitem__(self, lane: int | slice) -> torch.Generator | Sequence[torch.Generator]:
        """Return a lane's generator."""
        if isinstance(lane, slice):
            return [self._generator(key) for key in self.keys[lane]]
        return self._generator(self.keys[lane])

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def on_device(self) -> Tensor:
        """The keys where numbers are drawn, (K,), int64."""
        return on_device(self.keys, torch.int64, self.device)

    def of_lanes(self, values: Sequence[float], dtype: torch.dtype) -> Tensor:
        """Return a value of each lane where numbers are drawn, (K,); the same ones are sent there once."""
        known = tuple(values)
        if known not in self._values:
            self._values[known] = on_device(known, torch.float64, self.device)
        return self._values[known].to(dtype)

    def at(self, *site: int) -> Draws:
        """Return what the lanes draw at a site; the numbers of two sites are independent."""
        return Draws(self, site)

    def _generator(self, key: int) -> torch.Generator:
        return torch.Generator(device=self.device).manual_seed(key)


class Draws:
    """The numbers of lanes at one site, in the place of a generator where lanes are computed together.

    What is drawn first is independent of what is drawn next. Of a lane's numbers the first ``n`` are the same
    however many are drawn, so that rows which only pad a lane to its neighbours change nothing.
    """

    def __init__(self, numbers: Numbers, site: Sequence[int]) -> None:
        self._numbers, self._site, self._drawn = numbers, tuple(site), 0

    def __len__(self) -> int:
        return len(self._numbers)

    def generator(self) -> torch.Generator:
        """Return a single lane's generator for this site, for whoever draws with torch."""
        (key,) = self._numbers.keys
        return torch.Generator(device=self._numbers.device).manual_seed(key_of_numbers(key, *self._site))

    def keep(
        self, sizes: Sequence[int], probability: float | Sequence[float]
    ) -> tuple[Tensor, tuple[float, ...]]:
        """Return a mask, 0 where an entry is dropped and 1 elsewhere, and each lane's chance of a 1.

        It has 8 bits an entry, because a backward pass keeps it.

        Args:
            sizes: Entries of each lane.
            probability: Of a 0, in [0, 1), for all lanes or for each.

        Returns:
            The mask, one lane after another, (Σ sizes,), and a chance for each lane.
        """
        each = [probability] * len(sizes) if isinstance(probability, float) else probability
        dropped = [levels(one) for one in each]
        chances = tuple(1 - below / LEVELS for below in dropped)
        if on_gpu_path(self._numbers.device):
            below = self._numbers.of_lanes(dropped, torch.int32)
            mask = library.OPERATIONS.keep(self._numbers.on_device, list(sizes), below, *self.next_words())
            return mask, chances
        site = self._next_site()
        mask = torch.empty(sum(sizes), dtype=torch.uint8)
        draw_by_numpy(mask, sizes, [key_of_numbers(key, *site) for key in self._numbers.keys], dropped)
        return mask, chances

    def next_words(self) -> SiteWords:
        """Return where what is drawn next is drawn, for whoever draws it by the lanes' keys."""
        return words_of_site(*self._next_site())

    def of_lanes(self, values: Sequence[float], dtype: torch.dtype) -> Tensor:
        """Return a value of each lane where the numbers are, see :meth:`Numbers.of_lanes`."""
        return self._numbers.of_lanes(values, dtype)

    def _next_site(self) -> tuple[int, ...]:
        site = (*self._site, self._drawn)
        self._drawn += 1
        return site


def draw_by_numpy(mask: Tensor, sizes: Sequence[int], keys: Sequence[int], dropped: Sequence[int]) -> None:
    """Fill lanes' masks by 16-bit numbers of a bit generator that each lane's key seeds.

    Torch draws one 64-bit number an entry on a CPU, and that alone would cost a fifth of a training step.

    Args:
        mask: One lane after another, (Σ sizes,), on a CPU.
        sizes: Entries of each lane.
        keys: Each lane's at this site.
        dropped: Each lane's chance of a 0, in 2⁻¹⁶.
    """
    out, start = mask.numpy().view(np.bool_), 0
    for key, size, below in zip(keys, sizes, dropped, strict=True):
        # random_raw, because a bit generator's own stream never changes between versions of NumPy.
        bits = np.random.SFC64(key).random_raw(-(-size // 4)).view(np.uint16)
        np.greater_equal(bits[:size], below, out=out[start : start + size])
        start += size


def dropout(
    x: Tensor, probability: float | Sequence[float], generator: torch.Generator | Draws | None
) -> Tensor:
    """Return ``x`` with entries zeroed and the rest scaled by ``1 / (1 - probability)``.

    Args:
        x: Any tensor of a lane, or of K lanes, (K, …).
        probability: In [0, 1), to the nearest multiple of 2⁻¹⁶; of lanes one for all or one for each.
        generator: The lane's numbers, on the device of ``x``, or the lanes'; ``None`` means evaluation, and
            ``x`` comes back as it is.
    """
    if generator is None or not (probability if isinstance(probability, float) else any(probability)):
        return x
    if isinstance(generator, torch.Generator):
        assert isinstance(probability, float)
        keep, share = keep_mask(x.shape, probability, generator)
        return (x * keep).mul_(1 / share)
    lanes = len(generator)
    keep, chances = generator.keep([x.numel() // lanes] * lanes, probability)
    kept = x * keep.view(x.shape)
    if len(set(chances)) == 1:
        return kept.mul_(1 / chances[0])
    factors = generator.of_lanes([1 / one for one in chances], x.dtype)
    return kept.mul_(factors.view(-1, *(1,) * (x.dim() - 1)))


def keep_mask(shape: Sequence[int], probability: float, generator: torch.Generator) -> tuple[Tensor, float]:
    """Return a mask of one lane, 0 where an entry is dropped and 1 elsewhere, and the chance of a 1.

    Args:
        shape: Of the mask.
        probability: Of a 0, in [0, 1); on a CPU, large masks use the nearest multiple of 2⁻¹⁶.
        generator: The lane's numbers; the mask is on its device.
    """
    size, device = math.prod(shape), generator.device
    keep = torch.empty(size, dtype=torch.uint8, device=device)
    if device.type != "cpu" or size < _FAST_FROM:
        return keep.bernoulli_(1 - probability, generator=generator).view(tuple(shape)), 1 - probability
    key = int(torch.empty((), dtype=torch.int64).random_(generator=generator))
    dropped = levels(probability)
    draw_by_numpy(keep, [size], [key], [dropped])
    return keep.view(tuple(shape)), 1 - dropped / LEVELS
