"""Tasks are made ready once, before any worker starts, and the person who waits is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterlab import home
from adapterlab.data.task_library import TaskLibrary
from adapterlab.driver import prefetch as module
from adapterlab.driver.prefetch import prefetch
from adapterlab.driver.preview import compile_spec
from adapterlab.errors import CancelledError
from adapterlab.planning.plan import Plan
from adapterlab.spec.load import load_spec
from adapterlab.worker.orders import BackboneFiles, Context
from tiny_world import write_world


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, Context]:
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    loaded = load_spec(write_world(tmp_path))
    plan = compile_spec(loaded)
    context = Context(
        sweep_key="k", name="tiny", stores=home.stores(), experiment="x",
        backbone=BackboneFiles(str(plan.facts.backbone.folder), "bert", "d", "float32"),
        library=TaskLibrary.of_loaded(loaded),
        max_length=24, max_train_rows=None, lanes=None, threads=1, gpu=False,
    )  # fmt: skip
    monkeypatch.setattr(module, "_TELL_S", 0.0)
    return plan, context


def ready(context: Context) -> int:
    folder = context.stores.cache / "tokens"
    return len([path for path in folder.glob("*") if path.is_dir()]) if folder.is_dir() else 0


def test_only_what_is_to_be_done_is_made_ready_and_only_once(planned):
    plan, context = planned
    told: list[str] = []
    cb = next(one for one in plan.sources if one.job.task == "superglue/cb")
    prefetch(plan, {str(cb.key)}, context, told.append)
    assert ready(context) == 1
    assert all("superglue/cb" in one for one in told)
    assert any(one.startswith("tokenising") and one.endswith("of 90 rows") for one in told)
    prefetch(plan, {str(one.key) for one in plan.steps}, context, told.append)
    assert ready(context) == 2
    told.clear()
    prefetch(plan, {str(one.key) for one in plan.steps}, context, told.append)
    assert told == []


def test_whoever_cancels_meanwhile_leaves_nothing_half(planned):
    plan, context = planned

    def stop(phase: str) -> None:
        if phase.startswith("tokenising"):
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        prefetch(plan, {str(one.key) for one in plan.steps}, context, stop)
    assert ready(context) == 0
