"""What sets the architectures of this family apart: defaults, names of settings and tensors, embeddings.

Source: transformers 5.23, ``configuration_*.py`` and ``modeling_*.py`` of each architecture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class LayerNames:
    """What a model calls the parts of a layer, behind the layer's own name."""

    stack: str = "encoder.layer"
    """Stands before a layer's number."""
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_out: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    up: str = "intermediate.dense"
    down: str = "output.dense"
    norm: str = "output.LayerNorm"
    position_key: str = "attention.self.pos_key_proj"
    position_query: str = "attention.self.pos_query_proj"

    def of(self, layer: int) -> LayerNames:
        """Return the whole names of one layer's parts."""
        base = f"{self.stack}.{layer}"
        parts = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "stack"}
        return LayerNames(base, **{part: f"{base}.{name}" for part, name in parts.items()})


@dataclass(frozen=True)
class Architecture:
    """One value of ``model_type``."""

    prefix: str
    """What a model with a head puts before the encoder's tensors."""
    defaults: Mapping[str, Any]
    """Where a config says nothing, and BERT's default is another."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What its config calls a setting, by BERT's name for it."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Settings of BERT's that this architecture has not: what it always does."""
    layer: LayerNames = field(default_factory=LayerNames)
    positions_behind_padding: bool = False
    """Whether positions start behind the padding id (``cumsum + pad_id``), or at 0."""
    positions_behind: int | None = None
    """The id behind which they start, where that is the same whatever the padding id."""
    relative: str | None = None
    """What attention knows of distances: ``"bias"``, one for each head and all layers; ``"disentangled"``."""
    projection: str | None = None
    """The map from the width of the embeddings to the model's, where these differ; ``None``: they may not."""
    projects_always: bool = False
    """Whether that map is there even where the widths are equal."""
    projects_normed: bool = True
    """Whether that map, with a bias, stands behind the embeddings' LayerNorm, or without one before it."""
    relative_table: str | None = None
    """The table of what attention knows of distances."""
    relative_norm: str | None = None
    """That table's LayerNorm, where a config wants one."""
    layers_shared: bool = False
    """Whether layers come in groups that have the same weights, ``num_hidden_groups`` of them."""
    drops_fed: bool = True
    """Whether dropout acts on what leaves the feed-forward block."""
    pooled: bool = True
    """Whether model files hold a pooler, which published counts include."""


ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": Architecture("bert.", {"vocab_size": 30522, "pad_token_id": 0}),
    "roberta": Architecture(
        "roberta.", {"vocab_size": 50265, "pad_token_id": 1}, positions_behind_padding=True
    ),
    "xlm-roberta": Architecture(
        "roberta.", {"vocab_size": 30522, "pad_token_id": 1}, positions_behind_padding=True
    ),
    "camembert": Architecture(
        "roberta.", {"vocab_size": 30522, "pad_token_id": 1}, positions_behind_padding=True
    ),
    "electra": Architecture(
        "electra.",
        {
            "vocab_size": 30522,
            "pad_token_id": 0,
            "embedding_size": 128,
            "hidden_size": 256,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
        },
        projection="embeddings_project",
        pooled=False,
    ),
    "distilbert": Architecture(
        "distilbert.",
        {"vocab_size": 30522, "pad_token_id": 0, "num_hidden_layers": 6},
        settings={
            "hidden_size": "dim",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
            "hidden_act": "activation",
            "hidden_dropout_prob": "dropout",
            "attention_probs_dropout_prob": "attention_dropout",
        },
        fixed={"layer_norm_eps": 1e-12, "type_vocab_size": 0},
        layer=LayerNames(
            stack="transformer.layer",
            query="attention.q_lin",
            key="attention.k_lin",
            value="attention.v_lin",
            attention_out="attention.out_lin",
            attention_norm="sa_layer_norm",
            up="ffn.lin1",
            down="ffn.lin2",
            norm="output_layer_norm",
        ),
        pooled=False,
    ),
    "mpnet": Architecture(
        "mpnet.",
        {"vocab_size": 30527, "pad_token_id": 1, "relative_attention_num_buckets": 32},
        fixed={"type_vocab_size": 0},
        layer=LayerNames(
            query="attention.attn.q",
            key="attention.attn.k",
            value="attention.attn.v",
            attention_out="attention.attn.o",
            attention_norm="attention.LayerNorm",
        ),
        positions_behind=1,
        relative="bias",
        relative_table="encoder.relative_attention_bias.weight",
    ),
    "albert": Architecture(
        "albert.",
        {
            "vocab_size": 30000,
            "pad_token_id": 0,
            "embedding_size": 128,
            "hidden_size": 4096,
            "num_attention_heads": 64,
            "intermediate_size": 16384,
            "hidden_act": "gelu_new",
            "hidden_dropout_prob": 0,
            "attention_probs_dropout_prob": 0,
            "num_hidden_groups": 1,
            "inner_group_num": 1,
        },
        layer=LayerNames(
            stack="encoder.albert_layer_groups",
            query="albert_layers.0.attention.query",
            key="albert_layers.0.attention.key",
            value="albert_layers.0.attention.value",
            attention_out="albert_layers.0.attention.dense",
            attention_norm="albert_layers.0.attention.LayerNorm",
            up="albert_layers.0.ffn",
            down="albert_layers.0.ffn_output",
            norm="albert_layers.0.full_layer_layer_norm",
        ),
        projection="encoder.embedding_hidden_mapping_in",
        projects_always=True,
        layers_shared=True,
        drops_fed=False,
    ),
    "deberta-v2": Architecture(
        "deberta.",
        {
            "vocab_size": 128100,
            "pad_token_id": 0,
            "hidden_size": 1536,
            "num_hidden_layers": 24,
            "num_attention_heads": 24,
            "intermediate_size": 6144,
            "type_vocab_size": 0,
            "layer_norm_eps": 1e-7,
            "relative_attention": False,
            "max_relative_positions": -1,
            "position_buckets": -1,
            "position_biased_input": True,
            "pos_att_type": None,
            "share_att_key": False,
            "norm_rel_ebd": "none",
            "conv_kernel_size": 0,
        },
        layer=LayerNames(
            query="attention.self.query_proj",
            key="attention.self.key_proj",
            value="attention.self.value_proj",
        ),
        relative="disentangled",
        relative_table="encoder.rel_embeddings.weight",
        relative_norm="encoder.LayerNorm",
        projection="embeddings.embed_proj",
        projects_normed=False,
        pooled=False,
    ),
}
