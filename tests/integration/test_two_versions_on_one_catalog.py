"""A newer version of the package upgrades a catalog; an older one, already running or not, refuses it and says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import adapterlab
import catalog_process
from adapterlab.catalog import migrate
from adapterlab.catalog.schema import HEAD_REVISION
from catalogs import BOTH_DATABASES, database_url, open_at, postgres_url, put_adapter
from process_output import finish

__all__ = ["database_url", "postgres_url"]

SUPPORT = Path(catalog_process.__file__).parent
PACKAGE = Path(adapterlab.__file__).parent
NEWER = "e00000000001"
# What older code cannot know: a column that must be filled, one that is gone, and a table of another name.
MIGRATION = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{NEWER}", "{HEAD_REVISION}", None, None


def upgrade():
    op.add_column("claims", sa.Column("host", sa.String(), nullable=False, server_default="?"))
    op.drop_column("progress", "detail")
    op.rename_table("tracking_runs", "runs")


def downgrade():
    op.rename_table("runs", "tracking_runs")
    op.add_column("progress", sa.Column("detail", sa.String(), nullable=True))
    op.drop_column("claims", "host")
"""


@pytest.fixture(scope="module")
def newer_code(tmp_path_factory):
    """A checkout of the next version, with one migration more; its folder for ``PYTHONPATH``."""
    checkout = tmp_path_factory.mktemp("newer")
    shutil.copytree(
        PACKAGE, checkout / "platform" / "adapterlab", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(
        migrate.migrations_folder(), checkout / "alembic", ignore=shutil.ignore_patterns("__pycache__")
    )
    (checkout / "alembic" / "versions" / f"20270101_{NEWER}_next.py").write_text(MIGRATION)
    schema = checkout / "platform" / "adapterlab" / "catalog" / "schema.py"
    schema.write_text(schema.read_text().replace(HEAD_REVISION, NEWER))
    return checkout / "platform"


@pytest.fixture
def environment(database_url, tmp_path):
    """Environment variables of a home whose catalog is the test's database."""
    own = {
        "ADAPTERLAB_HOME": str(tmp_path),
        "ADAPTERLAB_CATALOG": database_url,
        "ADAPTERLAB_BLOBS": str(tmp_path / "blobs"),
    }
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **own}


def platform(code, environment, *words):
    """Run ``platform`` of one version of the code."""
    return subprocess.run(
        [sys.executable, "-m", "adapterlab.cli", *words],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(code), *_plugins()])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _plugins():
    return [str(PACKAGE.parents[1] / "plugins")]


def worker(url, folder, environment, action, *names):
    """Start a worker of this version; it has opened the catalog and claimed its step when this returns."""
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / "catalog_process.py"), url, str(folder), action, *names],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *_plugins(), str(SUPPORT)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert json.loads(process.stdout.readline()) == {"ready": True}
    go(process)
    assert json.loads(process.stdout.readline()) == {"opened": True}
    assert "claimed" in json.loads(process.stdout.readline())
    return process


def go(process):
    """Let a process go on."""
    process.stdin.write("\n")
    process.stdin.flush()


def assert_says_which_version(text):
    """Check the whole sentence: which revision is there, which is known, and what to do."""
    for words in (NEWER, HEAD_REVISION, "newer than this version of adapterlab", adapterlab.__version__):
        assert words in text
    assert migrate.NEWER_REMEDY in text


@pytest.mark.parametrize("database_url", BOTH_DATABASES, indirect=True)
@pytest.mark.slow
def test_the_newer_version_upgrades_and_every_command_of_the_older_refuses(
    database_url, tmp_path, environment, newer_code
):
    with open_at(database_url, tmp_path) as catalog:
        record = put_adapter(catalog, "a")
    upgraded = platform(newer_code, environment, "catalog", "show", record.key[:12], "--json")
    assert upgraded.returncode == 0, upgraded.stderr
    assert json.loads(upgraded.stdout)["key"] == record.key
    for words in (
        ["catalog", "list"],
        ["catalog", "show", record.key[:12]],
        ["catalog", "lineage", record.key[:12]],
        ["status"],
        ["status", "a-sweep"],
        ["cancel", "a-sweep"],
        ["report", "a-sweep"],
        ["contributions", record.key[:12]],
        ["export", record.key[:12], "--to", str(tmp_path / "export")],
        ["db", "upgrade"],
        ["db", "status"],
    ):
        refused = platform(PACKAGE.parent, environment, *words)
        assert refused.returncode == 5, (words, refused.stdout, refused.stderr)
        assert_says_which_version(refused.stdout + refused.stderr)
        assert "Traceback" not in refused.stderr
    assert platform(newer_code, environment, "db", "status").returncode == 0


@pytest.mark.parametrize("database_url", BOTH_DATABASES, indirect=True)
@pytest.mark.parametrize("action", ["hold=3600", "advance", "look"])
def test_a_worker_whose_catalog_is_upgraded_under_it_ends_with_that_sentence(
    database_url, tmp_path, environment, newer_code, action
):
    """It publishes, writes progress, or looks a run up in a table that is gone."""
    open_at(database_url, tmp_path).close()
    older = worker(database_url, tmp_path, environment, action, "a")
    upgraded = platform(newer_code, environment, "db", "upgrade")
    assert upgraded.returncode == 0, upgraded.stderr
    go(older)
    out, err = finish(older, 120)
    assert older.returncode == 0, err
    (refusal,) = (json.loads(line) for line in out.splitlines())
    assert refusal["error"] == "ConflictError"
    assert_says_which_version(refusal["text"])


@pytest.mark.parametrize("database_url", BOTH_DATABASES, indirect=True)
def test_an_upgrade_waits_for_a_write_in_progress(database_url, tmp_path, environment, newer_code):
    with open_at(database_url, tmp_path) as catalog:

        def work(connection):
            upgrade = subprocess.Popen(
                [sys.executable, "-m", "adapterlab.cli", "db", "upgrade"],
                env={**environment, "PYTHONPATH": os.pathsep.join([str(newer_code), *_plugins()])},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            with pytest.raises(subprocess.TimeoutExpired):
                upgrade.wait(timeout=4)
            return upgrade

        upgrade = catalog.database.write(work)
        out, err = upgrade.communicate(timeout=60)
        assert upgrade.returncode == 0, err
        assert NEWER in out
