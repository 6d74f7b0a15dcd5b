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

_PREFIXES = ("", "bert.", "roberta.")

Pair = tuple[Tensor, Tensor]
"""A weight and its bias."""
Read = Callable[[str, tuple[int | None, ...]], Tensor]
"""Gives a tensor by its name, checked to have a shape (``None``: any size)."""


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
    def read(cls, read: Read, layer: int, d: int, inner: int) -> Block:
        """Read one layer."""

        def pair(name: str, rows: int, *columns: int) -> Pair:
            base = f"encoder.layer.{layer}.{name}"
            return read(f"{base}.weight", (rows, *columns)), read(f"{base}.bias", (rows,))

        parts = [pair(f"attention.self.{name}", d, d) for name in ("query", "key", "value")]
        return cls(
            qkv=(torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])),
            attention_out=pair("attention.output.dense", d, d),
            attention_norm=pair("attention.output.LayerNorm", d),
            up=pair("intermediate.dense", inner, d),
            down=pair("output.dense", d, inner),
            norm=pair("output.LayerNorm", d),
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
        d, inner = config.shape.hidden_size, config.intermediate_size
        return cls(
            words=read("embeddings.word_embeddings.weight", (None, d)),
            positions=read("embeddings.position_embeddings.weight", (config.max_positions, d)),
            types=read("embeddings.token_type_embeddings.weight", (config.type_vocab_size, d)),
            norm=(read("embeddings.LayerNorm.weight", (d,)), read("embeddings.LayerNorm.bias", (d,))),
            blocks=tuple(Block.read(read, layer, d, inner) for layer in range(config.shape.layers)),
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


def reader(weights: Mapping[str, Tensor], dtype: torch.dtype, device: torch.device) -> Read:
    """Return a function that reads a tensor by name, whatever the checkpoint's prefix or age.

    What it reads raises :class:`~adapterlab.errors.BackboneError` if it is missing or misshapen.
    """

    def read(name: str, shape: tuple[int | None, ...]) -> Tensor:
        aged = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        for candidate in (prefix + form for prefix in _PREFIXES for form in (name, aged)):
            if candidate in weights:
                tensor = weights[candidate]
                break
        else:
            raise BackboneError(
                f"the weights have no tensor {name!r}",
                remedy="Use the encoder's own safetensors file, not a head's or an adapter's.",
            )
        if tensor.dim() != len(shape) or any(
            want not in (None, got) for want, got in zip(shape, tensor.shape, strict=True)
        ):
            raise BackboneError(f"{name}: expected shape {shape}, got {tuple(tensor.shape)}")
        return tensor.detach().to(device=device, dtype=dtype).contiguous()

    return read
