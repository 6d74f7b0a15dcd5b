"""A server that ends with the process that started it, however that ended."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

from adapterlab.owners import has_process, owner_is_dead

OWNER_VARIABLE = "ADAPTERLAB_UI_OWNER"
"""The process that a server belongs to, as ``owners.current_owner`` names it."""
_LOOK_EVERY_S, _GRACE_S = 1.0, 3.0


def end_with(owner: str) -> None:
    """Watch a process from a thread, and end this one's process group once it is gone.

    Args:
        owner: A process of this machine that leads another group, as ``owners.current_owner`` names it.
    """
    threading.Thread(target=_watch, args=(owner,), daemon=True, name="owner").start()


def _watch(owner: str) -> None:
    pid = int(json.loads(owner)["pid"])
    # The number alone says too little, since a later process may have it; it is all there is without Linux's /proc.
    while has_process(pid) and not owner_is_dead(owner):
        time.sleep(_LOOK_EVERY_S)
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(os.getpgid(0), number)
        time.sleep(_GRACE_S)  # the first may end this thread with all else
