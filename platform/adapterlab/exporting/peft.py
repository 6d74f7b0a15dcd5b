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
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from adapterlab.errors import BackboneError, DataError, NotFoundError
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting.adapter_folder import read_json, weights_of
from adapterlab.exporting.classifiers import Classifier, read_classifier
from adapterlab.exporting.peft_settings import LoraConfig
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.layers import Tensors
from adapterlab.train.tensor_files import read_tensor_file

METHOD = "lora"
"""The adapter method this format is known for."""
CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
if TYPE_CHECKING:
    from torch import Tensor

_ROOT = "base_model.model."
_TARGETS = ("query", "key", "value")
_OURS = re.compile(r"layer\.(?P<layer>\d+)\.attention\.(?P<target>query|key|value)\.(?P<part>[ab])")
_THEIRS = re.compile(
    r"base_model\.model\.(?P<prefix>|[a-z_]+\.)encoder\.layer\.(?P<layer>0|[1-9]\d{0,3})\.attention\.self\."
    r"(?P<target>query|key|value)\.lora_(?P<part>[AB])\.weight"
)
_ANY_MODULE = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_[A-Za-z_]+(?:\.weight|\.bias)?")


@dataclass(frozen=True)
class FolderLora:
    """A LoRA of a folder, under our names."""

    folder: Path
    settings: Any
    """Of the method; their ``alpha / r`` is the scale of every point."""
    tensors: Tensors
    """Of the points that have one; see ``seat_tensors``."""
    head: Classifier
    """Empty if it has none."""
    prefix: str
    """What stands before the backbone's names in its tensors; empty for a model that is the backbone alone."""
    architecture: str
    layers: int
    config: LoraConfig

    @property
    def architectures(self) -> tuple[str, ...]:
        """Values of ``model_type`` with such names."""
        return tuple(name for name in hub.architectures() if self.prefix in ("", hub.names_of(name).prefix))

    @property
    def hidden_size(self) -> int:
        """D of the backbone it was made for."""
        return next(int(one.shape[1]) for name, one in self.tensors.items() if name.endswith(".a"))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the head's classes, of which PEFT keeps none; empty for one output."""
        outputs = self.head.outputs
        return tuple(f"LABEL_{number}" for number in range(outputs)) if outputs > 1 else ()

    def seat_tensors(self, layers: int, model_files: Sequence[Path]) -> Tensors:
        """Return what runs on a backbone, its head included.

        Args:
            layers: L of the backbone.
            model_files: Its safetensors files, for parts of the head that are its own.

        Raises:
            BackboneError: It was made for another number of layers, or the backbone lacks those parts.
        """
        adapter = self.adapter_tensors(layers)
        return {**adapter, **self.head.whole(model_files, str(self.folder))}

    def adapter_tensors(self, layers: int) -> Tensors:
        """Return the LoRA of every layer of a backbone, with what adds nothing where PEFT would have none.

        Args:
            layers: L of the backbone.

        Raises:
            BackboneError: It was made for another number of layers.
        """
        missed = [
            layer
            for layer in range(self.layers, layers)
            for target in self.settings.targets
            if self.config.chooses(f"{self.prefix}{_module(layer, target)}")
        ]
        if layers < self.layers or missed:
            raise BackboneError(f"{self.folder} was made for {self.layers} layers, the backbone has {layers}")
        tensors = dict(self.tensors)
        there, some = _points(self.tensors), next(iter(self.tensors.values()))
        for layer in range(layers):
            for target in self.settings.targets:
                if (layer, target) not in there:
                    tensors |= _nothing(layer, target, some)
        return tensors


def is_lora(folder: Path) -> bool:
    """Return whether a folder is PEFT's."""
    if not (folder / CONFIG).is_file() or weights_of(folder, WEIGHTS, PICKLE) is None:
        return False
    config = read_json(folder / CONFIG)
    return isinstance(config, Mapping) and "peft_type" in config


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
    config = LoraConfig.of(read_json(folder / CONFIG), where)
    path = weights_of(folder, WEIGHTS, PICKLE)
    if path is None:
        raise NotFoundError(f"{folder}: no {WEIGHTS} and no {PICKLE}")
    found = read_tensor_file(path)
    matches = {key: match for key in found if (match := _THEIRS.fullmatch(key))}
    prefixes = {match["prefix"] for match in matches.values()}
    architecture = _architecture(prefixes, found, str(path))
    tensors = {
        _name(int(match["layer"]), match["target"], match["part"].lower()): found[key]
        for key, match in matches.items()
    }
    rest = {key: tensor for key, tensor in found.items() if key not in matches}
    head = _head(rest, architecture, str(path))
    if rest:
        config.check_head()
    layers = 1 + max(layer for layer, _ in _points(tensors))
    (prefix,) = prefixes
    scales = _check_points(tensors, layers, prefix, config)
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
    return FolderLora(folder, chosen, tensors, head, prefix, architecture, layers, config)


def _architecture(prefixes: set[str], found: Tensors, where: str) -> str:
    """Return a ``model_type`` with the names of the tensors; some architectures share theirs."""
    known = [name for name in hub.architectures() if prefixes <= {hub.names_of(name).prefix, ""}]
    if not known or len(prefixes) != 1:
        raise DataError(f"{where}: no LoRA of a known encoder's attention: {', '.join(list(found)[:4])}")
    return known[0]


def _head(rest: Tensors, architecture: str, where: str) -> Classifier:
    """Return the head of a folder, from the tensors that are no LoRA's; empty if there are none."""
    modules = sorted({match["module"] for key in rest if (match := _ANY_MODULE.fullmatch(key))})
    if modules:
        raise DataError(
            f"{where}: a LoRA on {', '.join(modules[:3])}; on encoders only those on the attention's query, key and "
            "value can be run here"
        )
    named = {key.removeprefix(_ROOT): tensor for key, tensor in rest.items()}
    return read_classifier(named, architecture, where) if named else Classifier({})


def _check_points(
    tensors: Tensors, layers: int, prefix: str, config: LoraConfig
) -> dict[tuple[int, str], float]:
    """Check that what the config chooses is there and nothing else, and return each point's factor."""
    where = config.where
    scales = {}
    for layer in range(layers):
        for target in _TARGETS:
            module = f"{prefix}{_module(layer, target)}"
            a, b = (tensors.get(_name(layer, target, part)) for part in "ab")
            if a is None and b is None and not config.chooses(module):
                continue
            if a is None or b is None or a.dim() != 2 or b.dim() != 2 or a.shape != b.T.shape:
                raise DataError(
                    f"{where}: layer {layer}, {target}: tensors are missing or do not fit each other"
                )
            if config.rank(module) != a.shape[0]:
                raise DataError(
                    f"{where}: {module} has rank {a.shape[0]}, the config says {config.rank(module)}"
                )
            scales[layer, target] = config.factor(module)
    return scales


def _module(layer: int, target: str) -> str:
    return f"encoder.layer.{layer}.attention.self.{target}"


def _nothing(layer: int, target: str, some: Tensor) -> Tensors:
    """Return a LoRA of rank 1 that adds nothing; ``some`` is any A or B of the others, (r, d) or (d, r)."""
    d = max(some.shape)
    return {
        _name(layer, target, "a"): some.new_zeros(1, d),
        _name(layer, target, "b"): some.new_zeros(d, 1),
    }


def _points(tensors: Tensors) -> set[tuple[int, str]]:
    found = (_OURS.fullmatch(key) for key in tensors)
    return {(int(match["layer"]), match["target"]) for match in found if match}


def _name(layer: int, target: str, part: str) -> str:
    return f"layer.{layer}.attention.{target}.{part}"


def _plain(number: float) -> float | int:
    return int(number) if float(number).is_integer() else float(number)
