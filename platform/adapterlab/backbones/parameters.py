"""How many parameters a backbone has, read from its files' headers; no weight is loaded."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

from adapterlab.backbones.facts import family_of
from adapterlab.backbones.weight_files import MAX_HEADER_BYTES, weight_files
from adapterlab.errors import BackboneError


def backbone_parameters(folder: Path) -> int | None:
    """Return the parameters of the backbone in a model folder, its pooler counted if it has one.

    Heads that came with the weights (a language model's) are not counted, nor are buffers of integers: which
    tensors are the backbone's, its family says. Where none is, everything is counted. ``None`` if there are
    no safetensors files.

    Args:
        folder: As ``save_pretrained`` writes it.

    Raises:
        BackboneError: Its config is missing or names no architecture that an installed family runs.
    """
    counts: dict[str, int] = {}
    for path in weight_files(folder):
        counts |= _counts(path)
    if not counts:
        return None
    family = family_of(folder)
    own = {name: count for name, count in counts.items() if family.holds(name)}
    return sum((own or counts).values()) or None


def _counts(path: Path) -> dict[str, int]:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header: dict[str, Any] = json.loads(stream.read(min(length, MAX_HEADER_BYTES)))
    try:
        return {
            name: prod(map(int, tensor["shape"]))
            for name, tensor in header.items()
            if name != "__metadata__" and str(tensor["dtype"]).startswith(("F", "BF"))
        }
    except (KeyError, TypeError, ValueError) as error:
        raise BackboneError(
            f"{path}: its header is broken ({type(error).__name__}: {error})", remedy="Fetch the file again."
        ) from None
