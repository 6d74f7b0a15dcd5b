"""Tasks a person declares in the spec, without Python; and targets of which only a few rows train."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from adapterlab.catalog.store import Catalog, open_catalog
from tiny_world import WORDS, platform, write_backbone

OWN = """
name = "own"
[backbone]
source = "folder:backbone"
[data]
max_length = 24
[[task]]
name = "mine/reviews"
train = "reviews.csv"
text = ["{title}: {body}"]
label = "stars"
metrics = ["f1_macro", "accuracy"]
[[task]]
name = "mine/topics"
train = "topics.tsv"
test = "topics_test.tsv"
type = "multi_label"
text = ["text"]
label = "topics"
delimiter = ";"
[[task]]
name = "mine/endings"
folder = "endings"
type = "multiple_choice"
text = ["start"]
choices = ["end0", "end1", "end2"]
label = "answer"
splits = "own"
[pool]
tasks = ["mine/reviews", "mine/topics", "mine/endings"]
[targets]
tasks = ["mine/topics", "mine/endings"]
[adapter]
settings = { reduction_factor = 8 }
[source]
max_epochs = 2
[combiner]
kind = "scalearn_uniform"
[search]
trials = 1
lr = 5e-3
[transfer]
max_epochs = 2
[final]
seeds = [0, 1]
[cluster]
workers = 1
"""


def write_world(folder: Path) -> Path:
    draw = random.Random(0)

    def words(count: int) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(count))

    write_backbone(folder / "backbone")
    with (folder / "reviews.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["title", "body", "stars"])
        writer.writerows([words(2), f'{words(3)}, "{words(1)}"', n % 3 + 1] for n in range(90))
    for name in ("topics", "topics_test"):
        lines = [
            "text\ttopics",
            *(f"{words(4)}\t{';'.join(sorted({'ab'[n % 2], 'bc'[n % 3 % 2]}))}" for n in range(60)),
        ]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    (folder / "endings").mkdir()
    for name in ("train", "dev", "test"):
        rows = [
            {"start": words(3), **{f"end{c}": words(2) for c in range(3)}, "answer": n % 3} for n in range(40)
        ]
        (folder / "endings" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = folder / "own.toml"
    spec.write_text(OWN)
    return spec


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    write_world(folder)
    return folder


def _catalog(home: Path) -> Catalog:
    return open_catalog(f"sqlite:///{home}/catalog.db", str(home / "blobs"), locks=home / "locks")


@pytest.mark.slow
def test_two_files_and_a_table_are_enough_for_a_task(world):
    done = platform(world / "home", "submit", str(world / "own.toml"))
    assert done.returncode == 0, done.stderr
    with _catalog(world / "home") as catalog:
        before = catalog.adapters()
    assert {one.task: one.metric for one in before} == {
        "mine/reviews": "f1_macro",
        "mine/topics": "f1_macro",
        "mine/endings": "accuracy",
    }
    again = platform(world / "home", "submit", str(world / "own.toml"))
    assert again.returncode == 0, again.stderr
    with _catalog(world / "home") as catalog:
        assert catalog.adapters() == before


@pytest.mark.slow
def test_every_seed_of_a_few_shot_sweep_has_its_own_rows_and_source_adapter(world):
    few = [
        "--set",
        "data.few_shot=8",
        "--set",
        "data.few_shot_draw=per_seed",
        "--set",
        "few_shot.max_steps=3",
        "--set",
        'targets.tasks=["mine/topics"]',
    ]
    home = world / "few"
    plan = platform(home, "plan", str(world / "own.toml"), "--json", *few)
    steps = json.loads(plan.stdout)["steps"]
    sources = [step["title"] for step in steps if step["kind"] == "source"]
    assert "source · topics · 8 rows · seed 1" in sources
    assert "source · reviews · seed 0" in sources  # the others keep all of their rows
    done = platform(home, "submit", str(world / "own.toml"), *few)
    assert done.returncode == 0, done.stderr
    with _catalog(home) as catalog:
        adapters = {one.key: one for one in catalog.adapters()}
        transfers = {one.seed: one for one in catalog.transfers(task="mine/topics")}
        used = {
            seed: [adapters[one.adapter_key] for one in catalog.coefficients(transfer.key) if one.layer == 0]
            for seed, transfer in transfers.items()
        }
    for seed, pool in used.items():
        own = next(one for one in pool if one.task == "mine/topics")
        assert own.seed == own.settings["rows"]["draw"] == seed
        assert own.train_rows == 24  # three epochs of eight rows
    shared = [{one.key for one in pool if one.task != "mine/topics"} for pool in used.values()]
    assert shared[0] == shared[1]
    assert len(used) == 2
    exported = platform(home, "export", transfers[1].key, "--to", str(world / "out"))
    assert exported.returncode == 0, exported.stderr
