"""What is remembered by file identity: right after every change, safe under many writers."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from adapterlab.caching.file_digests import file_digest, recall_or_compute, write_atomically
from adapterlab.fingerprint import digest_file


def test_a_file_is_read_once_while_it_stays_as_it_is(tmp_path, cache):
    path = tmp_path / "data"
    path.write_bytes(b"one")
    calls = []

    def compute():
        calls.append(1)
        return {"length": len(path.read_bytes())}

    assert recall_or_compute(cache, "length", [path], None, compute) == {"length": 3}
    assert recall_or_compute(cache, "length", [path], None, compute) == {"length": 3}
    assert len(calls) == 1


def test_other_settings_and_other_kinds_are_other_entries(tmp_path, cache):
    path = tmp_path / "data"
    path.write_bytes(b"one")
    assert recall_or_compute(cache, "a", [path], 1, lambda: {"v": 1}) == {"v": 1}
    assert recall_or_compute(cache, "a", [path], 2, lambda: {"v": 2}) == {"v": 2}
    assert recall_or_compute(cache, "b", [path], 1, lambda: {"v": 3}) == {"v": 3}


def test_a_changed_file_of_equal_size_and_time_is_read_again(tmp_path, cache):
    """A copy that keeps size and modification time still changes the inode or the change time."""
    path = tmp_path / "data"
    path.write_bytes(b"one")
    first = file_digest(cache, path)
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(b"two")
    os.utime(path, ns=times)
    assert file_digest(cache, path) == digest_file(path) != first


def test_a_damaged_entry_is_computed_again(tmp_path, cache):
    path = tmp_path / "data"
    path.write_bytes(b"one")
    digest = file_digest(cache, path)
    (entry,) = cache.rglob("*.json")
    for damage in (b"", b"{", b"[1]", b"\xff\xfe"):
        entry.write_bytes(damage)
        assert file_digest(cache, path) == digest
        assert json.loads(entry.read_bytes()) == {"sha256": digest}


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"one")
    in_the_way = tmp_path / "cache"
    in_the_way.write_text("a file where the folder should be")
    assert file_digest(in_the_way, path) == digest_file(path)


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path, cache):
    path = tmp_path / "data"
    path.write_bytes(b"one")

    def compute():
        path.write_bytes(b"something longer")
        return {"v": 1}

    recall_or_compute(cache, "v", [path], None, compute)
    assert not list(cache.rglob("*.json"))


def _digest(arguments: tuple[str, str]) -> str:
    return file_digest(Path(arguments[0]), Path(arguments[1]))


def test_many_processes_agree(tmp_path, cache):
    path = tmp_path / "data"
    path.write_bytes(os.urandom(1 << 20))
    with ProcessPoolExecutor(4) as pool:
        digests = set(pool.map(_digest, [(str(cache), str(path))] * 12))
    assert digests == {digest_file(path)}
    assert len(list(cache.rglob("*"))) - len([p for p in cache.rglob("*") if p.is_dir()]) == 1


def test_a_failed_write_leaves_no_draft(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "x").write_text("")
    try:
        write_atomically(target, b"content")
    except OSError:
        assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    else:
        raise AssertionError("a folder was replaced by a file")
