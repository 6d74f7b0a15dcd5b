"""Joint runs in a sweep: trained, stopped and gone on with, failed, kept, shown, and combined."""

from __future__ import annotations

import json

import pytest

from adapterlab import api
from adapterlab.catalog.blobs import LocalBlobs
from adapterlab.catalog.store import open_catalog
from adapterlab.data.task_library import TaskLibrary
from adapterlab.driver.preview import compile_spec
from adapterlab.driver.sweep import run_sweep
from adapterlab.errors import CancelledError, ConflictError, PartialFailureError, UsageError
from adapterlab.records import State
from adapterlab.reporting.collect import summarise
from adapterlab.spec.load import load_spec
from adapterlab.train.joint import run as engine
from adapterlab.worker.worker import Worker
from joint_world import joint_blobs, write_joint_world

HYPER = """
[[joint.run]]
method = "hyperformer_pp"
settings = { task_embedding = 6, hidden = 5, projected = 4, reduction_factor = 8 }
lr = 5e-3
seeds = [0, 1]

[[joint.run]]
method = "propetl_m"
settings = { reduction_factor = 8 }
seeds = [0]

[[joint.run]]
method = "full_m"
seeds = [0]
"""
ALONE = ("pool.training='mt_a'",)
FUSED = ("pool.training=['single', 'mt_a']", "combiner.kind=['adapterfusion']", "final.seeds=[0]")


def submit(spec, *overrides):
    loaded = load_spec(str(spec), ["cluster.launcher='in_process'", *overrides])
    return run_sweep(
        compile_spec(loaded), loaded.resolved(), stores=loaded.stores(), spec_toml=loaded.text,
        library=TaskLibrary.of_loaded(loaded),
    )  # fmt: skip


def catalog_at(home):
    return open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A whole sweep of three joint runs, and fusion over one of them."""
    folder = tmp_path_factory.mktemp("joint")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPTERLAB_HOME", str(folder / "home"))
        spec = write_joint_world(folder, more=HYPER)

        outcome = submit(spec, *FUSED)
        yield folder / "home", outcome, spec


@pytest.mark.slow
def test_what_each_task_has_of_a_run_is_a_row_beside_the_others(done):
    home, outcome, _ = done
    with catalog_at(home) as catalog:
        summary = summarise(catalog, catalog.sweep(outcome.sweep_key), cache=home / "cache")
        runs = {one.key: one for one in catalog.joint_runs()}
        assert len(runs) == 5
        shares = [catalog.get_adapter(share.key) for run in runs.values() for share in run.shares]
    assert summary.combiners == (
        "mt_a",
        "hyperformer_pp",
        "propetl_m",
        "full_m",
        "adapterfusion",
        "adapterfusion over mt_a",
    )
    cells = {(cell.target, cell.combiner): cell for cell in summary.cells}
    assert len(cells[("glue/rte", "hyperformer_pp")].test) == 2
    assert not any(cell.gaps for cell in summary.cells)
    for share in shares:
        assert set(share.test) == set(share.metrics)
        assert share.metric in share.test
    taken = sum(one.seconds for one in runs.values())
    assert sum(one.seconds for one in shares) == pytest.approx(taken)
    others = [value for key, value in summary.step_seconds.items() if key not in {one.key for one in shares}]
    assert summary.device_seconds == pytest.approx(taken + sum(others))


@pytest.mark.slow
def test_a_task_answers_as_it_was_tested(done):
    home, _, _ = done
    with catalog_at(home) as catalog, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPTERLAB_HOME", str(home))
        for run in catalog.joint_runs():
            for share in run.shares:
                record = catalog.get_adapter(share.key)
                name = "validation.jsonl"
                rows = home.parent / "data" / share.task / name
                found = api.evaluate(record.key, [json.loads(line) for line in rows.read_text().splitlines()])
                assert found.scores["accuracy"].value == pytest.approx(record.test["accuracy"])
            with pytest.raises(UsageError, match="a joint run, which has several tasks") as error:
                api.evaluate(run.key, [])
            assert all(f"{one.key[:12]} ({one.task})" in error.value.remedy for one in run.shares)


@pytest.mark.slow
def test_only_an_adapter_that_is_one_by_itself_is_exported(done, tmp_path):
    home, _, _ = done
    with catalog_at(home) as catalog, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPTERLAB_HOME", str(home))
        by_method = {one.method: one for one in catalog.joint_runs()}
        whole = api.export(by_method["adapter_m"].shares[0].key, tmp_path / "mt_a")
        assert whole.difference < 1e-5
        with pytest.raises(UsageError, match="hyperformer_pp adapters, which no format"):
            api.export(by_method["hyperformer_pp"].shares[0].key, tmp_path / "hyper")
        with pytest.raises(UsageError, match="a joint run, which has several tasks") as error:
            api.export(by_method["adapter_m"].key, tmp_path / "run")
        assert by_method["adapter_m"].shares[1].key[:12] in error.value.remedy


@pytest.mark.slow
def test_submitting_again_trains_nothing(done):
    home, _, spec = done
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPTERLAB_HOME", str(home))
        assert submit(spec, *FUSED).nothing_to_do
    assert not list((home / "blobs" / "checkpoints").glob("*"))


@pytest.mark.slow
def test_a_damaged_part_of_a_run_lets_all_of_it_be_done_again(tmp_path, home):
    spec = write_joint_world(tmp_path)
    submit(spec, *ALONE)
    before = joint_blobs(home)
    with catalog_at(home) as catalog:
        (run,) = catalog.joint_runs()
        blob = catalog.get_adapter(run.shares[1].key).blob
    (path,) = (home / "blobs").rglob(f"{blob}*")
    path.write_bytes(path.read_bytes()[:-8])
    assert len(submit(spec, *ALONE).repaired) == 1
    assert joint_blobs(home) == before


@pytest.mark.slow
def test_a_part_is_removed_with_its_run_alone(tmp_path, home):
    submit(write_joint_world(tmp_path), *ALONE)
    with catalog_at(home) as catalog:
        (run,) = catalog.joint_runs()
        with pytest.raises(ConflictError, match="what glue/rte has of the joint run"):
            catalog.remove(run.shares[0].key)
        catalog.remove(run.key)
        assert catalog.joint_runs() == []
        states = catalog.status([run.key, *(share.key for share in run.shares)])
        assert {one.state for one in states.values()} == {State.PENDING}


# -- stopped and gone on with ------------------------------------------------------------------------


@pytest.fixture
def steps(monkeypatch):
    """Count the steps of joint runs; of a number above 0 the run is asked to stop once it has had so many."""
    counted = {"taken": 0, "stop at": 0}
    step, check = engine.JointRun.next_step, Worker.check_cancelled

    def counting(run):
        counted["taken"] += 1
        return step(run)

    def stopping(worker):
        check(worker)
        if counted["taken"] == counted["stop at"]:
            counted["stop at"] = 0
            raise CancelledError("stopped on request")

    monkeypatch.setattr(engine.JointRun, "next_step", counting)
    monkeypatch.setattr(Worker, "check_cancelled", stopping)
    return counted


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_bits(tmp_path, home, monkeypatch, steps):
    spec = write_joint_world(tmp_path)
    submit(spec, *ALONE)
    undisturbed = joint_blobs(home)
    assert len(undisturbed) == 3
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "second"))
    steps |= {"taken": 0, "stop at": 13}
    submit(spec, *ALONE)
    assert steps == {"taken": 24, "stop at": 0}  # none of them twice
    assert joint_blobs(tmp_path / "second") == undisturbed
    assert not list((tmp_path / "second" / "blobs" / "checkpoints").glob("*"))


@pytest.mark.slow
def test_a_checkpoint_that_was_damaged_is_none(tmp_path, home, monkeypatch, steps):
    keep = LocalBlobs.keep_checkpoint

    def damaged(blobs, key, data):
        keep(blobs, key, data)
        (path,) = (blobs.root / "checkpoints").glob("*")
        stored = path.read_bytes()
        path.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))

    monkeypatch.setattr(LocalBlobs, "keep_checkpoint", damaged)
    steps["stop at"] = 9
    submit(write_joint_world(tmp_path), *ALONE)
    assert steps["taken"] == 9 + 24
    assert len(joint_blobs(home)) == 3


@pytest.mark.slow
def test_a_run_that_diverges_fails_alone_and_says_why(tmp_path, home, monkeypatch):
    """Not even a rate of 1 lets a tiny model diverge, so that a weight is spoilt in the middle of one run."""
    second = '[[joint.run]]\nmethod = "adapter_m"\nname = "spoilt"\nseeds = [0]\n'
    spec = write_joint_world(tmp_path, more=second)
    step = engine.JointRun.next_step

    def spoiling(run):
        if run.name == "spoilt" and run.step == 11:
            next(iter(run.tensors.values())).data.fill_(float("nan"))
        return step(run)

    monkeypatch.setattr(engine.JointRun, "next_step", spoiling)
    with pytest.raises(PartialFailureError) as error:
        submit(spec, *ALONE)
    failed = error.value.details["failed"]
    assert sorted(failed) == [
        "joint/spoilt/seed=0", "source/glue/rte/spoilt/seed=0", "source/superglue/cb/spoilt/seed=0",
    ]  # fmt: skip
    assert "diverged in step 12" in failed["joint/spoilt/seed=0"]
    assert "its joint run failed: diverged" in failed["source/glue/rte/spoilt/seed=0"]
    assert len(joint_blobs(home)) == 3
    assert not list((home / "blobs" / "checkpoints").glob("*"))


# -- searched ------------------------------------------------------------------------------------------

TUNED = """
[[joint.run]]
method = "propetl_m"
name = "tuned"
settings = { reduction_factor = { choices = [8, 16] } }
lr = { low = 1e-4, high = 1e-2, log = true }
seeds = [0, 1]
"""
THREE = ("pool.training='mt_a'", "search.trials=3", "search.pruner='none'")


@pytest.mark.slow
def test_a_search_that_was_stopped_goes_on_and_chooses_the_same(tmp_path, home, monkeypatch, steps):
    spec = write_joint_world(tmp_path, steps=16, more=TUNED)
    submit(spec, *THREE)
    # Three trials and mt_a; the run of the search's seed goes on from the chosen trial, the other trains.
    assert steps["taken"] == 16 * (1 + 3 + 1)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "second"))
    steps |= {"taken": 0, "stop at": 16 + 16 + 9}  # in the second trial
    submit(spec, *THREE)
    assert steps == {"taken": 16 * 5, "stop at": 0}  # none of them twice
    assert joint_blobs(tmp_path / "second") == joint_blobs(home)
    assert not list((tmp_path / "second" / "blobs" / "checkpoints").glob("*"))
    with catalog_at(home) as catalog, catalog_at(tmp_path / "second") as again:
        (study,), (other,) = catalog.studies(), again.studies()
        assert (study.key, study.best_settings, study.best_value) == (
            other.key, other.best_settings, other.best_value,
        )  # fmt: skip
        assert list(study.tasks) == ["glue/rte", "superglue/cb"]
        assert (study.task, study.combiner, study.trials) == ("", "propetl_m", {"complete": 3})
        runs = [one for one in catalog.joint_runs() if one.method == "propetl_m"]
        assert {one.settings["training"]["lr"] for one in runs} == {study.best_settings["lr"]}
        assert {one.settings["study"] for one in runs} == {study.key}
        assert min(one.value for one in runs) <= study.best_value
        (sweep,) = catalog.sweeps()
        summary = summarise(
            catalog, catalog.sweep(sweep.key), cache=home / "cache",
            studies=f"sqlite:///{home / 'studies.db'}",
        )  # fmt: skip
    cells = [cell for cell in summary.cells if cell.combiner == "tuned"]
    assert [cell.search_trials for cell in cells] == [3, 3]
    assert sum(cell.search_seconds for cell in cells) == pytest.approx(study.seconds)
    assert all(cell.settings == study.best_settings for cell in cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPTERLAB_HOME", str(home))
        assert submit(spec, *THREE).nothing_to_do
        with pytest.raises(UsageError, match="a study, which has no weights") as error:
            api.evaluate(study.key, [])
        assert "catalog list --kind joint --method propetl_m" in error.value.remedy
