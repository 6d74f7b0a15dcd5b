"""A home folder that is moved, copied, read only, oddly named, or hurt: what one sees of it, and who else does."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from adapterlab.home import sqlite_url
from tiny_world import command, environment, platform, write_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"), epochs=1, trials=2)


@pytest.fixture(scope="module")
def done(spec, tmp_path_factory) -> Path:
    """A home in which the spec has been submitted, under a umask that hides nothing."""
    home = tmp_path_factory.mktemp("done") / "home"
    before = os.umask(0)
    try:
        submit(home, spec)
    finally:
        os.umask(before)
    return home


@pytest.fixture
def home(done, tmp_path) -> Path:
    """A copy of it, of this test's own."""
    shutil.copytree(done, tmp_path / "home")
    return tmp_path / "home"


def submit(home: Path, spec: Path, *arguments: str) -> str:
    ended = platform(home, "submit", str(spec), "--set", "cluster.launcher=in_process", *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def doctor(home: Path, *arguments: str) -> dict[str, dict]:
    listed = json.loads(platform(home, "doctor", "--json", *arguments).stdout)
    return {check["name"]: check for check in listed["checks"]}


def client_of(home: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=sqlite_url(home / "mlflow.db"))


def runs_of(home: Path, kind: str | None = None) -> list:
    client = client_of(home)
    wanted = f"tags.`adapterlab.kind` = '{kind}'" if kind else "tags.`adapterlab.kind` != ''"
    found = [one.experiment_id for one in client.search_experiments()]
    return list(client.search_runs(found, wanted, max_results=1000))


def artifacts_of(home: Path, run_id: str) -> set[str]:
    return {one.path for one in client_of(home).list_artifacts(run_id)}


# -- moved ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_old", [True, False])
def test_artifacts_follow_a_home_that_was_copied_or_moved(done, spec, tmp_path, keep_old):
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(done, old)
    submit(old, spec)  # its artifacts are its own now
    before = {run.info.run_id: artifacts_of(old, run.info.run_id) for run in runs_of(old)}
    assert sum(map(len, before.values())) > 4
    if keep_old:
        shutil.copytree(old, new)
    else:
        old.rename(new)
    files_before = sorted(path for path in old.rglob("*")) if keep_old else []
    found = doctor(new)
    assert found["artifacts"]["verdict"] == "warn"
    assert str(old) in found["artifacts"]["found"]

    submit(new, spec)
    assert {run_id: artifacts_of(new, run_id) for run_id in before} == before
    submit(new, spec, "--set", "final.seeds=[0, 1, 2]")
    new_finals = [run for run in runs_of(new, "final") if run.info.run_id not in before]
    assert new_finals
    for run in new_finals:
        assert run.info.artifact_uri.startswith(new.as_uri())
        assert (
            "test_outputs.json" in artifacts_of(new, run.info.run_id) or "adapterlab.reused" in run.data.tags
        )
    assert "artifacts" not in doctor(new)
    assert (sorted(path for path in old.rglob("*")) if keep_old else []) == files_before
    if not keep_old:
        assert not old.exists()


def test_doctor_brings_artifacts_along(home):
    assert doctor(home, "--repair")["artifacts"]["verdict"] == "ok"
    assert "artifacts" not in doctor(home)
    assert all(run.info.artifact_uri.startswith(home.as_uri()) for run in runs_of(home))


# -- MLflow's tree --------------------------------------------------------------------------------


def test_a_complete_step_that_mlflow_has_as_killed_is_mended_by_the_next_submit(home, spec):
    for kind in ("source", "study", "final"):
        for run in runs_of(home, kind):
            client_of(home).set_tag(run.info.run_id, "adapterlab.state", "killed")
            client_of(home).set_terminated(run.info.run_id, "KILLED")
    with closing(sqlite3.connect(home / "catalog.db")) as catalog, catalog:
        catalog.execute("UPDATE sweeps SET state = 'failed'")
    submit(home, spec)
    states = {(run.info.status, run.data.tags["adapterlab.state"]) for run in runs_of(home, "final")}
    assert states == {("FINISHED", "complete")}
    assert {run.info.status for run in runs_of(home)} <= {"FINISHED", "KILLED"}


def said(run) -> tuple[dict, dict, dict]:
    """What a run tells of its step, but for how that came about."""
    told = ("adapterlab.setting.", "adapterlab.best.", "adapterlab.row")
    tags = {name: value for name, value in run.data.tags.items() if name.startswith(told)}
    metrics = {name: value for name, value in run.data.metrics.items() if name.startswith(("best/", "test/"))}
    return tags, dict(run.data.params), metrics


@pytest.mark.parametrize("kind", ["sweep", "study", "final"])
def test_a_submit_with_nothing_to_do_shows_again_what_was_deleted_in_mlflow(home, spec, kind):
    before = {run.data.tags["adapterlab.node"]: said(run) for run in runs_of(home, kind)}
    for run in runs_of(home, kind):
        client_of(home).delete_run(run.info.run_id)
    submit(home, spec)
    runs = {run.info.run_id: run for run in runs_of(home)}
    assert {run.info.status for run in runs.values() if run.data.tags["adapterlab.kind"] == kind} == {
        "FINISHED"
    }
    for run in runs.values():
        above = run.data.tags.get("mlflow.parentRunId")
        assert above in runs or run.data.tags["adapterlab.kind"] == "sweep"
    assert {run.data.tags["adapterlab.node"]: said(run) for run in runs_of(home, kind)} == before
    again = {run.info.run_id: run.data.tags["adapterlab.attempt"] for run in runs.values()}
    submit(home, spec)  # and then there is nothing to show either
    assert {run.info.run_id: run.data.tags["adapterlab.attempt"] for run in runs_of(home)} == again


@pytest.mark.parametrize("kind", ["sweep", "study"])
def test_runs_below_a_deleted_one_hang_below_the_one_that_replaced_it(home, spec, kind):
    for run in runs_of(home, kind):
        client_of(home).delete_run(run.info.run_id)
    with closing(sqlite3.connect(home / "catalog.db")) as catalog, catalog:
        catalog.execute("UPDATE sweeps SET state = 'failed'")
    submit(home, spec)
    runs = {run.info.run_id: run for run in runs_of(home)}
    assert [run for run in runs.values() if run.data.tags["adapterlab.kind"] == kind]
    for run in runs.values():
        above = run.data.tags.get("mlflow.parentRunId")
        assert above in runs or run.data.tags["adapterlab.kind"] == "sweep"


# -- privacy --------------------------------------------------------------------------------------


def test_a_home_is_its_owners_only_whatever_the_umask(done):
    assert stat.S_IMODE(done.stat().st_mode) == 0o700
    wide = [
        str(path.relative_to(done))
        for path in done.rglob("*")
        if not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert wide == []


def test_doctor_tells_of_a_wide_home_and_closes_it(home):
    for path in (home, *home.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    told = doctor(home)["privacy"]
    assert (told["verdict"], "read and change" in told["found"]) == ("warn", True)
    assert doctor(home, "--repair")["privacy"]["verdict"] == "ok"
    assert "privacy" not in doctor(home)
    assert all(not path.stat().st_mode & 0o077 for path in (home, *home.rglob("*")))


# -- names ----------------------------------------------------------------------------------------


def test_every_store_is_in_a_home_whose_name_means_something_in_a_url(spec, tmp_path):
    home = tmp_path / "a home? 100%20 #1 {x} é" / "h%3F"
    submit(home, spec)
    assert {"catalog.db", "studies.db", "mlflow.db", "blobs", "artifacts"} <= {
        one.name for one in home.iterdir()
    }
    assert list(tmp_path.iterdir()) == [home.parent]
    assert list(home.parent.iterdir()) == [home]
    assert any(artifacts_of(home, run.info.run_id) for run in runs_of(home, "final"))
    assert not [check for check in doctor(home).values() if check["verdict"] == "fail"]
    assert json.loads(platform(home, "status", "--json").stdout)[0]["state"] == "complete"


# -- read only ------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["at rest", "with a log beside the database"])
def read_only(home, request) -> Iterator[Path]:
    """A home that is on a file system which may only be read, as commands run by ``reading`` see it."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a folder read-only")
    writer = sqlite3.connect(home / "catalog.db")
    if request.param:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        with writer:
            writer.execute("UPDATE sweeps SET updated_at = updated_at + 1")
        assert (home / "catalog.db-wal").stat().st_size
    yield home
    writer.close()


def reading(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``platform`` where the home is mounted read-only; the user's own folders may be written."""
    user = home.parent / "user"
    user.mkdir(exist_ok=True)
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script, str(home), *command(*arguments)],
        env={**environment(home), "HOME": str(user), "TMPDIR": str(user)},
        cwd=user,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_home_that_may_only_be_read_is_read(read_only, spec):
    home = read_only
    transfer = json.loads(platform_ok(home, "catalog", "list", "--kind", "transfer", "--json"))["transfers"][
        0
    ]["key"]
    for arguments in (
        ["status", "--json"],
        ["catalog", "list"],
        ["catalog", "show", transfer],
        ["plan", str(spec)],
        ["report", "tiny"],
        ["export", transfer, "--to", str(home.parent / "user" / "exported")],
    ):
        platform_ok(home, *arguments)
    found = {
        one["name"]: one["verdict"] for one in json.loads(reading(home, "doctor", "--json").stdout)["checks"]
    }
    databases = {"catalog", "catalog schema", "studies", "tracking"}
    assert {found[name] for name in databases} == {"ok"}
    assert (found["home folder"], found["blobs"]) == ("fail", "fail")
    refused = reading(home, "submit", str(spec), "--set", "final.seeds=[7]")
    assert refused.returncode == 5
    assert "can be read, but not written" in refused.stderr
    assert "ADAPTERLAB_HOME" in refused.stderr
    assert "free space" not in refused.stderr


def platform_ok(home: Path, *arguments: str) -> str:
    ended = reading(home, *arguments)
    assert ended.returncode == 0, (arguments, ended.stderr)
    return ended.stdout


# -- hurt -----------------------------------------------------------------------------------------


def test_doctor_finds_weights_that_were_cut_short(home, spec):
    blob = next((home / "blobs" / "sha256").rglob("*.safetensors"))
    blob.write_bytes(blob.read_bytes()[:-10])
    assert doctor(home)["weights"]["verdict"] == "warn"
    assert "1 damaged" in doctor(home)["weights"]["found"]
    doctor(home, "--repair")
    submit(home, spec)
    assert doctor(home)["weights"]["verdict"] == "ok"


@pytest.mark.parametrize("name", ["catalog", "studies", "mlflow"])
def test_doctor_finds_a_database_that_was_damaged_or_is_another_programs(home, name):
    file, label = home / f"{name}.db", f"{'tracking' if name == 'mlflow' else name} file"
    whole = file.read_bytes()
    page = 4096
    with file.open("r+b") as stream:
        for number in range(1, len(whole) // page):
            stream.seek(number * page)
            stream.write(b"\xa5" * 64)
    found = doctor(home)
    assert found[label]["verdict"] == "fail"
    assert "damaged" in found[label]["found"]
    assert found[label]["remedy"]
    for beside in home.glob(f"{name}.db*"):
        beside.unlink()
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    found = doctor(home)
    assert found[label]["verdict"] == "fail"
    assert "is not" in found[label]["found"]


@pytest.mark.parametrize("table", ["metrics", "coefficients", "adapters", "studies"])
def test_doctor_finds_lost_rows_and_has_them_made_again(home, spec, table):
    with closing(sqlite3.connect(home / "catalog.db")) as catalog, catalog:
        before = catalog.execute(f"SELECT count(*) FROM {table}").fetchone()
        if table == "metrics":
            catalog.execute("DELETE FROM metrics WHERE key = (SELECT key FROM metrics LIMIT 1)")
        else:
            catalog.execute(f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} LIMIT 1)")
    found = doctor(home)["records"]
    assert (found["verdict"], "lost rows" in found["found"]) == ("fail", True)
    assert doctor(home, "--repair")["records"]["verdict"] == "warn"
    submit(home, spec)
    assert "records" not in doctor(home)
    with closing(sqlite3.connect(home / "catalog.db")) as catalog:
        assert catalog.execute(f"SELECT count(*) FROM {table}").fetchone() == before


def test_rows_that_repeat_others_come_back_without_training(home, spec):
    said = {"lineage": "*", "backbones": "digest, source, layers", "sweep_steps": "*"}
    with closing(sqlite3.connect(home / "catalog.db")) as catalog, catalog:
        before = [
            list(catalog.execute(f"SELECT {what} FROM {table} ORDER BY 1, 2")) for table, what in said.items()
        ]
        for table in said:
            catalog.execute(f"DELETE FROM {table} WHERE rowid IN (SELECT min(rowid) FROM {table})")
    found = doctor(home)
    assert (found["derived rows"]["verdict"], found["sweeps"]["verdict"]) == ("fail", "warn")
    assert doctor(home, "--repair")["derived rows"]["verdict"] == "ok"
    assert "Nothing to train" in submit(home, spec)
    with closing(sqlite3.connect(home / "catalog.db")) as catalog:
        after = [
            list(catalog.execute(f"SELECT {what} FROM {table} ORDER BY 1, 2")) for table, what in said.items()
        ]
    assert after == before
    assert not {"derived rows", "sweeps", "records"} & doctor(home).keys()
