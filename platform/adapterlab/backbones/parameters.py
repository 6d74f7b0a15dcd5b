"""How many parameters a backbone has, read from its files' headers; no weight is loaded."""

from __future__ import annotations

from math import prod
from pathlib import Path

from adapterlab.backbones.facts import family_of
from adapterlab.backbones.weight_files import tensor_headers, weight_files


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
    counts = {
        name: prod(tensor.shape)
        for name, tensor in tensor_headers(weight_files(folder)).items()
        if tensor.dtype.startswith(("F", "BF"))
    }
    if not counts:
        return None
    family = family_of(folder)
    own = {name: count for name, count in counts.items() if family.holds(name)}
    return sum((own or counts).values()) or None
