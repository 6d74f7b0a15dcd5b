"""How long the rest of a sweep will take, guessed from when its steps last told how far they are.

Steps tell at the end of an epoch or of a trial, so what lanes have done since then is not told yet: of ten tasks that
train side by side, the two small ones are through before the others have said a word. Taking what was told for all
that was done makes the rest many times too long. So what was told is divided by the time it stands for:

    a device's speed R is shared evenly by the steps at work, so a step's work is  ∫ R / n(t) dt  while it is at work
    told so far       W = R · T,   T = ∫ (steps at work at t that told of a later time) / n(t) dt
    not told yet      R · (now - start - T), at most what each step at work tells at once
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

LEAST_SHARE = 0.02
"""The part of the work that must have been told of before the rest can be guessed from it."""


@dataclass(frozen=True)
class StepWork:
    """How far one step was when it last told, in units of work that cost about the same everywhere."""

    weight: float
    """All of it, >= 0."""
    told: float = 0.0
    """Done when it told last, from 0 to ``weight``."""
    unit: float = 0.0
    """What it tells at once: an epoch's or a trial's part of its weight."""
    told_at: float | None = None
    """When that was, in seconds since 1970, or when it began; ``None``: it was not touched since the start."""
    at_work: bool = False
    """Whether it goes on; else it is done, or was not begun."""


def remaining_s(steps: Sequence[StepWork], started_at: float, now: float) -> float | None:
    """Guess how long what is left will take.

    Args:
        steps: All that are to be done or were done since the start; not what failed or was done before.
        started_at: When work was asked for, in seconds since 1970. What comes before the first step begins, such as
            starting processes, counts for nothing while it can be told apart.
        now: In seconds since 1970, >= ``started_at``.

    Returns:
        Seconds, >= 0; ``None`` where too little was told of.
    """
    total = sum(one.weight for one in steps)
    touched = [one for one in steps if one.told_at is not None]
    told = sum(one.told for one in touched)
    if told <= 0.0 or told < LEAST_SHARE * total:
        return None
    at_work = [one for one in touched if one.at_work]
    for start in (_first_begun(touched), started_at):
        passed = now - start
        stands_for = _time_told_of(touched, start, now)
        if stands_for > 0.0 and passed > 0.0:
            break
    else:
        return None
    not_told = told / stands_for * (passed - stands_for)
    done = told + min(not_told, sum(min(one.unit, one.weight - one.told) for one in at_work))
    return passed * max(0.0, total - done) / done


def _first_begun(touched: Sequence[StepWork]) -> float:
    """Return when work began, which a step knows that has told nothing yet; infinity if later ones have told."""
    first = min(touched, key=lambda one: (one.told_at or 0.0, one.told))
    return float("inf") if first.told or first.told_at is None else first.told_at


def _time_told_of(touched: Sequence[StepWork], start: float, now: float) -> float:
    """Return the seconds of a whole device that what was told of stands for."""
    # When a step began is known of those only that have told nothing; of others, the earliest is right on average.
    spans = [
        (
            one.told_at if one.at_work and not one.told else start,
            min(now, max(start, one.told_at)),
            now if one.at_work else min(now, max(start, one.told_at)),
        )
        for one in touched
        if one.told_at is not None
    ]
    moments = sorted({start, now, *(min(now, max(start, at)) for span in spans for at in span)})
    found = 0.0
    for left, right in pairwise(moments):
        busy = [until for begun, until, end in spans if begun <= left and right <= end]
        if busy:
            found += (right - left) * sum(right <= until for until in busy) / len(busy)
    return found
