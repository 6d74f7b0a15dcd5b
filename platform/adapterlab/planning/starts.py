"""The first trials of a search that are given: settings that were written, and the best ones of earlier studies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from adapterlab.spec.model import AUTO, Spec
from adapterlab.spec.search_space import COMBINER, Dimension, IntRange, Setting, takes
from adapterlab.spec.studies import CombinerChoice, StudyPlan

Earlier = Mapping[str, Sequence["EarlierStudy"]]
"""The studies each name or key of ``search.start_from`` stands for."""


@dataclass(frozen=True)
class EarlierStudy:
    """A study that is complete, as a search may start from it."""

    key: str
    task: str
    """Full name of its target."""
    title: str
    """What a person calls it."""
    combiner: str
    """Name of the combiner its best setting is of; of a method's search the method's."""
    settings: Mapping[str, float]
    """Its best setting, by dimension."""


@dataclass(frozen=True)
class Misfit:
    """A value of an earlier study's best setting that the search does not cover."""

    study: EarlierStudy
    dimension: str
    value: float
    kind: str
    """The combiner or method that is to start from it."""
    space: Dimension
    """What is searched of it here."""


def starts_of(spec: Spec, target: str, study: StudyPlan, earlier: Earlier) -> tuple[dict[str, Setting], ...]:
    """Return the settings of a study's first trials, in order, each once; dimensions may be missing.

    Args:
        spec: The spec.
        target: Full name of the study's target.
        study: The study.
        earlier: What its names and keys stand for; those that are not there count as none.
    """
    found: list[dict[str, Setting]] = []
    for choice, settings in _given(spec, target, study, earlier):
        own = _within(choice.spaces, settings)
        if not own:
            continue
        setting: dict[str, Setting] = dict(own)
        if study.chooses:
            setting = {
                COMBINER: choice.kind,
                **{f"{choice.kind}.{name}": value for name, value in own.items()},
            }
        if setting not in found:
            found.append(setting)
    return tuple(found)


def starts_of_method(
    spec: Spec, task: str, method: str, spaces: Mapping[str, Dimension], earlier: Earlier
) -> tuple[dict[str, Setting], ...]:
    """Return the settings of a method's search's first trials: the best ones of earlier searches of the method.

    Args:
        spec: The spec; settings that it writes itself are combiners'.
        task: Full name of the study's task.
        method: The method's name.
        spaces: What is searched.
        earlier: What its names and keys stand for; those that are not there count as none.
    """
    found: list[dict[str, Setting]] = []
    for item in spec.search.starts:
        for one in used(task, method, earlier.get(item, ())) if isinstance(item, str) else ():
            own = _within(spaces, one.settings)
            if own and own not in found:
                found.append(own)
    return tuple(found)


def misfits(
    task: str, kind: str, spaces: Mapping[str, Dimension], earlier: Sequence[EarlierStudy]
) -> Iterator[Misfit]:
    """Yield what a search would have to try of earlier studies' best settings, and does not search.

    Args:
        task: Full name of its task.
        kind: Its combiner or method.
        spaces: What it searches.
        earlier: The studies.
    """
    for one in used(task, kind, earlier):
        for name, space in spaces.items():
            if name in one.settings and not takes(space, one.settings[name]):
                yield Misfit(one, name, one.settings[name], kind, space)


def used(task: str, kind: str, earlier: Sequence[EarlierStudy]) -> list[EarlierStudy]:
    """Return the studies of a combiner or method that a search of it starts from: those of its task, else all."""
    alike = [one for one in earlier if one.combiner == kind]
    return [one for one in alike if one.task == task] or alike


def _within(spaces: Mapping[str, Dimension], settings: Mapping[str, float]) -> dict[str, Setting]:
    """Return those of some values that a search has dimensions for."""
    return {
        name: int(settings[name]) if isinstance(space, IntRange) else float(settings[name])
        for name, space in spaces.items()
        if name in settings
    }


def _given(
    spec: Spec, target: str, study: StudyPlan, earlier: Earlier
) -> Iterator[tuple[CombinerChoice, Mapping[str, float]]]:
    for item in spec.search.starts:
        for choice in study.choices:
            if isinstance(item, str):
                for one in used(target, choice.kind, earlier.get(item, ())):
                    yield choice, one.settings
            elif item.get(COMBINER, choice.kind) == choice.kind:
                yield choice, {name: float(value) for name, value in item.items() if name != COMBINER}


def chosen_combiner(combiner: str, settings: Mapping[str, object]) -> str:
    """Return the combiner a kept study's best setting is of."""
    return str(settings[COMBINER]) if combiner == AUTO else combiner
