"""PEFT's folder format for LoRA on encoders: its config, and what it calls our tensors.

A folded combination of LoRAs is one LoRA of rank ``Σ_t r_t``; PEFT loads it like any other. Its head
becomes the classifier of ``AutoModelForSequenceClassification``, kept whole in the adapter
(``modules_to_save``); which modules make up our head there, the backbone's family says.

Shapes: ``d`` hidden size, ``r_p`` rank at a point.

Source: PEFT, "PEFT checkpoint format" (developer guide) and ``tuners/lora/config.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapterlab.errors import DataError, NotFoundError
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting.adapter_folder import read_json
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.layers import Tensors
from adapterlab.train.tensor_files import read_tensor_file

METHOD = "lora"
"""The adapter method this format is known for."""
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_ROOT = "base_model.model."
_TARGETS = ("query", "key", "value")
_OURS = re.compile(r"layer\.(?P<layer>\d+)\.attention\.(?P<target>query|key|value)\.(?P<part>[ab])")
_THEIRS = re.compile(
    r"base_model\.model\.(?P<prefix>[a-z_]+\.)encoder\.layer\.(?P<layer>0|[1-9]\d{0,3})\.attention\.self\."
    r"(?P<target>query|key|value)\.lora_(?P<part>[AB])\.weight"
)
_MUST_BE: Mapping[str, Any] = {
    "peft_type": "LORA",
    "bias": "none",
    "fan_in_fan_out": False,
    "use_rslora": False,
    "use_dora": False,
    "lora_bias": False,
    "layer_replication": None,
    "layers_to_transform": None,
}


@dataclass(frozen=True)
class FolderLora:
    """A LoRA of a folder, under our names."""

    settings: Any
    """Of the method; their ``alpha / r`` is the scale of every point."""
    tensors: Tensors
    head: Tensors
    """Empty if it has none."""
    architecture: str
    layers: int


def is_lora(folder: Path) -> bool:
    """Return whether a folder is PEFT's."""
    return (folder / WEIGHTS).is_file()


def ranks(tensors: Tensors) -> tuple[int, ...]:
    """Return the rank at each point, in their order."""
    points = sorted(_points(tensors), key=lambda one: (one[0], _TARGETS.index(one[1])))
    return tuple(int(tensors[_name(layer, target, "a")].shape[0]) for layer, target in points)


def config(
    tensors: Tensors,
    *,
    scale: float,
    targets: Sequence[str],
    base_model: str,
    architecture: str,
    has_head: bool,
) -> dict[str, Any]:
    """Return ``adapter_config.json``.

    Args:
        tensors: The LoRA's, under our names; ranks may differ from point to point.
        scale: ``α / r`` of every point.
        targets: Which projections have one.
        base_model: The backbone's name.
        architecture: ``model_type`` of the backbone.
        has_head: Whether the head is inside.
    """
    by_point = {
        (layer, target): int(tensors[_name(layer, target, "a")].shape[0])
        for layer, target in _points(tensors)
    }
    usual = max(by_point.values())
    odd = {
        rf"encoder\.layer\.{layer}\.attention\.self\.{target}": rank
        for (layer, target), rank in by_point.items()
        if rank != usual
    }
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if has_head else None,
        "base_model_name_or_path": base_model,
        "r": usual,
        "lora_alpha": _plain(scale * usual),
        "rank_pattern": odd,
        "alpha_pattern": {name: _plain(scale * rank) for name, rank in odd.items()},
        "target_modules": list(targets),
        "modules_to_save": list(hub.names_of(architecture).saved) if has_head else None,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "init_lora_weights": True,
        "inference_mode": True,
    }


def peft_tensors(tensors: Tensors, head: Tensors | None, architecture: str) -> Tensors:
    """Return our tensors under PEFT's names, the head's inside the whole model's."""
    found: Tensors = {}
    for key, tensor in tensors.items():
        match = _OURS.fullmatch(key)
        assert match is not None, key
        place = f"{hub.names_of(architecture).prefix}encoder.layer.{match['layer']}.attention.self.{match['target']}"
        found[f"{_ROOT}{place}.lora_{match['part'].upper()}.weight"] = tensor
    for ours, theirs in hub.names_of(architecture).classifier.items() if head else ():
        for kind in ("weight", "bias"):
            found[f"{_ROOT}{theirs}.{kind}"] = (head or {})[f"{ours}.{kind}"]
    return found


def read_lora(folder: Path) -> FolderLora:
    """Read a LoRA on the attention of an encoder, with the head if it has one.

    Raises:
        NotFoundError: There is none in the folder.
        DataError: It is damaged, computes something else, or tensors are missing, misshapen, not finite, or
            there are others.
    """
    where = str(folder / CONFIG)
    settings = read_json(folder / CONFIG)
    if not isinstance(settings, Mapping):
        raise DataError(f"{where}: no adapter's config")
    for key, wanted in _MUST_BE.items():
        if settings.get(key, wanted) != wanted:
            raise DataError(f"{where}: {key} = {settings[key]!r}, a LoRA read here has {wanted!r}")
    path = folder / WEIGHTS
    if not path.is_file():
        raise NotFoundError(f"{folder}: no {WEIGHTS}")
    found = read_tensor_file(path)
    matches = {key: match for key in found if (match := _THEIRS.fullmatch(key))}
    prefixes = {match["prefix"] for match in matches.values()}
    architecture = _architecture(prefixes, found, str(path))
    tensors = {
        _name(int(match["layer"]), match["target"], match["part"].lower()): found[key]
        for key, match in matches.items()
    }
    rest = {key: tensor for key, tensor in found.items() if key not in matches}
    head = _our_head(rest, architecture, str(path))
    layers = 1 + max(layer for layer, _ in _points(tensors))
    scales = _check_points(tensors, layers, settings, where)
    scale = scales[next(iter(scales))]
    for (layer, target), own in scales.items():
        if own != scale:  # one scale for all: the rest goes into the weights
            tensors[_name(layer, target, "b")] = tensors[_name(layer, target, "b")] * (own / scale)
    targets = tuple(target for target in _TARGETS if any(target == one for _, one in scales))
    rank = max(ranks(tensors))
    try:
        chosen = adapter_method(METHOD).settings.model_validate(
            {"r": rank, "alpha": float(scale * rank), "targets": targets}
        )
    except ValidationError as error:
        raise DataError(f"{where}: {error.errors()[0]['msg']}") from None
    return FolderLora(chosen, tensors, head, architecture, layers)


def _architecture(prefixes: set[str], found: Tensors, where: str) -> str:
    """Return a ``model_type`` with the names of the tensors; some architectures share theirs."""
    known = [name for name in hub.architectures() if {hub.names_of(name).prefix} == prefixes]
    if not known:
        raise DataError(f"{where}: no LoRA of a known encoder's attention: {', '.join(list(found)[:4])}")
    return known[0]


def _our_head(rest: Tensors, architecture: str, where: str) -> Tensors:
    theirs = {
        f"{_ROOT}{place}.{kind}": f"{ours}.{kind}"
        for ours, place in hub.names_of(architecture).classifier.items()
        for kind in ("weight", "bias")
    }
    odd = sorted(set(rest) ^ set(theirs)) if rest else []
    if odd:
        raise DataError(
            f"{where}: tensors of neither a LoRA nor our head, or half a head: {', '.join(odd[:4])}"
        )
    return {theirs[key]: tensor for key, tensor in rest.items()}


def _check_points(
    tensors: Tensors, layers: int, settings: Mapping[str, Any], where: str
) -> dict[tuple[int, str], float]:
    """Check that every layer has the same targets, and return each point's scale ``α / r``."""
    targets = {target for _, target in _points(tensors)}
    scales = {}
    for layer in range(layers):
        for target in (one for one in _TARGETS if one in targets):
            a, b = (tensors.get(_name(layer, target, part)) for part in "ab")
            if a is None or b is None or a.dim() != 2 or b.dim() != 2 or a.shape != b.T.shape:
                raise DataError(
                    f"{where}: layer {layer}, {target}: tensors are missing or do not fit each other"
                )
            key = f"encoder.layer.{layer}.attention.self.{target}"
            rank = _pattern(settings, "rank_pattern", key, settings.get("r"), where)
            alpha = _pattern(settings, "alpha_pattern", key, settings.get("lora_alpha"), where)
            if rank != a.shape[0]:
                raise DataError(f"{where}: {key} has rank {a.shape[0]}, the config says {rank:g}")
            scales[layer, target] = alpha / rank
    return scales


def _pattern(settings: Mapping[str, Any], name: str, key: str, usual: Any, where: str) -> float:
    patterns = settings.get(name) or {}
    plain = (
        {str(one).replace("\\.", "."): value for one, value in patterns.items()}
        if isinstance(patterns, Mapping)
        else {}
    )
    value = next((plain[one] for one in plain if key == one or key.endswith(f".{one}")), usual)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise DataError(f"{where}: {name} or its default is {value!r} for {key}, expected a positive number")
    return float(value)


def _points(tensors: Tensors) -> set[tuple[int, str]]:
    found = (_OURS.fullmatch(key) for key in tensors)
    return {(int(match["layer"]), match["target"]) for match in found if match}


def _name(layer: int, target: str, part: str) -> str:
    return f"layer.{layer}.attention.{target}.{part}"


def _plain(number: float) -> float | int:
    return int(number) if float(number).is_integer() else float(number)
