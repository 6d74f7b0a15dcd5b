"""The official code's own weights and numbers, as a model of ours."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from adapterlab.train.passes import Rectangle
from adapterlab_encoder.config import EncoderConfig, encoder_shape
from adapterlab_encoder.encoder import Encoder


def load_official(folder: Path) -> SimpleNamespace:
    """Return the reference arrays, a model of the official weights and its batch, in float64."""
    base = dict(np.load(folder / "tiny_base.npz"))
    numbers = json.loads((folder / "tiny_base.json").read_text())
    tensors = {name: torch.from_numpy(np.asarray(array)) for name, array in base.items()}
    config = EncoderConfig(
        architecture="roberta",
        shape=encoder_shape(
            numbers["num_hidden_layers"], numbers["hidden_size"], numbers["intermediate_size"]
        ),
        heads=numbers["num_attention_heads"],
        intermediate_size=numbers["intermediate_size"],
        layer_norm_eps=numbers["layer_norm_eps"],
        activation=numbers["hidden_act"],
        hidden_dropout=0.0,
        attention_dropout=0.0,
        pad_token_id=numbers["pad_token_id"],
        vocabulary=numbers["vocab_size"],
        max_positions=numbers["max_position_embeddings"],
        type_vocab_size=numbers["type_vocab_size"],
    )
    encoder = Encoder(config, tensors, dtype=torch.float64)
    pool = [
        {
            name.removeprefix(f"adapter.{adapter}."): tensor.double()
            for name, tensor in tensors.items()
            if name.startswith(f"adapter.{adapter}.")
        }
        for adapter in numbers["adapter_names"]
    ]
    mask = tensors["attention_mask"]
    rectangle = Rectangle(
        token_ids=tensors["input_ids"],
        type_ids=torch.zeros_like(tensors["input_ids"]),
        lengths=mask.sum(1),
        labels=tensors["labels"],
        rows=np.arange(len(mask)),
        given_mask=mask.bool(),  # the official code computes padding too, and its states agree as well
    )
    return SimpleNamespace(
        base=tensors,
        encoder=encoder,
        pool=pool,
        rectangle=rectangle,
        outputs=dict(np.load(folder / "official_outputs.npz")),
    )
