"""Backbones, pools and rows of given shapes with random numbers: speed does not ask for real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapterlab.records import BackboneShape, Examples, ProblemType, TaskData, TaskFacts, TrainSettings
from adapterlab.train.adaptation import SourcePool
from adapterlab.train.lane import Lane
from adapterlab.train.layers import Backbone
from adapterlab.train.rng import stream
from adapterlab.train.source_lane import source_lane, trainable
from adapterlab.train.token_means import TokenMeans
from adapterlab.train.transfer_lane import transfer_lane
from adapterlab_adapterfusion.layer import AdapterFusionLayer
from adapterlab_bottleneck import layer as pfeiffer
from adapterlab_encoder.layer import from_model
from adapterlab_scalearn.layer import ScaLearnLayer

SHAPES = {
    "minilm": BackboneShape(layers=6, hidden_size=384, heads=12, intermediate_size=1536),
    "roberta-base": BackboneShape(layers=12, hidden_size=768, heads=12, intermediate_size=3072),
    "tiny": BackboneShape(layers=2, hidden_size=32, heads=4, intermediate_size=64),
}
_VOCABULARY = 1000
_REDUCTION = 16
METHOD = SimpleNamespace(non_linearity="relu", width=lambda d: max(1, d // _REDUCTION))
"""Pfeiffer's settings, as in the papers; without pydantic, which a bare machine may lack."""
SCALEARN = {
    "scalearn": (True, True),
    "scalearn_uniform": (True, False),
    "scalearn_pp": (False, True),
    "scalearn_uniform_pp": (False, False),
}
"""Whether coefficients are of their own for each layer, and for each dimension."""
KINDS = (*SCALEARN, "adapterfusion")


def combiner_of(kind: str, shape: BackboneShape, sources: int) -> tuple[Any, Any, tuple[int, int, int]]:
    """Return a combiner's layer, its settings and its coefficients' shape."""
    if kind == "adapterfusion":
        return AdapterFusionLayer(), SimpleNamespace(value_regulariser=0.01), (shape.layers, sources, 1)
    per_layer, per_dimension = SCALEARN[kind]
    size = (shape.layers if per_layer else 1, sources, shape.hidden_size if per_dimension else 1)
    return ScaLearnLayer(), SimpleNamespace(regulariser=0.0, regulariser_of="mean"), size


@dataclass(frozen=True)
class World:
    """One shape of everything, on one device."""

    shape: str = "minilm"
    sources: int = 8
    batch: int = 32
    tokens: int = 128
    backbone_dropout: bool = True
    device: str = "cpu"
    dtype: torch.dtype = torch.float32

    @cached_property
    def model(self) -> Any:
        """The encoder as transformers has it, with eager attention."""
        from transformers import BertConfig, BertModel

        shape = SHAPES[self.shape]
        torch.manual_seed(0)
        config = BertConfig(
            num_hidden_layers=shape.layers,
            hidden_size=shape.hidden_size,
            num_attention_heads=shape.heads,
            intermediate_size=shape.intermediate_size,
            vocab_size=_VOCABULARY,
            hidden_dropout_prob=0.1 if self.backbone_dropout else 0.0,
            attention_probs_dropout_prob=0.1 if self.backbone_dropout else 0.0,
            attn_implementation="eager",
        )
        return BertModel(config, add_pooling_layer=False).to(self.device)

    @cached_property
    def backbone(self) -> Backbone:
        """The same encoder as this engine runs it."""
        return from_model(self.model, dtype=self.dtype)

    @cached_property
    def pool(self) -> SourcePool:
        """Frozen Pfeiffer adapters, reduction 16."""
        adapters = [
            pfeiffer.initial(METHOD, self.backbone.shape, stream(number, "pool"))
            for number in range(self.sources)
        ]
        return SourcePool.build(pfeiffer, METHOD, adapters, self.backbone)

    @cached_property
    def task(self) -> TaskData:
        """Rows of exactly ``tokens`` tokens, two classes."""
        random = np.random.default_rng(0)
        rows = 2 * self.batch
        examples = Examples(
            token_ids=random.integers(5, _VOCABULARY, rows * self.tokens).astype(np.int32),
            type_ids=np.zeros(rows * self.tokens, dtype=np.int32),
            offsets=np.arange(rows + 1, dtype=np.int64) * self.tokens,
            labels=random.integers(0, 2, rows).astype(np.int64),
        )
        facts = TaskFacts(
            "made/up", ProblemType.CLASSIFICATION, 2, ("no", "yes"), ("accuracy",), content_digest=None
        )
        return TaskData(facts, examples, examples.first(self.batch), examples.first(self.batch))

    def to_its_end(self, step: Callable[[], Any]) -> Callable[[], None]:
        """Return a step that ends when the card, if there is one, has ended."""

        def ended() -> None:
            step()
            if self.device != "cpu":
                torch.cuda.synchronize()

        return ended

    def settings(self, lr: float = 1e-3) -> TrainSettings:
        """Return training settings: many epochs, never early."""
        return TrainSettings(
            lr=lr,
            max_epochs=1000,
            patience=1000,
            batch_size=self.batch,
            backbone_dropout=self.backbone_dropout,
        )

    def transfer(self, kind: str, seed: int = 0) -> Lane:
        """Return a lane that trains a combiner."""
        layer, settings, size = combiner_of(kind, self.backbone.shape, self.sources)
        return transfer_lane(
            self.backbone,
            self.pool,
            layer,
            size,
            self.task,
            self.settings(),
            init_scale=2.0,
            dropout=0.3,
            combiner_settings=settings,
            seed=seed,
            name=f"{kind} {seed}",
        )

    def adapter(self, seed: int = 0) -> Lane:
        """Return a lane that trains an adapter of its own."""
        return source_lane(
            self.backbone, pfeiffer, METHOD, self.task, self.settings(), seed=seed, name=f"adapter {seed}"
        )

    def bare(self, *, whole: bool, seed: int = 0) -> Lane:
        """Return a lane with the least that makes gradients go all the way: one vector a layer.

        Args:
            whole: Compute every token's last state, as models do, or only what the head reads.
            seed: The lane's seed.
        """
        shape = self.backbone.shape
        tensors = {f"vector.{layer}": torch.zeros(shape.hidden_size) for layer in range(shape.layers)}
        return Lane(
            name="bare",
            task=self.task,
            adaptation=VectorALayer(means=TokenMeans(shape.layers) if whole else None),
            settings=self.settings(),
            seed=seed,
            tensors=trainable(self.backbone, self.task, tensors, seed),
            device=self.backbone.device,
        )


@dataclass(frozen=True)
class VectorALayer:
    """Adds one trainable vector to each layer's feed-forward output."""

    group: int = 0
    sites: tuple[str, ...] = ("ffn.out",)
    exclusive: bool = False
    means: TokenMeans | None = None
    """If there, every token's last state is computed."""

    def shared(self, site: str, layer: int, x: Tensor) -> None:
        """Return nothing: there is nothing to share."""

    def forward(
        self, tensors: Any, site: str, layer: int, x: Tensor, y: Tensor, shared: Any, generator: Any
    ) -> Tensor:
        """Return the layer's vector for every row."""
        del site, x, shared, generator
        vector: Tensor = tensors[f"vector.{layer}"]
        return vector.expand(y.shape)

    def penalty(self, tensors: Any) -> None:
        """Return nothing to add to the loss."""

    def decays(self, name: str) -> bool:
        """Return whether weight decay acts on a tensor."""
        return bool(name)

    def lr_factor(self, name: str) -> float:
        """Return 1: one rate for all."""
        del name
        return 1.0
