"""A study's combiners as keys and workers see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from adapterlab.fingerprint import Json
from adapterlab.records import BackboneFacts, TrainSettings
from adapterlab.spec.model import AUTO, Spec
from adapterlab.spec.search_space import Choices, FloatRange, is_fixed
from adapterlab.spec.studies import CombinerChoice, StudyPlan
from adapterlab.spec.training import TrainingSpec

AUTO_VERSION = 1
"""Raise it when ``auto`` chooses otherwise; part of its keys."""


def train_settings(training: TrainingSpec, *, lr: float) -> TrainSettings:
    """Return the settings of one run from a spec's section."""
    fields = training.model_dump(exclude={"lr", "seed"})
    return TrainSettings(lr=lr, **fields)


def training_of(choice: CombinerChoice) -> dict[str, Json]:
    """Return how a combiner trains, but for the rate, which is searched."""
    training = train_settings(choice.training, lr=1.0).identity()
    del training["lr"]
    return training


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


def identity_of(study: StudyPlan, models: Mapping[str, BackboneFacts]) -> dict[str, Json] | None:
    """Return what a study's key holds of its combiners, training and dimensions.

    Returns:
        ``combiner``, ``training`` and ``spaces``; of ``auto`` all three are in ``combiner``. ``None`` while
        a model's content is not known.
    """
    described: list[dict[str, Json]] = []
    for choice in study.choices:
        settings = dump(choice.settings)
        for setting, source in models_of(choice).items():
            facts = models.get(source)
            if facts is None or not facts.resolved:
                return None
            settings[setting] = facts.identity()
        described.append({"name": choice.plugin.name, "version": choice.plugin.version, "settings": settings})
    parts = [
        {"combiner": one, "training": training_of(choice), "spaces": spaces_json(choice)}
        for one, choice in zip(described, study.choices, strict=True)
    ]
    if not study.chooses:
        return dict(parts[0])
    among: list[Json] = [
        {**one, "training": part["training"], "spaces": part["spaces"]}
        for one, part in zip(described, parts, strict=True)
    ]
    return {"combiner": {"name": AUTO, "version": AUTO_VERSION, "among": among}}


def for_workers(study: StudyPlan, models: Mapping[str, BackboneFacts]) -> dict[str, Json]:
    """Return what workers need of a study's combiners, by name.

    Args:
        study: The study.
        models: What is known of other models.
    """
    return {
        choice.kind: {
            "settings": dump(choice.settings),
            "spaces": spaces_json(choice),
            "training": training_of(choice),
            "models": {
                setting: {"folder": models[source].folder, "identity": models[source].identity()}
                for setting, source in models_of(choice).items()
                if source in models and models[source].resolved
            },
        }
        for choice in study.choices
    }


def combiner_of(study: StudyPlan) -> dict[str, Json]:
    """Return a study's combiner as people see it; of ``auto`` the settings of all by name."""
    if study.chooses:
        settings: dict[str, Json] = {choice.kind: dump(choice.settings) for choice in study.choices}
        return {"name": AUTO, "version": AUTO_VERSION, "settings": settings}
    (choice,) = study.choices
    return {"name": choice.kind, "version": choice.plugin.version, "settings": dump(choice.settings)}


def search_of(study: StudyPlan) -> dict[str, Json]:
    """Return a study's dimensions; of ``auto`` those of every combiner, ``<combiner>.<dimension>``."""
    if not study.chooses:
        return spaces_json(study.choices[0])
    return {
        f"{choice.kind}.{name}": space
        for choice in study.choices
        for name, space in spaces_json(choice).items()
    }


def dump(settings: BaseModel) -> dict[str, Json]:
    """Return settings as JSON, as a key holds them."""
    dumped: dict[str, Json] = settings.model_dump(mode="json")
    return dumped


def spaces_json(choice: CombinerChoice) -> dict[str, Json]:
    """Return a combiner's dimensions as JSON."""
    return {name: _space(space) for name, space in choice.spaces.items()}


def _space(space: float | FloatRange | Choices) -> Any:
    # The order of choices decides what a sampler draws, so it stays as written.
    return dump(space) if isinstance(space, BaseModel) else float(space)
