"""From rows to test metrics: label sets, choices and grouped answers, read, trained, scored, recomputed."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from adapterlab.data.task_data import load_task
from adapterlab.data.task_library import TaskLibrary
from adapterlab.records import TrainSettings
from adapterlab.train.lane import source_lane
from adapterlab.train.loop import train_lanes
from adapterlab.worker.run_recorder import outputs_document
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from adapterlab_encoder.loading import load
from tiny_trained import write_backbone

METHOD = PfeifferSettings(reduction_factor=8)  # four wide, at the backbone's 32


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbone")
    write_backbone(folder)
    return folder


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(task, backbone, tmp_path, *, root=None, rows=48, max_length=40):
    """Read a task, train an adapter for two epochs on some rows; return task and result."""
    data = load_task(
        TaskLibrary(tmp_path / "cache", root), task, backbone_folder=backbone, max_length=max_length
    )
    assert data.facts.n_train == len(data.train)
    short = type(data)(data.facts, data.train.first(rows), data.validation.first(rows), data.test.first(rows))
    settings = TrainSettings(lr=1e-3, max_epochs=2, patience=2, batch_size=8)
    model = load(backbone)
    method = PFEIFFER.layer(METHOD, model.shape)
    lanes = [source_lane(model, method, short, settings, seed=0, name=task, sees_test=True)]
    (result,) = train_lanes(
        model, lambda: lanes.pop() if lanes else None, capacity=1, on_epoch=lambda *_: True
    )
    return short, result


def test_label_sets(backbone, tmp_path):
    task, result = trained("synthetic/mentions", backbone, tmp_path)
    assert task.train.labels.shape == (48, 6)
    assert result.test_outputs.shape == (48, 6)
    kept = outputs_document(result.test_outputs, task)
    said = np.array(kept["outputs"]) > 0
    again = f1_score(kept["labels"], said, average="macro", zero_division=0)
    assert result.test_metrics["f1_macro"] == pytest.approx(again)
    assert result.tensors["head.out.bias"].shape == (6,)


def test_choices(backbone, tmp_path):
    task, result = trained("synthetic/retelling", backbone, tmp_path)
    assert task.train.choices == 3
    assert result.test_outputs.shape == (48, 3)
    kept = outputs_document(result.test_outputs, task)
    again = accuracy_score(kept["labels"], np.array(kept["outputs"]).argmax(axis=1))
    assert result.test_metrics["accuracy"] == again
    assert result.tensors["head.out.bias"].shape == (1,)


def test_real_choices(backbone, tmp_path, real_data):
    task, result = trained("superglue/copa", backbone, tmp_path, root=real_data)
    assert task.facts.n_labels == 1
    assert result.test_outputs.shape == (48, 2)
    assert (task.facts.n_train, task.facts.n_validation, task.facts.n_test) == (360, 40, 100)


def test_real_label_sets(backbone, tmp_path, real_data):
    task, result = trained("multilabel/disaster_response", backbone, tmp_path, root=real_data)
    assert result.test_outputs.shape == (48, 34)
    assert (task.facts.n_train, task.facts.n_validation, task.facts.n_test) == (1873, 463, 2397)


def test_answers_are_scored_by_their_question(backbone, tmp_path, real_data):
    """MultiRC's rows, cut to what the tiny backbone takes: a length other than 128 holds for all tasks."""
    given, few = real_data / "superglue" / "multirc", tmp_path / "superglue" / "multirc"
    few.mkdir(parents=True)
    for split in ("train", "validation"):
        lines = (given / f"{split}.jsonl").read_text().splitlines(keepends=True)
        (few / f"{split}.jsonl").write_text("".join(lines[:300]))
        shutil.copy(given / f"{split}.paragraphs.jsonl", few)
    task, result = trained("superglue/multirc", backbone, tmp_path, root=tmp_path, rows=200)
    assert task.test.groups is not None
    kept = outputs_document(result.test_outputs, task)
    said = np.array(kept["outputs"]).argmax(axis=1)
    labels, groups = np.array(kept["labels"]), np.array(kept["groups"])
    assert result.test_metrics["f1"] == pytest.approx(f1_score(labels, said, zero_division=0))
    whole = [(said[groups == group] == labels[groups == group]).all() for group in np.unique(groups)]
    assert 1 < len(whole) < 200
    assert result.test_metrics["group_accuracy"] == pytest.approx(np.mean(whole))
