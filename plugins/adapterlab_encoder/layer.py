"""The frozen post-LayerNorm encoder, forward over a pass of many lanes.

Weights never change, so they are prepared once (query, key and value as one product) and no
gradient is ever computed for them. All products run over the packed rows of every lane; attention,
which must not look from one lane into another, runs lane by lane on contiguous views. Dropout
inside the frozen backbone, where wanted, is drawn from each lane's own generator.

Shapes: ``N`` packed token rows, ``B`` rows, ``S`` tokens, ``H`` heads, ``d`` hidden size.

Source: BERT (arXiv 1810.04805), RoBERTa (arXiv 1907.11692), XLM-R (arXiv 1911.02116).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.data.weights import weight_files
from adapterlab.errors import BackboneError
from adapterlab.records import BackboneShape
from adapterlab.train.activations import ACTIVATIONS
from adapterlab.train.passes import Pass, Rectangle
from adapterlab.train.protocols import Hook, Tensors
from adapterlab.train.rng import dropout
from adapterlab_encoder import inputs

_PREFIXES = ("", "bert.", "roberta.")
_POSITION_OFFSET = {"bert": False, "roberta": True, "xlm-roberta": True}
"""Whether positions start behind the padding id (``cumsum + pad_id``) or at 0."""

_Read = Callable[[str, tuple[int | None, ...]], Tensor]
"""Gives a tensor by its name, checked to have a shape (``None``: any size)."""
_Added = Callable[[str, Tensor, Tensor], Tensor]
"""``added(site, x, y)`` gives ``y`` with what the lanes add at a site of the layer."""
Generators = Sequence[torch.Generator | None]
"""One dropout stream a lane; ``None``: no backbone dropout for that lane."""


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
        offset = self.pad_token_id + 1 if _POSITION_OFFSET[self.architecture] else 0
        return self.max_positions - offset


@dataclass(frozen=True)
class _Block:
    """One layer's frozen weights, prepared."""

    qkv: tuple[Tensor, Tensor]  # (3d, d), (3d,)
    attention_out: tuple[Tensor, Tensor]
    attention_norm: tuple[Tensor, Tensor]
    up: tuple[Tensor, Tensor]
    down: tuple[Tensor, Tensor]
    norm: tuple[Tensor, Tensor]


def load(folder: Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Encoder:
    """Load a frozen encoder from ``config.json`` and ``model.safetensors``.

    Args:
        folder: Where the files are.
        dtype: Precision of weights and activations.
        device: Where to hold them.

    Raises:
        BackboneError: The architecture is not of this family, or tensors are missing or misshapen.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    for path in weight_files(folder):
        try:
            weights |= load_file(path)
        except (OSError, SafetensorError) as error:
            raise BackboneError(
                f"{path}: cannot read weights: {error}",
                remedy="Delete the folder's copy and fetch the model again.",
            ) from error
    return Encoder(read_config(folder), weights, dtype=dtype, device=device)


def from_model(
    model: Any, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Encoder:
    """Return a frozen copy of a loaded transformers model's encoder; heads and poolers are left out.

    Args:
        model: A ``PreTrainedModel`` of this family, with or without a head.
        dtype: Precision; ``None``: the model's own.
        device: Where to hold it; ``None``: where the model is.

    Raises:
        BackboneError: It is not of this family, or its modules are not the usual ones.
    """
    config = config_of(model.config)
    # Copied, because otherwise those weights that are not rearranged would follow the model's training.
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return Encoder(
        config,
        weights,
        dtype=model.dtype if dtype is None else dtype,
        device=model.device if device is None else device,
    )


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
    if architecture not in _POSITION_OFFSET:
        raise BackboneError(
            f"{architecture!r} is not a post-LayerNorm encoder",
            remedy=f"Use one of: {', '.join(_POSITION_OFFSET)}.",
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


class Encoder:
    """A frozen encoder. Its only trainable parts are what a hook adds.

    Args:
        config: Shape and constants.
        weights: Tensors by their Hugging Face names, with or without the ``bert.``/``roberta.`` prefix.
        dtype: Precision to hold and compute in.
        device: Where to hold them and compute.

    Raises:
        BackboneError: A tensor is missing or has another shape than the config says.
    """

    def __init__(
        self,
        config: EncoderConfig,
        weights: Mapping[str, Tensor],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config
        self.shape = config.shape
        self.dtype = dtype
        self.device = torch.device(device)
        self._prepare(_reader(weights, dtype, self.device))

    def _prepare(self, read: _Read) -> None:
        config, d, inner = self.config, self.shape.hidden_size, self.shape.intermediate_size
        self._words = read("embeddings.word_embeddings.weight", (None, d))
        self._positions = read("embeddings.position_embeddings.weight", (config.max_positions, d))
        self._types = read("embeddings.token_type_embeddings.weight", (config.type_vocab_size, d))
        self._norm = (read("embeddings.LayerNorm.weight", (d,)), read("embeddings.LayerNorm.bias", (d,)))
        self._blocks = [self._read_block(read, layer, d, inner) for layer in range(self.shape.layers)]

    @staticmethod
    def _read_block(read: _Read, layer: int, d: int, inner: int) -> _Block:
        def pair(name: str, rows: int, *columns: int) -> tuple[Tensor, Tensor]:
            base = f"encoder.layer.{layer}.{name}"
            return read(f"{base}.weight", (rows, *columns)), read(f"{base}.bias", (rows,))

        parts = [pair(f"attention.self.{name}", d, d) for name in ("query", "key", "value")]
        return _Block(
            qkv=(torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])),
            attention_out=pair("attention.output.dense", d, d),
            attention_norm=pair("attention.output.LayerNorm", d),
            up=pair("intermediate.dense", inner, d),
            down=pair("output.dense", d, inner),
            norm=pair("output.LayerNorm", d),
        )

    @property
    def max_length(self) -> int:
        """Longest row in tokens."""
        return self.config.max_length

    def forward(
        self,
        batch: Pass,
        hook: Hook | None = None,
        generators: Generators | None = None,
    ) -> Tensor:
        """Return the last hidden states of every lane, packed.

        Args:
            batch: The lanes' rectangles.
            hook: Gives what is added at the sites it names; ``None``: the plain backbone.
            generators: Dropout streams by lane; ``None``: no backbone dropout at all.

        Returns:
            Hidden states, (N, d).
        """
        streams: Generators = generators or [None] * len(batch.rectangles)
        h = self._embed(batch, streams)
        for layer, block in enumerate(self._blocks):
            added = partial(_added, hook, layer)
            attended = F.linear(self._attend(block, h, batch, streams, added), *block.attention_out)
            attended = self._drop(attended, batch, streams)
            a = self._layer_norm(added("attention.out", attended, attended) + h, block.attention_norm)
            inner = ACTIVATIONS[self.config.activation](added("ffn.up", a, F.linear(a, *block.up)))
            f = self._drop(F.linear(inner, *block.down), batch, streams)
            z = added("ffn.out", f, f) + a
            h = self._layer_norm(z, block.norm)
            if hook is not None and "ffn" in hook.sites:
                # The pre-trained LayerNorm is applied twice: once to make the adapter's input, and
                # once over f + a + u. Source: AdapterFusion, "original_ln_before" of the official code.
                h = self._layer_norm(added("ffn", h, z), block.norm)
        return h

    def _embed(self, batch: Pass, streams: Generators) -> Tensor:
        token_ids = torch.cat([one.token_ids.flatten() for one in batch.rectangles])
        positions = torch.cat([self._position_ids(one).flatten() for one in batch.rectangles])
        h = F.embedding(token_ids, self._words) + F.embedding(positions, self._positions)
        if self.config.type_vocab_size > 1:
            type_ids = torch.cat([one.type_ids.flatten() for one in batch.rectangles])
            h = h + F.embedding(type_ids, self._types)
        else:
            h = h + self._types[0]
        return self._drop(self._layer_norm(h, self._norm), batch, streams)

    def to(self, *, dtype: torch.dtype, device: torch.device | str) -> Encoder:
        """Return the same encoder in another precision or place."""

        def moved(pair: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(tensor.to(device=device, dtype=dtype) for tensor in pair)

        other = copy(self)
        other.dtype, other.device = dtype, torch.device(device)
        other._words, other._positions, other._types = moved((self._words, self._positions, self._types))
        other._norm = cast("tuple[Tensor, Tensor]", moved(self._norm))
        other._blocks = [
            _Block(**{part.name: moved(getattr(block, part.name)) for part in fields(_Block)})  # type: ignore[arg-type]
            for block in self._blocks
        ]
        return other

    def weights(self) -> Tensors:
        """Return copies of all tensors by their Hugging Face names, without a model prefix."""
        found: Tensors = {
            "embeddings.word_embeddings.weight": self._words,
            "embeddings.position_embeddings.weight": self._positions,
            "embeddings.token_type_embeddings.weight": self._types,
        }
        pairs = {"embeddings.LayerNorm": self._norm}
        for layer, block in enumerate(self._blocks):
            base = f"encoder.layer.{layer}."
            thirds = zip(block.qkv[0].chunk(3), block.qkv[1].chunk(3), strict=True)
            pairs |= {
                f"{base}attention.self.{name}": third
                for name, third in zip(("query", "key", "value"), thirds, strict=True)
            }
            pairs |= {
                f"{base}attention.output.dense": block.attention_out,
                f"{base}attention.output.LayerNorm": block.attention_norm,
                f"{base}intermediate.dense": block.up,
                f"{base}output.dense": block.down,
                f"{base}output.LayerNorm": block.norm,
            }
        for name, (weight, bias) in pairs.items():
            found |= {f"{name}.weight": weight, f"{name}.bias": bias}
        return {name: tensor.detach().clone() for name, tensor in found.items()}

    def with_weights(self, weights: Mapping[str, Tensor]) -> Encoder:
        """Return this encoder with other tensors, through which gradients flow.

        Args:
            weights: Named as :meth:`weights` names them, in this encoder's precision and place; more
                are passed over.
        """
        other = copy(self)
        other._prepare(lambda name, _shape: weights[name])
        return other

    def rectangle(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Rectangle:
        """Return a batch as transformers' own models take it: any mask, positions counted as there.

        BERT numbers columns, whatever the mask; RoBERTa numbers the tokens that are not the padding
        token. So padding may stand anywhere, and left padding gives what those models give.

        Args:
            input_ids: (B, S).
            attention_mask: 1 where a token may be looked at, (B, S); ``None``: everywhere.
            token_type_ids: (B, S); ``None``: zeros.

        Raises:
            DataError: A shape, an id or the mask makes no sense for this backbone.
        """
        ids = input_ids.to(self.device)
        types = torch.zeros_like(ids) if token_type_ids is None else token_type_ids.to(self.device)
        inputs.check_ids("input_ids", ids, ids, self._words.shape[0])
        inputs.check_ids("token_type_ids", types, ids, self.config.type_vocab_size)
        rows, size = ids.shape
        offset = _POSITION_OFFSET[self.config.architecture]
        positions = inputs.positions(ids, self.config.pad_token_id if offset else None)
        inputs.check_positions(positions, self.config.max_positions, self.max_length)
        return Rectangle(
            token_ids=ids,
            type_ids=types,
            lengths=torch.full((rows,), size, device=self.device),
            labels=torch.zeros(rows, dtype=torch.int64, device=self.device),
            rows=np.arange(rows),
            given_mask=inputs.as_mask(attention_mask, ids),
            position_ids=positions,
        )

    def _position_ids(self, rectangle: Rectangle) -> Tensor:
        if rectangle.position_ids is not None:
            return rectangle.position_ids
        rows, size = rectangle.token_ids.shape
        positions = torch.arange(size, device=rectangle.token_ids.device).expand(rows, size)
        if not _POSITION_OFFSET[self.config.architecture]:
            return positions
        real = positions < rectangle.lengths[:, None]
        return torch.where(real, positions + 1, 0) + self.config.pad_token_id

    def _attend(self, block: _Block, h: Tensor, batch: Pass, streams: Generators, added: _Added) -> Tensor:
        heads, d = self.shape.heads, self.shape.hidden_size
        # One product (N, d) -> (N, 3d) for all lanes; what is added onto a third leaves the others views.
        thirds = F.linear(h, *block.qkv).chunk(3, dim=1)
        sites = ("attention.query", "attention.key", "attention.value")
        qkv = [added(site, h, third) for site, third in zip(sites, thirds, strict=True)]
        parts = []
        for rectangle, rows, stream in zip(batch.rectangles, batch.slices, streams, strict=True):
            b, s = rectangle.token_ids.shape
            q, k, v = (
                one[rows].view(b, s, heads, d // heads).transpose(1, 2) for one in qkv
            )  # (B, H, S, d/H)
            mask = None if rectangle.mask is None else rectangle.mask[:, None, None, :]
            attended = _attention(q, k, v, mask, self.config.attention_dropout, stream)
            parts.append(attended.transpose(1, 2).reshape(b * s, d))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _drop(self, x: Tensor, batch: Pass, streams: Generators) -> Tensor:
        if self.config.hidden_dropout == 0 or all(stream is None for stream in streams):
            return x
        p = self.config.hidden_dropout
        return torch.cat(
            [dropout(x[rows], p, stream) for rows, stream in zip(batch.slices, streams, strict=True)]
        )

    def _layer_norm(self, x: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
        return F.layer_norm(x, (self.shape.hidden_size,), *norm, eps=self.config.layer_norm_eps)


def _added(hook: Hook | None, layer: int, site: str, x: Tensor, y: Tensor) -> Tensor:
    """Return ``y`` with what the hook adds at a site; ``y`` itself where no lane uses the site."""
    if hook is None or site not in hook.sites:
        return y
    addition = hook(site, layer, x, y)
    return y if addition is None else y + addition


def _attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, p: float, stream: torch.Generator | None
) -> Tensor:
    """Return attention over (B, H, S, d/H); explicit only where the lane drops probabilities."""
    if stream is None or p == 0:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return dropout(scores.softmax(-1), p, stream) @ v


def _reader(weights: Mapping[str, Tensor], dtype: torch.dtype, device: torch.device) -> _Read:
    """Return a function that reads a tensor by name, whatever the checkpoint's prefix or age."""

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
