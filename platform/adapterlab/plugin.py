"""Everything a plug-in may import: one module, and nothing else of adapterlab.

    from adapterlab.plugin import Combiner, PoolShape            # the light side: costs no torch
    from adapterlab.plugin import CombinerLayer, scaled_sum      # the torch side, loaded when first named

A plug-in is one object behind one entry point:

===============================  =================================  ========================
group                            object                             computes with
===============================  =================================  ========================
``adapterlab.adapter_methods``   an :class:`AdapterMethod`          a :class:`MethodLayer`
``adapterlab.joint_methods``     a :class:`JointMethod`             a :class:`JointLayer`
``adapterlab.combiners``         a :class:`Combiner`                a :class:`CombinerLayer`
``adapterlab.heads``             a :class:`Head`                    a :class:`HeadLayer`
``adapterlab.backbones``         a :class:`BackboneFamily`          a :class:`Backbone`
``adapterlab.task_suites``       a :class:`TaskSuite`               nothing
===============================  =================================  ========================

The module that an entry point names must import nothing of the right-hand column at its top: its object
is loaded by ``platform validate``, which starts without torch. ``layer()`` imports the torch side where a
worker asks for it. :mod:`adapterlab.contracts` has a contract suite for each kind.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adapterlab.errors import (
    AdapterlabError,
    BackboneError,
    DataError,
    NotFoundError,
    PluginError,
    TrainingError,
    UsageError,
)
from adapterlab.fingerprint import key_of
from adapterlab.records import (
    BackboneShape,
    Examples,
    PoolShape,
    ProblemType,
    Reads,
    Site,
    Splits,
)
from adapterlab.registry.plugins import (
    AdapterMethod,
    BackboneFamily,
    Combiner,
    FolderSuite,
    Head,
    HubNames,
    InputFormat,
    JointMethod,
    NoSettings,
    TaskSuite,
    TensorHeader,
)
from adapterlab.registry.task_definitions import (
    FolderLocation,
    HubLocation,
    Join,
    Original,
    Row,
    TaskDefinition,
)

if TYPE_CHECKING:
    from adapterlab.backbones.weight_files import weight_files
    from adapterlab.caching.vectors import kept_vector
    from adapterlab.train.activations import ACTIVATIONS
    from adapterlab.train.gpu_path import on_gpu_path
    from adapterlab.train.layers import (
        MEAN_COEFFICIENTS,
        Backbone,
        Coefficients,
        CombinerLayer,
        FrozenPool,
        HeadLayer,
        Hook,
        JointLayer,
        MethodLayer,
        ModelFolder,
        OneAdapterLayer,
        PoolContext,
        Tensors,
    )
    from adapterlab.train.packed_operations import packed_attention, packed_dropout
    from adapterlab.train.packing import linear, pick, spread
    from adapterlab.train.passes import Pass, Rectangle
    from adapterlab.train.rng import Draws, Numbers, dropout, keep_mask
    from adapterlab.train.scaled_sum import at_point, fresh_omega, omega_rows, scaled_sum

_LAZY = {
    "ACTIVATIONS": "train.activations",
    "Backbone": "train.layers",
    "Coefficients": "train.layers",
    "CombinerLayer": "train.layers",
    "Draws": "train.rng",
    "FrozenPool": "train.layers",
    "HeadLayer": "train.layers",
    "Hook": "train.layers",
    "JointLayer": "train.layers",
    "MEAN_COEFFICIENTS": "train.layers",
    "MethodLayer": "train.layers",
    "ModelFolder": "train.layers",
    "OneAdapterLayer": "train.layers",
    "Numbers": "train.rng",
    "Pass": "train.passes",
    "PoolContext": "train.layers",
    "Rectangle": "train.passes",
    "Tensors": "train.layers",
    "at_point": "train.scaled_sum",
    "dropout": "train.rng",
    "fresh_omega": "train.scaled_sum",
    "keep_mask": "train.rng",
    "on_gpu_path": "train.gpu_path",
    "packed_attention": "train.packed_operations",
    "packed_dropout": "train.packed_operations",
    "kept_vector": "caching.vectors",
    "linear": "train.packing",
    "omega_rows": "train.scaled_sum",
    "pick": "train.packing",
    "scaled_sum": "train.scaled_sum",
    "spread": "train.packing",
    "weight_files": "backbones.weight_files",
}
"""Names that are loaded when they are first asked for, because they cost torch."""

__all__ = [
    "ACTIVATIONS",
    "MEAN_COEFFICIENTS",
    "AdapterMethod",
    "AdapterlabError",
    "Backbone",
    "BackboneError",
    "BackboneFamily",
    "BackboneShape",
    "Coefficients",
    "Combiner",
    "CombinerLayer",
    "DataError",
    "Draws",
    "Examples",
    "FolderLocation",
    "FolderSuite",
    "FrozenPool",
    "Head",
    "HeadLayer",
    "Hook",
    "HubLocation",
    "HubNames",
    "InputFormat",
    "Join",
    "JointLayer",
    "JointMethod",
    "MethodLayer",
    "ModelFolder",
    "NoSettings",
    "NotFoundError",
    "Numbers",
    "OneAdapterLayer",
    "Original",
    "Pass",
    "PluginError",
    "PoolContext",
    "PoolShape",
    "ProblemType",
    "Reads",
    "Rectangle",
    "Row",
    "Site",
    "Splits",
    "TaskDefinition",
    "TaskSuite",
    "TensorHeader",
    "Tensors",
    "TrainingError",
    "UsageError",
    "at_point",
    "dropout",
    "fresh_omega",
    "keep_mask",
    "kept_vector",
    "key_of",
    "linear",
    "omega_rows",
    "on_gpu_path",
    "packed_attention",
    "packed_dropout",
    "pick",
    "scaled_sum",
    "spread",
    "weight_files",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"adapterlab.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'adapterlab.plugin' has no attribute {name!r}")
