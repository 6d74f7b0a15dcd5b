"""A server that ends with the process that started it, however that ended."""

from __future__ import annotations

import os
import signal
import threading
import time

OWNER_VARIABLE = "ADAPTERLAB_UI_OWNER"
"""Number of the process that a server belongs to."""
_LOOK_EVERY_S, _GRACE_S = 1.0, 3.0


def end_with(owner: int) -> None:
    """Watch a process from a thread, and end this one's process group once it is gone.

    Args:
        owner: Number of a process of this machine that leads another group.
    """
    threading.Thread(target=_watch, args=(owner,), daemon=True, name="owner").start()


def _watch(owner: int) -> None:
    while _is_there(owner):
        time.sleep(_LOOK_EVERY_S)
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(os.getpgid(0), number)
        time.sleep(_GRACE_S)  # the first may end this thread with all else


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
