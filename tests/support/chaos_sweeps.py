"""The sweeps that rounds of chaos disturb: on one backbone and four tasks, with steps of every kind among them."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tiny_world import WORDS, write_backbone, write_tasks

_BASE = """\
name = "base"

[backbone]
source = "folder:backbone"

[data]
root = "data"
max_length = 24

[[task]]
name = "mine/first"
train = "first.jsonl"
text = ["text"]

[[task]]
name = "mine/second"
train = "second.jsonl"
text = ["text"]

[pool]
tasks = ["glue/rte", "superglue/cb"]

[targets]
tasks = ["glue/rte"]

[adapter]
settings = {{ reduction_factor = 8 }}

[source]
max_epochs = 3
lr = 5e-3

[combiner]
kind = "scalearn_uniform"

[search]
trials = 2

[transfer]
max_epochs = 3

[final]
seeds = [0]

[cluster]
workers = 2
lease_s = {lease_s}
"""
SWEEPS = {
    "studies": """
[combiner]
kind = ["scalearn", "scalearn_uniform"]

[search]
trials = 3
dropout = { choices = [0.0, 0.3] }

[final]
seeds = [0, 1]
""",
    # One joint run is searched; of the other each task's adapter is combined.
    "joint": """
[pool]
training = "mt"

[targets]
tasks = ["glue/rte", "superglue/cb"]

[search]
lr = 1e-2

[joint]
steps = 24
evaluate_every = 6
batch_size = 8

[[joint.run]]
method = "adapter_m"
name = "mt"
settings = { reduction_factor = 8, per_task = true }
lr = 5e-3

[[joint.run]]
method = "adapter_m"
name = "searched"
settings = { reduction_factor = 8 }
lr = { low = 1e-3, high = 1e-2, log = true }
""",
    "selections": """
[pool]
tasks = ["glue/rte", "superglue/cb", "mine/first", "mine/second"]
size = 2
rule = ["text_similarity", "adapter_similarity", "forward_selection"]

[search]
lr = 1e-2
""",
    "few rows": """
[data]
few_shot = [8, "all"]
few_shot_draw = "per_seed"

[few_shot]
max_steps = 6

[final]
seeds = [0, 1]

[[baseline]]
method = "head_only"
lr = 1e-2
""",
    # The pool's adapters and a baseline are searched as well, and every trial is judged by two folds.
    "searched sources": """
[adapter]
settings = { reduction_factor = { choices = [4, 8] } }

[source]
lr = { low = 1e-3, high = 1e-2, log = true }

[search]
folds = 2

[[baseline]]
method = "lora"
lr = { low = 1e-3, high = 1e-2, log = true }
settings = { r = { low = 1, high = 4 } }
""",
}
"""By name: what each has of its own."""


def write_sweeps(folder: Path, *, lease_s: float) -> dict[str, Path]:
    """Write backbone, tasks and specs; return the specs by the names in ``SWEEPS``."""
    write_backbone(folder / "backbone")
    write_tasks(folder / "data", rows=40)
    for name in ("first", "second"):
        _write_rows(folder / f"{name}.jsonl", name)
    (folder / "base.toml").write_text(_BASE.format(lease_s=lease_s), encoding="utf-8")
    specs = {name: folder / f"{name.replace(' ', '_')}.toml" for name in SWEEPS}
    for name, spec in specs.items():
        spec.write_text(f'extends = "base.toml"\nname = "{spec.stem}"\n{SWEEPS[name]}', encoding="utf-8")
    return specs


def _write_rows(path: Path, seed: str) -> None:
    draw = random.Random(seed)
    texts = [" ".join([WORDS[number % 2], *draw.choices(WORDS, k=6)]) for number in range(50)]
    rows = [json.dumps({"text": text, "label": number % 2}) for number, text in enumerate(texts)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
