"""Workers on a real Ray: each order ends once, with its result or the reason it has none."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from ray import cloudpickle

from adapterlab.cluster.board import Board, Note
from adapterlab.cluster.placement import WorkerNeeds
from adapterlab.cluster.session import ray_session
from adapterlab.cluster.tune import _Callers, _Watch, run_workers
from adapterlab.errors import CancelledError, DataError, TrainingError, UsageError
from adapterlab.records import RunInWork, State


def load_driver():
    """Load the driver's file so that what it defines travels to the workers by value."""
    specification = importlib.util.spec_from_file_location(
        "ray_driver", Path(__file__).with_name("ray_driver.py")
    )
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module


work = load_driver().work


@pytest.fixture(scope="module")
def session():
    """One private Ray for this file."""
    with ray_session(cpus=2) as opened:
        yield opened


def run(session, folder, payloads, needs=None, **options):
    named = [{"name": str(index), "folder": str(folder), **one} for index, one in enumerate(payloads)]
    return run_workers(named, work, needs or WorkerNeeds(), storage=folder / "tune", name="test", **options)


def test_outcomes_come_in_the_order_of_the_payloads_with_results_and_reasons(session, tmp_path, capfd):
    ended: list[int] = []
    payloads = [
        {"seconds": 1},
        {"raises": "ours"},
        {"kills": 1},
        {"raises": "theirs"},
        {"raises": "exit"},
        {"raises": "nothing JSON can say"},
    ]
    outcomes = run(session, tmp_path, payloads, on_outcome=lambda outcome: ended.append(outcome.index))
    assert [outcome.index for outcome in outcomes] == list(range(6))
    assert sorted(ended) == list(range(6))
    complete, failed = State.COMPLETE, State.FAILED
    assert [outcome.state for outcome in outcomes] == [complete, failed, complete, failed, failed, failed]
    assert outcomes[0].result == {"name": "0", "attempt": 0, "threads": "1"}
    ours = outcomes[1].error
    assert isinstance(ours, DataError)
    assert (ours.message, ours.remedy, ours.details) == ("train.jsonl:3: no label", "Add one.", {"line": 3})
    assert outcomes[2].result["attempt"] == 1
    assert [outcome.attempts for outcome in outcomes] == [1, 1, 2, 1, 1, 1]
    assert all(isinstance(outcome.error, TrainingError) for outcome in outcomes[3:])
    assert outcomes[3].error.message.startswith("ZeroDivisionError: division by zero (ray_driver.py:")
    assert outcomes[4].error.details["reason"] == "SystemExit"
    assert "not JSON serializable" in outcomes[5].error.message
    assert capfd.readouterr() == ("", "")
    assert list((tmp_path / "tune").iterdir()) == []


@pytest.mark.slow
def test_a_worker_that_dies_more_often_than_allowed_fails_its_order_only(session, tmp_path):
    lost, fine = run(session, tmp_path, [{"kills": 9}, {"kills": 1}], WorkerNeeds(max_retries=1))
    assert (lost.state, lost.attempts, lost.error.details["reason"]) == (State.FAILED, 2, "WorkerDied")
    assert lost.error.message.startswith("the worker died 2 times: ")
    assert "\n" not in lost.error.message
    assert (fine.state, fine.attempts) == (State.COMPLETE, 2)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["python", "C", "stopped"])
def test_a_worker_that_hangs_is_killed_and_started_again(session, tmp_path, how):
    """Whatever it hangs in: the process cannot be asked, and may not be able to end itself."""
    needs = WorkerNeeds(step_timeout_s=2)
    begins = time.monotonic()
    again, fine = run(session, tmp_path, [{"hangs": how}, {"seconds": 4}], needs)
    assert (again.state, again.attempts, again.result["attempt"]) == (State.COMPLETE, 2, 1)
    assert (fine.state, fine.attempts) == (State.COMPLETE, 1)  # nothing timed is in work
    assert time.monotonic() - begins < 60
    assert not psutil.pid_exists(int((tmp_path / "process-0-0").read_text()))


def test_a_worker_is_not_killed_for_what_the_one_before_it_had_in_work(session):
    """The next one is running for Tune some time before it has said anything itself, on a busy machine for seconds."""
    board, needs = Board("again"), WorkerNeeds(step_timeout_s=0.1)
    watch = _Watch(board, needs, _Callers())
    trial = SimpleNamespace(
        config={"index": 0}, status="RUNNING", num_failures=0, should_recover=lambda: True
    )
    killed: list[int] = []
    watch._kill = lambda trial: killed.append(trial.num_failures)
    watch.trials.append(trial)

    def look_twice():
        for _ in range(2):
            watch.step()
            time.sleep(0.6)

    board.write(0, Note(1, "n", {"one": RunInWork("k", "source glue/rte")}))
    look_twice()
    assert killed == [0]
    trial.num_failures = 1
    watch.died(trial)
    look_twice()
    assert killed == [0]
    board.write(0, Note(2, "n", {"one": RunInWork("k", "source glue/rte")}))
    look_twice()
    assert killed == [0, 1]


@pytest.mark.slow
def test_a_worker_that_hangs_too_often_fails_with_words(session, tmp_path):
    needs = WorkerNeeds(step_timeout_s=1, max_retries=1)
    (lost,) = run(session, tmp_path, [{"hangs": "python", "hung": 9}], needs)
    assert (lost.state, lost.attempts) == (State.FAILED, 2)
    assert lost.error.message == (
        "source glue/rte: not done after 1 s, which is cluster.step_timeout_s; 2 workers died on this order"
    )
    assert "raise cluster.step_timeout_s" in lost.error.remedy
    assert (lost.error.details["reason"], lost.error.details["steps"]) == ("StepTimeout", ["k2"])


@pytest.mark.slow
def test_a_requested_stop_reaches_running_workers_and_starts_no_more(session, tmp_path):
    begun = tmp_path / "begun-1"
    outcomes = run(
        session,
        tmp_path,
        [{}, {"seconds": 100}, {"seconds": 100}],
        WorkerNeeds(side_by_side=1),
        should_stop=lambda: 15 if begun.exists() else None,
    )
    assert [outcome.state for outcome in outcomes] == [State.COMPLETE, State.KILLED, State.KILLED]
    assert isinstance(outcomes[1].error, CancelledError)
    assert outcomes[1].error.message == "stopped at the end of an epoch"
    assert not (tmp_path / "begun-2").exists()


@pytest.mark.slow
def test_workers_that_ignore_the_stop_are_killed_and_the_session_stays_usable(session, tmp_path):
    begun = tmp_path / "begun-0"
    payloads = [{"seconds": 1000, "stubborn": True}]
    (outcome,) = run(session, tmp_path, payloads, should_stop=lambda: 1 if begun.exists() else None)
    assert outcome.state is State.KILLED
    (again,) = run(session, tmp_path, [{"name": "again"}], WorkerNeeds(cpus=2))
    assert (again.state, again.result["threads"]) == (State.COMPLETE, "2")


@pytest.mark.slow
def test_an_error_in_the_callers_hook_comes_out(session, tmp_path):
    def fail(_outcome):
        raise OSError("disk full")

    begins = time.monotonic()
    with pytest.raises(OSError, match="disk full"):
        run(session, tmp_path, [{}, {"seconds": 100}], on_outcome=fail)
    assert time.monotonic() - begins < 90


def test_a_worker_larger_than_the_machine_is_refused(session, tmp_path):
    with pytest.raises(UsageError, match="needs 3 CPU"):
        run(session, tmp_path, [{}], WorkerNeeds(cpus=3))
    with pytest.raises(UsageError, match="1 GPU"):
        run(session, tmp_path, [{}], WorkerNeeds(gpus=1))


def test_no_payloads_are_no_work(tmp_path):
    assert run(None, tmp_path, []) == []


def test_a_payload_that_json_cannot_say_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        run(None, tmp_path, [{"name": {1}}])
