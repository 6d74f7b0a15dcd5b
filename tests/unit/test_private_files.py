"""What is written under the private umask is its owner's, and the umask before comes back."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from adapterlab.private_files import private_umask


def umask_now() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


@pytest.mark.parametrize("before", [0o000, 0o022, 0o077])
def test_files_and_folders_are_their_owners_only(tmp_path, before):
    old = os.umask(before)
    try:
        with private_umask():
            (tmp_path / "file").write_text("x")
            (tmp_path / "folder").mkdir()
        assert umask_now() == before
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700


def test_the_umask_comes_back_after_an_error():
    before = umask_now()
    with pytest.raises(FileNotFoundError), private_umask():
        Path("/nowhere/at/all").read_text()
    assert umask_now() == before


def test_processes_started_meanwhile_write_so_too(tmp_path):
    with private_umask():
        subprocess.run([sys.executable, "-c", "open('made', 'w').close()"], cwd=tmp_path, check=True)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600
