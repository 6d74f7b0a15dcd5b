"""What a killed process left goes; what a living one holds, or may hold, stays."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from adapterlab.caching.file_digests import write_atomically
from adapterlab.caching.folders import read_or_build
from adapterlab.caching.leftovers import (
    OWNER_LOCK,
    Leftover,
    cache_drafts,
    remove_abandoned,
    scratch_folder,
    scratch_folders,
)

HOLD = """
import sys
from pathlib import Path
from adapterlab.caching.leftovers import scratch_folder
with scratch_folder("own-", Path(sys.argv[1])) as folder:
    (folder / "file").write_text("work")
    print(folder, flush=True)
    sys.stdin.read()
"""


def age(path, seconds: float) -> None:
    """Make a file, or a folder with everything in it, that old."""
    then = time.time() - seconds
    for place, folders, files in os.walk(path, topdown=False):
        for name in (*folders, *files):
            os.utime(os.path.join(place, name), (then, then))  # noqa: PTH118
    os.utime(path, (then, then))


@pytest.fixture
def owner(tmp_path):
    """A process that holds a scratch folder, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    folder = tmp_path / process.stdout.readline().strip().rsplit("/", 1)[-1]
    yield process, folder
    process.kill()
    process.communicate()


def test_a_scratch_folder_goes_with_its_block(tmp_path):
    with suppress(ZeroDivisionError), scratch_folder("own-", tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]
        assert folder.stat().st_mode & 0o077 == 0
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_keeps_its_folder_however_old_it_is(tmp_path, owner):
    _, folder = owner
    age(folder, 9 * 24 * 3600)
    assert [one.path for one in scratch_folders("own-", tmp_path)] == [folder]
    assert remove_abandoned(scratch_folders("own-", tmp_path)) == []
    assert (folder / "file").read_text() == "work"


def test_the_folder_of_a_killed_process_is_removed_once_it_is_old_enough(tmp_path, owner):
    process, folder = owner
    process.kill()
    process.wait()
    assert remove_abandoned(scratch_folders("own-", tmp_path)) == []
    age(folder, 120)
    (left,) = scratch_folders("own-", tmp_path)
    assert left.is_abandoned()
    assert left.bytes() >= 4
    assert folder.exists()
    assert remove_abandoned([left]) == [left]
    assert list(tmp_path.iterdir()) == []
    assert not left.remove()


def test_a_folder_without_a_lock_was_left_before_it_had_one(tmp_path):
    (tmp_path / "own-1").mkdir()
    assert remove_abandoned(scratch_folders("own-", tmp_path)) == []
    age(tmp_path / "own-1", 120)
    assert len(remove_abandoned(scratch_folders("own-", tmp_path))) == 1


def test_looking_changes_nothing(tmp_path):
    folder = tmp_path / "own-1"
    folder.mkdir()
    age(folder, 120)
    before = folder.stat().st_mtime_ns
    (left,) = scratch_folders("own-", tmp_path)
    assert left.is_abandoned()
    assert (folder.stat().st_mtime_ns, list(folder.iterdir())) == (before, [])


def test_other_folders_and_other_people_s_are_left_alone(tmp_path, monkeypatch):
    for name in ("mine", "own-1"):
        (tmp_path / name).mkdir()
        age(tmp_path / name, 9000)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert remove_abandoned(scratch_folders("own-", tmp_path)) == []
    monkeypatch.undo()
    assert len(remove_abandoned(scratch_folders("own-", tmp_path))) == 1
    assert (tmp_path / "mine").exists()


def test_no_parent_is_nothing(tmp_path):
    assert list(scratch_folders("own-", tmp_path / "absent")) == []
    assert list(cache_drafts(tmp_path / "absent")) == []


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    (tmp_path / "link").symlink_to(precious)
    os.utime(tmp_path / "link", (0, 0), follow_symlinks=False)
    assert Leftover("link", tmp_path / "link").remove()
    assert (precious / "file").read_text() == "kept"


# --- Caches -----------------------------------------------------------------------------------


def killed_while(folder, what: str) -> None:
    """Run a process that is killed in the middle of making something."""
    code = f"import os, signal\nfrom pathlib import Path\nfolder = Path({str(folder)!r})\n{what}"
    ended = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.PIPE)
    assert ended.returncode == -9, ended.stderr


DIE = "os.kill(os.getpid(), signal.SIGKILL)"


def test_what_a_process_killed_in_the_middle_of_a_cache_entry_left_is_found(tmp_path):
    killed_while(
        tmp_path / "tokens" / "ab12",
        f"from adapterlab.caching.folders import read_or_build\n"
        f"read_or_build(folder, lambda f: 1, lambda f: ((f / 'rows').write_text('half'), {DIE}))",
    )
    killed_while(
        tmp_path / "facts" / "ab" / "ab12.json",
        f"from adapterlab.caching.file_digests import write_atomically\n"
        f"Path.replace = lambda *words: {DIE}\n"
        f"write_atomically(folder, b'half')",
    )
    drafts = list(cache_drafts(tmp_path))
    assert sorted(draft.path.parent.name for draft in drafts) == ["ab", "tokens"]
    assert remove_abandoned(drafts) == []
    for draft in drafts:
        age(draft.path, 2 * 3600)
    assert len(remove_abandoned(cache_drafts(tmp_path))) == 2
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["ab12.lock"]


def test_a_draft_is_kept_while_somebody_writes_deep_inside_or_holds_its_lock(tmp_path):
    draft = tmp_path / "tokens" / ".draft.ab12.77.0123abcd"
    (draft / "deep").mkdir(parents=True)
    (draft / "deep" / "rows").write_text("half")
    age(draft, 2 * 3600)
    os.utime(draft / "deep" / "rows")
    assert remove_abandoned(cache_drafts(tmp_path)) == []
    age(draft, 2 * 3600)
    with (tmp_path / "tokens" / "ab12.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert remove_abandoned(cache_drafts(tmp_path)) == []
    assert len(remove_abandoned(cache_drafts(tmp_path))) == 1


def test_whole_entries_are_no_drafts(tmp_path):
    read_or_build(tmp_path / "tokens" / "ab12", lambda f: 1, lambda f: (f / "rows").write_text("whole"))
    write_atomically(tmp_path / "facts" / "ab" / "ab12.json", b"whole")
    (tmp_path / ".hidden").write_text("whose is this?")
    age(tmp_path, 9 * 24 * 3600)
    assert list(cache_drafts(tmp_path)) == []


def test_the_owner_s_lock_is_one_that_earlier_versions_respect(tmp_path):
    from filelock import FileLock, Timeout

    with scratch_folder("own-", tmp_path) as folder, pytest.raises(Timeout):
        FileLock(folder / OWNER_LOCK, timeout=0).acquire()
