"""Cleans up after a private Ray; also a script, for when its owner was killed. Standard library only.

The session starts the script with a pipe as its input. A written byte means that the session ended
in order; the end of input without one means that the owner is gone without a word (SIGKILL, out of
memory). Linux then kills Ray's main processes, but two of Ray's agents live on for a minute, and
what workers started may live on for good. All of them have files of the session's folder open:
their logs. Whoever does is killed, and the folder removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

_PAUSE_S = 0.1
_QUIET_ROUNDS = 5
_GIVE_UP_S = 20.0


def end_processes(folder: Path, grace_s: float) -> None:
    """Wait for the processes that use a session's folder to end, then kill the rest.

    Args:
        folder: The session's folder; this process may use it itself.
        grace_s: Seconds to wait before killing.
    """
    begun = time.monotonic()
    quiet = 0
    # A process may be on its way up while its parent goes down: look until all stays quiet.
    while quiet < _QUIET_ROUNDS and time.monotonic() - begun < grace_s + _GIVE_UP_S:
        left = users_of(folder)
        if not left and grace_s:
            return
        quiet = 0 if left else quiet + 1
        if time.monotonic() - begun >= grace_s:
            for number in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(number, signal.SIGKILL)
        time.sleep(_PAUSE_S)


def users_of(folder: Path) -> list[int]:
    """Return the ids of all other processes that have a file of the folder open (Linux only).

    Whoever has only folders of it open removes it: the driver does, when its Ray process was lost, beside the script.
    """
    proc = Path("/proc")
    if not (proc / "self" / "fd").is_dir():
        return []
    numbers = [int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal()]
    return [number for number in numbers if number != os.getpid() and _uses(number, folder)]


def _uses(number: int, folder: Path) -> bool:
    with suppress(OSError):
        for link in Path(f"/proc/{number}/fd").iterdir():
            with suppress(OSError):
                if str(link.readlink()).startswith(f"{folder}/") and not stat.S_ISDIR(link.stat().st_mode):
                    return True
    return False


def main(folder: Path) -> None:
    """Wait for the owner's end; clean up when it was a sudden one."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # one to the whole control group is for the others
    if not sys.stdin.buffer.read(1):
        end_processes(folder, grace_s=0)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
