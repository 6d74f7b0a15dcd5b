"""What the core sees of joint multi-task methods without importing torch.

The papers' joint rows. All but full fine-tuning freeze the backbone, and make for each task an adapter at
Pfeiffer's place, after the feed-forward block. They differ in what the tasks' adapters have in common.

Source: ScaLearn (arXiv 2310.01217), section 4 and appendix A, and its official code, whose faults are settings
here wherever they move a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

from adapterlab.plugin import BackboneShape, JointMethod, NoSettings
from adapterlab_bottleneck.plugin import (
    BottleneckSettings,
    NonLinearity,
    PfeifferSettings,
    bottleneck_parameters,
)

if TYPE_CHECKING:
    from adapterlab.plugin import JointLayer

_TRAINING: Mapping[str, float] = {"lr": 3e-4}
_SITE = "ffn"
_Spread = Annotated[float, Field(gt=0, le=10)]
"""Standard deviation of fresh values."""


class FullM(JointMethod):
    """Full fine-tuning of one backbone on all tasks, with a head for each."""

    name = "full_m"
    exclusive = True
    training: Mapping[str, float] = {"lr": 2e-5}

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape, tasks: int) -> int | None:  # noqa: ARG002
        """Return the encoder's weights, without any pooler: 124,055,040 for roberta-base."""
        return shape.parameters

    def layer(self, settings: BaseModel, shape: BackboneShape, tasks: Sequence[str]) -> JointLayer:
        """Import the torch side."""
        from adapterlab_joint.layer import FullMLayer

        assert isinstance(settings, NoSettings)
        return FullMLayer(shape, tasks)


class AdapterMSettings(BottleneckSettings):
    """Settings of the joint method ``"adapter_m"``; the paper has one adapter of reduction 16, relu."""

    per_task: bool = False
    """Whether every task has an adapter of its own, so that tasks share nothing but the run."""


class AdapterM(JointMethod):
    """One Pfeiffer adapter that all tasks train: AdapterFusion's MT-A.

    Source: AdapterFusion, arXiv 2005.00247, section 3.2; ScaLearn, arXiv 2310.01217, section 4.
    """

    name = "adapter_m"
    settings = AdapterMSettings
    training = _TRAINING

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape, tasks: int) -> int:
        """Return ``L · (2·d·r + r + d)``, 894,528 at roberta-base shape; that for each task if they are apart."""
        assert isinstance(settings, AdapterMSettings)
        one = shape.layers * bottleneck_parameters(shape.site(_SITE), settings)
        return one * tasks if settings.per_task else one

    def layer(self, settings: BaseModel, shape: BackboneShape, tasks: Sequence[str]) -> JointLayer:
        """Import the torch side."""
        from adapterlab_joint.layer import AdapterMLayer

        assert isinstance(settings, AdapterMSettings)
        return AdapterMLayer(settings, shape, tasks)

    def adapters(self, settings: BaseModel) -> tuple[str, BaseModel]:
        """Return what its adapters are: Pfeiffer's."""
        assert isinstance(settings, AdapterMSettings)
        return "pfeiffer", as_pfeiffer(settings)


class ProPetlMSettings(BottleneckSettings):
    """Settings of the joint method ``"propetl_m"``; the paper keeps 0.3 and trains scores ten times as fast."""

    keep: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the prototype that each mask keeps; a task has in a layer what either of its two masks keeps."""
    mask_lr_factor: Annotated[float, Field(gt=0, le=1000)] = 10.0
    """Learning rate of the masks' scores over that of the weights."""
    init_std: _Spread = 0.01
    """Of the prototype's fresh weights; the official code's came out as 0.02."""
    first_layer_scores: Literal["own", "last_task"] = "own"
    """What masks layer 0 beside the task: scores of its own, or, as in the official code, the last task's."""


class ProPetlM(JointMethod):
    """One prototype for all tasks and layers, under the OR of a task's and a layer's binary mask.

    Source: ProPETL, arXiv 2305.17682, section 3; ScaLearn, arXiv 2310.01217, section 4.
    """

    name = "propetl_m"
    settings = ProPetlMSettings
    training = _TRAINING

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape, tasks: int) -> int:
        """Return prototype and scores: 1,549,104 at roberta-base shape for 8 tasks with the defaults."""
        assert isinstance(settings, ProPetlMSettings)
        site = shape.site(_SITE)
        scores = (site.input + site.output) * settings.width(site.output)
        layers = shape.layers - (settings.first_layer_scores == "last_task")
        return bottleneck_parameters(site, settings) + (tasks + layers) * scores

    def layer(self, settings: BaseModel, shape: BackboneShape, tasks: Sequence[str]) -> JointLayer:
        """Import the torch side."""
        from adapterlab_joint.layer import ProPetlMLayer

        assert isinstance(settings, ProPetlMSettings)
        return ProPetlMLayer(settings, shape, tasks)

    def adapters(self, settings: BaseModel) -> tuple[str, BaseModel]:
        """Return what its adapters are: Pfeiffer's, once masked."""
        assert isinstance(settings, ProPetlMSettings)
        return "pfeiffer", as_pfeiffer(settings)


class HyperFormerSettings(BottleneckSettings):
    """Settings of the joint method ``"hyperformer"``; defaults are the paper's."""

    non_linearity: NonLinearity = "gelu_new"
    """Between the adapter's projections."""
    task_embedding: Annotated[int, Field(ge=1, le=65536)] = 512
    """Numbers that stand for a task, ``E``; of a layer as many."""
    hidden: Annotated[int, Field(ge=1, le=65536)] = 128
    """Inner width of the projector, ``H``."""
    projected: Annotated[int, Field(ge=1, le=65536)] = 64
    """Numbers that adapters are generated from, ``P``."""
    init_std: _Spread = 0.01
    """Of the hyper-networks' fresh weights; the official code's came out as 0.02."""


class HyperFormerPPSettings(HyperFormerSettings):
    """Settings of the joint method ``"hyperformer_pp"``; defaults are the paper's."""

    layer_std: _Spread = 1.0
    """Of the fresh layer embeddings; the official code's came out as 0.02, which makes layers nearly alike."""


class HyperFormer(JointMethod):
    """Hyper-networks that generate each task's adapter, with a LayerNorm of its own, from a task embedding.

    Every layer has generators of its own.

    Source: HyperFormer, arXiv 2106.04489, section 2, without adapters after attention as in ScaLearn, arXiv
    2310.01217, section 4.
    """

    name = "hyperformer"
    settings: type[HyperFormerSettings] = HyperFormerSettings
    training = _TRAINING

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape, tasks: int) -> int:
        """Return embeddings, projector and generators.

        At roberta-base shape for 8 tasks with the defaults 59,420,544, and 5,095,024 of HyperFormer++.
        """
        assert isinstance(settings, HyperFormerSettings)
        site = shape.site(_SITE)
        e, hidden, z = settings.task_embedding, settings.hidden, settings.projected
        by_layer = isinstance(settings, HyperFormerPPSettings)
        read = 2 * e if by_layer else e
        embeddings = (tasks + (shape.layers if by_layer else 0)) * e
        projector = (read + 1) * hidden + (hidden + 1) * z + 2 * z
        generated = bottleneck_parameters(site, settings) + 2 * site.output
        return embeddings + projector + (1 if by_layer else shape.layers) * (z + 1) * generated

    def layer(self, settings: BaseModel, shape: BackboneShape, tasks: Sequence[str]) -> JointLayer:
        """Import the torch side."""
        from adapterlab_joint.hyperformer import HyperFormerLayer

        assert isinstance(settings, HyperFormerSettings)
        return HyperFormerLayer(settings, shape, tasks)


class HyperFormerPP(HyperFormer):
    """HyperFormer with one set of generators for all layers, which read an embedding of the layer beside the task's."""

    name = "hyperformer_pp"
    settings = HyperFormerPPSettings


def as_pfeiffer(settings: BottleneckSettings) -> PfeifferSettings:
    """Return the settings of the Pfeiffer adapters that a method makes."""
    return PfeifferSettings(reduction_factor=settings.reduction_factor, non_linearity=settings.non_linearity)


FULL_M = FullM()
ADAPTER_M = AdapterM()
PROPETL_M = ProPetlM()
HYPERFORMER = HyperFormer()
HYPERFORMER_PP = HyperFormerPP()
