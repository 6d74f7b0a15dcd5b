"""A folder made once: whole or absent, whoever fails, is killed or comes second."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from adapterlab.caching.folders import read_or_build


def read(folder: Path) -> str:
    text = (folder / "text").read_text()
    if not text.endswith("."):
        raise ValueError("cut off")
    return text


def build(draft: Path) -> None:
    (draft / "text").write_text("whole.")


def test_what_is_there_is_read_and_not_built_again(tmp_path):
    folder = tmp_path / "kind" / "entry"
    assert read_or_build(folder, read, build) == "whole."
    assert read_or_build(folder, read, lambda _: pytest.fail("built twice")) == "whole."


@pytest.mark.parametrize("damage", ["gone", "cut off", "an empty folder"])
def test_a_damaged_folder_is_built_again_and_leaves_nothing(tmp_path, damage):
    folder = tmp_path / "entry"
    read_or_build(folder, read, build)
    if damage == "cut off":
        (folder / "text").write_text("who")
    else:
        (folder / "text").unlink()
        if damage == "gone":
            folder.rmdir()
    assert read_or_build(folder, read, build) == "whole."
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["entry"]


def test_a_build_that_fails_leaves_nothing_and_the_next_one_builds(tmp_path):
    def fail(draft: Path) -> None:
        build(draft)
        raise RuntimeError("no more rows")

    with pytest.raises(RuntimeError, match="no more rows"):
        read_or_build(tmp_path / "entry", read, fail)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert read_or_build(tmp_path / "entry", read, build) == "whole."


def test_a_disk_that_loses_what_was_written_is_told(tmp_path):
    with pytest.raises(OSError, match="cannot be read back"):
        read_or_build(tmp_path / "entry", read, lambda draft: None)


def test_a_fault_of_the_reader_that_is_no_damage_deletes_nothing(tmp_path):
    """Only what damage raises discards a folder: a bug or Ctrl-C must not cost the cache."""
    folder = tmp_path / "entry"
    read_or_build(folder, read, build)

    def interrupted(_: Path) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_or_build(folder, interrupted, build)
    assert read(folder) == "whole."


def _build_slowly(draft: Path) -> None:
    time.sleep(0.2)
    with (draft.parent / "builders").open("a") as stream:
        stream.write(f"{os.getpid()}\n")
    build(draft)


def _take(folder: str) -> str:
    return read_or_build(Path(folder), read, _build_slowly)


def test_processes_that_need_it_at_once_wait_for_one(tmp_path):
    with ProcessPoolExecutor(4) as pool:
        assert set(pool.map(_take, [str(tmp_path / "entry")] * 8)) == {"whole."}
    assert len((tmp_path / "builders").read_text().splitlines()) == 1
