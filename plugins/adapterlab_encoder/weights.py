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
    CONVOLUTION,
    CONVOLUTION_NORM,
    EMBEDDING_NORM,
    POSITIONS,
    TYPES,
    WORDS,
    fits,
    missing,
    name_in,
    position_maps,
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
    position_key: Pair | None = None
    """Of a DeBERTa that maps distances otherwise than contents."""
    position_query: Pair | None = None

    @classmethod
    def read(cls, read: Read, names: LayerNames, maps: Mapping[str, str]) -> Block:
        """Read one layer by the names of its parts, and of its maps of distances."""

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
            position_key=pair(maps["c2p"]) if "c2p" in maps else None,
            position_query=pair(maps["p2c"]) if "p2c" in maps else None,
        )

    def named(self, names: LayerNames) -> dict[str, Pair]:
        """Return the layer's weights by the names of its parts."""
        thirds = zip(self.qkv[0].chunk(3), self.qkv[1].chunk(3), strict=True)
        positions = {names.position_key: self.position_key, names.position_query: self.position_query}
        return {
            **{name: pair for name, pair in positions.items() if pair is not None},
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
    positions: Tensor | None
    """``None``: only attention knows of positions."""
    types: Tensor | None
    """``None``: the model tells no token types apart."""
    norm: Pair
    """After the embeddings."""
    projection: tuple[Tensor, Tensor | None] | None
    """From the width of the embeddings to the model's, with its bias if it has one; ``None``: they are equal."""
    distances: Tensor | None
    """What attention knows of distances: MPNet's biases, (buckets, H), or DeBERTa's table, (P, d)."""
    distances_norm: Pair | None
    convolution: Pair | None
    """Of a DeBERTa, (d, d / groups, kernel) and (d,)."""
    convolution_norm: Pair | None
    blocks: tuple[Block, ...]

    @classmethod
    def read(cls, read: Read, config: EncoderConfig) -> Weights:
        """Read every tensor the config asks for."""
        wanted = tensor_shapes(config)

        def maybe(name: str) -> Tensor | None:
            return read(name) if name in wanted else None

        def maybe_pair(name: str | None) -> Pair | None:
            return (read(f"{name}.weight"), read(f"{name}.bias")) if f"{name}.weight" in wanted else None

        projection = config.rules.projection
        names = [config.layer_names(layer) for layer in range(config.shape.layers)]
        # Layers with the same weights have the same block.
        blocks = {one: Block.read(read, one, position_maps(config, one)) for one in dict.fromkeys(names)}
        matrix = None if projection is None else maybe(f"{projection}.weight")
        return cls(
            words=read(WORDS),
            positions=maybe(POSITIONS),
            types=maybe(TYPES),
            norm=(read(f"{EMBEDDING_NORM}.weight"), read(f"{EMBEDDING_NORM}.bias")),
            projection=None if matrix is None else (matrix, maybe(f"{projection}.bias")),
            distances=maybe(f"{config.rules.relative_table}"),
            distances_norm=maybe_pair(config.rules.relative_norm),
            convolution=maybe_pair(CONVOLUTION),
            convolution_norm=maybe_pair(CONVOLUTION_NORM),
            blocks=tuple(blocks[one] for one in names),
        )

    def to(self, *, dtype: torch.dtype, device: torch.device | str) -> Weights:
        """Return the same weights in another precision or place."""
        blocks: dict[int, Any] = {}  # one that layers share stays one

        def moved(part: Any) -> Any:
            if isinstance(part, Tensor):
                return part.to(device=device, dtype=dtype)
            if isinstance(part, tuple):
                return tuple(map(moved, part))
            if isinstance(part, Block):
                if id(part) not in blocks:
                    blocks[id(part)] = with_moved(part)
                return blocks[id(part)]
            return with_moved(part) if isinstance(part, Weights) else part

        def with_moved(part: Any) -> Any:
            return type(part)(**{one.name: moved(getattr(part, one.name)) for one in fields(part)})

        found: Weights = moved(self)
        return found

    def named(self, config: EncoderConfig) -> Tensors:
        """Return copies of all tensors by their Hugging Face names, without a model prefix."""
        rules = config.rules
        found: dict[str, Tensor | None] = {
            WORDS: self.words,
            POSITIONS: self.positions,
            TYPES: self.types,
            f"{rules.relative_table}": self.distances,
        }
        pairs: dict[str, tuple[Tensor, Tensor | None]] = {EMBEDDING_NORM: self.norm}
        for name, pair in {
            rules.projection: self.projection,
            rules.relative_norm: self.distances_norm,
            CONVOLUTION: self.convolution,
            CONVOLUTION_NORM: self.convolution_norm,
        }.items():
            if pair is not None:
                pairs[f"{name}"] = pair
        for layer, block in enumerate(self.blocks):
            pairs |= block.named(config.layer_names(layer))
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
