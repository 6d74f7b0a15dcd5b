"""Trained tensors to safetensors bytes and back; nothing else is ever written or read."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from adapterlab.errors import CorruptBlobError
from adapterlab.fingerprint import canonical_json
from adapterlab.train.protocols import Tensors

HEAD_PREFIX = "head."


def to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return tensors as one safetensors file.

    Args:
        tensors: Named tensors; stored in the precision they have.
        metadata: Short text facts for people who open the file.
    """
    return save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        # One entry, because safetensors writes several in random order and equal weights must give
        # equal bytes.
        metadata={"adapterlab": canonical_json(metadata or {})},
    )


def from_bytes(data: bytes) -> Tensors:
    """Return the tensors of a safetensors file.

    Raises:
        CorruptBlobError: The bytes are no valid safetensors file, or hold values that are not finite.
    """
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CorruptBlobError(f"not a safetensors file: {error}") from error
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise CorruptBlobError(f"values that are not finite in {', '.join(sorted(bad))}")
    return dict(tensors)


def without_head(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the adapter or the coefficients alone."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(HEAD_PREFIX)}
