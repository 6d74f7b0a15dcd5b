"""AdapterHub's folder format: its configs, and what it calls our tensors, as ``adapters`` 1.3.0 writes them.

The Pfeiffer adapter is its ``seq_bn``: one bottleneck after the feed-forward block, between two
applications of the pre-trained LayerNorm. The Houlsby adapter is its ``double_seq_bn``: a bottleneck on the output
of each sub-block, before residual and LayerNorm.

Shapes: ``L`` layers, ``d`` hidden size, ``r_l`` bottleneck width of a layer, ``C`` outputs of a head.

Source: adapters 1.3.0, ``configuration/adapter_config.py``, ``methods/bottleneck.py``,
``heads/base.py``, ``loading.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterlab.errors import UsageError
from adapterlab.registry.entry_points import backbone_families, backbone_family
from adapterlab.registry.plugins import HubNames
from adapterlab.train.layers import Tensors

METHOD = "pfeiffer"
"""The adapter method this format is known for."""


@dataclass(frozen=True)
class Placement:
    """Where a method's bottlenecks stand, as the library has it."""

    settings: Mapping[str, Any]
    """What of its config makes it so."""
    modules: Mapping[str, str]
    """Modules of a layer that hold a bottleneck, by what our names of it begin with behind the layer."""


PLACEMENTS: Mapping[str, Placement] = {
    METHOD: Placement(
        {"mh_adapter": False, "output_adapter": True, "original_ln_before": True}, {"": "output"}
    ),
    "houlsby": Placement(
        {"mh_adapter": True, "output_adapter": True, "original_ln_before": False},
        {"attention.out.": "attention.output", "ffn.out.": "output"},
    ),
}
"""The methods whose adapters are bottlenecks there."""
LIBRARY_VERSION = "adapters.1.3.0"
ADAPTER_CONFIG, HEAD_CONFIG = "adapter_config.json", "head_config.json"
ADAPTER_WEIGHTS, HEAD_WEIGHTS = "adapter.safetensors", "model_head.safetensors"
ADAPTER_PICKLE, HEAD_PICKLE = "pytorch_adapter.bin", "pytorch_model_head.bin"

SEQ_BN: Mapping[str, Any] = {
    "adapter_residual_before_ln": False,
    "cross_adapter": False,
    "dropout": 0.0,
    "factorized_phm_W": True,
    "factorized_phm_rule": False,
    "hypercomplex_nonlinearity": "glorot-uniform",
    "init_weights": "bert",
    "init_weights_seed": None,
    "inv_adapter": None,
    "inv_adapter_reduction_factor": None,
    "is_parallel": False,
    "learn_phm": True,
    "leave_out": [],
    "ln_after": False,
    "ln_before": False,
    "mh_adapter": False,
    "non_linearity": "relu",
    "original_ln_after": True,
    "original_ln_before": True,
    "output_adapter": True,
    "phm_bias": True,
    "phm_c_init": "normal",
    "phm_dim": 4,
    "phm_init_range": 0.0001,
    "phm_layer": False,
    "phm_rank": 1,
    "reduction_factor": 16,
    "residual_before_ln": True,
    "scaling": 1.0,
    "shared_W_phm": False,
    "shared_phm_rule": True,
    "stochastic_depth": 0.0,
    "use_gating": False,
}
"""The library's ``seq_bn`` with every default."""
PARTS = {
    "down.weight": "adapter_down.0.weight",
    "down.bias": "adapter_down.0.bias",
    "up.weight": "adapter_up.weight",
    "up.bias": "adapter_up.bias",
}
_OURS = re.compile(r"layer\.(?P<layer>\d+)\.(?P<point>.*?)(?P<part>(?:down|up)\.(?:weight|bias))")
HEAD_PARTS = {"head.dense": "1", "head.out": "4"}
"""Dropout, Linear, tanh, dropout, Linear: the places of the two that have weights."""


def architectures() -> tuple[str, ...]:
    """Return the values of ``model_type`` that an installed family runs and other libraries know."""
    return tuple(
        architecture
        for family in backbone_families()
        for architecture in family.architectures
        if family.hub_names(architecture) is not None
    )


def names_of(architecture: str) -> HubNames:
    """Return what other libraries call the parts of an architecture.

    Raises:
        UsageError: They do not know it.
    """
    names = backbone_family(architecture).hub_names(architecture)
    if names is None:
        raise UsageError(
            f"{architecture} models have no adapters in AdapterHub or PEFT that are known here",
            remedy=f"Exports are for {', '.join(architectures())}; `platform predict` runs what was trained as it is.",
        )
    return names


def names_with_maps(architecture: str) -> HubNames:
    """Return what other libraries call the parts of an architecture, whose linear maps are named.

    Raises:
        UsageError: They do not know it, or call its linear maps otherwise than BERT's.
    """
    names = names_of(architecture)
    if not names.maps_like_bert:
        raise UsageError(
            f"LoRA and (IA)³ on {architecture} models are not written for other libraries",
            remedy="`platform predict` runs what was trained as it is; bottleneck adapters can be exported.",
        )
    return names


def adapter_class(architecture: str) -> str:
    """Return AdapterHub's model class.

    Raises:
        UsageError: It has none.
    """
    name = names_of(architecture).adapter_class
    if name is None:
        raise UsageError(
            f"AdapterHub's adapters has no {architecture} models",
            remedy="A LoRA of this backbone is written for PEFT; `platform predict` runs any adapter as it is.",
        )
    return name


def adapter_config(
    name: str,
    *,
    architecture: str,
    model_name: str,
    hidden_size: int,
    widths: Sequence[int],
    non_linearity: str,
    method: str = METHOD,
) -> dict[str, Any]:
    """Return ``adapter_config.json`` of a bottleneck adapter.

    Args:
        name: The adapter's name, also part of its tensors' names.
        architecture: ``model_type`` of the backbone.
        model_name: What people call the backbone.
        hidden_size: d.
        widths: Bottleneck width of each layer.
        non_linearity: Between the projections.
        method: One of :data:`PLACEMENTS`.
    """
    factors = [reduction_factor(hidden_size, width) for width in widths]
    same = len(set(factors)) == 1
    settings = {
        **SEQ_BN,
        **PLACEMENTS[method].settings,
        "non_linearity": non_linearity,
        "reduction_factor": factors[0] if same else {str(layer): one for layer, one in enumerate(factors)},
    }
    return {"config": settings, **about(name, architecture, model_name, hidden_size)}


MULTI_LABEL_HEAD = "multilabel_classification"
"""The library's head that differs from its ``classification`` head in its loss only."""
CHOICE_HEAD = "multiple_choice"
"""The library's head of one output, whose sequences are the choices of a row one after another."""


def head_config(
    name: str,
    *,
    architecture: str,
    model_name: str,
    hidden_size: int,
    outputs: int,
    labels: Sequence[str],
    multi_label: bool = False,
) -> dict[str, Any]:
    """Return ``head_config.json`` of our two-layer head: the library's ``classification`` head.

    Args:
        name: The same as the adapter's, so that both are activated together.
        architecture: ``model_type`` of the backbone.
        model_name: What people call the backbone.
        hidden_size: d.
        outputs: Classes, or 1 for a regression.
        labels: Names of the classes; empty: ``LABEL_0`` and so on, as the library does.
        multi_label: Whether a row may have any number of them.
    """
    names = labels or [f"LABEL_{index}" for index in range(outputs)]
    settings = {
        "head_type": MULTI_LABEL_HEAD if multi_label else "classification",
        "num_labels": outputs,
        "layers": 2,
        "activation_function": "tanh",
        "label2id": {label: index for index, label in enumerate(names)},
        "use_pooler": False,
        "bias": True,
        "dropout_prob": None,
    }
    return {"config": settings, **about(name, architecture, model_name, hidden_size)}


def reduction_factor(hidden_size: int, width: int) -> float:
    """Return a factor from which the library computes exactly this width: ``int(d // factor)``.

    Whole where it can be. A fraction's quotient may come out just below the width, so the factor is
    lowered by the least steps that there are.
    """
    if hidden_size % width == 0:
        return hidden_size // width
    factor = hidden_size / width
    while int(hidden_size // factor) < width:
        factor = math.nextafter(factor, 0.0)
    return factor


def widths(tensors: Tensors, layers: int) -> tuple[int, ...]:
    """Return the bottleneck width of each layer: the greatest of its bottlenecks, which all have it in the library."""
    return tuple(
        max(
            int(one.shape[0])
            for key, one in tensors.items()
            if key.startswith(f"layer.{layer}.") and key.endswith("down.bias")
        )
        for layer in range(layers)
    )


def places(adapter: Tensors) -> dict[str, bool]:
    """Return what an adapter's config says of where its bottlenecks are.

    Args:
        adapter: Its tensors under the library's names.
    """
    return {
        "mh_adapter": any(".attention.output.adapters." in key for key in adapter),
        "output_adapter": any(".attention.output.adapters." not in key for key in adapter),
    }


def adapter_tensors(tensors: Tensors, name: str, architecture: str) -> Tensors:
    """Return a bottleneck adapter's tensors under the library's names.

    Bottlenecks of one layer that differ in width get inner units that add nothing: there one factor says the width
    of all of them.
    """
    modules = {ours: theirs for one in PLACEMENTS.values() for ours, theirs in one.modules.items()}
    widest = widths(tensors, 1 + max(int(key.split(".")[1]) for key in tensors))
    found: Tensors = {}
    for key, tensor in tensors.items():
        match = _OURS.fullmatch(key)
        assert match is not None, key
        layer, part = int(match["layer"]), match["part"]
        prefix = (
            f"{names_of(architecture).prefix}encoder.layer.{layer}.{modules[match['point']]}.adapters.{name}"
        )
        found[f"{prefix}.{PARTS[part]}"] = _padded(part, tensor, widest[layer])
    return found


def _padded(part: str, tensor: Any, width: int) -> Any:
    """Return a bottleneck's tensor with ``width`` inner units: (r, d), (r,) or (d, r); a bias of the output as it is."""
    axis = {"down.weight": 0, "down.bias": 0, "up.weight": 1}.get(part)
    if axis is None or tensor.shape[axis] == width:
        return tensor
    size = list(tensor.shape)
    size[axis] = width
    padded = tensor.new_zeros(size)
    padded.narrow(axis, 0, tensor.shape[axis]).copy_(tensor)
    return padded


def head_tensors(tensors: Tensors, name: str) -> Tensors:
    """Return our head's tensors under the library's names."""
    return {
        f"heads.{name}.{place}.{kind}": tensors[f"{ours}.{kind}"]
        for ours, place in HEAD_PARTS.items()
        for kind in ("weight", "bias")
    }


def about(name: str, architecture: str, model_name: str, hidden_size: int) -> dict[str, Any]:
    """Return what every config says besides its settings."""
    return {
        "hidden_size": hidden_size,
        "model_class": adapter_class(architecture),
        "model_name": model_name,
        "model_type": architecture,
        "name": name,
        "version": LIBRARY_VERSION,
    }
