"""A study's combiners as keys and workers see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from adapterlab.fingerprint import Json, digest_of
from adapterlab.planning.steps import CombinerRecipe, ReadModel, dump
from adapterlab.records import BackboneFacts, TrainRegime, TrainSettings
from adapterlab.spec.model import AUTO, Spec
from adapterlab.spec.search_space import OF_TRAINING, is_fixed, space_json
from adapterlab.spec.studies import CombinerChoice, StudyPlan
from adapterlab.spec.training import SourceSpec, TrainingSpec

AUTO_VERSION = 1
"""Raise it when ``auto`` chooses otherwise; part of its keys."""


def train_regime(training: TrainingSpec) -> TrainRegime:
    """Return how a run of a spec's section trains, but for its learning rate; the section searches nothing."""
    return TrainRegime(**{one.name: getattr(training, one.name) for one in fields(TrainRegime)})


def train_settings(source: SourceSpec) -> TrainSettings:
    """Return how a source adapter trains; the section searches nothing."""
    return train_regime(source).at(float(source.lr))  # type: ignore[arg-type]


def models_of(choice: CombinerChoice) -> Mapping[str, str]:
    """Return the other models a combiner reads, by the setting that names them."""
    return choice.plugin.models(choice.settings)


def model_sources(plans: tuple[StudyPlan, ...]) -> tuple[str, ...]:
    """Return every model some combiner reads besides the backbone."""
    return tuple(
        dict.fromkeys(name for one in plans for each in one.choices for name in models_of(each).values())
    )


def trials_of(spec: Spec, study: StudyPlan) -> int:
    """Return a study's budget: one trial a combiner where nothing is searched."""
    if all(is_fixed(space) for choice in study.choices for space in choice.spaces.values()):
        return len(study.choices)
    return spec.search.trials


def _fixed_training(choice: CombinerChoice) -> dict[str, Json]:
    """Return what a key holds of how a combiner trains, but for what is searched of it."""
    whole = train_regime(choice.training).identity()
    of_training = set(OF_TRAINING) & choice.spaces.keys()
    return {name: value for name, value in whole.items() if name not in of_training}


def identity_of(study: StudyPlan, models: Mapping[str, BackboneFacts]) -> dict[str, Json] | None:
    """Return what a study's key holds of its combiners, training and dimensions.

    Returns:
        ``combiner``, ``training`` and ``spaces``; of ``auto`` all three are in ``combiner``. ``None`` while
        a model's content is not known.
    """
    described: list[dict[str, Json]] = []
    for choice in study.choices:
        settings: dict[str, Json] = {**dump(choice.settings)}
        for setting, source in models_of(choice).items():
            facts = models.get(source)
            if facts is None or not facts.resolved:
                return None
            settings[setting] = facts.identity()
        described.append({"name": choice.plugin.name, "version": choice.plugin.version, "settings": settings})
    parts = [
        {
            "combiner": one,
            "training": _fixed_training(choice),
            "spaces": {name: space_json(space) for name, space in choice.spaces.items()},
        }
        for one, choice in zip(described, study.choices, strict=True)
    ]
    if not study.chooses:
        return dict(parts[0])
    among: list[Json] = [
        {**one, "training": part["training"], "spaces": part["spaces"]}
        for one, part in zip(described, parts, strict=True)
    ]
    return {"combiner": {"name": AUTO, "version": AUTO_VERSION, "among": among}}


def recipes_of(study: StudyPlan, models: Mapping[str, BackboneFacts]) -> tuple[CombinerRecipe, ...]:
    """Return what workers need of a study's combiners.

    Args:
        study: The study.
        models: What is known of other models, by the name in the combiners' settings.
    """
    return tuple(
        CombinerRecipe(
            kind=choice.kind,
            version=choice.plugin.version,
            settings=dump(choice.settings),
            spaces=choice.spaces,
            training=train_regime(choice.training),
            models={
                setting: ReadModel(str(models[source].folder), digest_of(models[source].identity()))
                for setting, source in models_of(choice).items()
                if source in models and models[source].resolved
            },
        )
        for choice in study.choices
    )
