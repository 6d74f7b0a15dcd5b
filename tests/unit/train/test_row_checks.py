"""Ids and labels that have no row in a table are told before they reach the device, on every way there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adapterlab.errors import DataError
from adapterlab.records import JointSettings, TrainSettings
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.adaptation import OwnAdapter, Seat
from adapterlab.train.features import FewRows
from adapterlab.train.joint.run import JointRun
from adapterlab.train.lane import source_lane
from adapterlab.train.predict import outputs
from adapterlab.train.rng import stream
from adapterlab.train.row_checks import check_task
from adapterlab.train.task_similarity import text_embedding
from adapterlab_joint.plugin import ADAPTER_M
from tiny_models import random_choice_task, random_encoder, random_task

ENCODER = random_encoder(layers=1, d=16)
SETTINGS = TrainSettings(lr=1e-3, max_epochs=1, patience=1, batch_size=4)
METHOD = adapter_method("pfeiffer").layer(
    adapter_method("pfeiffer").settings(reduction_factor=4), ENCODER.shape
)


def spoiled(examples, name, value):
    """Return rows whose last number of a kind is another."""
    numbers = getattr(examples, name).copy()
    numbers[-1] = value
    return replace(examples, **{name: numbers})


BAD_IDS = [
    ("token_ids", ENCODER.words, "token ids from"),
    ("token_ids", -1, "token ids from -1"),
    ("type_ids", ENCODER.types, "token type ids from"),
    ("type_ids", -2, "token type ids from -2"),
]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("name", "value", "says"), [*BAD_IDS, ("labels", 2, "labels from 0 to 2, expected 0 to 1")]
)
def test_a_lane_is_refused_rows_that_its_backbone_or_head_has_no_place_for(split, name, value, says):
    task = random_task(rows=8)
    task = replace(task, **{split: spoiled(getattr(task, split), name, value)})
    with pytest.raises(DataError, match=says):
        source_lane(ENCODER, METHOD, task, SETTINGS, seed=0, name="lane")


def test_a_joint_run_is_refused_them_too():
    tasks = [random_task("suite/one", rows=8), random_task("suite/two", rows=8)]
    tasks[1] = replace(tasks[1], train=spoiled(tasks[1].train, "token_ids", ENCODER.words))
    layer = ADAPTER_M.layer(ADAPTER_M.settings(), ENCODER.shape, ["suite/one", "suite/two"])
    settings = JointSettings(lr=1e-3, steps=2, evaluate_every=2, patience=1, batch_size=4)
    with pytest.raises(DataError, match="suite/two: token ids"):
        JointRun(ENCODER, layer, tasks, settings, seed=0, name="joint")


@pytest.mark.parametrize(("name", "value", "says"), BAD_IDS)
def test_predictions_and_measurements_are_refused_them_too(name, value, says):
    task = random_task(rows=8)
    bad = spoiled(task.train, name, value)
    adapter = METHOD.initial(stream(0, "adapter"))
    ways = [
        lambda: outputs(ENCODER, Seat(OwnAdapter(METHOD), adapter), bad),
        lambda: text_embedding(ENCODER, bad),
        lambda: FewRows(ENCODER, METHOD, replace(task, train=bad))(adapter, 8, 0),
    ]
    for way in ways:
        with pytest.raises(DataError, match=says):
            way()


def test_a_choice_that_is_not_there_is_no_label():
    task = random_choice_task(rows=6)
    task = replace(task, test=spoiled(task.test, "labels", task.test.choices))
    with pytest.raises(DataError, match=rf"labels from 0 to {task.test.choices}, expected 0 to"):
        check_task(ENCODER, task)


def test_what_fits_is_not_refused():
    task = random_task(rows=8)
    highest = spoiled(spoiled(task.train, "token_ids", ENCODER.words - 1), "type_ids", ENCODER.types - 1)
    check_task(ENCODER, replace(task, train=highest))
    number = random_task(rows=8, n_labels=1)
    check_task(ENCODER, replace(number, train=replace(number.train, labels=np.full(8, -3.5))))
