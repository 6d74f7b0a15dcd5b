"""What an AdapterHub folder's configs and tensors mean; what would compute anything else is refused.

Shapes: ``d`` hidden size, ``r_l`` bottleneck width of a layer, ``C`` outputs of a head.

Source: adapters 1.3.0, ``configuration/adapter_config.py``, ``methods/bottleneck.py``, ``loading.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterlab.errors import DataError
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting import phm
from adapterlab.exporting.classifiers import Classifier, read_classifier
from adapterlab.records import ProblemType
from adapterlab.train.layers import Tensors

_HEAD_TYPES = {
    ProblemType.MULTI_LABEL: hub.MULTI_LABEL_HEAD,
    ProblemType.MULTIPLE_CHOICE: hub.CHOICE_HEAD,
}
"""Heads of the library that have our two layers, besides its ``classification``."""
_MUST_BE: Mapping[str, Any] = {
    "cross_adapter": False,
    "original_ln_after": True,
    "ln_before": False,
    "ln_after": False,
    "is_parallel": False,
    "use_gating": False,
    "inv_adapter": None,
}
"""What a bottleneck has here, wherever it stands; the library's default where a config lacks it."""
_OLD_ACTIVATIONS = {"gelu": "gelu_new", "gelu_orig": "gelu"}
"""Configs without a version are older than a change of names. Source: ``utils.ACTIVATION_RENAME``."""
_WIDEST = 1 << 20
"""A greater bottleneck is no adapter but a broken config."""
_GREATEST_FACTOR = 1e9
_MOST = 1 << 31
"""Beyond any width or number of classes."""
_SITE = r"(?:adapters|layer_text_task_adapters|layer_text_lang_adapters)"
_KEY = re.compile(
    rf"(?P<prefix>|[a-z_]+\.)encoder\.layer\.(?P<layer>0|[1-9]\d?\d?\d?)\.(?P<module>(?:attention\.)?output)\."
    rf"{_SITE}\.(?P<name>.+)\."
    r"(?P<part>adapter_down\.0\.weight|adapter_down\.0\.bias|adapter_up\.weight|adapter_up\.bias|scaling|"
    rf"adapter_(?:down\.0|up)\.(?:{'|'.join(phm.PARTS)}))"
)
_SHARED = re.compile(
    rf"(?P<prefix>|[a-z_]+\.)shared_parameters\.(?P<name>.+)\.(?P<part>{'|'.join(phm.SHARED)})"
)
_SHOWN = 4
_LEARNED = ("learned", "channel")
_READ = "Read here: seq_bn (pfeiffer), double_seq_bn (houlsby), compacter and compacter++; lora and ia3."


@dataclass(frozen=True, kw_only=True)
class About:
    """What every adapter's config says besides its settings."""

    name: str
    architecture: str
    """``model_type`` of the backbone it was made for."""
    model_name: str
    hidden_size: int


@dataclass(frozen=True, kw_only=True)
class Description(About):
    """What a bottleneck's config says."""

    non_linearity: str
    scaling: float
    """Constant factor on the adapter's output; 1 where it is learned."""
    left_out: frozenset[int]
    """Layers without an adapter."""
    reduction_factor: Mapping[str, float]
    """By number of the layer, as text; ``"default"`` for the others."""
    method: str = hub.METHOD
    """The adapter method that it is."""
    modules: tuple[str, ...] = ("output",)
    """Modules of a layer that have a bottleneck."""
    learned_scaling: bool = False
    """Whether a factor on its output, or one for each dimension, is among its tensors."""
    phm: Mapping[str, Any] | None = None
    """Settings of a Compacter's projections; ``None`` for dense ones."""

    def width(self, layer: int) -> int:
        """Return the bottleneck width of a layer, as the library computes it.

        Raises:
            DataError: The factors name neither the layer nor a default.
        """
        factors = self.reduction_factor
        if str(layer) not in factors and "default" not in factors:
            raise DataError(f"{self.name}: reduction_factor names neither layer {layer} nor a default")
        factor = factors.get(str(layer), factors.get("default", 1.0))
        return max(1, int(self.hidden_size // factor))


def describe(config: Any, where: str) -> Description:
    """Return what an ``adapter_config.json`` says, if it is a bottleneck, placed as a method here, of a backbone we run.

    Args:
        config: The parsed file.
        where: Named in errors.

    Raises:
        DataError: It is anything else; the message says what.
    """
    settings = config.get("config") if isinstance(config, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(settings, Mapping):
        raise DataError(
            f"{where}: no adapter's config", remedy="Expected a folder as save_adapter() writes it."
        )
    if settings.get("architecture") is not None:
        raise DataError(
            f"{where}: a {settings['architecture']!r} adapter, expected a bottleneck adapter",
            remedy=_READ,
        )
    # The layout of 2020 has it in every config; only adapters of languages had its tensors, which are refused.
    settled = {"architecture"} | ({"invertible_adapter"} if config.get("type") == "text_task" else set())
    unknown = sorted(set(settings) - set(hub.SEQ_BN) - settled)
    if unknown:
        raise DataError(f"{where}: unknown settings that may change the result: {', '.join(unknown)}")
    for key, wanted in _MUST_BE.items():
        if settings.get(key, wanted) != wanted:
            raise DataError(
                f"{where}: {key} = {settings.get(key)!r}, the bottlenecks that run here have {wanted!r}",
                remedy=_READ,
            )
    method, modules = _placement(settings, where)
    its = about(config, where)
    return Description(
        **vars(its),
        non_linearity=_non_linearity(config, settings, where),
        scaling=_scaling(settings, where),
        left_out=left_out(settings, where),
        reduction_factor=_factors(settings, its.hidden_size, where),
        method=method,
        modules=modules,
        learned_scaling=settings.get("scaling") in _LEARNED,
        phm=phm.settings_of(settings, where) if settings.get("phm_layer") else None,
    )


def about(config: Mapping[str, Any], where: str) -> About:
    """Return what a config says besides its settings.

    Raises:
        DataError: It is malformed, or of a backbone that does not run here.
    """
    return About(
        name=_text(config, "name", where),
        architecture=_architecture(config, where),
        model_name=str(config.get("model_name") or ""),
        hidden_size=_whole(config, "hidden_size", where),
    )


def _placement(settings: Mapping[str, Any], where: str) -> tuple[str, tuple[str, ...]]:
    """Return the method whose bottlenecks stand where these do, and the modules that have one."""
    has = {
        module: settings.get(key)
        for key, module in (("mh_adapter", "attention.output"), ("output_adapter", "output"))
    }
    for key, value in (("mh_adapter", has["attention.output"]), ("output_adapter", has["output"])):
        if not isinstance(value, bool):
            raise DataError(f"{where}: {key} = {value!r}, expected true or false")
    modules = tuple(module for module, there in has.items() if there)
    if not modules:
        raise DataError(f"{where}: mh_adapter = False and output_adapter = False: an adapter that is nowhere")
    before = settings.get("original_ln_before", False)
    residual = settings.get("residual_before_ln", True)
    if before is False and residual in (True, False):  # of one value there, whatever the setting
        return "houlsby", modules
    if before is not True or residual is not True:
        raise DataError(
            f"{where}: residual_before_ln = {residual!r} with original_ln_before = {before!r} is not run here",
            remedy=_READ,
        )
    if modules != ("output",):
        raise DataError(
            f"{where}: mh_adapter = {has['attention.output']!r} with original_ln_before = True and output_adapter = "
            f"{has['output']!r}: only behind the feed-forward block a bottleneck stands between two LayerNorms here",
            remedy=_READ,
        )
    return hub.METHOD, modules


def adapter_name(found: Mapping[str, Any]) -> str | None:
    """Return the adapter's name in a state dict under the library's names; ``None`` under other names."""
    return next((match["name"] for key in found if (match := _KEY.fullmatch(key))), None)


def of_state_dict(found: Mapping[str, Any], name: str, architecture: str, hidden_size: int) -> Description:
    """Return what can be said of a state dict that comes without its config: a plain ``seq_bn``."""
    widths = {
        match["layer"]: found[key].numel()
        for key in found
        if (match := _KEY.fullmatch(key)) and match["part"] == "adapter_down.0.bias"
    }
    factors = {layer: hub.reduction_factor(hidden_size, max(1, width)) for layer, width in widths.items()}
    return Description(
        name=name,
        architecture=architecture,
        model_name="",
        hidden_size=hidden_size,
        non_linearity=str(hub.SEQ_BN["non_linearity"]),
        scaling=1.0,
        left_out=frozenset(),
        reduction_factor=factors,
    )


def our_tensors(found: Tensors, described: Description, where: str) -> Tensors:
    """Return an adapter's tensors under our names, all layers, checked against its config.

    Args:
        found: As read from its file, with or without the model's prefix.
        described: Its config.
        where: Named in errors.

    Raises:
        DataError: Tensors are missing, misshapen, or there are others.
    """
    points = {theirs: ours for ours, theirs in hub.PLACEMENTS[described.method].modules.items()}
    raw, shared = _sorted_out(found, described, where)
    named: Tensors = {}
    for (layer, module), part in raw.items():
        for name, tensor in _plain_parts(part, shared, described, f"{where}: layer {layer}").items():
            named[f"layer.{layer}.{points[module]}{name}"] = tensor
    numbers = {int(name.split(".")[1]) for name in named}
    strays = sorted(numbers & described.left_out)
    if strays:
        raise DataError(f"{where}: the config leaves out layer {strays[0]}, but there are tensors for it")
    layers = len(numbers | described.left_out)
    if not numbers or max(numbers | described.left_out) != layers - 1:
        absent = sorted(set(range(layers)) - numbers - described.left_out)
        raise DataError(f"{where}: no tensors for layer {absent[0] if absent else 0}")
    for layer in sorted(numbers):
        for module in described.modules:
            _check_point(named, layer, points[module], described, where)
    return _with_all_points(named, layers, described)


def _sorted_out(
    found: Tensors, described: Description, where: str
) -> tuple[dict[tuple[int, str], Tensors], Tensors]:
    """Return the tensors of each bottleneck by layer and module, and what all of them share.

    Raises:
        DataError: There are others, or some twice.
    """
    prefixes = ("", hub.names_of(described.architecture).prefix)
    raw: dict[tuple[int, str], Tensors] = {}
    shared: Tensors = {}
    extra, seen = [], set()
    for key, tensor in found.items():
        match, common = _KEY.fullmatch(key), _SHARED.fullmatch(key)
        its = match or common
        if its is None or its["name"] != described.name or its["prefix"] not in prefixes:
            extra.append(key)
            continue
        seen.add(its["prefix"])
        if common is not None and described.phm is not None:
            shared[common["part"]] = tensor
        elif match is not None and match["module"] in described.modules:
            parts = raw.setdefault((int(match["layer"]), match["module"]), {})
            extra += [key] if match["part"] in parts else []
            parts[match["part"]] = tensor
        else:
            extra.append(key)
    if extra or len(seen) > 1:
        raise DataError(
            f"{where}: tensors that do not belong to a {described.method} adapter named {described.name!r}: "
            f"{_some(extra or list(found))}"
        )
    return raw, shared


def _plain_parts(part: Tensors, shared: Tensors, described: Description, where: str) -> Tensors:
    """Return one bottleneck's tensors under our names: dense, and with its learned scaling in the last factor.

    Raises:
        DataError: Parts are missing, there are others, or they do not fit each other.
    """
    found = dict(part)
    scaling = found.pop("scaling", None)
    if (scaling is not None) != described.learned_scaling:
        raise DataError(f"{where}: the config and the tensors differ in whether a scaling was learned")
    if described.phm is not None:
        found = phm.dense(found, shared, described.phm, where)
    ours = {theirs: name for name, theirs in hub.PARTS.items()}
    if odd := sorted(set(found) - set(ours)):
        raise DataError(f"{where}: not of a dense bottleneck: {_some(odd)}")
    named = {ours[name]: tensor for name, tensor in found.items()}
    if scaling is None:
        return named
    if tuple(scaling.shape) not in ((1,), (described.hidden_size,)):
        raise DataError(f"{where}: a scaling of shape {tuple(scaling.shape)}")
    if "up.weight" in named and named["up.weight"].dim() == 2:
        named["up.weight"] = named["up.weight"] * scaling.unsqueeze(1)  # (d, r)
    if "up.bias" in named:
        named["up.bias"] = named["up.bias"] * scaling
    return named


def our_head(found: Tensors, config: Any, where: str) -> tuple[Tensors, tuple[str, ...]]:
    """Return a head's tensors under our names, and its names of classes or choices (empty for a regression).

    Raises:
        DataError: It is no two-layer tanh classification head on the first token.
    """
    settings = config.get("config") if isinstance(config, Mapping) else None
    if not isinstance(settings, Mapping):
        raise DataError(f"{where}: no head's config")
    kind = problem_type(config)
    wanted = {
        "head_type": "classification" if kind is None else _HEAD_TYPES[kind],
        "layers": 2,
        "activation_function": "tanh",
    }
    wanted |= {"use_pooler": False, "bias": True}
    for key, value in wanted.items():
        if settings.get(key, value) != value:
            raise DataError(f"{where}: {key} = {settings[key]!r}, our head has {value!r}")
    name, d = _text(config, "name", where), _whole(config, "hidden_size", where)
    choosing = kind is ProblemType.MULTIPLE_CHOICE
    answers = _whole(settings, "num_choices" if choosing else "num_labels", where)
    outputs = 1 if choosing else answers
    shapes = {"head.dense.weight": (d, d), "head.dense.bias": (d,)}
    shapes |= {"head.out.weight": (outputs, d), "head.out.bias": (outputs,)}
    theirs = {
        f"heads.{name}.{place}.{part}": f"{ours}.{part}"
        for ours, place in hub.HEAD_PARTS.items()
        for part in ("weight", "bias")
    }
    if set(found) != set(theirs):
        odd = sorted(set(found) ^ set(theirs))
        raise DataError(
            f"{where}: expected the tensors of a two-layer head {name!r}; missing or extra: {_some(odd)}"
        )
    tensors = {theirs[key]: tensor for key, tensor in found.items()}
    for key, shape in shapes.items():
        _check_shape(tensors[key], shape, f"{where}: {key}")
    return tensors, _labels(settings.get("label2id"), answers, "choice {}" if choosing else "LABEL_{}")


def is_static_head(config: Any) -> bool:
    """Tell whether a head is the model's own classifier: ``AutoModelForSequenceClassification`` with ``adapters.init``."""
    return isinstance(config, Mapping) and "config" in config and config["config"] is None


def static_head(found: Tensors, config: Mapping[str, Any], where: str) -> tuple[Classifier, tuple[str, ...]]:
    """Return a static head under our names, and its class names (empty for one output).

    Raises:
        DataError: It is no classifier of an architecture we know, or does not fit its config.
    """
    architecture, d = _architecture(config, where), _whole(config, "hidden_size", where)
    outputs = _whole(config, "num_labels", where)
    head = read_classifier(found, architecture, where)
    shapes = {"head.dense.weight": (d, d), "head.dense.bias": (d,)}
    shapes |= {"head.out.weight": (outputs, d), "head.out.bias": (outputs,)}
    for key, tensor in head.tensors.items():
        _check_shape(tensor, shapes[key], f"{where}: {key}")
    return head, _labels(config.get("label2id"), outputs)


def problem_type(config: Any) -> ProblemType | None:
    """Return what a head's config says it answers, beyond classes or a number; ``None``: nothing."""
    settings = config.get("config") if isinstance(config, Mapping) else None
    said = settings.get("head_type") if isinstance(settings, Mapping) else None
    return next((kind for kind, name in _HEAD_TYPES.items() if name == said), None)


def check_tensors(
    tensors: Mapping[str, Any], layers: int, hidden_size: int, where: str, method: str = hub.METHOD
) -> None:
    """Check that a mapping holds one bottleneck adapter under our names for every layer.

    Args:
        tensors: ``layer.<l>.{down,up}.{weight,bias}`` of a Pfeiffer adapter; widths may differ from point to point.
        layers: L of the backbone.
        hidden_size: d of the backbone.
        where: Named in errors.
        method: One of :data:`~adapterlab.exporting.adapterhub.PLACEMENTS`.

    Raises:
        DataError: Tensors are missing, misshapen, not finite, or there are others.
    """
    points = [f"layer.{layer}.{point}" for layer in range(layers) for point in hub.PLACEMENTS[method].modules]
    wanted = {f"{point}{part}" for point in points for part in hub.PARTS}
    missing, extra = sorted(wanted - set(tensors)), sorted(set(tensors) - wanted)
    if missing or extra:
        parts = [f"missing {_some(missing)}"] if missing else []
        parts += [f"not of it: {_some(extra)}"] if extra else []
        raise DataError(f"{where}: expected an adapter of {layers} layers; {'; '.join(parts)}")
    for point in points:
        down = tensors[f"{point}down.weight"]
        width = down.shape[0] if down.dim() == 2 else 0
        if width < 1:
            raise DataError(
                f"{where}: {point}down.weight: expected (width, {hidden_size}), got {tuple(down.shape)}"
            )
        for part, shape in _shapes(width, hidden_size).items():
            _check_shape(tensors[f"{point}{part}"], shape, f"{where}: {point}{part}")


def _check_point(named: Tensors, layer: int, point: str, described: Description, where: str) -> None:
    shapes = _shapes(described.width(layer), described.hidden_size)
    base = f"layer.{layer}.{point}"
    missing = [f"{base}{part}" for part in shapes if f"{base}{part}" not in named]
    if missing:
        raise DataError(f"{where}: tensors are missing: {_some(missing)}")
    for part, shape in shapes.items():
        _check_shape(named[f"{base}{part}"], shape, f"{where}: {base}{part}")


def _shapes(width: int, d: int) -> dict[str, tuple[int, ...]]:
    return {"down.weight": (width, d), "down.bias": (width,), "up.weight": (d, width), "up.bias": (d,)}


def _check_shape(tensor: Any, shape: tuple[int, ...], where: str) -> None:
    if tuple(tensor.shape) != shape:
        raise DataError(f"{where}: expected shape {shape}, got {tuple(tensor.shape)}")


def _with_all_points(named: Tensors, layers: int, described: Description) -> Tensors:
    """Fill points without a bottleneck with one that adds nothing, and put a constant scaling into the weights."""
    some = next(iter(named.values()))
    tensors: Tensors = {}
    for layer in range(layers):
        for point in hub.PLACEMENTS[described.method].modules:
            for part, shape in _shapes(1, described.hidden_size).items():
                key = f"layer.{layer}.{point}{part}"
                tensor = named[key] if key in named else some.new_zeros(shape)
                tensors[key] = tensor * described.scaling if part.startswith("up.") else tensor
    return tensors


def _architecture(config: Mapping[str, Any], where: str) -> str:
    architecture = config.get("model_type")
    if not isinstance(architecture, str) or architecture not in hub.architectures():
        raise DataError(
            f"{where}: made for a {architecture!r} model, expected one of {', '.join(hub.architectures())}"
        )
    return str(architecture)


def left_out(settings: Mapping[str, Any], where: str) -> frozenset[int]:
    """Return the layers that a config leaves out.

    Raises:
        DataError: These are no numbers of layers.
    """
    layers = settings.get("leave_out") or []
    if not isinstance(layers, list) or not all(type(one) is int and 0 <= one < 100_000 for one in layers):
        raise DataError(f"{where}: leave_out is {layers!r}, expected numbers of layers")
    return frozenset(layers)


def _non_linearity(config: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> str:
    name = settings.get("non_linearity")
    if not isinstance(name, str):
        raise DataError(f"{where}: non_linearity is {name!r}, expected a name")
    return name.lower() if config.get("version") else _OLD_ACTIVATIONS.get(name.lower(), name.lower())


def _scaling(settings: Mapping[str, Any], where: str) -> float:
    scaling = settings.get("scaling", 1.0)
    if scaling in _LEARNED:
        return 1.0
    plain = isinstance(scaling, int | float) and not isinstance(scaling, bool)
    if not plain or not abs(scaling) <= _GREATEST_FACTOR:  # NaN is not
        raise DataError(f"{where}: scaling = {scaling!r}, expected a number, or one of {', '.join(_LEARNED)}")
    return float(scaling)


def _factors(settings: Mapping[str, Any], hidden_size: int, where: str) -> dict[str, float]:
    factors = settings.get("reduction_factor")
    named: dict[Any, Any] = dict(factors) if isinstance(factors, Mapping) else {"default": factors}
    for factor in named.values():
        whole = isinstance(factor, int | float) and not isinstance(factor, bool)
        if not whole or not hidden_size / _WIDEST <= factor <= _GREATEST_FACTOR:
            raise DataError(
                f"{where}: reduction_factor is {factors!r}, expected positive numbers of usual size"
            )
    if not named:
        raise DataError(f"{where}: reduction_factor is empty")
    return {str(layer): float(factor) for layer, factor in named.items()}


def _labels(label2id: Any, outputs: int, unnamed: str = "LABEL_{}") -> tuple[str, ...]:
    if outputs == 1:
        return ()
    if isinstance(label2id, Mapping) and sorted(map(str, label2id.values())) == sorted(
        map(str, range(outputs))
    ):
        return tuple(str(name) for name, _ in sorted(label2id.items(), key=lambda item: int(item[1])))
    return tuple(unnamed.format(index) for index in range(outputs))


def _text(config: Mapping[str, Any], key: str, where: str) -> str:
    value = config.get(key)
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: {key} is {value!r}, expected a name")
    return value


def _whole(config: Mapping[str, Any], key: str, where: str) -> int:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < _MOST:
        raise DataError(f"{where}: {key} is {value!r}, expected a positive whole number")
    return value


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(str(name) for name in names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
