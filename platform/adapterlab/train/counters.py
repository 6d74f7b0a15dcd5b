"""Random numbers without a state: what an entry draws follows from its lane's key, the site, its row and its column.

This is what lanes draw on a GPU, written in plain torch; a kernel draws the same numbers where it needs them, so
that no mask lies in memory. A lane alone and one among 63 others draw alike, whoever joins or leaves, and a backward
pass draws again what its forward pass drew.

A row has two words of 32 bits from Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011), whose key is the lane's and whose counter is the row and the site. An entry mixes them with its column, by the
multiplications and shifts of a 32-bit finalizer, which costs a kernel a tenth of ten rounds for each entry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_PHILOX_ROUNDS = 10
_PHILOX_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_PHILOX_KEY_STEPS = 0x9E3779B9, 0xBB67AE85
COLUMN_STEP, FIRST_MIX, SECOND_MIX = 0x9E3779B9, 0x7FEB352D, 0x846CA68B
"""The golden ratio's bits, and the multipliers of a finalizer whose bias is low (Wellons' search, 2018)."""
LEVELS = 1 << 16
"""Chances are multiples of 2⁻¹⁶: the highest 16 bits decide an entry."""


class SiteWords(NamedTuple):
    """Where numbers are drawn, as two words of a counter."""

    first: int
    """31 bits."""
    second: int
    """31 bits."""


def levels(probability: float) -> int:
    """Return a probability in [0, 1) in 2⁻¹⁶, to the nearest."""
    return round(probability * LEVELS)


def words_of_site(*site: int) -> SiteWords:
    """Return the words of a site; those of two sites differ."""
    digest = hashlib.sha256("/".join(map(str, site)).encode()).digest()
    first, second = (int.from_bytes(digest[at : at + 4], "little") >> 1 for at in (0, 4))
    return SiteWords(first, second)


def philox(keys: Tensor, counter: Sequence[Tensor | int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return four words of 32 bits for each key and counter, int64.

    Args:
        keys: 64 bits each, int64.
        counter: Its four words, each a number or a tensor that broadcasts with ``keys``.
    """
    c0, c1, c2, c3 = (_words(one, keys.device) for one in counter)
    k0, k1 = keys & _WORD, (keys >> 32) & _WORD
    for _ in range(_PHILOX_ROUNDS):
        # Products of two words wrap at 64 bits, which leaves all of their bits where they are.
        a, b = c0 * _PHILOX_MULTIPLIERS[0], c2 * _PHILOX_MULTIPLIERS[1]
        c0, c1, c2, c3 = (b >> 32 & _WORD) ^ c1 ^ k0, b & _WORD, (a >> 32 & _WORD) ^ c3 ^ k1, a & _WORD
        k0, k1 = (k0 + _PHILOX_KEY_STEPS[0]) & _WORD, (k1 + _PHILOX_KEY_STEPS[1]) & _WORD
    return c0, c1, c2, c3


def _words(given: Tensor | int, device: torch.device) -> Tensor:
    if isinstance(given, Tensor):
        return given.to(torch.int64) & _WORD
    # Filled on the device: a tensor made on the host would be a copy that it is waited for.
    return torch.full((), given & _WORD, dtype=torch.int64, device=device)


def kept(
    keys: Tensor, row: tuple[Tensor, Tensor | int], site: SiteWords, columns: Tensor, dropped: Tensor | int
) -> Tensor:
    """Return which entries are kept, bool, in the shape of all arguments broadcast.

    Args:
        keys: Each entry's lane's, int64.
        row: Two numbers of 32 bits that say which row of the lane's an entry is in.
        site: Where they are drawn.
        columns: Each entry's.
        dropped: The chance of a 0 in 2⁻¹⁶, of each lane or of all.
    """
    word, other, _, _ = philox(keys, (*row, *site))
    x = (word + columns * COLUMN_STEP) & _WORD
    x = ((x ^ (x >> 16)) * FIRST_MIX) & _WORD
    x = ((x ^ (x >> 15) ^ other) * SECOND_MIX) & _WORD
    return (x ^ (x >> 16)) >> 16 >= dropped
