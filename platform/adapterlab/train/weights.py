"""Trained tensors to safetensors bytes and back; nothing else is ever written or read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from adapterlab.data import run_predictions
from adapterlab.data.run_predictions import KeptPredictions
from adapterlab.errors import CorruptBlobError
from adapterlab.fingerprint import canonical_json
from adapterlab.train.layers import Tensors

HEAD_PREFIX = "head."


def to_bytes(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    predictions: KeptPredictions | None = None,
) -> bytes:
    """Return tensors as one safetensors file.

    Args:
        tensors: Named tensors; stored in the precision they have.
        metadata: Short text facts for people who open the file.
        predictions: What the tensors answer on test, to be kept beside them.
    """
    beside = {} if predictions is None else predictions.arrays()
    return save(
        {
            **{name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            **{name: torch.tensor(array) for name, array in beside.items()},
        },
        # One entry, because safetensors writes several in random order and equal weights must give
        # equal bytes.
        metadata={"adapterlab": canonical_json(metadata or {})},
    )


def from_bytes(data: bytes) -> Tensors:
    """Return the trained tensors of a safetensors file, without the test predictions beside them.

    Raises:
        CorruptBlobError: The bytes are no valid safetensors file, or hold values that are not finite.
    """
    try:
        read = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CorruptBlobError(f"not a safetensors file: {error}") from error
    tensors = {
        name: widened(one) for name, one in read.items() if not name.startswith(run_predictions.PREFIX)
    }
    bad = [name for name, tensor in tensors.items() if not is_finite(tensor)]
    if bad:
        raise CorruptBlobError(f"values that are not finite in {', '.join(sorted(bad))}")
    return tensors


def is_finite(tensor: Tensor) -> bool:
    """Return whether all values are finite numbers of float32, the widest we compute in by default.

    The sum is asked first: one pass without a copy, and no finite sum has anything else in it.
    """
    wide = tensor.detach()
    if wide.dtype not in (torch.float32, torch.float64, torch.bfloat16):
        wide = wide.to(torch.float32)
    if bool(torch.isfinite(wide.sum(dtype=torch.float32))):
        return True
    return bool(torch.isfinite(wide.to(torch.float32)).all())


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor of 8-bit floats in float32, which holds their values exactly; any other as it is.

    Torch stores 8-bit floats, and neither multiplies nor compares most kinds of them.
    """
    return tensor.to(torch.float32) if tensor.is_floating_point() and tensor.element_size() == 1 else tensor


def described(task: str, key: str, kind: str, labels: Sequence[str]) -> dict[str, str]:
    """Return what weights say of themselves: a task's labels may be known to its data alone."""
    return {"task": task, "key": key, "kind": kind, "labels": json.dumps(list(labels), ensure_ascii=False)}


def metadata_of(data: bytes) -> Mapping[str, str]:
    """Return the short text facts that :func:`to_bytes` wrote into a file; none if they cannot be read."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        found = json.loads(header["__metadata__"]["adapterlab"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def labels_of(data: bytes) -> tuple[str, ...]:
    """Return the labels that weights say their head has; empty if they say none."""
    try:
        labels = json.loads(metadata_of(data)["labels"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()
    return tuple(map(str, labels)) if isinstance(labels, list) else ()


def size(tensors: Mapping[str, Tensor]) -> int:
    """Return how many numbers tensors hold together."""
    return sum(int(tensor.numel()) for tensor in tensors.values())


def without_head(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the adapter or the coefficients alone."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(HEAD_PREFIX)}
