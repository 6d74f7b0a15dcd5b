"""What a process says to its end, after some of its lines have been read one by one.

``Popen.communicate`` with a timeout reads from the pipe itself and leaves out what an earlier ``readline`` has
already taken into the stream's buffer, so two lines that arrive together lose the second.
"""

from __future__ import annotations

import subprocess
import threading
import time
from typing import IO


def finish(process: subprocess.Popen[str], timeout_s: float) -> tuple[str, str]:
    """Wait for a process's end.

    Args:
        process: A process with text pipes.
        timeout_s: How long to wait, in seconds.

    Returns:
        What is left of its stdout and of its stderr; empty for one that is no pipe.

    Raises:
        subprocess.TimeoutExpired: It goes on, or something it started holds its pipes open.
    """
    ends = time.monotonic() + timeout_s
    said = {}

    def read(stream: IO[str]) -> None:
        said[stream] = stream.read()

    if process.stdin is not None:
        process.stdin.close()
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    readers = [threading.Thread(target=read, args=(stream,), daemon=True) for stream in streams]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(max(0.0, ends - time.monotonic()))
        if reader.is_alive():
            raise subprocess.TimeoutExpired(process.args, timeout_s)
    process.wait(max(0.1, ends - time.monotonic()))
    return said.get(process.stdout, ""), said.get(process.stderr, "")
