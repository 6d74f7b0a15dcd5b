"""After one submit, the catalog, MLflow and the stored files say the same."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import adapterlab
from adapterlab.catalog.store import open_catalog
from adapterlab.data.metrics import compute
from adapterlab.records import StepKind
from adapterlab.reporting.summary import OWN_ADAPTER
from adapterlab.tracking import vocabulary
from adapterlab.train import weights
from tiny_world import environment, platform


@pytest.fixture
def catalog(finished):
    home = finished.home
    with open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks") as one:
        yield one


@pytest.fixture(scope="module")
def runs(finished):
    """All MLflow runs of the sweep's experiment, as (run, artifacts folder)."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{finished.home / 'mlflow.db'}")
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    return client, client.search_runs([experiment.experiment_id], max_results=1000)


def test_the_output_shows_the_table_and_what_to_do_next(finished):
    assert "own adapter" in finished.output
    assert "scalearn_uniform" in finished.output
    assert "-m adapterlab.cli ui " in finished.output, "as it was called"
    assert "trained 2 source adapters, 2 studies, 4 final runs" in finished.output


def test_the_tree_is_complete_and_nothing_is_running(runs):
    _, found = runs
    kinds = [run.data.tags["adapterlab.kind"] for run in found]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "sweep": 1,
        "source": 2,
        "study": 2,
        "baseline": 1,
        "trial": 6,
        "final": 4,
    }
    assert {run.info.status for run in found} <= {"FINISHED", "KILLED"}
    killed = [run for run in found if run.info.status == "KILLED"]
    assert all(run.data.tags["adapterlab.state"] == "pruned" for run in killed)
    assert len({run.data.tags["adapterlab.node"] for run in found}) == len(found)


def test_names_say_what_a_run_is(runs):
    _, found = runs
    names = {run.info.run_name for run in found}
    assert "source · cb · seed 0" in names
    assert "rte · scalearn · final · seed 1" in names
    trials = [run.info.run_name for run in found if run.data.tags["adapterlab.kind"] == "trial"]
    assert all(" · lr " in name and " · init 2 · dropout 0" in name for name in trials)


def test_records_and_runs_say_the_same_of_what_made_them(catalog, runs):
    import torch

    _, found = runs
    for record in (*catalog.adapters(limit=None), *catalog.transfers(limit=None)):
        made_with = record.provenance
        (run,) = [one for one in found if one.data.tags.get("adapterlab.step_key") == record.key]
        assert made_with.adapterlab_version == run.data.tags["adapterlab.version"] == adapterlab.__version__
        assert made_with.git_commit == run.data.tags.get("adapterlab.git_commit")
        assert made_with.torch_version == run.data.tags["adapterlab.torch"] == torch.__version__
        assert made_with.device_name == run.data.tags["adapterlab.device"]
        assert record.device in ("cpu", "cuda", "cuda:0")
    assert all("adapterlab.version" in run.data.tags for run in found), "trials and the sweep as well"


def test_every_epoch_is_there_once(runs):
    client, found = runs
    (source,) = [run for run in found if run.info.run_name == "source · rte · seed 0"]
    for metric in ("train/loss", "validation/loss", "validation/accuracy"):
        steps = [point.step for point in client.get_metric_history(source.info.run_id, metric)]
        assert steps == sorted(set(steps))
        assert steps[0] == 1


def of_kind(runs, *kinds):
    """Return the runs of some kinds."""
    return [run for run in runs[1] if run.data.tags["adapterlab.kind"] in kinds]


def test_every_run_says_what_it_is_under_the_same_names(runs):
    below = of_kind(runs, "source", "study", "baseline", "trial", "final")
    assert len(below) == len(runs[1]) - 1
    for run in below:
        params = run.data.params
        assert set(vocabulary.COMMON_PARAMETERS) <= params.keys(), run.info.run_name
        assert params.keys() <= {*vocabulary.COMMON_PARAMETERS, "trial", "lr", "init_scale", "dropout"}
        assert params["backbone"] == "folder:backbone"
        assert params["train_rows"] == "54"
        assert params["precision"] == "float32"
    assert {run.data.params["method"] for run in of_kind(runs, "final", "study", "trial")} == {
        "scalearn",
        "scalearn_uniform",
    }
    assert {run.data.params["method"] for run in of_kind(runs, "source")} == {"pfeiffer"}
    assert {run.data.params["method"] for run in of_kind(runs, "baseline")} == {OWN_ADAPTER}
    for run in of_kind(runs, "trial", "final"):
        assert run.data.tags["adapterlab.setting.batch_size"] == "32"


def test_every_run_has_the_scores_that_all_tasks_share(runs):
    cost = {vocabulary.PARAMETERS, vocabulary.SECONDS, vocabulary.VALIDATION_SCORE}
    for run in of_kind(runs, "source", "trial", "final", "study", "baseline"):
        pruned = run.data.tags["adapterlab.state"] == "pruned"
        assert pruned or cost <= run.data.metrics.keys(), run.info.run_name
    for run in of_kind(runs, "source", "final", "study", "baseline", "sweep"):
        assert vocabulary.TEST_SCORE in run.data.metrics, run.info.run_name
    for run in of_kind(runs, "source", "final"):
        assert run.data.metrics[vocabulary.TEST_SCORE] == run.data.metrics["test/accuracy"]


def test_a_run_for_each_target_and_method_says_what_the_report_says(finished, runs):
    report = json.loads(platform(finished.home, "report", "tiny", "--json").stdout)
    rows = [run for run in runs[1] if run.data.tags.get(vocabulary.ROW_TAG) == "true"]
    shown = {(run.data.params["target"], run.data.params["method"]): run.data.metrics for run in rows}
    assert len(rows) == len(shown) == len(report["cells"]) == 3
    for cell in report["cells"]:
        metrics = shown[cell["target"], cell["combiner"]]
        assert metrics[vocabulary.TEST_SCORE] == cell["mean"]
        assert metrics.get(vocabulary.TEST_SCORE_STD) == cell["std"]
        assert metrics[vocabulary.VALIDATION_SCORE] == pytest.approx(np.mean(cell["validation"]))
        assert metrics[vocabulary.PARAMETERS] == cell["parameters"]
        assert metrics[vocabulary.SEEDS] == len(cell["seeds"])


def test_sources_are_weighed_alike_on_final_runs_and_rows(catalog, runs):
    for run in of_kind(runs, "final", "study"):
        metrics = run.data.metrics
        sources = [vocabulary.contribution(one) for one in ("cb", "rte")]
        assert sum(metrics[one] for one in sources) == pytest.approx(1)
        assert all(0 < metrics[one] < 1 for one in sources)
        assert {one for one in metrics if one.startswith("coefficient/")} == {
            "coefficient/cb",
            "coefficient/rte",
        }
    for transfer in catalog.transfers(limit=None):
        (run,) = [one for one in runs[1] if one.data.tags.get("adapterlab.step_key") == transfer.key]
        first = [one.mean for one in catalog.coefficients(transfer.key) if one.position == 0]
        assert run.data.metrics["coefficient/cb"] == pytest.approx(np.mean(first), rel=1e-5)


def test_the_sweeps_run_has_the_averages_the_winner_and_the_report(finished, runs, tmp_path):
    client, _ = runs
    (sweep,) = of_kind(runs, "sweep")
    averages = {name: value for name, value in sweep.data.metrics.items() if name.startswith("score/")}
    assert set(averages) == {"score/own adapter", "score/scalearn", "score/scalearn_uniform"}
    best = sweep.data.tags[vocabulary.WINNER_TAG]
    assert averages[f"score/{best}"] == max(averages.values()) == sweep.data.metrics[vocabulary.TEST_SCORE]
    kept = {Path(file.path).name for file in client.list_artifacts(sweep.info.run_id, "report")}
    assert {"report.html", "report.md", "report.tex", "cells.csv", "report.json"} <= kept
    assert any(name.endswith(".png") for name in kept)
    page = client.download_artifacts(sweep.info.run_id, "report/report.json", str(tmp_path))
    assert json.loads(Path(page).read_text())["state"] == "complete"


def test_the_experiment_says_the_winner_in_its_first_line_and_has_views(runs):
    client, _ = runs
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    first = experiment.tags["mlflow.note.content"].splitlines()[0]
    (sweep,) = of_kind(runs, "sweep")
    score = f"{100 * sweep.data.metrics[vocabulary.TEST_SCORE]:.1f}"
    assert sweep.data.tags[vocabulary.WINNER_TAG] in first.replace("\\", "")
    assert score in first
    assert "coefficients on rte: " in first
    assert re.search(r"cb \d\.\d{3} \(\d+ %\)", first)
    views = {name for name in experiment.tags if name.startswith("mlflow.sharedViewState.")}
    assert len(views) == 3
    assert all(len(value) <= 5000 for value in experiment.tags.values())


def test_coefficients_agree_in_mlflow_the_catalog_and_the_weights(catalog, runs, tmp_path):
    client, found = runs
    transfers = list(catalog.transfers(limit=None))
    assert len(transfers) == 4
    for transfer in transfers:
        stored = weights.from_bytes(catalog.read_weights(transfer))["omega"].numpy()
        assert stored.shape == tuple(transfer.coefficient_shape)
        (run,) = [one for one in found if one.data.tags.get("adapterlab.step_key") == transfer.key]
        path = client.download_artifacts(run.info.run_id, "coefficients.json", str(tmp_path))
        logged = json.loads(Path(path).read_text())
        np.testing.assert_allclose(np.array(logged["values"]), stored, rtol=1e-6)
        assert logged["sources"] == ["cb", "rte"]
        for one in catalog.coefficients(transfer.key):
            row = stored[one.layer, one.position].astype(np.float64)
            assert one.mean == pytest.approx(row.mean(), rel=1e-5)
            assert (one.minimum, one.maximum) == pytest.approx((row.min(), row.max()), rel=1e-6)
        assert "coefficients.png" in [file.path for file in client.list_artifacts(run.info.run_id)]


def test_test_metrics_recomputed_from_the_stored_outputs_agree(catalog, runs, tmp_path):
    client, found = runs
    for record in (*catalog.transfers(limit=None), *catalog.adapters(limit=None)):
        (run,) = [one for one in found if one.data.tags.get("adapterlab.step_key") == record.key]
        path = client.download_artifacts(run.info.run_id, "test_outputs.json", str(tmp_path))
        stored = json.loads(Path(path).read_text())
        predictions = np.array(stored["outputs"]).argmax(1)
        again = compute(["accuracy"], predictions=predictions, labels=np.array(stored["labels"]))
        assert again["accuracy"] == record.test["accuracy"]
        assert run.data.metrics["test/accuracy"] == record.test["accuracy"]


def test_the_study_chose_the_best_complete_trial(catalog, finished):
    from adapterlab.search.study import read_trials

    for study in catalog.studies(limit=None):
        trials = read_trials(f"sqlite:///{finished.home / 'studies.db'}", study.study_name)
        complete = [trial for trial in trials if trial.value is not None]
        assert len(trials) == 3
        assert study.best_value == max(trial.value for trial in complete)
        assert study.best_settings == dict(trials[study.best_trial].settings)


def test_lineage_leads_from_a_transfer_to_its_sources(catalog):
    transfer = next(iter(catalog.transfers(limit=1)))
    text = json.dumps(catalog.lineage(transfer.key).to_json())
    for adapter in catalog.adapters(limit=None):
        assert adapter.key in text


def test_a_second_submit_trains_nothing(finished):
    again = platform(finished.home, "submit", str(finished.spec), "--json")
    assert again.returncode == 0, again.stderr
    outcome = json.loads(again.stdout)["outcome"]
    assert outcome["nothing_to_do"]
    assert outcome["reused"] == {"joint": 0, "selection": 0, "source": 2, "study": 2, "transfer": 4}


def test_report_and_status_agree_with_the_catalog(finished, catalog):
    report = json.loads(platform(finished.home, "report", "tiny", "--json").stdout)
    cells = {(cell["target"], cell["combiner"]): cell for cell in report["cells"]}
    values = [one.test["accuracy"] for one in catalog.transfers(limit=None) if one.combiner == "scalearn"]
    assert cells["glue/rte", "scalearn"]["mean"] == pytest.approx(np.mean(values))
    assert cells["glue/rte", "scalearn"]["std"] == pytest.approx(np.std(values, ddof=1))
    (status,) = json.loads(platform(finished.home, "status", "--json").stdout)
    assert status["state"] == "complete"
    assert {step["state"] for step in status["steps"]} == {"complete"}


def test_plan_says_that_everything_is_cached(finished):
    plan = json.loads(platform(finished.home, "plan", str(finished.spec), "--json").stdout)
    assert plan["counts"] == {
        "source": {"complete": 2},
        "study": {"complete": 2},
        "transfer": {"complete": 4},
    }


@pytest.mark.slow
def test_a_changed_spec_trains_only_what_is_new(finished, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(finished.home, home)
    more = platform(home, "submit", str(finished.spec), "--json", "--set", "final.seeds=[0, 1, 2]")
    assert more.returncode == 0, more.stderr
    outcome = json.loads(more.stdout)["outcome"]
    assert outcome["trained"] == {"joint": 0, "selection": 0, "source": 0, "study": 0, "transfer": 2}
    assert outcome["reused"] == {"joint": 0, "selection": 0, "source": 2, "study": 2, "transfer": 4}
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    sweep = f"tags.`adapterlab.root` = '{outcome['key']}' AND tags.`adapterlab.row` = 'true'"
    rows = client.search_runs([experiment.experiment_id], sweep)
    assert len(rows) == 3
    for row in rows:
        if row.data.params["method"] == OWN_ADAPTER:
            continue
        assert row.data.metrics[vocabulary.SEEDS] == 3
        assert row.data.metrics["coefficient/cb"] != 0
        assert row.data.metrics["contribution/cb"] + row.data.metrics["contribution/rte"] == pytest.approx(1)
    note = experiment.tags["mlflow.note.content"]
    (earlier,) = json.loads(platform(finished.home, "status", "--json").stdout)
    assert note.index(outcome["key"]) < note.index(earlier["key"])


@pytest.mark.slow
def test_a_damaged_blob_is_set_aside_and_trained_again(finished, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(finished.home, home)
    with open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks") as one:
        (adapter,) = one.adapters(task="superglue/cb")
    (blob,) = (home / "blobs").rglob(f"{adapter.blob}*")
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 0xFF]))
    again = platform(home, "submit", str(finished.spec), "--json")
    assert again.returncode == 0, again.stderr
    outcome = json.loads(again.stdout)["outcome"]
    assert outcome["repaired"] == ["source · cb · seed 0"]
    assert outcome["trained"] == {"joint": 0, "selection": 0, "source": 1, "study": 0, "transfer": 0}
    with open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks") as one:
        assert one.get_adapter(adapter.key).blob == adapter.blob  # the same training gives the same bytes


@pytest.mark.slow
def test_a_final_run_that_was_a_trial_is_what_training_it_again_gives(finished, tmp_path):
    """The chosen trial's seed is one of the final seeds: it is evaluated on test, not trained twice."""
    home = tmp_path / "home"
    shutil.copytree(finished.home, home)
    with open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks") as one:
        before = {record.key: record for record in one.transfers(limit=None) if record.seed == 0}
        kept = {key: weights.from_bytes(one.read_weights(record)) for key, record in before.items()}
        for record in before.values():
            (blob,) = (home / "blobs").rglob(f"{record.blob}*")
            blob.write_bytes(b"lost")
    again = platform(home, "submit", str(finished.spec), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["outcome"]["trained"] == {
        "joint": 0,
        "selection": 0,
        "source": 0,
        "study": 0,
        "transfer": len(before),
    }
    with open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks") as one:
        for record in one.transfers(limit=None):
            if record.key not in before:
                continue
            assert record.test == before[record.key].test
            for name, tensor in weights.from_bytes(one.read_weights(record)).items():
                np.testing.assert_allclose(tensor, kept[record.key][name], rtol=0, atol=1e-6)


def test_every_final_run_shows_its_epochs(runs):
    client, found = runs
    for run in found:
        if run.data.tags["adapterlab.kind"] == "final":
            points = client.get_metric_history(run.info.run_id, "validation/accuracy")
            assert [point.step for point in points] == [1, 2]


def test_doctor_finds_lost_weights_and_marks_them_to_be_trained_again(finished, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(finished.home, home)
    lost = next((home / "blobs").rglob("*.safetensors"))
    lost.unlink()
    found = json.loads(platform(home, "doctor", "--json").stdout)
    (weights_check,) = [check for check in found["checks"] if check["name"] == "weights"]
    assert (weights_check["verdict"], weights_check["found"]) == ("warn", "6 stored, 1 missing, 0 damaged")
    platform(home, "doctor", "--repair")
    plan = json.loads(platform(home, "plan", str(finished.spec), "--json").stdout)
    states = [step["state"] for step in plan["steps"]]
    assert len(states) - states.count("complete") == 1


def test_an_empty_blob_store_is_taken_for_the_wrong_one(finished, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(finished.home, home)
    other = platform(home, "submit", str(finished.spec), "--set", f'store.blobs="{tmp_path / "elsewhere"}"')
    assert other.returncode == 5
    assert "store.blobs" in other.stderr
    again = json.loads(platform(home, "submit", str(finished.spec), "--json").stdout)
    assert again["outcome"]["nothing_to_do"]


def test_the_python_api_does_what_the_command_does(finished, monkeypatch):
    import adapterlab

    for name, value in environment(finished.home).items():
        monkeypatch.setenv(name, value)
    spec = adapterlab.load_spec(str(finished.spec))
    assert adapterlab.plan(spec).counts["source"] == {"complete": 2}
    outcome = adapterlab.submit(spec)
    assert outcome.nothing_to_do
    assert outcome.reused[StepKind.TRANSFER] == 4
    assert len(adapterlab.report("tiny").cells) == 3
    with adapterlab.open_catalog() as catalog:
        assert len(list(catalog.adapters())) == 2
