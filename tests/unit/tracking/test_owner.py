"""A server ends with the process that started it, also with one that was killed."""

from __future__ import annotations

import subprocess
import sys

_SERVER = """\
import sys, time
from adapterlab.tracking.owner import end_with
end_with(int(sys.argv[1]))
print("up", flush=True)
time.sleep(600)
"""


def test_a_server_ends_once_its_owner_was_killed():
    owner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(owner.pid)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        assert server.poll() is None
        owner.kill()
        owner.wait()
        assert server.wait(60) == -15
    finally:
        owner.kill()
        server.kill()
        server.communicate()
