"""Tensor files of other libraries, read without running anything in them.

Safetensors is preferred. A ``.bin`` is a pickle: it is read by torch's restricted unpickler, which
knows tensors and nothing else, and never otherwise.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapterlab.errors import CorruptBlobError, DataError
from adapterlab.train import weights
from adapterlab.train.layers import Tensors

RESERVED_NAMES = frozenset(dir(torch.nn.ModuleDict()))
"""Names that AdapterHub's containers of modules have already, so that no adapter can have them."""


def read_tensor_file(path: Path) -> Tensors:
    """Return the tensors of a ``.safetensors`` file or a ``.bin`` as ``torch.save`` writes a state dict.

    Raises:
        DataError: It is damaged, holds anything but finite floating-point tensors, or (``.bin``) would
            run code.
    """
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        try:
            return checked_tensors(str(path), weights.from_bytes(data))
        except CorruptBlobError as error:
            raise DataError(f"{path}: {error.message}", remedy="Export or download it again.") from error
    return checked_tensors(str(path), _unpickled(path, data))


def pickled(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors as ``torch.save`` writes a state dict, for loaders that read nothing else."""
    stream = BytesIO()
    torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, stream)
    return stream.getvalue()


def _unpickled(path: Path, data: bytes) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that torch.save did not write: refused or read
            return torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path}: not plain tensors; nothing in it was run",
            remedy="A pickle can hold code. Take the adapter's safetensors file, or save it anew with "
            "save_adapter(..., use_safetensors=True) where you trust it.",
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__})", remedy="Download or save it again."
        ) from error


def checked_tensors(where: str, found: Any) -> Tensors:
    """Return named tensors, checked to be plain, floating-point and finite.

    Args:
        where: Named in errors.
        found: Anything; arrays are taken as tensors.

    Raises:
        DataError: It is anything else.
    """
    if not isinstance(found, Mapping) or not found:
        raise DataError(f"{where}: expected named tensors, got {type(found).__name__} of {_size(found)}")
    tensors: Tensors = {}
    for name, value in found.items():
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        plain = isinstance(name, str) and isinstance(tensor, Tensor) and tensor.layout is torch.strided
        if not plain or not tensor.is_floating_point() or tensor.is_meta:
            raise DataError(f"{where}: {name!r} is no floating-point tensor")
        if not bool(torch.isfinite(tensor).all()):
            raise DataError(f"{where}: values that are not finite in {name}")
        tensors[name] = tensor.detach()
    return tensors


def _size(found: Any) -> str:
    return str(len(found)) if hasattr(found, "__len__") else "no size"
