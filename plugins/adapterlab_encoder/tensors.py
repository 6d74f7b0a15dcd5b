"""An encoder's tensors by name, with their shapes; read without torch, for files that are not loaded yet.

Shapes: ``d`` hidden size.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from adapterlab.plugin import TensorHeader
from adapterlab_encoder.architectures import ARCHITECTURES, LayerNames
from adapterlab_encoder.config import EncoderConfig

_PREFIXES = ("", *dict.fromkeys(one.prefix for one in ARCHITECTURES.values()))
_NUMBERS = ("F64", "F32", "F16", "BF16")
"""Types that are the weights themselves; whole numbers and 8 bits are a quantised model's, which need scales."""
WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TYPES = "embeddings.token_type_embeddings.weight"
EMBEDDING_NORM = "embeddings.LayerNorm"
CONVOLUTION, CONVOLUTION_NORM = "encoder.conv.conv", "encoder.conv.LayerNorm"

Shape = tuple[int | None, ...]
"""``None``: any size."""


def tensor_shapes(config: EncoderConfig) -> dict[str, Shape]:
    """Return the shape of every tensor the encoder reads, by its Hugging Face name without a prefix."""
    d, inner, width = config.shape.hidden_size, config.intermediate_size, config.embedding_width
    rules = config.rules
    shapes: dict[str, Shape] = {WORDS: (None, width)}
    if config.adds_positions:
        shapes[POSITIONS] = (config.max_positions, width)
    if config.type_vocab_size:
        shapes[TYPES] = (config.type_vocab_size, width)
    shapes |= _pair(EMBEDDING_NORM, width if rules.projects_normed else d)
    if config.embedding_size is not None:
        map_shapes = _pair(f"{rules.projection}", d, width)
        shapes |= map_shapes if rules.projects_normed else dict([*map_shapes.items()][:1])
    shapes |= _distance_shapes(config)
    for layer in range(config.shape.layers):
        names = config.layer_names(layer)
        for name in position_maps(config, names).values():
            shapes |= _pair(name, d, d)
        for name in (names.query, names.key, names.value, names.attention_out):
            shapes |= _pair(name, d, d)
        shapes |= {
            **_pair(names.attention_norm, d),
            **_pair(names.up, inner, d),
            **_pair(names.down, d, inner),
            **_pair(names.norm, d),
        }
    return shapes


def _distance_shapes(config: EncoderConfig) -> dict[str, Shape]:
    """Return the shapes of what all layers share besides the embeddings."""
    shapes: dict[str, Shape] = {}
    rules, d = config.rules, config.shape.hidden_size
    kind, convolution = config.disentangled, config.convolution
    if config.distance_buckets:
        shapes[f"{rules.relative_table}"] = (config.distance_buckets, config.heads)
    if kind is not None and kind.looks:
        shapes[f"{rules.relative_table}"] = (2 * kind.span, d)
    if kind is not None and kind.normed:
        shapes |= _pair(f"{rules.relative_norm}", d)
    if convolution is not None:
        shapes |= _pair(CONVOLUTION, d, d // convolution.groups, convolution.kernel)
        shapes |= _pair(CONVOLUTION_NORM, d)
    return shapes


def position_maps(config: EncoderConfig, names: LayerNames) -> dict[str, str]:
    """Return the names of a layer's own maps of distances, by the term of its scores that each is of."""
    kind = config.disentangled
    if kind is None or not kind.looks or kind.shares_maps:
        return {}
    known = {"c2p": names.position_key, "p2c": names.position_query}
    return {term: name for term, name in known.items() if term in kind.terms}


def name_in(tensors: Container[str], name: str) -> str | None:
    """Return what a checkpoint calls a tensor, whatever its prefix or age; ``None``: it has none."""
    aged = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    candidates = (prefix + form for prefix in _PREFIXES for form in (name, aged))
    return next((one for one in candidates if one in tensors), None)


def complaint(config: EncoderConfig, tensors: Mapping[str, TensorHeader]) -> str | None:
    """Return why tensors cannot be the weights of a config, in words; ``None``: they can."""
    for name, wanted in tensor_shapes(config).items():
        found = name_in(tensors, name)
        if found is None:
            return missing(name)
        tensor = tensors[found]
        if not fits(tensor.shape, wanted):
            return f"{found}: config.json makes its shape {shown(wanted)}, the file has {shown(tensor.shape)}"
        if tensor.dtype not in _NUMBERS:
            return f"{found} holds numbers of type {tensor.dtype}, expected one of {', '.join(_NUMBERS)}"
        if name == WORDS and tensor.shape[0] < config.vocabulary:
            return (
                f"{found} has {tensor.shape[0]} rows, but config.json says vocab_size = {config.vocabulary}"
            )
    return None


def missing(name: str) -> str:
    """Return what is said of a tensor that is not there."""
    return f"the weights have no tensor {name!r}"


def fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    """Return whether a shape is the wanted one."""
    return len(shape) == len(wanted) and all(
        want in (None, got) for want, got in zip(wanted, shape, strict=True)
    )


def shown(shape: Shape) -> str:
    """Return a shape as Python writes it: ``(32,)``, ``(any, 32)``."""
    return str(shape).replace("None", "any")


def _pair(name: str, rows: int, *columns: int) -> dict[str, Shape]:
    return {f"{name}.weight": (rows, *columns), f"{name}.bias": (rows,)}
