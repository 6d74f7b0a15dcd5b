"""The numbers of a ``config.json`` that decide how an encoder runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.errors import BackboneError
from adapterlab.records import BackboneShape
from adapterlab.train.activations import ACTIVATIONS

POSITION_OFFSET = {"bert": False, "roberta": True, "xlm-roberta": True}
"""Whether positions start behind the padding id (``cumsum + pad_id``) or at 0."""


@dataclass(frozen=True)
class EncoderConfig:
    """The numbers of a ``config.json`` that this family reads."""

    architecture: str
    shape: BackboneShape
    layer_norm_eps: float
    activation: str
    hidden_dropout: float
    attention_dropout: float
    pad_token_id: int
    max_positions: int
    """Rows of the position table."""
    type_vocab_size: int

    @property
    def max_length(self) -> int:
        """Longest row in tokens."""
        offset = self.pad_token_id + 1 if POSITION_OFFSET[self.architecture] else 0
        return self.max_positions - offset


def read_config(folder: Path) -> EncoderConfig:
    """Read what this family needs of ``config.json``; absent values get the architecture's defaults.

    Raises:
        BackboneError: The architecture is not of this family, or has parts it cannot run.
    """
    from transformers import AutoConfig

    return config_of(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))


def config_of(config: object) -> EncoderConfig:
    """Translate a transformers config.

    Raises:
        BackboneError: The architecture is not of this family, or has parts it cannot run.
    """
    read: Callable[..., Any] = vars(config).get
    architecture = str(getattr(config, "model_type", ""))
    if architecture not in POSITION_OFFSET:
        raise BackboneError(
            f"{architecture!r} is not a post-LayerNorm encoder",
            remedy=f"Use one of: {', '.join(POSITION_OFFSET)}.",
        )
    for part, wanted in {"is_decoder": False, "add_cross_attention": False}.items():
        if read(part, wanted) != wanted:
            raise BackboneError(f"{architecture} with {part} = {read(part)} is not supported")
    if read("position_embedding_type", "absolute") != "absolute":
        raise BackboneError(f"position_embedding_type = {read('position_embedding_type')!r} is not supported")
    activation = str(read("hidden_act"))
    if activation not in ACTIVATIONS:
        raise BackboneError(f"hidden_act = {activation!r} is not supported; known: {', '.join(ACTIVATIONS)}")
    return EncoderConfig(
        architecture=architecture,
        shape=BackboneShape(
            layers=int(read("num_hidden_layers")),
            hidden_size=int(read("hidden_size")),
            heads=int(read("num_attention_heads")),
            intermediate_size=int(read("intermediate_size")),
            embedding_rows=sum(
                int(read(name)) for name in ("vocab_size", "max_position_embeddings", "type_vocab_size")
            ),
        ),
        layer_norm_eps=float(read("layer_norm_eps")),
        activation=activation,
        hidden_dropout=float(read("hidden_dropout_prob")),
        attention_dropout=float(read("attention_probs_dropout_prob")),
        pad_token_id=int(read("pad_token_id") or 0),
        max_positions=int(read("max_position_embeddings")),
        type_vocab_size=int(read("type_vocab_size")),
    )
