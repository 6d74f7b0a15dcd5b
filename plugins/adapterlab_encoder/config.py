"""The numbers of a ``config.json`` that decide how an encoder runs; read without transformers or torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapterlab.plugin import BackboneError, BackboneShape, Site

POSITION_OFFSET = {"bert": False, "roberta": True, "xlm-roberta": True}
"""Whether positions start behind the padding id (``cumsum + pad_id``) or at 0."""
ACTIVATION_NAMES = (
    "gelu", "gelu_new", "gelu_pytorch_tanh", "leakyrelu", "linear", "mish", "quick_gelu", "relu", "relu6",
    "sigmoid", "silu", "swish", "tanh",
)  # fmt: skip
"""Of ``adapterlab.plugin.ACTIVATIONS``, whose look-up would cost torch."""

_DEFAULTS: Mapping[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
"""What transformers takes where a config says nothing, the same for the three architectures."""
_OWN_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "bert": {"vocab_size": 30522, "pad_token_id": 0},
    "roberta": {"vocab_size": 50265, "pad_token_id": 1},
    "xlm-roberta": {"vocab_size": 30522, "pad_token_id": 1},
}
_MUST_BE: Mapping[str, Any] = {
    "is_decoder": False,
    "add_cross_attention": False,
    "position_embedding_type": "absolute",
}


@dataclass(frozen=True)
class EncoderConfig:
    """The numbers of a ``config.json`` that this family reads."""

    architecture: str
    shape: BackboneShape
    heads: int
    """Attention heads; divides the hidden size."""
    intermediate_size: int
    """Inner width of the feed-forward block."""
    layer_norm_eps: float
    activation: str
    hidden_dropout: float
    attention_dropout: float
    pad_token_id: int
    vocabulary: int
    """Rows of the word table."""
    max_positions: int
    """Rows of the position table."""
    type_vocab_size: int

    @property
    def max_length(self) -> int:
        """Longest row in tokens."""
        offset = self.pad_token_id + 1 if POSITION_OFFSET[self.architecture] else 0
        return self.max_positions - offset


def config_of(config: Mapping[str, Any]) -> EncoderConfig:
    """Return what a ``config.json`` says; absent values have the architecture's defaults.

    Raises:
        BackboneError: The architecture is not of this family, has parts it cannot run, or a value makes no
            sense.
    """
    architecture = config.get("model_type")
    if not isinstance(architecture, str) or architecture not in POSITION_OFFSET:
        raise BackboneError(
            f"{architecture!r} is not a post-LayerNorm encoder",
            remedy=f"Use one of: {', '.join(POSITION_OFFSET)}.",
        )
    known = {**_DEFAULTS, **_OWN_DEFAULTS[architecture], **config}
    for part, wanted in _MUST_BE.items():
        if known.get(part, wanted) not in (wanted, None):
            raise BackboneError(f"{architecture} with {part} = {known[part]!r} is not supported")
    activation = str(known["hidden_act"])
    if activation not in ACTIVATION_NAMES:
        raise BackboneError(
            f"hidden_act = {activation!r} is not supported; known: {', '.join(ACTIVATION_NAMES)}"
        )
    layers, hidden, inner = (
        _whole(known, name) for name in ("num_hidden_layers", "hidden_size", "intermediate_size")
    )
    heads = _whole(known, "num_attention_heads")
    if hidden % heads:
        raise BackboneError(f"num_attention_heads = {heads} does not divide hidden_size = {hidden}")
    vocabulary, positions, types = (
        _whole(known, name) for name in ("vocab_size", "max_position_embeddings", "type_vocab_size")
    )
    read = EncoderConfig(
        architecture=str(architecture),
        shape=encoder_shape(layers, hidden, inner, vocabulary + positions + types),
        heads=heads,
        intermediate_size=inner,
        layer_norm_eps=_share(known, "layer_norm_eps"),
        activation=activation,
        hidden_dropout=_share(known, "hidden_dropout_prob"),
        attention_dropout=_share(known, "attention_probs_dropout_prob"),
        pad_token_id=0 if known["pad_token_id"] is None else _whole(known, "pad_token_id", least=0),
        vocabulary=vocabulary,
        max_positions=positions,
        type_vocab_size=types,
    )
    if read.max_length < 1:
        raise BackboneError(
            f"max_position_embeddings = {positions} leaves no position behind pad_token_id = {read.pad_token_id}"
        )
    return read


def encoder_shape(
    layers: int, hidden_size: int, intermediate_size: int, embedding_rows: int | None = None
) -> BackboneShape:
    """Return the shape of an encoder whose every block is ``LN(x + f(x))``.

    Args:
        layers: Transformer layers.
        hidden_size: Width of the residual stream, d.
        intermediate_size: Inner width of the feed-forward block.
        embedding_rows: Rows of all embedding tables (words, positions, token types) together; ``None``: not
            known, and neither is the number of all weights.
    """
    d, inner = hidden_size, intermediate_size
    matrices = 4 * d * d + 2 * d * inner
    block = matrices + 4 * d + inner + d + 4 * d  # biases of the six maps, two LayerNorms
    attention = ("query", "key", "value", "context", "dense", "out")
    return BackboneShape(
        layers=layers,
        hidden_size=d,
        sites=(
            *(Site(f"attention.{name}", d, d) for name in attention),
            Site("ffn.up", d, inner),
            Site("ffn.inner", inner, inner),
            Site("ffn.down", inner, d),
            Site("ffn.out", d, d),
            Site("ffn", d, d),
        ),
        layer_parameters=matrices,
        parameters=None if embedding_rows is None else embedding_rows * d + 2 * d + layers * block,
        pooler_parameters=d * d + d,
        embedding_rows=embedding_rows,
    )


def _whole(config: Mapping[str, Any], name: str, least: int = 1) -> int:
    value = config[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 31:
        wanted = "a positive whole number" if least else "a whole number of 0 or more"
        raise BackboneError(f"{name} is {value!r}, expected {wanted}")
    return value


def _share(config: Mapping[str, Any], name: str) -> float:
    value = config[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise BackboneError(f"{name} is {value!r}, expected a number from 0 to below 1")
    return float(value)
