"""An encoder's weights, prepared once: query, key and value are one product, names are checked.

Shapes: ``d`` hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from adapterlab.plugin import BackboneError, Tensors
from adapterlab_encoder.config import EncoderConfig
from adapterlab_encoder.tensors import fits, missing, name_in, shown, tensor_shapes

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
    def read(cls, read: Read, layer: int) -> Block:
        """Read one layer."""

        def pair(name: str) -> Pair:
            base = f"encoder.layer.{layer}.{name}"
            return read(f"{base}.weight"), read(f"{base}.bias")

        parts = [pair(f"attention.self.{name}") for name in ("query", "key", "value")]
        return cls(
            qkv=(torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])),
            attention_out=pair("attention.output.dense"),
            attention_norm=pair("attention.output.LayerNorm"),
            up=pair("intermediate.dense"),
            down=pair("output.dense"),
            norm=pair("output.LayerNorm"),
        )

    def named(self, layer: int) -> dict[str, Pair]:
        """Return the layer's weights by their Hugging Face names."""
        base = f"encoder.layer.{layer}."
        thirds = zip(self.qkv[0].chunk(3), self.qkv[1].chunk(3), strict=True)
        return {
            **{
                f"{base}attention.self.{name}": third
                for name, third in zip(("query", "key", "value"), thirds, strict=True)
            },
            f"{base}attention.output.dense": self.attention_out,
            f"{base}attention.output.LayerNorm": self.attention_norm,
            f"{base}intermediate.dense": self.up,
            f"{base}output.dense": self.down,
            f"{base}output.LayerNorm": self.norm,
        }


@dataclass(frozen=True)
class Weights:
    """All weights of an encoder."""

    words: Tensor
    positions: Tensor
    types: Tensor
    norm: Pair
    """After the embeddings."""
    blocks: tuple[Block, ...]

    @classmethod
    def read(cls, read: Read, config: EncoderConfig) -> Weights:
        """Read every tensor the config asks for."""
        return cls(
            words=read("embeddings.word_embeddings.weight"),
            positions=read("embeddings.position_embeddings.weight"),
            types=read("embeddings.token_type_embeddings.weight"),
            norm=(read("embeddings.LayerNorm.weight"), read("embeddings.LayerNorm.bias")),
            blocks=tuple(Block.read(read, layer) for layer in range(config.shape.layers)),
        )

    def to(self, *, dtype: torch.dtype, device: torch.device | str) -> Weights:
        """Return the same weights in another precision or place."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype)

        def both(pair: Pair) -> Pair:
            return moved(pair[0]), moved(pair[1])

        blocks = [
            Block(**{part.name: both(getattr(block, part.name)) for part in fields(Block)})
            for block in self.blocks
        ]
        return Weights(
            moved(self.words), moved(self.positions), moved(self.types), both(self.norm), tuple(blocks)
        )

    def named(self) -> Tensors:
        """Return copies of all tensors by their Hugging Face names, without a model prefix."""
        found: Tensors = {
            "embeddings.word_embeddings.weight": self.words,
            "embeddings.position_embeddings.weight": self.positions,
            "embeddings.token_type_embeddings.weight": self.types,
        }
        pairs = {"embeddings.LayerNorm": self.norm}
        for layer, block in enumerate(self.blocks):
            pairs |= block.named(layer)
        for name, (weight, bias) in pairs.items():
            found |= {f"{name}.weight": weight, f"{name}.bias": bias}
        return {name: tensor.detach().clone() for name, tensor in found.items()}


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
