"""The numbers of a ``config.json`` that decide how an encoder runs; read without transformers or torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapterlab.plugin import BackboneError, BackboneShape, Site
from adapterlab_encoder.architectures import ARCHITECTURES, Architecture, LayerNames

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
"""What transformers takes where a config says nothing, unless the architecture has its own."""
_MUST_BE: Mapping[str, Any] = {
    "is_decoder": False,
    "add_cross_attention": False,
    "position_embedding_type": "absolute",
    "inner_group_num": 1,
}
_BROKEN = "Fetch the model's own config.json again."

MPNET_BUCKETS = 32
"""Buckets of distances that transformers reckons with in MPNet, whatever its config says."""
_POSITION_TERMS = ("c2p", "p2c")


@dataclass(frozen=True)
class Disentangled:
    """How DeBERTa's attention sees distances."""

    terms: frozenset[str]
    """Of ``"c2p"`` (queries look at distances) and ``"p2c"`` (distances look at keys)."""
    span: int
    """Distances, or buckets of them, in each direction; the table has twice as many rows."""
    buckets: int
    """Buckets in each direction; 0: every distance is its own."""
    farthest: int
    """The distance at which the last bucket ends."""
    shares_maps: bool
    """Whether distances are mapped as contents are; else each layer has maps for them."""
    normed: bool
    """Whether the table goes through a LayerNorm."""
    looks: bool = True
    """Whether attention looks at distances at all; without, ``terms`` only scale the scores."""


@dataclass(frozen=True)
class Convolution:
    """What some DeBERTas add to the first layer's output: a convolution over the embeddings."""

    kernel: int
    """Tokens it covers, odd."""
    groups: int
    activation: str


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
    """Rows of the table of token types; 0: there is none."""
    embedding_size: int | None = None
    """Width of the embedding tables where a map leads from it to the model's."""
    groups: int | None = None
    """Groups of layers that have the same weights; ``None``: every layer has its own."""
    adds_positions: bool = True
    """Whether the embeddings have a table of positions."""
    disentangled: Disentangled | None = None
    """Of a DeBERTa."""
    distance_buckets: int = 0
    """Rows of MPNet's table of biases."""
    convolution: Convolution | None = None

    @property
    def rules(self) -> Architecture:
        """What its architecture does in its own way."""
        return ARCHITECTURES[self.architecture]

    def layer_names(self, layer: int) -> LayerNames:
        """Return the names of one layer's parts; those of a layer with the same weights are the same."""
        if self.groups is None:
            return self.rules.layer.of(layer)
        return self.rules.layer.of(int(layer / (self.shape.layers / self.groups)))  # as transformers reckons

    @property
    def embedding_width(self) -> int:
        """Width of the embedding tables."""
        return self.shape.hidden_size if self.embedding_size is None else self.embedding_size

    @property
    def position_base(self) -> int | None:
        """The token id that has no position of its own, behind which positions start; ``None``: they start at 0."""
        return self.pad_token_id if self.rules.positions_behind_padding else self.rules.positions_behind

    @property
    def max_length(self) -> int:
        """Longest row in tokens."""
        return self.max_positions - (0 if self.position_base is None else self.position_base + 1)


def config_of(config: Mapping[str, Any]) -> EncoderConfig:
    """Return what a ``config.json`` says; absent values have the architecture's defaults.

    Raises:
        BackboneError: The architecture is not of this family, has parts it cannot run, or a value makes no
            sense.
    """
    architecture = config.get("model_type")
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise BackboneError(
            f"{architecture!r} is not a post-LayerNorm encoder that is run here",
            remedy=f"Use a model of one of these types: {', '.join(ARCHITECTURES)}.",
        )
    known = _Settings(architecture, config)
    _check_parts(architecture, known)
    activation = known.values["hidden_act"]
    if activation not in ACTIVATION_NAMES:
        raise BackboneError(
            f"{known.name('hidden_act')} = {activation!r} is not supported; known: {', '.join(ACTIVATION_NAMES)}",
            remedy="Use a model that was trained with one of these.",
        )
    layers, hidden, inner = map(known.whole, ("num_hidden_layers", "hidden_size", "intermediate_size"))
    heads = known.whole("num_attention_heads")
    if hidden % heads:
        raise BackboneError(
            f"{known.name('num_attention_heads')} = {heads} does not divide {known.name('hidden_size')} = {hidden}",
            remedy=_BROKEN,
        )
    vocabulary, positions = known.whole("vocab_size"), known.whole("max_position_embeddings")
    rules = known.rules
    may_lack_types = ({**rules.defaults, **rules.fixed}).get("type_vocab_size") == 0
    types = known.whole("type_vocab_size", least=0 if may_lack_types else 1)
    width = hidden
    if rules.projection and "embedding_size" in known.values:
        width = known.whole("embedding_size")
    groups = known.whole("num_hidden_groups") if rules.layers_shared else None
    if groups is not None and groups > layers:
        raise BackboneError(
            f"num_hidden_groups = {groups} of {known.name('num_hidden_layers')} = {layers} is too many",
            remedy=_BROKEN,
        )
    absolute = rules.relative != "disentangled" or known.flag("position_biased_input")
    rows = vocabulary + (positions if absolute else 0) + types
    disentangled = _disentangled(known, hidden, heads) if rules.relative == "disentangled" else None
    convolution = _convolution(known, hidden) if rules.relative == "disentangled" else None
    buckets = known.whole("relative_attention_num_buckets") if rules.relative == "bias" else 0
    if rules.relative == "bias" and buckets < MPNET_BUCKETS:
        raise BackboneError(
            f"relative_attention_num_buckets = {buckets} is not supported, expected at least {MPNET_BUCKETS}",
            remedy="Use a model with as many: transformers reckons with them whatever this says.",
        )
    read = EncoderConfig(
        architecture=architecture,
        shape=encoder_shape(
            layers,
            hidden,
            inner,
            rows,
            outside=_outside(rules, hidden, width, rows)
            + buckets * heads
            + _of_distances(disentangled, hidden, layers)
            + (
                0
                if convolution is None
                else convolution.kernel * hidden * hidden // convolution.groups + 3 * hidden
            ),
            pooled=rules.pooled,
            groups=groups,
        ),
        heads=heads,
        intermediate_size=inner,
        layer_norm_eps=known.share("layer_norm_eps"),
        activation=activation,
        hidden_dropout=known.share("hidden_dropout_prob"),
        attention_dropout=known.share("attention_probs_dropout_prob"),
        pad_token_id=0 if known.values["pad_token_id"] is None else known.whole("pad_token_id", least=0),
        vocabulary=vocabulary,
        max_positions=positions,
        type_vocab_size=types,
        embedding_size=width if _projects(rules, hidden, width) else None,
        groups=groups,
        adds_positions=absolute,
        disentangled=disentangled,
        distance_buckets=buckets,
        convolution=convolution,
    )
    if read.max_length < 1:
        raise BackboneError(
            f"max_position_embeddings = {positions} leaves no position behind pad_token_id = {read.position_base}",
            remedy=_BROKEN,
        )
    return read


def encoder_shape(
    layers: int,
    hidden_size: int,
    intermediate_size: int,
    embedding_rows: int | None = None,
    *,
    outside: int | None = None,
    pooled: bool = True,
    groups: int | None = None,
) -> BackboneShape:
    """Return the shape of an encoder whose every block is ``LN(x + f(x))``.

    Args:
        layers: Transformer layers.
        hidden_size: Width of the residual stream, d.
        intermediate_size: Inner width of the feed-forward block.
        embedding_rows: Rows of all embedding tables (words, positions, token types) together; ``None``: not
            known, and neither is the number of all weights.
        outside: Weights outside the layers; ``None``: those of tables of width d and of one LayerNorm.
        pooled: Whether model files hold a pooler as well.
        groups: Groups of layers that have the same weights; ``None``: every layer has its own.
    """
    d, inner = hidden_size, intermediate_size
    matrices = 4 * d * d + 2 * d * inner
    block = matrices + 4 * d + inner + d + 4 * d  # biases of the six maps, two LayerNorms
    attention = ("query", "key", "value", "context", "dense", "out")
    if outside is None and embedding_rows is not None:
        outside = embedding_rows * d + 2 * d
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
        parameters=None if outside is None else outside + (groups or layers) * block,
        pooler_parameters=d * d + d if pooled else 0,
        embedding_rows=embedding_rows,
    )


def _outside(rules: Architecture, hidden_size: int, width: int, rows: int) -> int:
    """Return the weights outside the layers: embeddings of a width, their LayerNorm, and the map to the model's."""
    normed = width if rules.projects_normed else hidden_size
    tables = rows * width + 2 * normed
    if not _projects(rules, hidden_size, width):
        return tables
    return tables + width * hidden_size + (hidden_size if rules.projects_normed else 0)


def _projects(rules: Architecture, hidden_size: int, width: int) -> bool:
    return rules.projects_always or width != hidden_size


def _of_distances(kind: Disentangled | None, hidden_size: int, layers: int) -> int:
    """Return the weights of a DeBERTa's table of distances, its LayerNorm, and each layer's maps for them."""
    if kind is None:
        return 0
    norm = 2 * hidden_size if kind.normed else 0
    if not kind.looks:
        return norm
    maps = 0 if kind.shares_maps else len(kind.terms)
    return 2 * kind.span * hidden_size + norm + layers * maps * (hidden_size * hidden_size + hidden_size)


def _disentangled(known: _Settings, hidden: int, heads: int) -> Disentangled:
    head = known.values.get("attention_head_size", hidden // heads)
    if head != hidden // heads:
        raise BackboneError(
            f"attention_head_size = {head!r} is not supported, expected hidden_size / num_attention_heads = "
            f"{hidden // heads}",
            remedy="Use a model whose heads together are as wide as it is.",
        )
    said = known.values["pos_att_type"] or []
    terms = [one.strip() for one in said.lower().split("|")] if isinstance(said, str) else said
    if not isinstance(terms, list) or not set(map(str, terms)) <= set(_POSITION_TERMS):
        raise BackboneError(
            f"pos_att_type = {said!r} is not supported; known: {', '.join(_POSITION_TERMS)}",
            remedy="Use a model with these terms alone, as DeBERTa-v2 and v3 are published.",
        )
    norms = known.values["norm_rel_ebd"]
    if not isinstance(norms, str):
        raise BackboneError(f"norm_rel_ebd is {norms!r}, expected a text", remedy=_BROKEN)
    farthest = known.values["max_relative_positions"]
    whole = not isinstance(farthest, bool) and isinstance(farthest, int)
    farthest = known.whole(
        "max_relative_positions" if not whole or farthest >= 1 else "max_position_embeddings"
    )
    buckets = known.values["position_buckets"]
    if isinstance(buckets, bool) or not isinstance(buckets, int) or buckets == 1:
        raise BackboneError(f"position_buckets is {buckets!r}, expected -1 or 2 and more", remedy=_BROKEN)
    if buckets > 0 and farthest - 1 <= buckets // 2:
        raise BackboneError(
            f"position_buckets = {buckets} leaves no distance for the buckets of far tokens: max_relative_positions "
            f"is {farthest}",
            remedy=_BROKEN,
        )
    return Disentangled(
        terms=frozenset(terms),
        span=buckets if buckets > 0 else farthest,
        buckets=max(0, buckets),
        farthest=farthest,
        shares_maps=known.flag("share_att_key"),
        normed="layer_norm" in [one.strip() for one in norms.lower().split("|")],
        looks=known.flag("relative_attention"),
    )


def _convolution(known: _Settings, hidden: int) -> Convolution | None:
    if known.values["conv_kernel_size"] in (0, None):
        return None
    kernel = known.whole("conv_kernel_size")
    groups = known.whole("conv_groups") if "conv_groups" in known.values else 1
    activation = known.values.get("conv_act", "tanh")
    if kernel % 2 == 0 or hidden % groups or activation not in ACTIVATION_NAMES:
        raise BackboneError(
            f"conv_kernel_size = {kernel}, conv_groups = {groups}, conv_act = {activation!r} is not supported: the "
            f"kernel is odd, groups divide hidden_size = {hidden}, known activations are {', '.join(ACTIVATION_NAMES)}",
            remedy=_BROKEN,
        )
    return Convolution(kernel, groups, activation)


def _check_parts(architecture: str, known: _Settings) -> None:
    for part, wanted in _MUST_BE.items():
        if known.values.get(part, wanted) not in (wanted, None):
            raise BackboneError(
                f"{architecture} with {part} = {known.values[part]!r} is not supported",
                remedy=f"Use a model that was trained with {part} = {wanted!r}: changing config.json would make "
                "another model of these weights.",
            )


class _Settings:
    """The settings of a config by BERT's names, checked as they are read; errors say its own names."""

    def __init__(self, architecture: str, config: Mapping[str, Any]) -> None:
        self.rules = ARCHITECTURES[architecture]
        own = {theirs: ours for ours, theirs in self.rules.settings.items()}
        said = {own.get(name, name): value for name, value in config.items()}
        self.values: Mapping[str, Any] = {**_DEFAULTS, **self.rules.defaults, **said, **self.rules.fixed}

    def name(self, name: str) -> str:
        """Return what the config calls a setting."""
        return self.rules.settings.get(name, name)

    def whole(self, name: str, least: int = 1) -> int:
        """Return a whole number."""
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 31:
            wanted = "a positive whole number" if least else "a whole number of 0 or more"
            raise BackboneError(f"{self.name(name)} is {value!r}, expected {wanted}", remedy=_BROKEN)
        return value

    def flag(self, name: str) -> bool:
        """Return whether a setting is on."""
        value = self.values[name]
        if not isinstance(value, bool):
            raise BackboneError(f"{self.name(name)} is {value!r}, expected true or false", remedy=_BROKEN)
        return value

    def share(self, name: str) -> float:
        """Return a number from 0 to below 1."""
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise BackboneError(
                f"{self.name(name)} is {value!r}, expected a number from 0 to below 1", remedy=_BROKEN
            )
        return float(value)
