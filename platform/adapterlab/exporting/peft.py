"""PEFT's folder format for LoRA on encoders: its config, and what it calls our tensors.

A folded combination of LoRAs is one LoRA of rank ``Σ_t r_t``; PEFT loads it like any other. Its head
becomes the classifier of ``AutoModelForSequenceClassification``, kept whole in the adapter
(``modules_to_save``); which modules make up our head there, the backbone's family says.

Shapes: ``d`` hidden size, ``r_p`` rank at a point.

Source: PEFT, "PEFT checkpoint format" (developer guide) and ``tuners/lora/config.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from adapterlab.errors import BackboneError, DataError, NotFoundError, UsageError
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting.adapter_folder import read_json, weights_of
from adapterlab.exporting.classifiers import Classifier, read_classifier
from adapterlab.exporting.linear_maps import MODULES, SITES, TARGETS, module
from adapterlab.exporting.peft_settings import LoraConfig, PeftConfig
from adapterlab.records import BackboneShape
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.dora import as_lora
from adapterlab.train.layers import Tensors
from adapterlab.train.tensor_files import read_tensor_file

METHOD = "lora"
"""The adapter method this format is known for."""
CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
if TYPE_CHECKING:
    from torch import Tensor

_ROOT = "base_model.model."
_ORDER = tuple(MODULES)
_OURS = re.compile(rf"layer\.(?P<layer>\d+)\.(?P<site>{'|'.join(map(re.escape, MODULES))})\.(?P<part>[ab])")
_THEIRS = re.compile(
    r"base_model\.model\.(?P<prefix>|[a-z_]+\.)encoder\.layer\.(?P<layer>0|[1-9]\d{0,3})\."
    rf"(?P<module>{'|'.join(map(re.escape, SITES))})\.(?P<part>lora_A\.weight|lora_B\.weight|"
    r"lora_magnitude_vector(?:\.weight)?|ia3_l)"
)
_PARTS = {"lora_A.weight": "a", "lora_B.weight": "b", "ia3_l": "scale"}
_ANY_MODULE = re.compile(r"base_model\.model\.(?P<module>.+)\.(?:lora_[A-Za-z_]+(?:\.weight|\.bias)?|ia3_l)")
Weights = Callable[[Mapping[str, Sequence[str]]], Tensors]
"""Returns tensors of the frozen backbone: of names by which one may be stored, by the name to return it under."""


@dataclass(frozen=True)
class FolderLora:
    """A LoRA of a folder, under our names."""

    folder: Path
    settings: Any
    """Of the method; their ``alpha / r`` is the scale of every point."""
    tensors: Tensors
    """Of the points that have one; see :meth:`adapter_tensors`."""
    head: Classifier
    """Empty if it has none."""
    prefix: str
    """What stands before the backbone's names in its tensors; empty for a model that is the backbone alone."""
    architecture: str
    layers: int
    hidden_size: int
    """D of the backbone it was made for."""
    config: LoraConfig
    magnitudes: Mapping[tuple[int, str], Tensor] = field(default_factory=dict)
    """Of a DoRA, by layer and site, (e,)."""
    scales: Mapping[tuple[int, str], float] = field(default_factory=dict)
    """Of a DoRA, each point's ``α / r``."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """Values of ``model_type`` with such names."""
        return architectures_with(self.prefix)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the head's classes, of which PEFT keeps none; empty for one output."""
        return unnamed_labels(self.head)

    def adapter_tensors(self, shape: BackboneShape, weights: Weights) -> Tensors:
        """Return the LoRA of every layer of a backbone, with what adds nothing where PEFT would have none.

        Args:
            shape: Of the backbone.
            weights: Its weights, which a DoRA rescales.

        Raises:
            BackboneError: It was made for another number of layers, or another width; or a DoRA's weight is not there.
        """
        sites = adapter_method(METHOD).sites(self.settings)
        check_layers(self.folder, self.config, self.prefix, sites, self.layers, shape)
        tensors = dict(self.tensors) if not self.magnitudes else self._as_loras(weights)
        there, some = _points(self.tensors), next(iter(self.tensors.values()))
        for layer in range(shape.layers):
            for name in sites:
                site = shape.site(name)
                if (layer, name) not in there:
                    tensors[_name(layer, name, "a")] = some.new_zeros(1, site.input)
                    tensors[_name(layer, name, "b")] = some.new_zeros(site.output, 1)
                    continue
                got = tensors[_name(layer, name, "b")].shape[0], tensors[_name(layer, name, "a")].shape[1]
                if got != (site.output, site.input):
                    raise BackboneError(
                        f"{self.folder}: layer {layer}, {MODULES[name]}: made for a map of {got[1]} to {got[0]}, the "
                        f"backbone's is of {site.input} to {site.output}"
                    )
        return tensors

    def _as_loras(self, weights: Weights) -> Tensors:
        """Return the plain LoRAs that a DoRA's are on this backbone."""
        names = {
            f"{layer} {site}": [
                f"{prefix}{module(layer, site)}.weight" for prefix in (self.prefix, "", *_prefixes())
            ]
            for layer, site in self.magnitudes
        }
        frozen = weights(names)
        tensors = dict(self.tensors)
        for (layer, site), magnitude in self.magnitudes.items():
            weight = frozen.get(f"{layer} {site}")
            a, b = tensors[_name(layer, site, "a")], tensors[_name(layer, site, "b")]
            if weight is None or weight.shape != (b.shape[0], a.shape[1]) or magnitude.shape != b.shape[:1]:
                raise BackboneError(
                    f"{self.folder}: a DoRA rescales the backbone's {module(layer, site)}, which this backbone has not"
                )
            a, b = as_lora(a, b, self.scales[layer, site], magnitude, weight)
            tensors[_name(layer, site, "a")], tensors[_name(layer, site, "b")] = a, b
        return tensors


def _prefixes() -> tuple[str, ...]:
    return tuple(dict.fromkeys(hub.names_of(name).prefix for name in hub.architectures()))


def architectures_with(prefix: str) -> tuple[str, ...]:
    """Return the values of ``model_type`` whose models have a prefix, or all where there is none."""
    known = {name: hub.names_of(name) for name in hub.architectures()}
    return tuple(name for name, one in known.items() if one.maps_like_bert and prefix in ("", one.prefix))


def unnamed_labels(head: Classifier) -> tuple[str, ...]:
    """Return the classes of a head whose folder names none; empty for one output."""
    return tuple(f"LABEL_{number}" for number in range(head.outputs)) if head.outputs > 1 else ()


def check_layers(
    folder: Path, config: PeftConfig, prefix: str, sites: Sequence[str], layers: int, shape: BackboneShape
) -> None:
    """Check that PEFT would find on a backbone just the maps that a folder's adapter was made for.

    Raises:
        BackboneError: It would find more, or fewer.
    """
    missed = [
        layer
        for layer in range(layers, shape.layers)
        for site in sites
        if site in MODULES and config.chooses(f"{prefix}{module(layer, site)}")
    ]
    if shape.layers < layers or missed:
        raise BackboneError(f"{folder} was made for {layers} layers, the backbone has {shape.layers}")


def peft_type(folder: Path) -> str | None:
    """Return what PEFT calls the adapter of a folder; ``None``: the folder is not PEFT's."""
    if not (folder / CONFIG).is_file() or weights_of(folder, WEIGHTS, PICKLE) is None:
        return None
    config = read_json(folder / CONFIG)
    return str(config["peft_type"]) if isinstance(config, Mapping) and "peft_type" in config else None


def ranks(tensors: Tensors) -> tuple[int, ...]:
    """Return the rank at each point, in their order."""
    points = sorted(_points(tensors), key=lambda one: (one[0], _ORDER.index(one[1])))
    return tuple(int(tensors[_name(layer, site, "a")].shape[0]) for layer, site in points)


def config(
    tensors: Tensors,
    *,
    scale: float,
    base_model: str,
    architecture: str,
    has_head: bool,
) -> dict[str, Any]:
    """Return ``adapter_config.json``.

    Args:
        tensors: The LoRA's, under our names; ranks may differ from point to point.
        scale: ``α / r`` of every point.
        base_model: The backbone's name.
        architecture: ``model_type`` of the backbone.
        has_head: Whether the head is inside.
    """
    by_point = {
        (layer, site): int(tensors[_name(layer, site, "a")].shape[0]) for layer, site in _points(tensors)
    }
    usual = max(by_point.values())
    odd = {re.escape(module(*point)): rank for point, rank in by_point.items() if rank != usual}
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if has_head else None,
        "base_model_name_or_path": base_model,
        "r": usual,
        "lora_alpha": _plain(scale * usual),
        "rank_pattern": odd,
        "alpha_pattern": {name: _plain(scale * rank) for name, rank in odd.items()},
        "target_modules": target_modules({site for _, site in by_point}),
        "modules_to_save": list(hub.names_of(architecture).saved) if has_head else None,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "init_lora_weights": True,
        "inference_mode": True,
    }


def target_modules(sites: Iterable[str]) -> list[str] | str:
    """Return what chooses the linear maps at some sites, and no others, of every layer.

    Names where these are enough: PEFT also takes ``output.dense`` for ``attention.output.dense``, and either for what
    a head may have.
    """
    chosen = [MODULES[site] for site in _ORDER if site in set(sites)]
    if all(name.startswith("attention.self.") for name in chosen):
        return [name.rpartition(".")[2] for name in chosen]
    return rf"(.*\.)?encoder\.layer\.\d+\.({'|'.join(map(re.escape, chosen))})"


def peft_tensors(tensors: Tensors, head: Tensors | None, architecture: str) -> Tensors:
    """Return our tensors under PEFT's names, the head's inside the whole model's."""
    found: Tensors = {}
    for key, tensor in tensors.items():
        match = _OURS.fullmatch(key)
        assert match is not None, key
        place = f"{hub.names_with_maps(architecture).prefix}{module(int(match['layer']), match['site'])}"
        found[f"{_ROOT}{place}.lora_{match['part'].upper()}.weight"] = tensor
    return {**found, **head_tensors(head, architecture)}


def head_tensors(head: Tensors | None, architecture: str) -> Tensors:
    """Return our head's tensors under PEFT's names; none where there is no head.

    Raises:
        UsageError: The architecture's classifier in transformers, where PEFT keeps a head, computes something else.
    """
    if not head:
        return {}
    classifier = hub.names_of(architecture).classifier
    if not classifier:
        raise UsageError(
            f"PEFT keeps a head in transformers' own classifier, and that of {architecture} models computes something "
            "else than ours",
            remedy="`platform predict` runs what was trained as it is; bottleneck adapters can be exported.",
        )
    return {
        f"{_ROOT}{theirs}.{kind}": head[f"{ours}.{kind}"]
        for ours, theirs in classifier.items()
        for kind in ("weight", "bias")
    }


@dataclass(frozen=True)
class Contents:
    """The tensors of PEFT's file, taken apart."""

    points: Mapping[tuple[int, str], Tensors]
    """By layer and site; ``a``, ``b`` and ``lora_magnitude_vector``, or ``scale``."""
    prefix: str
    architecture: str
    head: Classifier
    layers: int


def contents(folder: Path, config: PeftConfig) -> Contents:
    """Read the tensors of a folder.

    Raises:
        NotFoundError: There are none.
        DataError: They are damaged, or stand elsewhere than at the linear maps of an encoder we know.
    """
    path = weights_of(folder, WEIGHTS, PICKLE)
    if path is None:
        raise NotFoundError(f"{folder}: no {WEIGHTS} and no {PICKLE}")
    found = read_tensor_file(path)
    matches = {key: match for key in found if (match := _THEIRS.fullmatch(key))}
    prefixes = {match["prefix"] for match in matches.values()}
    architecture = _architecture(prefixes, found, str(path))
    points: dict[tuple[int, str], Tensors] = {}
    for key, match in matches.items():
        part = _PARTS.get(match["part"], "magnitude")
        points.setdefault((int(match["layer"]), SITES[match["module"]]), {})[part] = found[key]
    rest = {key: tensor for key, tensor in found.items() if key not in matches}
    head = _head(rest, architecture, config, str(path))
    if rest:
        config.check_head()
    (prefix,) = prefixes
    return Contents(points, prefix, architecture, head, 1 + max(layer for layer, _ in points))


def read_lora(folder: Path) -> FolderLora:
    """Read a LoRA on the linear maps of an encoder's layers, with the head if it has one.

    Raises:
        NotFoundError: There is none in the folder.
        DataError: It is damaged, computes something else, or tensors are missing, misshapen, not finite, or
            there are others.
    """
    where = str(folder / CONFIG)
    config = LoraConfig.of(read_json(folder / CONFIG), where)
    read = contents(folder, config)
    scales = _check_points(read, config)
    tensors = {
        _name(layer, site, part): tensor
        for (layer, site), parts in read.points.items()
        for part, tensor in parts.items()
        if part in ("a", "b")
    }
    magnitudes = {point: parts["magnitude"] for point, parts in read.points.items() if "magnitude" in parts}
    scale = next(iter(scales.values())) if not magnitudes else 1.0
    for (layer, site), own in scales.items() if not magnitudes else ():
        if own != scale:  # one scale for all: the rest goes into the weights
            tensors[_name(layer, site, "b")] = tensors[_name(layer, site, "b")] * (own / scale)
    used = {site for _, site in read.points}
    d = next(
        int(parts["b"].shape[0] if site == "ffn.down" else parts["a"].shape[1])
        for (_, site), parts in read.points.items()
    )
    rank = max(ranks(tensors)) + (d if magnitudes else 0)
    try:
        chosen = adapter_method(METHOD).settings.model_validate(
            {
                "r": rank,
                "alpha": float(scale * rank),
                "targets": tuple(TARGETS[site] for site in _ORDER if site in used),
            }
        )
    except ValidationError as error:
        raise DataError(f"{where}: {error.errors()[0]['msg']}") from None
    return FolderLora(
        folder=folder,
        settings=chosen,
        tensors=tensors,
        head=read.head,
        prefix=read.prefix,
        architecture=read.architecture,
        layers=read.layers,
        hidden_size=d,
        config=config,
        magnitudes=magnitudes,
        scales=scales if magnitudes else {},
    )


def _architecture(prefixes: set[str], found: Tensors, where: str) -> str:
    """Return a ``model_type`` with the names of the tensors; some architectures share theirs."""
    known = [name for name in architectures_with("") if prefixes <= {hub.names_of(name).prefix, ""}]
    if not known or len(prefixes) != 1:
        raise DataError(f"{where}: nothing at a known encoder's linear maps: {', '.join(list(found)[:4])}")
    return known[0]


def _head(rest: Tensors, architecture: str, config: PeftConfig, where: str) -> Classifier:
    """Return the head of a folder, from the tensors that are at no linear map of a layer; empty if there are none."""
    modules = {match["module"] for key in rest if (match := _ANY_MODULE.fullmatch(key))}
    names = hub.names_of(architecture)
    pooled = {place: ours for ours, place in names.classifier.items() if place.startswith(names.prefix)}
    added = {}
    for place in sorted(modules & set(pooled)):
        parts = {part: rest.pop(f"{_ROOT}{place}.lora_{part}.weight", None) for part in "AB"}
        if not isinstance(config, LoraConfig) or config.is_dora or None in parts.values():
            break
        # What the head stands on has a LoRA too: the sum of both is the head's first layer.
        added[f"{pooled[place]}.weight"] = config.factor(place) * (parts["B"] @ parts["A"])  # type: ignore[operator]
        modules.remove(place)
    if modules:
        raise DataError(
            f"{where}: an adapter on {', '.join(sorted(modules)[:3])}; on encoders only those on the linear maps of "
            "the layers can be run here"
        )
    named = {key.removeprefix(_ROOT): tensor for key, tensor in rest.items()}
    if not named:
        return Classifier({})
    head = read_classifier(named, architecture, where)
    if not set(added) <= set(head.borrowed):
        raise DataError(f"{where}: a LoRA on the pooler, and a pooler of its own")
    return replace(head, added=added)


def _check_points(read: Contents, config: LoraConfig) -> dict[tuple[int, str], float]:
    """Check that what the config chooses is there and nothing else, and return each point's factor."""
    where = config.where
    scales = {}
    for layer in range(read.layers):
        for site in _ORDER:
            name = f"{read.prefix}{module(layer, site)}"
            parts = read.points.get((layer, site), {})
            if not parts and not config.chooses(name):
                continue
            a, b, magnitude = (parts.get(part) for part in ("a", "b", "magnitude"))
            if a is None or b is None or a.dim() != 2 or b.dim() != 2 or a.shape[0] != b.shape[1]:
                raise DataError(
                    f"{where}: layer {layer}, {MODULES[site]}: tensors are missing or do not fit each other"
                )
            if (magnitude is not None) != config.is_dora or "scale" in parts:
                raise DataError(
                    f"{where}: layer {layer}, {MODULES[site]}: the config and the tensors differ in use_dora"
                )
            if config.rank(name) != a.shape[0]:
                raise DataError(f"{where}: {name} has rank {a.shape[0]}, the config says {config.rank(name)}")
            scales[layer, site] = config.factor(name)
    return scales


def _points(tensors: Tensors) -> set[tuple[int, str]]:
    found = (_OURS.fullmatch(key) for key in tensors)
    return {(int(match["layer"]), match["site"]) for match in found if match}


def _name(layer: int, site: str, part: str) -> str:
    return f"layer.{layer}.{site}.{part}"


def _plain(number: float) -> float | int:
    return int(number) if float(number).is_integer() else float(number)
