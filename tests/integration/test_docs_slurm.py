"""The script of the page on Slurm, run with an `srun` that starts its command on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from documents import DOCS
from process_output import finish
from ray_nodes import free_port
from tiny_world import environment, platform, write_world

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(400)]

SRUN = """#!{python}
import os, socket, sys
command = sys.argv[1:]
while command[0].startswith("--"):
    command.pop(0)
with socket.socket() as probe:  # nodes have an address each; here they share one
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
os.execvp(command[0], [*command, f"--dashboard-agent-listen-port={{port}}"])
"""
SCONTROL = "#!/bin/sh\nprintf '127.0.0.1\\nother\\n'\n"
PLATFORM = '#!/bin/sh\nexec {python} -m adapterlab.cli "$@"\n'


@pytest.fixture
def script(tmp_path) -> Path:
    """The page's script, beside stand-ins for what a machine with Slurm has."""
    page = (DOCS / "guide" / "slurm.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "bin").mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("platform", PLATFORM)):
        file = tmp_path / "bin" / name
        file.write_text(text.format(python=sys.executable) if name != "scontrol" else text)
        file.chmod(0o755)
    (tmp_path / "sweep.sh").write_text(found)
    return tmp_path / "sweep.sh"


def batch(script: Path, home: Path, spec: Path) -> subprocess.Popen[str]:
    """Start the script as Slurm would."""
    paths = [str(script.parent / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    return subprocess.Popen(
        ["bash", str(script), str(spec), "--set", "combiner.kind=[]"],
        env={
            **environment(home), "PATH": ":".join(paths), "SLURM_JOB_ID": str(free_port()),
            "SLURM_JOB_NODELIST": "127.0.0.1,other", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "1",
        },
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def test_the_script_brings_up_two_nodes_and_stops_them_in_order(script, tmp_path):
    spec, home = write_world(tmp_path / "world", epochs=6, rows=200), tmp_path / "home"
    first = batch(script, home, spec)
    said = ""
    try:
        for line in first.stdout:
            said += line
            if ": running" in line:
                break
        started = psutil.Process(first.pid).children(recursive=True)
        assert len([one for one in started if "raylet" in one.name()]) == 2, said
        first.send_signal(signal.SIGTERM)
        rest, _ = finish(first, 120)
    finally:
        end(first)
    assert first.returncode == 143, said + rest
    assert "stopped by SIGTERM" in rest
    _, alive = psutil.wait_procs(started, timeout=15)
    assert alive == []
    (status,) = json.loads(platform(home, "status", "--json").stdout)
    assert status["state"] == "killed"


def end(job: subprocess.Popen[str]) -> None:
    """End whatever a job that failed has left."""
    if job.poll() is None:
        for one in [*psutil.Process(job.pid).children(recursive=True), psutil.Process(job.pid)]:
            one.kill()
        job.communicate()
