"""What workers must know reaches them as JSON and means the same there."""

from __future__ import annotations

import json
from pathlib import Path

from adapterlab import home
from adapterlab.data.task_library import TaskLibrary
from adapterlab.spec.tasks import TaskSpec
from adapterlab.worker.orders import BackboneFiles, Context, from_json, to_json


def test_a_context_travels_as_json_with_the_tasks_it_names(tmp_path):
    own = TaskSpec.model_validate({"name": "mine/own", "train": "a.csv", "text": ["text"]})
    library = TaskLibrary(tmp_path / "cache", Path("/data"), own_tasks={own.name: own}, own_folder=tmp_path)
    context = Context(
        sweep_key="k", name="n", stores=home.stores(), experiment="x",
        backbone=BackboneFiles("f", "bert", "d", "float32"), library=library, max_length=24,
        max_train_rows=None, lanes=4, threads=1, gpu=False,
    )  # fmt: skip
    assert from_json(Context, json.loads(json.dumps(to_json(context)))) == context
