"""A process that has lost a study still ends the trial it was at; whoever has the study now ends as if alone."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import optuna
import pytest

from adapterlab.search.storage import close_storage, open_storage
from faults import stop_between_transactions, wait_for_rows
from sweep_record import Places, differences, read_runs
from tiny_world import platform, start_platform, write_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EPOCHS = 30
ONE_TRIAL = (
    "search.trials=1",
    "search.lr=1e-2",
    "search.dropout=0.0",
    'combiner.kind="scalearn_uniform"',
    "final.seeds=[0]",
    "source.max_epochs=1",
    "cluster.launcher=in_process",
)


def options() -> list[str]:
    return [part for setting in ONE_TRIAL for part in ("--set", setting)]


def places(home: Path) -> Places:
    return Places.on_files(home, "adapterlab/tiny")


def results(home: Path) -> dict[str, Any]:
    """What the catalog has of the study and its final run, and MLflow of the whole sweep, without times."""
    with places(home).open() as catalog:
        (study,), (final,) = catalog.studies(limit=None), catalog.transfers(limit=None)
    return {
        "study": (study.key, study.best_value, study.trials),
        "final": (final.key, final.blob, final.test, final.epochs, final.best_epoch, final.train_rows),
        "runs": read_runs(places(home)),
    }


def test_a_trial_that_its_former_owner_ends_first_is_trained_to_its_end_all_the_same(tmp_path):
    """Its run in MLflow says what it would have said, and the final run of its seed goes on from its last epoch."""
    spec, alone = write_world(tmp_path, epochs=EPOCHS, rows=400), tmp_path / "alone"
    done = platform(alone, "submit", str(spec), *options())
    assert done.returncode == 0, done.stderr
    expected = results(alone)
    value = expected["study"][1]
    # On a busy machine a trial may have ended before it could be stopped.
    assert any(is_the_same(expected, spec, value, tmp_path / f"home-{number}") for number in range(5))


def is_the_same(expected: dict[str, Any], spec: Path, value: float, home: Path) -> bool:
    """Submit, and end the trial meanwhile; ``False`` where that came too late."""
    process = start_platform(home, "submit", str(spec), *options())
    try:
        wait_for_rows(home / "studies.db", "trial_intermediate_values")
        stop_between_transactions(process, home / "studies.db")
        if not end_the_trial(home, value):
            return False
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=200)
        assert process.returncode == 0, output
    finally:
        process.kill()
        process.wait()
    assert differences(expected, results(home)) == []
    return True


def end_the_trial(home: Path, value: float) -> bool:
    """End the study's trial with the value it is bound to have; ``False`` where it has had all its epochs."""
    storage = open_storage(f"sqlite:///{home / 'studies.db'}")
    try:
        (study,) = storage.get_all_studies()
        (trial,) = storage.get_all_trials(study._study_id)
        if trial.state.is_finished() or len(trial.intermediate_values) == EPOCHS:
            return False
        assert storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.COMPLETE, [value])
        return True
    finally:
        close_storage(storage)
