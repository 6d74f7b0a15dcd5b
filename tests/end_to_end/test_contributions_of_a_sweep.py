"""What a finished sweep's sources contribute: evaluated anew, the full transfer scores what was recorded."""

from __future__ import annotations

import json
import shutil

import pytest

from tiny_world import platform, write_world


@pytest.fixture
def home(finished, tmp_path):
    """A copy of the finished sweep's home."""
    shutil.copytree(finished.home, tmp_path / "home")
    return tmp_path / "home"


def of_transfers(home):
    return json.loads(platform(home, "catalog", "list", "--kind", "transfer", "--json").stdout)["transfers"]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_each_source_is_removed_in_turn(home, tmp_path, split):
    transfer = next(one for one in of_transfers(home) if one["combiner"] == "scalearn_uniform")
    done = platform(
        home, "contributions", transfer["key"], "--split", split, "--json", "--no-log", "--to", str(tmp_path / "to")
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["metrics"]["accuracy"] == pytest.approx(transfer[split]["accuracy"])
    assert found["recorded"] == pytest.approx(transfer[split]["accuracy"])
    assert [one["task"] for one in found["sources"]] == ["superglue/cb", "glue/rte"]
    for one in found["sources"]:
        assert one["difference"] == pytest.approx(one["metrics"]["accuracy"] - found["metrics"]["accuracy"])
        assert 0 <= one["changed"] <= found["rows"]
        assert one["loss"] != pytest.approx(found["loss"], abs=1e-7), (
            "a source that is used changes something"
        )
    written = {path.suffix: path for path in (tmp_path / "to").iterdir()}
    assert set(written) == {".json", ".csv", ".png"}
    assert len(written[".csv"].read_text().splitlines()) == 1 + 1 + len(found["sources"])


@pytest.mark.slow
def test_they_are_of_the_validation_rows_that_the_spec_leaves(tmp_path):
    spec = write_world(tmp_path, trials=1, epochs=1, rows=200)
    limit = ("--set", "data.max_validation_rows=8", "--set", 'combiner.kind="scalearn"')
    done = platform(tmp_path / "home", "submit", str(spec), *limit)
    assert done.returncode == 0, done.stderr
    transfer = of_transfers(tmp_path / "home")[0]
    found = json.loads(
        platform(tmp_path / "home", "contributions", transfer["key"], "--json", "--no-log").stdout
    )
    assert found["rows"] == 8
    assert found["metrics"]["accuracy"] == pytest.approx(transfer["validation"]["accuracy"])


def test_they_are_added_to_the_transfers_run(home):
    from mlflow.tracking import MlflowClient

    transfer = of_transfers(home)[0]
    done = platform(home, "contributions", transfer["key"])
    assert done.returncode == 0, done.stderr
    run_id = done.stderr.split("logged to MLflow run ")[1].split()[0]
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    run = client.get_run(run_id)
    assert run.data.tags["adapterlab.step_key"] == transfer["key"]
    assert run.info.status == "FINISHED", "adding to a run does not open it again"
    names = {one for one in run.data.metrics if one.startswith("leave_one_out validation/")}
    assert names == {"leave_one_out validation/rte", "leave_one_out validation/cb"}
    files = {one.path for one in client.list_artifacts(run_id)}
    assert {"contributions.validation.json", "contributions.validation.png"} <= files


def test_changed_data_is_refused(home, finished):
    key = of_transfers(home)[0]["key"]
    other = home / "data"
    shutil.copytree(finished.spec.parent / "data", other)
    rows = other / "glue" / "rte" / "train.jsonl"
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:-4]))
    done = platform(home, "contributions", key, "--data-root", str(other))
    assert done.returncode == 3
    assert "has other rows now" in done.stderr


def test_a_source_adapter_has_no_contributions(home):
    adapters = json.loads(platform(home, "catalog", "list", "--kind", "adapter", "--json").stdout)["adapters"]
    done = platform(home, "contributions", adapters[0]["key"])
    assert done.returncode == 2
    assert "made of no others" in done.stderr
