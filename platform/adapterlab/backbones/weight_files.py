"""Safetensors files looked at without loading them: whole, honest in their header, and their digest.

A sharded model is ``model.safetensors.index.json`` plus its shards; its digest is the sha256 of the
canonical JSON of its shards' digests by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from adapterlab.caching.file_digests import file_digest
from adapterlab.errors import BackboneError
from adapterlab.fingerprint import digest_of
from adapterlab.given_files import read_json_file
from adapterlab.registry.plugins import TensorHeader

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
"""Bytes of a number, by its type. Types that are not here are younger than this list; they are not measured."""
MAX_HEADER_BYTES = 100_000_000
"""Longest header the format allows. Source: safetensors, ``MAX_HEADER_SIZE``."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the safetensors files of a model folder, sorted; empty if it has none.

    Raises:
        BackboneError: The index of the shards is broken, or a shard is missing.
    """
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    index = folder / INDEX
    if not index.is_file():
        return ()
    try:
        names = sorted({str(name) for name in read_json_file(index, BackboneError)["weight_map"].values()})
    except (KeyError, TypeError, AttributeError) as error:
        raise BackboneError(
            f"{index}: not an index of shards ({error})", remedy="Fetch the model again."
        ) from None
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise BackboneError(f"{index}: {name!r} is no safetensors file of this folder")
        if not (folder / name).is_file():
            raise BackboneError(f"{folder}: shard {name} is missing", remedy="Fetch the model again.")
    return tuple(folder / name for name in names)


def no_weights(place: Path) -> BackboneError:
    """Return the error for a model folder without safetensors weights."""
    pickles = sorted(
        path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in place.glob(pattern)
    )
    if pickles:
        return BackboneError(
            f"{place}: only {', '.join(pickles)}, which is a pickle and could run code; it is never read",
            remedy="Convert it once where you trust it: model.save_pretrained(folder) writes model.safetensors.",
        )
    return BackboneError(f"{place}: no {SINGLE} (or {INDEX})", remedy="Name a folder that holds the weights.")


def weights_digest(files: tuple[Path, ...], cache: Path) -> str:
    """Return the sha256 of the one file, or of the shards' digests; checks every file first.

    Raises:
        BackboneError: A file is no whole safetensors file, or is not what the hub's cache calls it.
    """
    digests = {}
    for path in files:
        check_safetensors(path)
        digests[path.name] = digest = file_digest(cache, path)
        _check_blob_name(path, digest)
    return digests[SINGLE] if list(digests) == [SINGLE] else digest_of(digests)


def tensor_headers(files: Sequence[Path]) -> dict[str, TensorHeader]:
    """Return the tensors that safetensors files say they hold, by name; no weight is read.

    Raises:
        BackboneError: A file is cut off, too long, or something else altogether.
    """
    found: dict[str, TensorHeader] = {}
    for path in files:
        found |= check_safetensors(path)
    return found


def check_safetensors(path: Path) -> dict[str, TensorHeader]:
    """Check that a file's header can be read, and that the file is as long as the header says; return its tensors.

    Raises:
        BackboneError: It is cut off, too long, or something else altogether.
    """
    remedy = "Fetch the file again; only whole safetensors files are read."
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        if start == b"version ":
            raise BackboneError(
                f"{path}: a Git LFS pointer, not the weights", remedy="Run `git lfs pull` in its repository."
            )
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > MAX_HEADER_BYTES or 8 + length > size:
            raise BackboneError(f"{path}: cut off, or no safetensors file ({size} bytes)", remedy=remedy)
        header = stream.read(length)
    try:
        tensors, end = _tensors_and_end(json.loads(header))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise BackboneError(
            f"{path}: its header is broken ({type(error).__name__}: {error})", remedy=remedy
        ) from None
    if 8 + length + end != size:
        raise BackboneError(
            f"{path}: {size} bytes, but its header promises {8 + length + end}; it is cut off", remedy=remedy
        )
    return tensors


def _tensors_and_end(header: dict[str, Any]) -> tuple[dict[str, TensorHeader], int]:
    """Return the tensors of a header, and where the last one's numbers end."""
    told = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
    end = 0
    for start, stop in sorted(tensor["data_offsets"] for tensor in told.values()):
        if start != end or stop < start:
            raise ValueError("tensors overlap or leave holes")
        end = stop
    if not told:
        raise ValueError("it lists no tensor")
    tensors = {}
    for name, tensor in told.items():
        shape, dtype = tuple(map(int, tensor["shape"])), str(tensor["dtype"])
        start, stop = tensor["data_offsets"]
        if any(size < 0 for size in shape):
            raise ValueError(f"{name} has the shape {list(shape)}")
        if dtype in _BYTES and prod(shape) * _BYTES[dtype] != stop - start:
            raise ValueError(f"{name} is {dtype} of shape {list(shape)}, but has {stop - start} bytes")
        tensors[name] = TensorHeader(shape, dtype)
    return tensors, end


def _check_blob_name(path: Path, digest: str) -> None:
    """Compare with the name the hub's cache files large blobs under: their sha256."""
    blob = path.resolve()
    if path.is_symlink() and blob.parent.name == "blobs" and len(blob.name) == 64 and blob.name != digest:
        raise BackboneError(
            f"{blob}: has the sha256 {digest}, not the one it is filed under",
            remedy=f"The cached file is damaged: delete {blob} and fetch it again.",
        )
