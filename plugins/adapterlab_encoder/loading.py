"""Load an encoder from a folder, or take a loaded model's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapterlab.plugin import BackboneError, weight_files
from adapterlab_encoder.config import EncoderConfig, config_of
from adapterlab_encoder.encoder import Encoder


def load(folder: Path, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu") -> Encoder:
    """Load a frozen encoder from ``config.json`` and ``model.safetensors``.

    Args:
        folder: Where the files are.
        dtype: Precision of weights and activations; ``None``: float32.
        device: Where to hold them.

    Raises:
        BackboneError: The architecture is not of this family, or tensors are missing or misshapen.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    for path in weight_files(folder):
        try:
            weights |= load_file(path)
        except (OSError, SafetensorError) as error:
            raise BackboneError(
                f"{path}: cannot read weights: {error}",
                remedy="Delete the folder's copy and fetch the model again.",
            ) from error
    return Encoder(read_config(folder), weights, dtype=dtype or torch.float32, device=device)


def read_config(folder: Path) -> EncoderConfig:
    """Read what this family needs of a folder's ``config.json``.

    Raises:
        BackboneError: It is missing or broken, or the family cannot run the model.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path}: cannot be read ({error})", remedy="Fetch the model again.") from None
    return config_of(config)


def from_model(
    model: Any, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Encoder:
    """Return a frozen copy of a loaded transformers model's encoder; heads and poolers are left out.

    Args:
        model: A ``PreTrainedModel`` of this family, with or without a head.
        dtype: Precision; ``None``: the model's own.
        device: Where to hold it; ``None``: where the model is.

    Raises:
        BackboneError: It is not of this family, or its modules are not the usual ones.
    """
    config = config_of(model.config.to_dict())
    # Copied, because otherwise those weights that are not rearranged would follow the model's training.
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return Encoder(
        config,
        weights,
        dtype=model.dtype if dtype is None else dtype,
        device=model.device if device is None else device,
    )
