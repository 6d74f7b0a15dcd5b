"""An encoder's tensors by name, with their shapes; read without torch, for files that are not loaded yet.

Shapes: ``d`` hidden size.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from adapterlab.plugin import TensorHeader
from adapterlab_encoder.config import EncoderConfig

_PREFIXES = ("", "bert.", "roberta.")
_NUMBERS = ("F64", "F32", "F16", "BF16")
"""Types that are the weights themselves; whole numbers and 8 bits are a quantised model's, which need scales."""
WORDS = "embeddings.word_embeddings.weight"

Shape = tuple[int | None, ...]
"""``None``: any size."""


def tensor_shapes(config: EncoderConfig) -> dict[str, Shape]:
    """Return the shape of every tensor the encoder reads, by its Hugging Face name without a prefix."""
    d, inner = config.shape.hidden_size, config.intermediate_size
    shapes: dict[str, Shape] = {
        WORDS: (None, d),
        "embeddings.position_embeddings.weight": (config.max_positions, d),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, d),
        **_pair("embeddings.LayerNorm", d),
    }
    for layer in range(config.shape.layers):
        base = f"encoder.layer.{layer}"
        for name in ("query", "key", "value"):
            shapes |= _pair(f"{base}.attention.self.{name}", d, d)
        shapes |= {
            **_pair(f"{base}.attention.output.dense", d, d),
            **_pair(f"{base}.attention.output.LayerNorm", d),
            **_pair(f"{base}.intermediate.dense", inner, d),
            **_pair(f"{base}.output.dense", d, inner),
            **_pair(f"{base}.output.LayerNorm", d),
        }
    return shapes


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
