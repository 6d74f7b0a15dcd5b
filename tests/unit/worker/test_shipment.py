"""A machine that shares nothing but the blob store trains on the driver's backbone and rows, or says why not."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapterlab import home
from adapterlab.data.split_files import MissingDataError
from adapterlab.data.task_data import load_task
from adapterlab.data.task_facts import task_facts
from adapterlab.data.task_library import TaskLibrary
from adapterlab.data.task_rows import train_texts
from adapterlab.errors import UnavailableError
from adapterlab.spec.tasks import TaskSpec
from adapterlab.worker.arrival import receive_backbone, receive_rows
from adapterlab.worker.orders import BackboneFiles, Context, from_json, to_json
from adapterlab.worker.shipment import remove_unused, ship
from catalogs import open_at
from tiny_world import write_backbone, write_tasks

TASKS = ("glue/rte", "superglue/cb", "mine/own")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_backbone(folder)
    return folder


@pytest.fixture
def laptop(tmp_path) -> TaskLibrary:
    """The driver's own files."""
    write_tasks(tmp_path / "laptop" / "data")
    table = tmp_path / "laptop" / "spec" / "own.csv"
    table.parent.mkdir()
    lines = [f"the cat number {number},{'ab'[number % 2]}" for number in range(40)]
    table.write_text("\n".join(["text,label", *lines]))
    own = TaskSpec.model_validate(
        {"name": "mine/own", "train": str(table), "text": ["text"], "label": "label"}
    )
    return TaskLibrary(
        tmp_path / "laptop" / "cache",
        tmp_path / "laptop" / "data",
        own_tasks={own.name: own},
        own_folder=table.parent,
    )


def shipped(laptop: TaskLibrary, backbone: Path, blobs: str, tasks=TASKS) -> Context:
    """Return the driver's context after it has handed over its files."""
    facts = [task_facts(laptop, task) for task in tasks]
    shipment = ship(backbone, laptop, facts, blobs=blobs, tell=lambda _: None)
    context = Context(
        sweep_key="k", name="n", stores=replace(home.stores(), blobs=blobs), experiment="x",
        backbone=BackboneFiles(str(backbone), "bert", "d", "float32"), library=laptop, max_length=24,
        max_train_rows=None, lanes=4, threads=1, gpu=False, shipment=shipment,
    )  # fmt: skip
    return from_json(Context, json.loads(json.dumps(to_json(context))))


def on_host(context: Context, folder: Path) -> Context:
    """Return a context as a machine with a home of its own sees it."""
    return receive_backbone(replace(context, stores=replace(context.stores, home=str(folder))))


@pytest.fixture(params=["folder", "memory"])
def blobs(request, tmp_path) -> str:
    return str(tmp_path / "blobs") if request.param == "folder" else f"memory://inputs-{tmp_path.name}"


@pytest.mark.parametrize("task", TASKS)
def test_a_host_without_any_file_sees_the_same_rows(laptop, backbone, blobs, tmp_path, task):
    model = tmp_path / "model"
    shutil.copytree(backbone, model)
    here = load_task(laptop, task, backbone_folder=model, max_length=24)
    texts = list(train_texts(laptop, task))
    context = shipped(laptop, model, blobs)
    shutil.rmtree(model)
    shutil.rmtree(tmp_path / "laptop")

    host = on_host(context, tmp_path / "host")
    receive_rows(host, task)
    there = load_task(host.library, task, backbone_folder=Path(host.backbone.folder), max_length=24)
    assert there.facts.identity() == here.facts.identity()
    for split in ("train", "validation", "test"):
        for name in ("token_ids", "type_ids", "offsets", "labels"):
            ours, theirs = (getattr(getattr(data, split), name) for data in (here, there))
            assert np.array_equal(ours, theirs), (split, name)
    assert list(train_texts(host.library, task)) == texts
    assert {path.name for path in Path(host.backbone.folder).iterdir()} >= {
        "config.json",
        "model.safetensors",
    }


def test_other_files_of_the_same_name_on_a_host_are_not_read(laptop, backbone, blobs, tmp_path):
    context = shipped(laptop, backbone, blobs)
    write_tasks(tmp_path / "laptop" / "data", seed=1)  # the host's copy of the folder says something else
    host = on_host(context, tmp_path / "host")
    receive_rows(host, "glue/rte")
    data = load_task(host.library, "glue/rte", backbone_folder=Path(host.backbone.folder), max_length=24)
    assert data.facts.content_digest == context.shipment.facts["glue/rte"].content_digest


def test_generated_tasks_are_made_where_they_are_needed(laptop, backbone, blobs):
    context = shipped(laptop, backbone, blobs, tasks=("synthetic/nli", "glue/rte"))
    assert set(context.shipment.facts) == {"glue/rte"}


def test_what_is_in_the_store_is_not_written_again(laptop, backbone, tmp_path):
    blobs = tmp_path / "blobs"
    shipped(laptop, backbone, str(blobs))
    before = {path: path.stat().st_mtime_ns for path in blobs.rglob("*") if path.is_file()}
    shipped(laptop, backbone, str(blobs))
    assert {path: path.stat().st_mtime_ns for path in blobs.rglob("*") if path.is_file()} == before


def age(blobs: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in blobs.rglob("*.safetensors"):
        os.utime(path, (then, then))


def test_what_was_handed_over_long_ago_is_made_young_again(laptop, backbone, tmp_path):
    """So that nobody may remove it from under the sweep that begins."""
    blobs = tmp_path / "blobs"
    shipped(laptop, backbone, str(blobs))
    age(blobs, 13 * 3600)
    with open_at(f"sqlite:///{tmp_path / 'catalog.db'}", tmp_path) as catalog:
        shipped(laptop, backbone, str(blobs), tasks=("glue/rte",))
        kept = remove_unused(catalog, str(blobs), grace_s=0, dry_run=True)
        assert kept == []
        age(blobs, 25 * 3600)
        context = shipped(laptop, backbone, str(blobs), tasks=("glue/rte",))
        assert remove_unused(catalog, str(blobs), grace_s=0, dry_run=False)
    on_host(context, tmp_path / "host")
    receive_rows(context, "glue/rte")


def test_what_no_sweep_has_handed_over_lately_is_removed_while_none_runs(laptop, backbone, tmp_path):
    blobs = tmp_path / "blobs"
    shipped(laptop, backbone, str(blobs))
    files = sorted(blobs.rglob("*.safetensors"))
    age(blobs, 3 * 24 * 3600)
    with open_at(f"sqlite:///{tmp_path / 'catalog.db'}", tmp_path) as catalog:
        catalog.open_sweep("ab" * 32, "other", "{}", [])
        (claim,) = catalog.claim_many(["ab" * 32], owner="somebody", lease_s=60).values()
        assert remove_unused(catalog, str(blobs), grace_s=0, dry_run=False) == []
        catalog.release([claim])
        assert remove_unused(catalog, str(blobs), grace_s=4 * 24 * 3600, dry_run=False) == []
        said = remove_unused(catalog, str(blobs), grace_s=0, dry_run=True)
        assert sorted(blobs.rglob("*.safetensors")) == files
        removed = remove_unused(catalog, str(blobs), grace_s=0, dry_run=False)
    assert said == removed
    assert sorted(file.name for file in removed) == sorted(path.stem for path in files)
    assert list(blobs.rglob("*.safetensors")) == []


def test_a_host_that_sees_another_store_says_so(laptop, backbone, tmp_path):
    context = shipped(laptop, backbone, str(tmp_path / "blobs"))
    elsewhere = replace(context, stores=replace(context.stores, blobs=str(tmp_path / "its own")))
    with pytest.raises(UnavailableError, match="not in its") as told:
        on_host(elsewhere, tmp_path / "host")
    assert "all machines of the cluster share" in told.value.remedy


def test_a_damaged_input_is_never_trained_on(laptop, backbone, tmp_path):
    blobs = tmp_path / "blobs"
    context = shipped(laptop, backbone, str(blobs))
    for path in blobs.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UnavailableError, match="damaged"):
        on_host(context, tmp_path / "host")


def test_rows_that_vanish_from_a_host_are_missed_by_name(laptop, backbone, blobs, tmp_path):
    host = on_host(shipped(laptop, backbone, blobs), tmp_path / "host")
    with pytest.raises(MissingDataError, match="handed to this machine are gone"):
        load_task(host.library, "glue/rte", backbone_folder=Path(host.backbone.folder), max_length=24)
