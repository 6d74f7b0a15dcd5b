"""Backbones, pools and rows of given shapes with random numbers: speed does not ask for real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapterlab.plugin import AdapterMethod
from adapterlab.records import Examples, ProblemType, TaskData, TaskFacts, TrainSettings
from adapterlab.train.adaptation import Adaptation, OwnAdapter, SourcePool, trained_in
from adapterlab.train.combination import Combination, combiner_layer
from adapterlab.train.lane import Lane
from adapterlab.train.layers import Backbone, MethodLayer, PoolContext, Tensors
from adapterlab.train.rng import stream
from adapterlab.train.token_means import TokenMeans
from adapterlab_adapterfusion.plugin import ADAPTERFUSION
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from adapterlab_compacter.plugin import COMPACTER_PP
from adapterlab_encoder.loading import from_model
from adapterlab_fixed.plugin import UNIFORM_AVERAGE
from adapterlab_full.plugin import HEAD_ONLY
from adapterlab_heads.plugin import CLASSIFICATION
from adapterlab_houlsby.plugin import HOULSBY
from adapterlab_ia3.plugin import IA3
from adapterlab_lora.plugin import LORA
from adapterlab_propetl.plugin import PROPETL
from adapterlab_scalearn.plugin import (
    SCALEARN,
    SCALEARN_MEAN,
    SCALEARN_PP,
    SCALEARN_SOFTMAX,
    SCALEARN_UNIFORM,
    SCALEARN_UNIFORM_PP,
)

SHAPES = {
    "minilm": {"layers": 6, "hidden_size": 384, "heads": 12, "inner": 1536},
    "roberta-base": {"layers": 12, "hidden_size": 768, "heads": 12, "inner": 3072},
    "tiny": {"layers": 2, "hidden_size": 32, "heads": 4, "inner": 64},
}
_VOCABULARY = 1000
METHOD = PfeifferSettings()
"""Pfeiffer's settings, as in the papers: reduction 16, relu."""
COMBINERS = {
    one.name: one for one in (SCALEARN, SCALEARN_UNIFORM, SCALEARN_PP, SCALEARN_UNIFORM_PP, ADAPTERFUSION)
}
KINDS = tuple(COMBINERS)
CONSTRAINED = {one.name: one for one in (SCALEARN_MEAN, SCALEARN_SOFTMAX, UNIFORM_AVERAGE)}
"""Combiners that are timed nowhere, because they cost what their unconstrained sisters do."""
METHODS: Mapping[str, tuple[AdapterMethod, tuple[Mapping[str, Any], ...]]] = {
    **{one.name: (one, ({},)) for one in (PFEIFFER, HOULSBY, COMPACTER_PP, PROPETL, LORA, IA3, HEAD_ONLY)},
    "mixed_widths": (PFEIFFER, tuple({"reduction_factor": factor} for factor in (16, 8, 4, 2))),
}
"""Own adapters by their kind: the method, and settings that lanes take in turn."""


@dataclass(frozen=True)
class World:
    """One shape of everything, on one device."""

    shape: str = "minilm"
    sources: int = 8
    batch: int = 32
    tokens: int = 128
    ragged: bool = False
    """Whether rows have 1 to ``tokens`` tokens instead of exactly so many."""
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
            num_hidden_layers=shape["layers"],
            hidden_size=shape["hidden_size"],
            num_attention_heads=shape["heads"],
            intermediate_size=shape["inner"],
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
    def method(self) -> MethodLayer:
        """Pfeiffer adapters on the backbone."""
        return PFEIFFER.layer(METHOD, self.backbone.shape)

    @cached_property
    def pool(self) -> SourcePool:
        """Frozen Pfeiffer adapters, reduction 16."""
        adapters = [self.method.initial(stream(number, "pool")) for number in range(self.sources)]
        return SourcePool.build(self.method, adapters, self.backbone)

    @cached_property
    def task(self) -> TaskData:
        """Rows of as many tokens as are asked for, two classes."""
        random = np.random.default_rng(0)
        rows = 2 * self.batch
        lengths = random.integers(1 if self.ragged else self.tokens, self.tokens + 1, rows)
        examples = Examples(
            token_ids=random.integers(5, _VOCABULARY, lengths.sum()).astype(np.int32),
            type_ids=np.zeros(lengths.sum(), dtype=np.int32),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
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
        plugin = {**COMBINERS, **CONSTRAINED}[kind]
        layer = combiner_layer(
            plugin, plugin.settings(), self.pool.shape, {"init_scale": 2.0, "dropout": 0.3}
        )
        names = tuple(f"made/{number}" for number in range(self.sources))
        fixed = layer.fixed(PoolContext(names, self.task.facts.task)) if layer.needs_context else {}
        placed = {name: one.to(device=self.device, dtype=self.dtype) for name, one in fixed.items()}
        tensors = layer.initial(stream(seed, "combiner init"))
        return self._lane(f"{kind} {seed}", Combination(self.pool, layer, placed), tensors, seed)

    def adapter(self, seed: int = 0, kind: str = "pfeiffer") -> Lane:
        """Return a lane that trains an adapter of its own."""
        plugin, settings = METHODS[kind]
        chosen = plugin.settings.model_validate(settings[seed % len(settings)])
        method = plugin.layer(chosen, self.backbone.shape)
        tensors = method.initial(stream(seed, "adapter init"))
        return self._lane(f"{kind} {seed}", OwnAdapter(method), tensors, seed)

    def lane(self, kind: str, seed: int = 0) -> Lane:
        """Return a lane of a combiner or of an adapter of its own."""
        return self.adapter(seed, kind) if kind in METHODS else self.transfer(kind, seed)

    def bare(self, *, whole: bool, seed: int = 0) -> Lane:
        """Return a lane with the least that makes gradients go all the way: one vector a layer.

        Args:
            whole: Compute every token's last state, as models do, or only what the head reads.
            seed: The lane's seed.
        """
        shape = self.backbone.shape
        tensors = {f"vector.{layer}": torch.zeros(shape.hidden_size) for layer in range(shape.layers)}
        adaptation = VectorALayer(means=TokenMeans(shape.layers) if whole else None)
        return self._lane("bare", adaptation, tensors, seed)

    def _lane(self, name: str, adaptation: Adaptation, tensors: Tensors, seed: int) -> Lane:
        """Return a lane as the engine makes it, but for the look-up of its head: nothing is installed here."""
        backbone, facts = self.backbone, self.task.facts
        head = CLASSIFICATION.layer(backbone.shape.hidden_size, facts.n_labels, facts.problem_type)
        fresh = tensors | head.initial(stream(seed, "head init"))
        return Lane(
            name=name,
            task=self.task,
            adaptation=adaptation,
            settings=self.settings(),
            seed=seed,
            tensors={
                key: one.to(device=backbone.device, dtype=trained_in(backbone.dtype)).requires_grad_()
                for key, one in fresh.items()
            },
            head=head,
            device=backbone.device,
        )


@dataclass(frozen=True)
class VectorALayer(Adaptation):
    """Adds one trainable vector to each layer's feed-forward output."""

    group: int = 0
    sites: tuple[str, ...] = ("ffn.out",)
    means: TokenMeans | None = None
    """If there, every token's last state is computed."""

    def forward(
        self, tensors: Any, at: tuple[str, int], x: Tensor, y: Tensor, shared: Any, generator: Any
    ) -> Tensor:
        """Return the layer's vector for every row."""
        del x, shared, generator
        vector: Tensor = tensors[f"vector.{at[1]}"]
        return vector.expand(y.shape)
