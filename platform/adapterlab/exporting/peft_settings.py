"""What PEFT's configs say: where a LoRA or (IA)³ sits, and each point's rank and factor.

Read by allow-list. A setting may say anything where it only speaks of training; of the others each value is named
at which PEFT computes a plain LoRA or (IA)³; whatever is not known must be empty.

Source: PEFT 0.21, ``tuners/lora/config.py``, ``tuners/ia3/config.py``, ``tuners/ia3/model.py``,
``tuners/tuners_utils.py`` (``check_target_module_exists``) and ``utils/other.py`` (``get_pattern_key``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from adapterlab.errors import DataError
from adapterlab.given_files import shortened

_OF_TRAINING = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "inference_mode", "loftq_config",
        "lora_dropout", "lora_ga_config", "megatron_core", "modules_to_save", "peft_version", "qalora_group_size",
        "revision", "runtime_config", "task_type",
    }
)  # fmt: skip
"""Say nothing of what a trained LoRA computes, or only what another setting turns on."""
_OF_PLACES = frozenset(
    {
        "alpha_pattern", "exclude_modules", "layers_pattern", "layers_to_transform", "lora_alpha", "r", "rank_pattern",
        "target_modules", "use_dora", "use_rslora",
    }
)  # fmt: skip
"""Are taken account of."""
_PLAIN_AT: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "fan_in_fan_out": (False, None),
    # The others change the model's own weights before training, and the folder does not hold the change.
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
}
_IA3_OF_TRAINING = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "inference_mode", "init_ia3_weights", "modules_to_save",
        "peft_version", "revision", "task_type",
    }
)  # fmt: skip
_IA3_OF_PLACES = frozenset({"exclude_modules", "feedforward_modules", "target_modules"})
_IA3_PLAIN_AT: Mapping[str, tuple[Any, ...]] = {"peft_type": ("IA3",), "fan_in_fan_out": (False, None)}
_EMPTY: tuple[Any, ...] = (None, False, [], {}, "")
_MATCH_S = 1.0
_LONGEST = 2000


@dataclass(frozen=True)
class PeftConfig:
    """A config that was checked."""

    settings: Mapping[str, Any]
    where: str

    def check_head(self) -> None:
        """Check that the head in the folder is one of sequences, which is how it is read.

        Raises:
            DataError: It answers something else: each token, a span.
        """
        task = self.settings.get("task_type")
        if task not in (None, "SEQ_CLS"):
            raise DataError(
                f"{self.where}: task_type = {shortened(repr(task))}: the head in the folder is not one of whole texts",
                remedy="A head read here is of SEQ_CLS; a folder without a head may be of any task_type.",
            )

    @property
    def is_dora(self) -> bool:
        """Whether a LoRA's weights are rescaled row by row."""
        return bool(self.settings.get("use_dora"))

    def chooses(self, module: str) -> bool:
        """Return whether PEFT gives a module an adapter, by its name in the model, as ``roberta.encoder.layer.0. …``.

        Raises:
            DataError: A pattern is malformed.
        """
        if self._is_one_of("exclude_modules", module) or not self._is_one_of("target_modules", module):
            return False
        layers = self.settings.get("layers_to_transform")
        if layers is None or layers == [] or isinstance(self.settings.get("target_modules"), str):
            return True  # PEFT looks at the layers of a list of targets only
        numbers = layers if isinstance(layers, list) else [layers]
        if not all(type(one) is int for one in numbers):
            raise DataError(
                f"{self.where}: layers_to_transform is {shortened(repr(layers))}, expected numbers"
            )
        return self._layer_of(module) in numbers

    def _is_one_of(self, key: str, module: str, dot: str = ".") -> bool:
        names = self.settings.get(key)
        if not names:
            return False
        if isinstance(names, str):
            return self._match(f"(?:{names})$", module, key) is not None
        if not isinstance(names, Sequence) or not all(isinstance(one, str) for one in names):
            raise DataError(f"{self.where}: {key} is {shortened(repr(names))}, expected names or a pattern")
        return any(module == one or module.endswith(f"{dot}{one}") for one in names)

    def _layer_of(self, module: str) -> int | None:
        patterns = self.settings.get("layers_pattern") or [r"[^.]*"]
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            found = self._match(rf".*\.{pattern}\.(\d+)\.", module, "layers_pattern")
            if found is not None:
                return int(found[found.re.groups])
        return None

    def _match(self, pattern: str, text: str, key: str) -> Any:
        """Match as ``re.match`` does. A pattern from a file may be written to take for ever: it is given a second."""
        try:
            if len(pattern) > _LONGEST:
                raise ValueError(f"{len(pattern)} characters")
            return regex.match(pattern, text, timeout=_MATCH_S)
        except (regex.error, ValueError, TimeoutError, RecursionError) as error:
            raise DataError(
                f"{self.where}: {key}: {shortened(repr(pattern))} is no pattern that can be used ({error})"
            ) from None


class LoraConfig(PeftConfig):
    """Of a LoRA."""

    @classmethod
    def of(cls, settings: Any, where: str) -> LoraConfig:
        """Check a config.

        Args:
            settings: The parsed file.
            where: Named in errors.

        Raises:
            DataError: It asks for anything but a plain LoRA or a DoRA; the setting is named.
        """
        known = _OF_TRAINING | _OF_PLACES
        return cls(_checked(settings, known, _PLAIN_AT, "LoRA", where), where)

    @property
    def is_rank_stabilised(self) -> bool:
        """Whether factors are ``α / √r`` in place of ``α / r``."""
        return bool(self.settings.get("use_rslora"))

    def rank(self, module: str) -> int:
        """Return the rank of a module's LoRA.

        Raises:
            DataError: It is no positive whole number.
        """
        rank = self._value("rank_pattern", "r", module)
        if not rank.is_integer():
            raise DataError(f"{self.where}: the rank of {module} is {rank:g}, expected a whole number")
        return int(rank)

    def factor(self, module: str) -> float:
        """Return what a module's addition ``B A x`` is multiplied by: ``α / r``, or ``α / √r``.

        Raises:
            DataError: Rank or α is no positive number.
        """
        rank = self.rank(module)
        alpha = self._value("alpha_pattern", "lora_alpha", module)
        return alpha / (math.sqrt(rank) if self.is_rank_stabilised else rank)

    def _value(self, patterns_key: str, usual_key: str, module: str) -> float:
        patterns = self.settings.get(patterns_key) or {}
        if not isinstance(patterns, Mapping):
            raise DataError(
                f"{self.where}: {patterns_key} is {shortened(repr(patterns))}, expected a mapping"
            )
        # The first that fits; `^` is the beginning of the whole name.
        fits = (
            value for key, value in patterns.items() if self._match(rf"(.*\.)?({key})$", module, patterns_key)
        )
        value = next(fits, self.settings.get(usual_key))
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            raise DataError(
                f"{self.where}: {patterns_key} or {usual_key} is {shortened(repr(value))} for {module}, expected a positive "
                "number"
            )
        return float(value)


class Ia3Config(PeftConfig):
    """Of an (IA)³."""

    @classmethod
    def of(cls, settings: Any, where: str) -> Ia3Config:
        """Check a config.

        Args:
            settings: The parsed file.
            where: Named in errors.

        Raises:
            DataError: It asks for anything but (IA)³; the setting is named.
        """
        known = _IA3_OF_TRAINING | _IA3_OF_PLACES
        return cls(_checked(settings, known, _IA3_PLAIN_AT, "(IA)³", where), where)

    def scales_input(self, module: str) -> bool:
        """Return whether a module's factors are of its input, not of its output.

        Raises:
            DataError: A pattern is malformed.
        """
        return self._is_one_of("feedforward_modules", module, dot="")  # PEFT wants no dot here


def _checked(
    settings: Any, known: frozenset[str], plain_at: Mapping[str, tuple[Any, ...]], kind: str, where: str
) -> Mapping[str, Any]:
    """Return a config of which every setting is known, or has a value that changes nothing."""
    if not isinstance(settings, Mapping):
        raise DataError(f"{where}: no adapter's config")
    for key, value in sorted(settings.items(), key=lambda item: item[0] != "peft_type"):  # that one says most
        plain = plain_at.get(key, _EMPTY)
        if key in known or any(value is one or value == one for one in plain):
            continue
        expected = f", a {kind} read here has {' or '.join(map(repr, plain))}" if key in plain_at else ""
        raise DataError(
            f"{where}: {key} = {shortened(repr(value))} may change what the {kind} computes{expected}",
            remedy="For PiSSA, OLoRA and other starts that change the model's weights, PEFT's save_pretrained(..., "
            "path_initial_model_for_weight_conversion=…) writes a plain LoRA."
            if key == "init_lora_weights"
            else f"Merge it into the model with PEFT, or train a plain {kind}.",
        )
    return settings
