"""What runs are called, so that a list of them can be read without opening one."""

from __future__ import annotations

import math
from collections.abc import Mapping

SEPARATOR = " · "

_SHORT_WORDS = {"init_scale": "init", "learning_rate": "lr"}
_ORDER = ("lr", "init", "dropout")
_SIGNIFICANT_DIGITS = 3


def trial_name(task: str, combiner: str, settings: Mapping[str, object]) -> str:
    """Name one trial by its setting: ``rte · scalearn · lr 6e-3 · init 2 · dropout 0.3``.

    Args:
        task: Target task, with or without its benchmark (``"glue/rte"`` or ``"rte"``).
        combiner: Name of the combiner.
        settings: The trial's own settings; learning rate, init scale and dropout come first.
    """
    words = {_SHORT_WORDS.get(key, key.replace("_", " ")): value for key, value in settings.items()}
    first = [word for word in _ORDER if word in words]
    rest = sorted(word for word in words if word not in _ORDER)
    return SEPARATOR.join(
        [_short(task), combiner, *(f"{word} {compact(words[word])}" for word in [*first, *rest])]
    )


def source_name(task: str, seed: int, *, label: str = "source") -> str:
    """Name the training of one source adapter, ``source · mnli · seed 0``, or of a baseline by its label."""
    return SEPARATOR.join([label, _short(task), f"seed {seed}"])


def joint_name(label: str, tasks: int, seed: int) -> str:
    """Name a joint run: ``hyperformer · 8 tasks · seed 0``."""
    return SEPARATOR.join([joint_study_name(label, tasks), f"seed {seed}"])


def joint_study_name(label: str, tasks: int) -> str:
    """Name the study of a joint run: ``hyperformer · 8 tasks``."""
    return SEPARATOR.join([label, f"{tasks} tasks"])


def selection_name(task: str, rule: str, seed: int | None = None) -> str:
    """Name a selection of sources, ``rte · sources by text similarity``, with the seed of its pool if given."""
    return SEPARATOR.join(
        [_short(task), f"sources by {rule}", *([] if seed is None else [f"source seed {seed}"])]
    )


def study_name(task: str, combiner: str) -> str:
    """Name one study: ``rte · scalearn``."""
    return SEPARATOR.join([_short(task), combiner])


def final_name(task: str, combiner: str, seed: int) -> str:
    """Name a final run of the chosen setting: ``rte · scalearn · final · seed 2``."""
    return SEPARATOR.join([_short(task), combiner, "final", f"seed {seed}"])


def sweep_name(spec: str, key: str | None = None) -> str:
    """Name a whole sweep: ``sweep · quickstart``, with the first digits of its key if given."""
    return SEPARATOR.join(["sweep", spec, *([key[:8]] if key else [])])


def compact(value: object) -> str:
    """Return a number as a person would write it: ``6e-3``, ``2``, ``0.3``; others as text.

    Numbers keep three significant digits; below 0.01 and from 1e5 on they are written with a power
    of ten, without padding.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    mantissa, power = f"{value:.{_SIGNIFICANT_DIGITS - 1}e}".split("e")
    exponent = int(power)
    if -3 < exponent < 5:
        decimals = max(0, _SIGNIFICANT_DIGITS - 1 - exponent)
        return _without_padding(f"{float(f'{mantissa}e{exponent}'):.{decimals}f}")
    return f"{_without_padding(mantissa)}e{exponent}"


def _without_padding(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _short(task: str) -> str:
    return task.rsplit("/", 1)[-1]
