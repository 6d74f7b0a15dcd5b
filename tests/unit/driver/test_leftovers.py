"""What killed processes left on this machine is found, room by room, and removed when its owner is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from adapterlab.caching.leftovers import remove_abandoned
from adapterlab.driver.launchers import tune_folder
from adapterlab.driver.leftovers import found_at_once, found_by_searching
from adapterlab.home import stores

DIE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
LEAVE = {
    "tune": "from adapterlab.driver.launchers import tune_folder\nwith tune_folder(home): " + DIE,
    "ray": "from adapterlab.cluster.session import _session_folder\nwith _session_folder(): " + DIE,
    "copy": "import shutil, sqlite3\nfrom adapterlab.catalog.database import connect_read_only\n"
    "file = home / 'catalog.db'\nkept = sqlite3.connect(file)\nkept.execute('pragma journal_mode = wal')\n"
    "kept.execute('create table t (a)')\nkept.commit()\n"
    f"def die(*words): {DIE}\n"
    "shutil.copyfile = die\nconnect_read_only(file)",
    "upload": "from adapterlab.tracking.runs import Runs\nimport threading\n"
    f"class Client:\n    def log_artifact(self, *words): {DIE}\n"
    "runs = Runs.__new__(Runs)\nruns._mutex = threading.Lock()\nruns._client = Client()\n"
    "runs._get = lambda node: type('Known', (), {'run_id': 'r'})()\nruns.artifact('n', 'a.txt', b'a')",
    "spool": "from pathlib import Path\nfrom adapterlab.tracking.spool import Spool\n"
    f"def die(*words): {DIE}\n"
    "Path.rename = die\nSpool(home / 'spool', 'store', 'experiment')",
    "database": "from pathlib import Path\nfrom adapterlab.tracking import schema\n"
    f"def die(*words): {DIE}\n"
    "Path.replace = die\n"
    "schema._upgrade_schema = lambda uri, *rest: Path(uri.removeprefix('sqlite:///')).write_text('half')\n"
    "schema._initialise_sqlite(f'sqlite:///{home}/mlflow.db', home / 'mlflow.db', str(home))",
    "cache": "from pathlib import Path\nfrom adapterlab.caching.file_digests import write_atomically\n"
    f"def die(*words): {DIE}\n"
    "Path.replace = die\nwrite_atomically(home / 'cache' / 'facts' / 'ab' / 'ab.json', b'half')",
}


@pytest.fixture
def home(tmp_path, temporary, monkeypatch):
    """A home of this test alone."""
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def leave(home, what: str) -> None:
    """Have a process killed where it leaves something."""
    code = f"from pathlib import Path\nhome = Path({str(home)!r})\n{LEAVE[what]}"
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ended.returncode == -9, ended.stderr


def make_old(*roots) -> None:
    then = time.time() - 2 * 3600
    for root in roots:
        for place, folders, files in os.walk(root):
            for name in (*folders, *files):
                os.utime(os.path.join(place, name), (then, then))  # noqa: PTH118


@pytest.mark.parametrize("what", LEAVE)
def test_every_kind_is_left_found_and_removed(home, temporary, what):
    leave(home, what)
    assert remove_abandoned(found_by_searching(stores())) == []
    make_old(home, temporary)
    left = [one for one in found_by_searching(stores()) if one.is_abandoned()]
    assert len(left) == 1
    at_once = [one.path for one in found_at_once(stores())]
    assert at_once == ([] if what == "cache" else [left[0].path])
    assert remove_abandoned(found_by_searching(stores())) == left
    assert not left[0].path.exists()
    assert list(found_by_searching(stores())) == []


def test_an_empty_home_has_none_and_stays_empty(home):
    assert list(found_by_searching(stores())) == []
    assert list(home.iterdir()) == []


def test_what_waits_for_mlflow_is_no_leftover(home):
    from adapterlab.tracking.spool import Spool, something_waits

    spool = Spool(stores().spool, "store", "experiment")
    spool.append({"what": "tags", "node": "n", "tags": {}})
    spool.close(keep=True)
    make_old(home)
    assert remove_abandoned(found_by_searching(stores())) == []
    assert something_waits(stores().spool)


def test_a_driver_removes_the_folders_of_killed_ones_and_no_other(home):
    leave(home, "tune")
    make_old(home)
    with tune_folder(home) as first:
        os.utime(first, (0, 0))
        with tune_folder(home) as second:
            assert sorted(home.glob("ray/*")) == sorted([first, second])
    assert list(home.glob("ray/*")) == []
