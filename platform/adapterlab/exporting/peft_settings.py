"""What PEFT's config of a LoRA says: where it sits, and each point's rank and factor.

Read by allow-list. A setting may say anything where it only speaks of training; of the others each value is named
at which PEFT computes a plain LoRA; whatever is not known must be empty.

Source: PEFT 0.21, ``tuners/lora/config.py``, ``tuners/tuners_utils.py`` (``check_target_module_exists``) and
``utils/other.py`` (``get_pattern_key``).
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
        "target_modules", "use_rslora",
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
_EMPTY: tuple[Any, ...] = (None, False, [], {}, "")
_MATCH_S = 1.0
_LONGEST = 2000


@dataclass(frozen=True)
class LoraConfig:
    """A config that was checked."""

    settings: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, settings: Any, where: str) -> LoraConfig:
        """Check a config.

        Args:
            settings: The parsed file.
            where: Named in errors.

        Raises:
            DataError: It asks for anything but a plain LoRA; the setting is named.
        """
        if not isinstance(settings, Mapping):
            raise DataError(f"{where}: no adapter's config")
        for key, value in settings.items():
            plain = _PLAIN_AT.get(key, _EMPTY)
            if key in _OF_TRAINING or key in _OF_PLACES or any(value is one or value == one for one in plain):
                continue
            expected = f", a LoRA read here has {' or '.join(map(repr, plain))}" if key in _PLAIN_AT else ""
            raise DataError(
                f"{where}: {key} = {shortened(repr(value))} may change what the LoRA computes{expected}",
                remedy="For PiSSA, OLoRA and other starts that change the model's weights, PEFT's save_pretrained(..., "
                "path_initial_model_for_weight_conversion=…) writes a plain LoRA."
                if key == "init_lora_weights"
                else "Merge it into the model with PEFT, or train a plain LoRA.",
            )
        return cls(settings, where)

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
    def is_rank_stabilised(self) -> bool:
        """Whether factors are ``α / √r`` in place of ``α / r``."""
        return bool(self.settings.get("use_rslora"))

    def chooses(self, module: str) -> bool:
        """Return whether PEFT gives a module a LoRA, by its name in the model, as ``roberta.encoder.layer.0. …``.

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

    def _is_one_of(self, key: str, module: str) -> bool:
        names = self.settings.get(key)
        if not names:
            return False
        if isinstance(names, str):
            return self._match(f"(?:{names})$", module, key) is not None
        if not isinstance(names, Sequence) or not all(isinstance(one, str) for one in names):
            raise DataError(f"{self.where}: {key} is {shortened(repr(names))}, expected names or a pattern")
        return any(module == one or module.endswith(f".{one}") for one in names)

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
