"""Which process something belongs to, a claim or a server, and whether it still exists."""

from __future__ import annotations

import json
import os
import socket
from functools import cache
from pathlib import Path


def current_owner() -> str:
    """Return this process as an owner: JSON text of host, boot_id, pid_ns, pid and started.

    ``started`` is the process's start in clock ticks since boot, so that a later process with the
    same pid is another owner. On systems without Linux's ``/proc`` the identifying parts are empty
    and a dead owner is known only by its expired lease.
    """
    boot_id, namespace = _machine()
    pid = os.getpid()
    owner = {
        "host": socket.gethostname(),
        "boot_id": boot_id,
        "pid_ns": namespace,
        "pid": pid,
        "started": _started(pid),
    }
    return json.dumps(owner, sort_keys=True)


def owner_is_dead(owner: str) -> bool:
    """Return whether an owner is known to be gone; ``False`` whenever there is any doubt."""
    try:
        facts = json.loads(owner)
        pid, started = int(facts["pid"]), facts["started"]
        place = (facts["boot_id"], facts["pid_ns"])
    except (ValueError, TypeError, KeyError):
        return False
    if started is None or not all(place) or place != _machine():
        return False
    if not has_process(pid):
        return True
    now = _started(pid)
    return now is not None and now != started


def has_process(pid: int) -> bool:
    """Return whether a process of this machine has a number, whichever it is, ended but not yet waited for or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


@cache
def _machine() -> tuple[str, str]:
    """Return (boot id, pid namespace); empty where /proc does not show this process's own pids."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):  # noqa: PTH115 - a link that is no path
            return "", ""
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return boot_id, os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        return "", ""


os.register_at_fork(after_in_child=_machine.cache_clear)


def _started(pid: int) -> int | None:
    """Return a process's start in ticks since boot, -1 for a zombie, None if it cannot be read."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the command in brackets and may itself hold spaces and brackets.
    rest = line.rpartition(")")[2].split()
    return -1 if rest[0] in "ZX" else int(rest[19])
