"""The first trials of a search that are given: settings that were written, and the best ones of earlier studies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from adapterlab.spec.model import AUTO, Spec
from adapterlab.spec.search_space import COMBINER, Setting, takes
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
    """Name of the combiner its best setting is of."""
    settings: Mapping[str, float]
    """Its best setting, by dimension."""


@dataclass(frozen=True)
class Misfit:
    """A value of an earlier study's best setting that the search does not cover."""

    study: EarlierStudy
    dimension: str
    value: float
    choice: CombinerChoice


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
        own = {name: float(settings[name]) for name in choice.spaces if name in settings}
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


def misfits(target: str, study: StudyPlan, earlier: Sequence[EarlierStudy]) -> Iterator[Misfit]:
    """Yield what a study would have to try of earlier studies' best settings, and does not search."""
    for choice in study.choices:
        for one in _like(earlier, target, choice):
            for name, space in choice.spaces.items():
                if name in one.settings and not takes(space, one.settings[name]):
                    yield Misfit(one, name, one.settings[name], choice)


def used(target: str, study: StudyPlan, earlier: Sequence[EarlierStudy]) -> list[EarlierStudy]:
    """Return those of some earlier studies that a study starts from."""
    return [one for choice in study.choices for one in _like(earlier, target, choice)]


def _given(
    spec: Spec, target: str, study: StudyPlan, earlier: Earlier
) -> Iterator[tuple[CombinerChoice, Mapping[str, float]]]:
    for item in spec.search.starts:
        for choice in study.choices:
            if isinstance(item, str):
                for one in _like(earlier.get(item, ()), target, choice):
                    yield choice, one.settings
            elif item.get(COMBINER, choice.kind) == choice.kind:
                yield choice, {name: float(value) for name, value in item.items() if name != COMBINER}


def _like(earlier: Sequence[EarlierStudy], target: str, choice: CombinerChoice) -> list[EarlierStudy]:
    """Return the earlier studies of a combiner: those of the same target, else all."""
    alike = [one for one in earlier if one.combiner == choice.kind]
    return [one for one in alike if one.task == target] or alike


def chosen_combiner(combiner: str, settings: Mapping[str, object]) -> str:
    """Return the combiner a kept study's best setting is of."""
    return str(settings[COMBINER]) if combiner == AUTO else combiner
