"""Runs whose process died, slept or came second: ended once, taken over, never made twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from adapterlab.errors import UnavailableError
from adapterlab.records import State
from adapterlab.tracking.entities import REASON_TAG, STATE_TAG
from adapterlab.tracking.spool import refused, something_waits


def test_reap_ends_what_nobody_works_on(place):
    with place.open() as tracker:
        place.write_tree(tracker)
        tracker.run("s/study/1", name="one", parent="s/study").end(State.COMPLETE)
        tracker.run("s/study/2", name="two", parent="s/study")
        reaped = tracker.reap("s", keep={"s/study/2"}, reason="its worker died")
        assert {run.node for run in reaped} == {"s/source/a", "s/study", "s/study/0"}
        assert tracker.reap("s", keep={"s/study/2"}) == []
    runs = place.runs()
    assert {node: run.info.status for node, run in runs.items()} == {
        "s": "RUNNING",
        "s/source/a": "KILLED",
        "s/study": "KILLED",
        "s/study/0": "KILLED",
        "s/study/1": "FINISHED",
        "s/study/2": "RUNNING",
    }
    assert runs["s/study/0"].data.tags[REASON_TAG] == "its worker died"
    assert runs["s/study/0"].data.tags[STATE_TAG] == "killed"


def test_run_that_ends_after_it_was_reaped_is_what_its_owner_says(place):
    """A worker's last words arrive after the driver has given it up."""
    with place.open() as driver, place.open(spool=place.folder / "worker") as worker:
        driver.run("s", name="s", parent=None)
        driver.flush()
        run = worker.run("s/0", name="0", parent="s")
        worker.flush()
        assert [node.node for node in driver.reap("s")] == ["s/0"]
        run.end(State.COMPLETE)
    tags = place.runs()["s/0"].data.tags
    assert (tags[STATE_TAG], REASON_TAG in tags) == ("complete", False)


def test_owner_that_slept_cannot_end_a_run_that_was_taken_over(place):
    early = place.open()
    early.run("s", name="s", parent=None)
    early.flush()
    with place.open() as late:
        late.run("s", name="s", parent=None)
        late.flush()
        early.existing("s").end(State.KILLED, "I slept")
        early.flush()
        assert place.runs()["s"].info.status == "RUNNING"
        late.existing("s").end(State.COMPLETE)
    early.close()
    run = place.runs()["s"]
    assert (run.info.status, run.data.tags[STATE_TAG]) == ("FINISHED", "complete")


class _Kept(dict):
    """Run ids as the catalog keeps them: the first one stays."""

    def put(self, node: str, run_id: str) -> str:
        return self.setdefault(node, run_id)


def test_run_ids_are_kept_outside_as_well(place):
    kept = _Kept()
    with place.open(run_ids=kept) as tracker:
        place.write_tree(tracker)
    assert kept == {node: run.info.run_id for node, run in place.runs().items()}
    with place.open(run_ids=kept) as tracker:
        place.write_tree(tracker)
        assert tracker.run_id("s/study") == kept["s/study"]
    assert len(place.runs()) == 4


def test_kept_run_id_that_is_wrong_does_no_harm(place):
    """The store was emptied, the run deleted by hand, or the id belongs to another run."""
    with place.open() as tracker:
        right = {node: tracker.run(node, name=node, parent=None).id for node in ("s", "t")}
    with place.open(run_ids=_Kept(s="0" * 32, t=right["s"])) as tracker:
        assert {node: tracker.run(node, name=node, parent=None).id for node in right} == right
    place.client().delete_run(right["s"])
    with place.open(run_ids=_Kept(right)) as tracker:
        assert tracker.run("s", name="s", parent=None).id != right["s"]
    assert len(place.runs()) == 2


def test_machine_that_came_second_gives_its_run_up(place):
    """Two machines share no lock; the catalog says who was first."""
    with place.open() as first:
        run_id = first.run("s", name="s", parent=None).id
    client = place.client()
    client.set_tag(run_id, "adapterlab.node", "not yet to be seen")

    class CatalogOfBoth(_Kept):
        def put(self, node: str, _: str) -> str:
            client.set_tag(run_id, "adapterlab.node", node)  # now the first machine's run is there
            return run_id

    kept = CatalogOfBoth(s=run_id)
    with place.open(run_ids=kept, spool=place.folder / "other") as second:
        second.run("s", name="s", parent=None).metrics({"loss": 1.0}, step=0)
        assert second.run_id("s") == run_id
    assert place.points("s", "loss") == [(0, 1.0)]
    assert place.runs()["s"].info.run_id == run_id


def test_catalog_that_fails_costs_no_entry(place, caplog):
    class Broken:
        def get(self, _: str) -> str | None:
            raise OSError("database is locked")

        def put(self, *_: str) -> str:
            raise OSError("database is locked")

    with place.open(run_ids=Broken()) as tracker:
        place.write_tree(tracker)
        tracker.flush()
        assert tracker.problems == ()
    assert len(place.runs()) == 4
    assert "database is locked" in caplog.text


def test_run_id_waits_until_the_run_exists(place):
    with place.open() as tracker:
        run = tracker.run("s", name="s", parent=None)
        assert run.id == place.runs()["s"].info.run_id
        with pytest.raises(UnavailableError, match="no run for 'never'"):
            tracker.run_id("never")


def test_child_waits_for_a_parent_another_process_is_creating(place):
    with place.open() as child, place.open() as driver:
        child.run("s/0", name="0", parent="s")
        time.sleep(1.5)
        driver.run("s", name="s", parent=None)
        assert child.flush(30)
    runs = place.runs()
    assert runs["s/0"].data.tags["mlflow.parentRunId"] == runs["s"].info.run_id


@pytest.mark.slow
def test_eight_processes_writing_the_same_tree_make_one(place, in_processes):
    code = """
    from pathlib import Path
    from adapterlab.records import State
    from adapterlab.tracking.tracker import Tracker
    folder = Path(arguments[1])
    with Tracker.open(uri=arguments[0], artifacts=str(folder / "artifacts"), experiment="quickstart",
                      spool=folder / "spool", locks=folder / "locks") as tracker:
        tracker.run("s", name="s", parent=None)
        for trial in range(4):
            run = tracker.run(f"s/{trial}", name="shared", parent="s")
            own = tracker.run(f"s/{number}/{trial}", name="own", parent="s")
            for step in range(3):
                own.metrics({"loss": step}, step=step)
            own.end(State.COMPLETE)
        assert tracker.flush(200), tracker.problems
        print(len(tracker.problems))
    """
    said = in_processes(8, code, place.uri, str(place.folder))
    assert said == ["0"] * 8
    runs = place.runs()
    assert len(runs) == 1 + 4 + 8 * 4
    own = [run for node, run in runs.items() if node.count("/") == 2]
    assert {run.info.status for run in own} == {"FINISHED"}
    assert place.points("s/7/3", "loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert list(place.spool.iterdir()) == []


def _killed(place, body: str) -> None:
    """Run code with a tracker in a process that then dies without a word."""
    program = f"""
import os, signal, sys
from pathlib import Path
from adapterlab.records import State
from adapterlab.tracking.tracker import Tracker
folder = Path(sys.argv[2])
tracker = Tracker.open(uri=sys.argv[1], artifacts=str(folder / "artifacts"), experiment="quickstart",
                       spool=folder / "spool", locks=folder / "locks")
{textwrap.dedent(body)}
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, place.uri, str(place.folder)], check=False, timeout=60, env=os.environ
    )
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_process_handed_over_is_written_by_the_next(place):
    """Killed in the middle of writing: every point is there once, and nothing runs for ever."""
    body = """
    tracker.run("s", name="s", parent=None)
    run, done = tracker.run("s/0", name="0", parent="s"), tracker.run("s/1", name="1", parent="s")
    for step in range(50): run.metrics({"loss": step}, step=step)
    tracker.flush()
    for step in range(50, 100): run.metrics({"loss": step}, step=step)
    done.json("x.json", {"a": 1})
    done.end(State.COMPLETE)
    tracker.run("s/2", name="2", parent="s").metrics({"loss": 1.0}, step=0)
    """
    _killed(place, body)
    with place.open() as tracker:
        tracker.run("s", name="s", parent=None)
        tracker.flush()
        tracker.reap("s")
    assert place.points("s/0", "loss") == [(step, float(step)) for step in range(100)]
    runs = place.runs()
    assert {node: run.info.status for node, run in runs.items()} == {
        "s": "RUNNING",
        "s/0": "KILLED",
        "s/1": "FINISHED",
        "s/2": "KILLED",
    }
    assert runs["s/2"].data.tags[REASON_TAG] == "its process died before it ended"
    assert [path.name for path in Path(place.artifacts).rglob("*.json")] == ["x.json"]
    assert list(place.spool.iterdir()) == []


def test_new_runs_a_killed_process_was_writing_are_not_made_twice(place):
    """The entry says the run is new; when it is replayed, that is true no longer."""
    body = """
    tracker.run("s", name="s", parent=None)
    tracker.flush()
    tracker._writer._spool.discard = lambda segment: None  # dies between MLflow and its own notes
    for trial in range(3):
        run = tracker.run(f"s/{trial}", name="trial", parent="s", params={"lr": trial}, new=True)
        run.metrics({"loss": 1.0}, step=1)
        run.end(State.COMPLETE)
    tracker.flush()
    """
    _killed(place, body)
    assert set(place.runs()) == {"s", "s/0", "s/1", "s/2"}
    with place.open() as tracker:
        tracker.flush()
    runs = place.runs()
    assert len(runs) == 4
    assert [runs[f"s/{trial}"].info.status for trial in range(3)] == ["FINISHED"] * 3
    assert [runs[f"s/{trial}"].data.params["lr"] for trial in range(3)] == ["0", "1", "2"]
    assert place.points("s/1", "loss") == [(1, 1.0)]


def test_new_run_somebody_keeps_an_id_for_is_that_run(place):
    """The studies were lost and begin again at trial 0; the catalog remembers its run."""
    kept = _Kept()
    with place.open(run_ids=kept) as tracker:
        tracker.run("s/0", name="0", parent=None, new=True).end(State.COMPLETE)
    with place.open(run_ids=kept) as tracker:
        tracker.run("s/0", name="0", parent=None, new=True)
    assert place.runs()["s/0"].info.status == "RUNNING"


def test_leftover_of_another_experiment_goes_where_it_belongs(place):
    body = """
    tracker.run("s", name="s", parent=None).metrics({"loss": 1.0}, step=0)
    """
    _killed(place, body)
    with place.open(experiment="another") as tracker:
        tracker.run("t", name="t", parent=None)
    runs = place.runs()
    assert {run.info.experiment_id for run in runs.values()} == {"1", "2"}
    assert place.points("s", "loss") == [(0, 1.0)]


def test_replayed_end_does_not_end_a_later_attempt(place):
    """Another machine resumed the run before this one could tell that its own attempt had ended."""
    body = """
    tracker.run("s", name="s", parent=None)
    tracker.flush()
    tracker.existing("s").end(State.KILLED, "early")
    """
    _killed(place, body)
    elsewhere = place.folder / "another spool"
    with place.open(spool=elsewhere) as later:
        later.run("s", name="s", parent=None)
        later.flush()
        with place.open() as replaying:
            replaying.run("t", name="t", parent=None)
            replaying.flush()
        assert place.runs()["s"].info.status == "RUNNING"


@pytest.mark.parametrize("replayed", ["before", "after"])
def test_process_that_outlives_its_worker_has_the_last_word(place, replayed):
    """The worker opened the run later than the driver began, and was killed in it."""
    with place.open() as driver:
        driver.run("s", name="s", parent=None)
        driver.flush()
        _killed(place, 'tracker.run("s/0", name="0", parent="s")')
        if replayed == "before":
            with place.open() as next_worker:
                next_worker.flush()
            assert place.runs()["s/0"].info.status == "KILLED"
        driver.begin_again()
        driver.run("s/0", name="0", parent="s").end(State.FAILED, "it hung")
        driver.existing("s").end(State.FAILED)
    with place.open() as later:
        later.flush()
    runs = place.runs()
    assert {node: run.info.status for node, run in runs.items()} == {"s": "FAILED", "s/0": "FAILED"}
    assert runs["s/0"].data.tags[REASON_TAG] == "it hung"


@pytest.mark.slow
def test_what_mlflow_refused_is_kept_and_written_when_the_cause_is_gone(place):
    """A file stands where the folder of artifacts should be: nothing of it is lost, and nothing else waits for it."""
    (place.folder / "artifacts").write_text("in the way")
    with place.open() as tracker:
        run = tracker.run("s", name="s", parent=None)
        run.text("spec.toml", "name = 'x'")
        run.metrics({"loss": 0.5}, step=1)
        assert tracker.flush(200)
        assert len(tracker.problems) == 1
    assert refused(place.spool) == 1
    assert place.points("s", "loss") == [(1, 0.5)]
    (place.folder / "artifacts").unlink()
    with place.open() as tracker:
        tracker.run("t", name="t", parent=None)
        assert tracker.flush(200)
        assert tracker.problems == ()
    assert refused(place.spool) == 0
    assert not something_waits(place.spool)
    client = place.client()
    assert [one.path for one in client.list_artifacts(place.runs()["s"].info.run_id)] == ["spec.toml"]
