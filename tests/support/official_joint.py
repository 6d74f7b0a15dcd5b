"""The official code's joint models, weights and numbers, as joint models of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapterlab.plugin import JointMethod
from adapterlab.records import ProblemType, TaskFacts
from adapterlab.train.joint.model import JointModel
from adapterlab.train.passes import Rectangle
from adapterlab_joint.plugin import (
    ADAPTER_M,
    FULL_M,
    HYPERFORMER,
    HYPERFORMER_PP,
    PROPETL_M,
    AdapterMSettings,
    HyperFormerPPSettings,
    HyperFormerSettings,
    ProPetlMSettings,
)
from official import load_official

TASKS = {"tri": 3, "bin": 2, "reg": 1, "bin2": 2}
"""Outputs of each task; one with 1 is a regression."""
_R = {"reduction_factor": 4}
_HYPER = _R | {"task_embedding": 16, "hidden": 12, "projected": 8}
METHODS: dict[str, tuple[JointMethod, Any]] = {
    "hyperformer": (HYPERFORMER, HyperFormerSettings(**_HYPER)),
    "hyperformerpp": (HYPERFORMER_PP, HyperFormerPPSettings(**_HYPER)),
    "propetlm": (PROPETL_M, ProPetlMSettings(**_R, first_layer_scores="last_task")),
    "propetlm_fixed": (PROPETL_M, ProPetlMSettings(**_R)),
    "adapterm": (ADAPTER_M, AdapterMSettings(**_R)),
    "ftm": (FULL_M, FULL_M.settings()),
}


@dataclass(frozen=True)
class OfficialJoint:
    """The reference arrays, and models of the official weights in float64."""

    arrays: dict[str, Any]
    official: Any

    def array(self, name: str) -> Tensor:
        """Return a reference array; floating-point ones in float64."""
        found = torch.from_numpy(np.asarray(self.arrays[name]))
        return found.double() if found.is_floating_point() else found

    def group(self, prefix: str) -> dict[str, Tensor]:
        """Return the arrays under a prefix, by our names."""
        names = [name for name in self.arrays if name.startswith(prefix)]
        return {ours(name.removeprefix(prefix)): self.array(name) for name in names}

    def model(self, method: str, tasks: Sequence[str] = tuple(TASKS)) -> JointModel:
        """Return a joint model of ours."""
        plugin, settings = METHODS[method]
        encoder = self.official.encoder
        facts = [_facts(task) for task in tasks]
        layer = plugin.layer(settings, encoder.shape, [one.task for one in facts])
        return JointModel.of(encoder, layer, facts)

    def tensors(self, method: str, prefix: str = "") -> dict[str, Tensor]:
        """Return a method's official tensors as leaves."""
        found = self.group(f"{prefix}{method}/param/")
        if method == "ftm":
            found |= self.official.encoder.weights()
        return {name: tensor.clone().requires_grad_() for name, tensor in found.items()}

    def rectangle(self, task: str) -> Rectangle:
        """Return a task's one batch."""
        base = "copa/inputs" if task == "copa" else f"inputs/{task}"
        size = self.array(f"{base}/input_ids").shape[-1]
        ids = self.array(f"{base}/input_ids").reshape(-1, size)
        mask = self.array(f"{base}/attention_mask").reshape(-1, size)
        whole = self.official.encoder.rectangle(ids, mask)
        labels = self.array(f"{base}/labels")
        return replace(whole, labels=labels, rows=np.arange(len(labels)))


def load_official_joint(folder: Path) -> OfficialJoint:
    """Return the joint reference arrays of a folder."""
    return OfficialJoint(dict(np.load(folder / "official_joint.npz")), load_official(folder))


def ours(name: str) -> str:
    """Return what we call an official tensor."""
    name = name.removeprefix("base.").replace("out_proj", "out")
    if name.startswith("adapter.layer."):
        return name.removeprefix("adapter.")
    return name.replace("pooler.", "head.copa.dense.") if name.startswith("pooler.") else name


def _facts(task: str) -> TaskFacts:
    outputs = TASKS.get(task, 1)
    kinds = {"reg": ProblemType.REGRESSION, "copa": ProblemType.MULTIPLE_CHOICE}
    return TaskFacts(
        task=task,
        problem_type=kinds.get(task, ProblemType.CLASSIFICATION),
        n_labels=outputs,
        labels=(),
        metrics=("accuracy",),
        content_digest=None,
        choices=2 if task == "copa" else 1,
    )
