"""An encoder's weights, prepared once: query, key and value are one product, names are checked.

Shapes: ``d`` hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from adapterlab.plugin import BackboneError, Tensors
from adapterlab_encoder.architectures import LayerNames
from adapterlab_encoder.config import EncoderConfig
from adapterlab_encoder.tensors import (
    EMBEDDING_NORM,
    POSITIONS,
    TYPES,
    WORDS,
    fits,
    missing,
    name_in,
    shown,
    tensor_shapes,
)

Pair = tuple[Tensor, Tensor]
"""A weight and its bias."""
Read = Callable[[str], Tensor]
"""Gives a tensor by its name."""


@dataclass(frozen=True)
class Block:
    """One layer's weights, prepared."""

    qkv: Pair
    """(3d, d) and (3d,)."""
    attention_out: Pair
    attention_norm: Pair
    up: Pair
    down: Pair
    norm: Pair

    @classmethod
    def read(cls, read: Read, names: LayerNames) -> Block:
        """Read one layer by the names of its parts."""

        def pair(name: str) -> Pair:
            return read(f"{name}.weight"), read(f"{name}.bias")

        parts = [pair(name) for name in (names.query, names.key, names.value)]
        return cls(
            qkv=(torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])),
            attention_out=pair(names.attention_out),
            attention_norm=pair(names.attention_norm),
            up=pair(names.up),
            down=pair(names.down),
            norm=pair(names.norm),
        )

    def named(self, names: LayerNames) -> dict[str, Pair]:
        """Return the layer's weights by the names of its parts."""
        thirds = zip(self.qkv[0].chunk(3), self.qkv[1].chunk(3), strict=True)
        return {
            **dict(zip((names.query, names.key, names.value), thirds, strict=True)),
            names.attention_out: self.attention_out,
            names.attention_norm: self.attention_norm,
            names.up: self.up,
            names.down: self.down,
            names.norm: self.norm,
        }


@dataclass(frozen=True)
class Weights:
    """All weights of an encoder."""

    words: Tensor
    positions: Tensor
    types: Tensor | None
    """``None``: the model tells no token types apart."""
    norm: Pair
    """After the embeddings."""
    projection: tuple[Tensor, Tensor | None] | None
    """From the width of the embeddings to the model's, with its bias if it has one; ``None``: they are equal."""
    blocks: tuple[Block, ...]

    @classmethod
    def read(cls, read: Read, config: EncoderConfig) -> Weights:
        """Read every tensor the config asks for."""
        wanted = tensor_shapes(config)

        def maybe(name: str) -> Tensor | None:
            return read(name) if name in wanted else None

        projection = config.rules.projection
        matrix = None if projection is None else maybe(f"{projection}.weight")
        return cls(
            words=read(WORDS),
            positions=read(POSITIONS),
            types=maybe(TYPES),
            norm=(read(f"{EMBEDDING_NORM}.weight"), read(f"{EMBEDDING_NORM}.bias")),
            projection=None if matrix is None else (matrix, maybe(f"{projection}.bias")),
            blocks=tuple(
                Block.read(read, config.rules.layer.of(layer)) for layer in range(config.shape.layers)
            ),
        )

    def to(self, *, dtype: torch.dtype, device: torch.device | str) -> Weights:
        """Return the same weights in another precision or place."""

        def moved(part: Any) -> Any:
            if isinstance(part, Tensor):
                return part.to(device=device, dtype=dtype)
            if isinstance(part, tuple):
                return tuple(map(moved, part))
            if isinstance(part, Block | Weights):
                return type(part)(**{one.name: moved(getattr(part, one.name)) for one in fields(part)})
            return part

        found: Weights = moved(self)
        return found

    def named(self, config: EncoderConfig) -> Tensors:
        """Return copies of all tensors by their Hugging Face names, without a model prefix."""
        found: dict[str, Tensor | None] = {WORDS: self.words, POSITIONS: self.positions, TYPES: self.types}
        pairs: dict[str, tuple[Tensor, Tensor | None]] = {EMBEDDING_NORM: self.norm}
        if self.projection is not None:
            pairs[f"{config.rules.projection}"] = self.projection
        for layer, block in enumerate(self.blocks):
            pairs |= block.named(config.rules.layer.of(layer))
        for name, (weight, bias) in pairs.items():
            found |= {f"{name}.weight": weight, f"{name}.bias": bias}
        return {name: tensor.detach().clone() for name, tensor in found.items() if tensor is not None}


def reader(
    weights: Mapping[str, Tensor], config: EncoderConfig, dtype: torch.dtype, device: torch.device
) -> Read:
    """Return a function that reads a tensor by name, whatever the checkpoint's prefix or age.

    What it reads raises :class:`~adapterlab.errors.BackboneError` if it is missing, misshapen, or holds anything
    but the weights themselves.
    """
    shapes = tensor_shapes(config)

    def read(name: str) -> Tensor:
        found = name_in(weights, name)
        if found is None:
            raise BackboneError(
                missing(name), remedy="Use the encoder's own safetensors file, not a head's or an adapter's."
            )
        tensor = weights[found]
        if not fits(tuple(tensor.shape), shapes[name]):
            raise BackboneError(
                f"{name}: expected shape {shown(shapes[name])}, got {shown(tuple(tensor.shape))}"
            )
        if not tensor.is_floating_point() or tensor.element_size() < 2:
            raise BackboneError(
                f"{name} holds {tensor.dtype}, expected floating-point numbers",
                remedy="A quantised model does not run here: take the one it was made from.",
            )
        return tensor.detach().to(device=device, dtype=dtype).contiguous()

    return read
