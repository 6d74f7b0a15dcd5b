"""What made a result: read from the code that runs, wherever it runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import adapterlab
from adapterlab.provenance import DIRTY, Provenance, provenance_of

PACKAGE = Path(adapterlab.__file__).parent
SAY = """
import json, sys
from adapterlab.provenance import provenance_of
for name in sys.argv[1:]:
    __import__(name)
print(json.dumps(provenance_of().to_json()))
heavy = {"torch", "transformers", "numpy", "sqlalchemy"} - set(sys.argv[1:])
assert len(sys.argv) > 1 or not heavy & set(sys.modules)
"""


def said(package, *loads, **variables):
    """Return what a process says that runs this package and has loaded these modules."""
    done = subprocess.run(
        [sys.executable, "-c", SAY, *loads],
        env={**os.environ, "PYTHONPATH": str(package.parent), **variables},
        cwd=package.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return Provenance(**json.loads(done.stdout))


def git(folder, *words):
    """Run git as somebody with a name."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A git checkout of a package that has only what provenance needs."""
    package = tmp_path / "checkout" / "platform" / "adapterlab"
    package.mkdir(parents=True)
    for name in ("__init__.py", "provenance.py", "fingerprint.py"):
        shutil.copy(PACKAGE / name, package)
    (tmp_path / "checkout" / "pyproject.toml").touch()
    git(tmp_path / "checkout", "init", "-q")
    git(tmp_path / "checkout", "add", ".")
    git(tmp_path / "checkout", "commit", "-qm", "first")
    git(tmp_path / "checkout", "tag", "-a", "v1", "-m", "a tag must not stand for the commit")
    return package


def test_the_commit_is_the_checkouts_and_says_when_files_had_changed(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    assert said(checkout).git_commit == commit
    with (checkout / "fingerprint.py").open("a") as stream:
        stream.write("# changed\n")
    assert said(checkout).git_commit == commit + DIRTY


def test_a_worktree_is_a_checkout_too(checkout, tmp_path):
    git(checkout, "worktree", "add", "-q", str(tmp_path / "other"))
    found = said(tmp_path / "other" / "platform" / "adapterlab")
    assert found.git_commit == git(checkout, "rev-parse", "HEAD")


def test_another_repository_around_an_installed_package_is_not_its_commit(checkout, tmp_path):
    """A virtual environment inside somebody's own checkout."""
    installed = checkout.parents[1] / ".venv" / "lib" / "site-packages" / "adapterlab"
    installed.parent.mkdir(parents=True)
    shutil.copytree(checkout, installed)
    assert said(installed).git_commit is None


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE"])
def test_a_hook_that_submits_does_not_lead_git_elsewhere(checkout, tmp_path, variable):
    git(tmp_path, "init", "-q", "elsewhere")
    elsewhere = str(tmp_path / "elsewhere" / ".git")
    assert said(checkout, **{variable: elsewhere}).git_commit == git(checkout, "rev-parse", "HEAD")


def test_without_git_there_is_no_commit(checkout, tmp_path):
    assert said(checkout, PATH=str(tmp_path)).git_commit is None


def test_a_library_counts_once_it_is_loaded_and_a_device_once_something_computes(checkout):
    bare = said(checkout)
    assert (bare.torch_version, bare.transformers_version, bare.device_name) == (None, None, None)
    assert bare.adapterlab_version == adapterlab.__version__
    assert bare.python_version == ".".join(map(str, sys.version_info[:3]))
    torch = pytest.importorskip("torch")
    computing = said(checkout, "torch")
    assert computing.torch_version == torch.__version__
    assert computing.transformers_version is None
    assert computing.device_name


@pytest.mark.gpu
def test_a_gpu_is_named_by_its_model():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.zeros(1, device="cuda:0")
    assert provenance_of("cuda:0").device_name == torch.cuda.get_device_name(0)
    assert provenance_of().device_name == torch.cuda.get_device_name(0)


def test_phrases_leave_out_what_is_not_known():
    bare = Provenance("1.2.3", None, "3.12.4", None, None, None)
    assert (bare.code, bare.libraries) == ("adapterlab 1.2.3", "Python 3.12.4")
    whole = Provenance(
        "1.2.3", "0123456789abcdef" * 2 + "01234567" + DIRTY, "3.12.4", "2.9.0", "5.0.1", "CPU"
    )
    assert whole.code == "adapterlab 1.2.3, commit 0123456789ab+dirty"
    assert whole.libraries == "torch 2.9.0, transformers 5.0.1, Python 3.12.4"
