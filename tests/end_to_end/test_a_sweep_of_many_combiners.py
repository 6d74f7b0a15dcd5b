"""One spec compares combiners of every kind, each with settings of its own, and lets one study choose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterlab.catalog.store import open_catalog
from adapterlab.exporting.stored_models import open_trained
from adapterlab.search.study import read_trials
from adapterlab.train import weights
from tiny_world import platform, write_world

pytestmark = pytest.mark.slow

COMBINERS = """\
kind = ["scalearn_uniform", "scalearn_mean", "adapterfusion", "adaptersoup", "single", "auto"]
among = ["scalearn_pp", "adapterfusion", "single"]

[combiner.per_kind.adapterfusion]
settings = { value_regulariser = 0.0 }
search = { lr = { choices = [1e-4, 1e-3] } }
transfer = { max_epochs = 1 }

[combiner.per_kind.adaptersoup]
settings = { max_texts = 20, encoder = "folder:backbone" }
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Submit the tiny spec with many combiners, twice."""
    folder = tmp_path_factory.mktemp("combiners")
    spec = write_world(folder, trials=5, epochs=2)
    text = spec.read_text().replace('kind = ["scalearn", "scalearn_uniform"]\n', COMBINERS)
    spec.write_text(text)
    done = platform(folder / "home", "submit", str(spec))
    assert done.returncode == 0, done.stderr
    assert "trained 2 source adapters, 6 studies, 12 final runs" in done.stdout + done.stderr
    return folder / "home", spec


@pytest.fixture
def catalog(swept):
    home, _ = swept
    with open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks") as one:
        yield one


def study_of(catalog, combiner):
    (study,) = catalog.studies(limit=None, combiner=combiner)
    return study, list(catalog.transfers(limit=None, study_key=study.key))


def test_each_combiner_searches_its_own_dimensions(catalog, swept):
    home, _ = swept
    dimensions = {
        "scalearn_uniform": {"lr", "init_scale", "dropout"},
        "adapterfusion": {"lr", "dropout"},
        "adaptersoup": {"lr"},
        "single": {"lr"},
    }
    for combiner, wanted in dimensions.items():
        study, finals = study_of(catalog, combiner)
        assert set(study.best_settings) == wanted
        assert len(finals) == 2
        if combiner in ("adaptersoup", "single"):
            assert study.trials == {"complete": 1}
            assert {one.n_parameters for one in finals} == {0}
    study, finals = study_of(catalog, "adapterfusion")
    assert study.settings == {"value_regulariser": 0.0}
    assert {one.epochs for one in finals} == {1}
    trials = read_trials(f"sqlite:///{home / 'studies.db'}", study.study_name)
    assert {trial.settings["lr"] for trial in trials} <= {1e-4, 1e-3}


def test_coefficients_of_every_kind_are_kept(catalog):
    _, (fusion, *_) = study_of(catalog, "adapterfusion")
    assert tuple(fusion.coefficient_shape) == (2, 2, 1)
    by_layer = {}
    for one in catalog.coefficients(fusion.key):
        by_layer[one.layer] = by_layer.get(one.layer, 0.0) + one.mean
    assert by_layer == {0: pytest.approx(1), 1: pytest.approx(1)}
    _, (soup, *_) = study_of(catalog, "adaptersoup")
    stored = weights.from_bytes(catalog.read_weights(soup))
    assert float(stored["omega"].sum()) == pytest.approx(1)
    assert stored["similarity"].shape == (1, 2, 1)
    _, (single, *_) = study_of(catalog, "single")
    assert [one.mean for one in catalog.coefficients(single.key)] == [0.0, 1.0]


def test_a_study_that_chooses_trains_what_it_chose(catalog, swept):
    home, _ = swept
    study, finals = study_of(catalog, "auto")
    chosen = study.best_settings["combiner"]
    assert {one.combiner for one in finals} == {chosen}
    assert all(one.settings["combiner"] == chosen for one in finals)
    trials = read_trials(f"sqlite:///{home / 'studies.db'}", study.study_name)
    assert {trial.settings["combiner"] for trial in trials} == {"scalearn_pp", "adapterfusion", "single"}
    assert study.best_value == max(trial.value for trial in trials if trial.value is not None)
    trained = open_trained(catalog, finals[0].key)
    assert trained.combiner == chosen


def test_mlflow_says_which_combiner_was_chosen(catalog, swept):
    from mlflow.tracking import MlflowClient

    home, _ = swept
    study, _ = study_of(catalog, "auto")
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    (run,) = [one for one in runs if one.data.tags.get("adapterlab.step_key") == study.key]
    assert run.info.run_name == "rte · auto"
    assert run.data.tags["adapterlab.best.combiner"] == study.best_settings["combiner"]
    finals = [one for one in runs if one.info.run_name.startswith("rte · auto · final")]
    assert {one.data.params["combiner"] for one in finals} == {study.best_settings["combiner"]}


def test_six_combiners_are_compared_without_an_empty_row(swept):
    """No column of coefficients or contributions has a hole, whatever a combiner's coefficients look like."""
    import mlflow

    home, _ = swept
    mlflow.set_tracking_uri(f"sqlite:///{home / 'mlflow.db'}")
    for kind, count in (("study", 6), ("final", 12)):
        found = mlflow.search_runs(
            search_all_experiments=True, filter_string=f"tags.`adapterlab.kind` = '{kind}'"
        )
        assert len(found) == count
        columns = [
            f"metrics.{name}/{source}" for name in ("coefficient", "contribution") for source in ("cb", "rte")
        ]
        columns += ["metrics.test/score", "metrics.validation/score", "metrics.parameters", "metrics.seconds"]
        assert not found[columns].isna().any(axis=None), found[columns]
        shares = found["metrics.contribution/cb"] + found["metrics.contribution/rte"]
        assert shares.to_numpy() == pytest.approx(1)
        assert set(found.filter(like="metrics.coefficient/").columns) == set(columns[:2])


def test_submitting_again_does_nothing(swept):
    home, spec = swept
    again = platform(home, "submit", str(spec))
    assert again.returncode == 0
    assert "nothing to" in (again.stdout + again.stderr).lower()
    shown = json.loads(platform(home, "report", "tiny", "--json").stdout)
    assert {cell["combiner"] for cell in shown["cells"]} >= {"auto", "adapterfusion", "adaptersoup", "single"}


def test_what_can_be_folded_is_exported(catalog, swept, tmp_path: Path):
    home, _ = swept
    for combiner in ("adaptersoup", "single"):
        _, (transfer, *_) = study_of(catalog, combiner)
        done = platform(home, "export", transfer.key[:12], "--to", str(tmp_path / combiner))
        assert done.returncode == 0, done.stderr
