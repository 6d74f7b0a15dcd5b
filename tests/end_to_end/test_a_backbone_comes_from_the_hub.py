"""A spec whose backbone is on the hub runs: fetched from a server, or taken from a prepared cache."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from hub_server import REVISION, serve
from tiny_world import command, environment

SOURCE = ["--set", 'backbone.source="hub:tiny/bert"', "--set", f'backbone.revision="{REVISION}"']


@pytest.fixture
def home(finished, tmp_path):
    """A copy of the finished home, whose backbone came from a folder."""
    return shutil.copytree(finished.home, tmp_path / "home")


def submit(finished, home, **variables):
    clean = {name: value for name, value in environment(home).items() if not name.startswith("HF_")}
    return subprocess.run(
        command("submit", str(finished.spec), "--json", *SOURCE),
        env={**clean, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1", **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
def test_the_same_weights_from_the_hub_have_the_same_keys(finished, home):
    """Where a backbone comes from is in no key: everything trained from the folder is reused."""
    files = {path.name: path.read_bytes() for path in (finished.spec.parent / "backbone").iterdir()}
    with serve(files) as hub:
        done = submit(finished, home, HF_ENDPOINT=hub.url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"]["nothing_to_do"]
    assert any("/resolve/" in request for request in hub.requests)

    offline = submit(finished, home, HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    assert json.loads(offline.stdout)["outcome"]["nothing_to_do"]


@pytest.mark.slow
def test_a_new_run_trains_on_what_the_hub_gave(finished, tmp_path):
    """With an empty home the backbone is fetched and the whole sweep runs on it."""
    home = tmp_path / "empty"
    files = {path.name: path.read_bytes() for path in (finished.spec.parent / "backbone").iterdir()}
    with serve(files) as hub:
        done = submit(finished, home, HF_ENDPOINT=hub.url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"]["trained"] == {
        "joint": 0,
        "selection": 0,
        "source": 2,
        "study": 2,
        "transfer": 4,
    }


def test_a_hub_that_is_away_is_said_plainly(finished, home):
    gone = submit(finished, home, HF_ENDPOINT="http://127.0.0.1:9")
    assert gone.returncode == 5
    assert json.loads(gone.stdout)["message"].startswith("tiny/bert@01234567 cannot be fetched")
