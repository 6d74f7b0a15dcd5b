"""How long a plan will take: from past runs where there are any, else from arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from adapterlab.planning.steps import Job, Step, StepId
from adapterlab.records import BackboneShape, StepKind

_TOKENS_A_ROW = 40
"""Typical row of a GLUE task in tokens, or half the cut where that is less; used only without past runs."""
EARLY_STOP = {
    StepKind.JOINT: 1.0,
    StepKind.SOURCE: 1.0,
    StepKind.SELECTION: 0.6,
    StepKind.STUDY: 0.6,
    StepKind.TRANSFER: 0.6,
}
"""The part of its rows a step trains on before it stops: pruned trials and patience save about the rest."""
_FLOPS_PER_S = {"cpu": 4e10, "gpu": 4e13}
"""What one core, or one card, does of this work in fp32; deliberately on the low side."""


@dataclass(frozen=True)
class Estimate:
    """Time a plan's missing steps will take."""

    seconds: float | None
    """Wall time with the given workers; ``None`` when some step's size is unknown."""
    basis: str
    """``"measured"``: from past steps on this backbone; ``"calibrated"``: from steps timed on this device;
    ``"rough"``: from arithmetic; or why not."""
    by_step: Mapping[StepId, float] | None = None
    """Device time of each step, in seconds, a pass's time divided by the runs that share it; ``None`` like the time."""

    @property
    def device_seconds(self) -> float | None:
        """Device time of all steps together."""
        return None if self.by_step is None else sum(self.by_step.values())


def estimate(
    steps: Iterable[Step[Job]],
    shape: BackboneShape | None,
    *,
    max_length: int,
    workers: int,
    gpu: bool,
    seconds_per_row: Callable[[Step[Job]], float | None],
    device_speed: Callable[[int], float | None] = lambda _: None,
) -> Estimate:
    """Return an estimate for the given steps.

    Args:
        steps: What is still to do.
        shape: The backbone's shape, if known.
        max_length: Where rows are cut, in tokens.
        workers: Workers side by side, >= 1.
        gpu: Whether workers have a GPU.
        seconds_per_row: Measured seconds for one training row of a step like this; ``None``: no such
            step yet.
        device_speed: Timed seconds for one training row of so many tokens on this device, where there is no such
            step; ``None``: not timed.
    """
    by_step: dict[StepId, float] = {}
    tokens = min(_TOKENS_A_ROW, max_length // 2)
    bases = {"measured"}
    for step in steps:
        if step.train_rows is None or shape is None:
            return Estimate(None, "a task or the backbone is not at hand yet")
        if not step.train_rows:  # done with another step
            by_step[step.id] = 0.0
            continue
        rate = seconds_per_row(step)
        if rate is None:
            timed = device_speed(tokens)
            bases.add("rough" if timed is None else "calibrated")
            rate = EARLY_STOP[step.kind] * (
                _rough_seconds_per_row(shape, tokens, gpu) if timed is None else timed
            )
        by_step[step.id] = rate * step.train_rows
    basis = next(one for one in ("rough", "calibrated", "measured") if one in bases)
    return Estimate(sum(by_step.values()) / workers, basis, by_step)


def _rough_seconds_per_row(shape: BackboneShape, tokens: int, gpu: bool) -> float:
    # Forward: 2 operations a weight and token; backward through frozen weights: as much again.
    operations = 4 * shape.layers * shape.layer_parameters * tokens
    return operations / _FLOPS_PER_S["gpu" if gpu else "cpu"]
