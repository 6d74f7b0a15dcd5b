"""A tiny world whose spec has joint runs, and what its catalog keeps of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tiny_world import write_world

JOINT = """
[joint]
steps = {steps}
evaluate_every = {every}
batch_size = 8

[[joint.run]]
method = "adapter_m"
name = "mt_a"
settings = {{ reduction_factor = 8, per_task = true }}
lr = 5e-3
seeds = [0]
"""


def write_joint_world(folder: Path, *, steps: int = 24, every: int = 8, more: str = "") -> Path:
    """Write backbone, two tasks, and a spec whose targets they both are, with one joint run; return its path."""
    spec = write_world(folder, trials=1)
    text = spec.read_text(encoding="utf-8")
    text = text.replace('[targets]\ntasks = ["glue/rte"]', '[targets]\ntasks = ["glue/rte", "superglue/cb"]')
    text = text.replace('kind = ["scalearn", "scalearn_uniform"]', "kind = []")
    spec.write_text(text + JOINT.format(steps=steps, every=every) + more, encoding="utf-8")
    return spec


def joint_blobs(home: Path) -> dict[str, str]:
    """Return the sha256 of what is stored of joint runs, and of their tasks' adapters, by key."""
    with sqlite3.connect(home / "catalog.db") as connection:
        found = dict(connection.execute("SELECT key, blob FROM joint_runs WHERE state = 'complete'"))
        children = "SELECT child FROM lineage WHERE parent_kind = 'joint'"
        found |= dict(connection.execute(f"SELECT key, blob FROM adapters WHERE key IN ({children})"))
    connection.close()
    return found
