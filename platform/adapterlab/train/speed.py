"""How fast a device trains: a few real steps on made-up rows, on as many lanes as are fastest there.

``python -m adapterlab.train.speed`` measures in a process of its own, so that plans need no torch: it is given a
:class:`SpeedOrder` as JSON, and prints a :class:`Speed` as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from adapterlab.backbones.weight_files import weight_files
from adapterlab.records import Examples, ProblemType, TaskData, TaskFacts, TrainSettings
from adapterlab.registry.entry_points import adapter_method, backbone_family
from adapterlab.train.capacity import Capacity
from adapterlab.train.device import precision_of, prepare
from adapterlab.train.lane import Lane, source_lane
from adapterlab.train.layers import Backbone, MethodLayer
from adapterlab.train.loop import side_by_side, take_together
from adapterlab.train.step import Steps
from adapterlab.train.tensor_files import check_model_files

_ROWS = 4
"""Batches of different rows."""
_SECONDS = 10.0
"""After so long no more lanes are tried."""
_LEAST_STEPS = 3
"""Steps of a number of lanes without which its time says nothing; the first reserves memory and does not count."""


@dataclass(frozen=True)
class SpeedOrder:
    """What to measure."""

    folder: str
    """The backbone's."""
    architecture: str
    precision: str
    method: str
    """Adapter method whose runs train."""
    settings: Mapping[str, Any]
    """The method's."""
    tokens: int
    """Of each row, >= 2."""
    batch_size: int
    backbone_dropout: bool
    threads: int
    """CPU threads, >= 1."""
    gpu: bool


@dataclass(frozen=True)
class Speed:
    """What was measured."""

    device: str
    """``"cpu"``, or the card's name."""
    lanes: int
    """Runs in a pass where it was fastest."""
    seconds_per_row: float
    """Of one run, at that number."""


def measured(order: SpeedOrder) -> Speed:
    """Load a backbone, and train on it until the best number of lanes is found, or some ten seconds.

    Raises:
        BackboneError: It cannot be loaded.
        TrainingError: One step does not fit into memory.
    """
    device = prepare(threads=order.threads, gpu=order.gpu)
    folder, family = Path(order.folder), backbone_family(order.architecture)
    check_model_files(weight_files(folder), family.holds)
    backbone = family.load(folder, dtype=precision_of(order.precision), device=device)
    plugin = adapter_method(order.method)
    method = plugin.layer(plugin.settings.model_validate(order.settings), backbone.shape)
    inputs = family.input_format(json.loads((folder / "config.json").read_bytes()))
    task = made_up_task(
        min(order.tokens, backbone.max_length), _ROWS * order.batch_size, vocabulary=inputs.vocabulary or 2
    )
    settings = TrainSettings(
        lr=1e-4,
        max_epochs=1_000_000,
        patience=1_000_000,
        batch_size=order.batch_size,
        backbone_dropout=order.backbone_dropout,
    )
    lanes, seconds = fastest(backbone, method, task, settings)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return Speed(name, lanes, seconds / order.batch_size)


def fastest(
    backbone: Backbone,
    method: MethodLayer,
    task: TaskData,
    settings: TrainSettings,
    *,
    capacity: Capacity | None = None,
) -> tuple[int, float]:
    """Return the number of lanes whose steps take each of them least, and how long: seconds a lane's step.

    Args:
        backbone: The frozen backbone.
        method: What trains, one adapter a lane.
        task: What on.
        settings: How.
        capacity: What finds the number; ``None``: one that starts with a single lane.
    """
    capacity = capacity or Capacity(limit=1 if method.trains_backbone else 64)
    lanes: list[Lane] = []
    times: dict[int, list[float]] = {}
    began = time.monotonic()

    def tell(count: int, seconds: float) -> None:
        times.setdefault(count, []).append(seconds / count)

    with Steps[Lane](backbone, capacity, tell=tell) as steps:
        while True:
            if len(lanes) < capacity.lanes:
                steps.settle()
            while len(lanes) < capacity.lanes:
                fresh = source_lane(backbone, method, task, settings, seed=len(lanes), name=f"{len(lanes)}")
                lanes.append(fresh)
            take_together(steps, side_by_side(lanes[: capacity.lanes]))
            told = {count: median(one[1:]) for count, one in times.items() if len(one) >= _LEAST_STEPS}
            if told and (capacity.settled or time.monotonic() - began > _SECONDS):
                best = min(told, key=lambda count: told[count])
                return best, told[best]


def made_up_task(tokens: int, rows: int, *, vocabulary: int) -> TaskData:
    """Return rows of so many tokens each, of two classes, for all three splits."""
    random = np.random.default_rng(0)
    examples = Examples(
        token_ids=random.integers(0, vocabulary, rows * tokens).astype(np.int32),
        type_ids=np.zeros(rows * tokens, dtype=np.int32),
        offsets=np.arange(0, rows * tokens + 1, tokens, dtype=np.int64),
        labels=random.integers(0, 2, rows).astype(np.int64),
    )
    facts = TaskFacts("made/up", ProblemType.CLASSIFICATION, 2, ("no", "yes"), ("accuracy",), None)
    return TaskData(facts, examples, examples, examples)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measured(SpeedOrder(**json.load(sys.stdin))))) + "\n")
