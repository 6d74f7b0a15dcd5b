"""What was handed over survives the death of its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from adapterlab.tracking.spool import Spool, new_attempt, something_waits

ABOUT = ("store", "experiment")


def _entry(number: int) -> dict:
    return {"what": "tags", "node": "n", "tags": {"number": str(number)}}


def _killed_process(folder, lines: str) -> None:
    program = f"""
import sys, os, signal
from pathlib import Path
from adapterlab.tracking.spool import Spool
spool = Spool(Path(sys.argv[1]), *{ABOUT!r})
{lines}
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL


def _numbers(entries) -> list[int]:
    return [int(entry["tags"]["number"]) for entry in entries]


def test_take_returns_entries_in_order_and_only_once(tmp_path):
    spool = Spool(tmp_path, *ABOUT)
    for number in range(3):
        spool.append(_entry(number))
    entries, segment = spool.take()
    assert _numbers(entries) == [0, 1, 2]
    assert spool.take() == ([], None)
    spool.discard(segment)
    spool.close(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_entries_of_a_killed_process_are_left_in_order(tmp_path):
    """Both the segment that was taken and the one that was being filled are there."""
    lines = """
for number in range(3): spool.append({"what": "tags", "node": "n", "tags": {"number": str(number)}})
spool.take()
spool.append({"what": "tags", "node": "n", "tags": {"number": "3"}})
"""
    _killed_process(tmp_path, lines)
    spool = Spool(tmp_path, *ABOUT)
    [leftover] = list(spool.leftovers())
    assert _numbers(leftover.entries()) == [0, 1, 2, 3]
    assert spool.owner < new_attempt(), "later attempts sort after earlier ones"
    leftover.remove()
    assert list(spool.leftovers()) == []
    spool.close(keep=False)


def test_line_cut_off_by_the_crash_is_left_out(tmp_path):
    lines = """
spool.append({"what": "tags", "node": "n", "tags": {"number": "0"}})
os.write(spool._segment, b'{"what": "tags", "no')
"""
    _killed_process(tmp_path, lines)
    spool = Spool(tmp_path, *ABOUT)
    [leftover] = list(spool.leftovers())
    assert _numbers(leftover.entries()) == [0]
    spool.close(keep=False)


def test_spool_of_a_living_process_is_left_alone(tmp_path):
    first, second = Spool(tmp_path, *ABOUT), Spool(tmp_path, *ABOUT)
    first.append(_entry(1))
    assert list(second.leftovers()) == []
    first.close(keep=True)
    assert len(list(second.leftovers())) == 1
    second.close(keep=False)


def test_leftover_of_another_store_is_left_alone(tmp_path):
    first = Spool(tmp_path, "other", "experiment")
    first.append(_entry(1))
    first.close(keep=True)
    second = Spool(tmp_path, *ABOUT)
    assert list(second.leftovers()) == []
    second.close(keep=False)
    assert len(list(tmp_path.iterdir())) == 1


def test_leftover_goes_to_one_process_only(tmp_path):
    first = Spool(tmp_path, *ABOUT)
    first.append(_entry(1))
    first.close(keep=True)
    second, third = Spool(tmp_path, *ABOUT), Spool(tmp_path, *ABOUT)
    for _ in second.leftovers():
        assert list(third.leftovers()) == []
    second.close(keep=False)
    third.close(keep=False)


def test_full_disk_keeps_entries_in_memory(tmp_path, caplog):
    """Where nothing can be written any more, the entry still reaches the writer."""
    spool = Spool(tmp_path, *ABOUT)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, spool._segment)
    os.close(full)
    for number in range(2):
        spool.append(_entry(number))
    assert [record.levelname for record in caplog.records] == ["WARNING"], "said once"
    entries, segment = spool.take()
    assert segment is None
    assert _numbers(entries) == [0, 1]
    spool.close(keep=False)


def test_spool_is_for_its_owner_only(tmp_path):
    spool = Spool(tmp_path / "spool", *ABOUT)
    spool.append(_entry(0))
    folder = next(path for path in (tmp_path / "spool").iterdir())
    assert folder.stat().st_mode & 0o077 == 0
    assert json.loads((folder / "about.json").read_text()) == {"store": "store", "experiment": "experiment"}
    spool.close(keep=False)


def test_something_waits_only_when_its_process_is_dead(tmp_path):
    assert not something_waits(tmp_path / "none")
    spool = Spool(tmp_path, *ABOUT)
    spool.append(_entry(0))
    assert not something_waits(tmp_path)
    spool.close(keep=True)
    assert something_waits(tmp_path)
    reader = Spool(tmp_path, *ABOUT)
    for leftover in reader.leftovers():
        leftover.remove()
    reader.close(keep=False)
    assert not something_waits(tmp_path)
