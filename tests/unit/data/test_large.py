"""A task of MNLI's size is read and tokenised with flat memory, by one process, whole or not at all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

PROGRAM = """
import pathlib, sys
from adapterlab.data.task_data import load_task
from adapterlab.data.task_library import TaskLibrary
import datasets.utils.stratify, numpy, pyarrow.ipc, tokenizers  # what any load costs, however small

def resident_mib():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(sys.argv[4]):
            return int(line.split()[1]) / 1024

root, model, cache = map(pathlib.Path, sys.argv[1:4])
before = resident_mib()
told = []
data = load_task(
    TaskLibrary(cache, root), "glue/qnli", backbone_folder=model, max_length=32,
    progress=lambda what, done, total: told.append((what, done, total)),
)
tokens = int(data.train.token_ids[-1]) + sum(len(part) for part in (data.train, data.validation, data.test))
print("GREW", resident_mib() - before, tokens, len(told), told[-1][1] <= told[-1][2], flush=True)
"""


def write(root: Path, rows: int) -> Path:
    folder = root / "glue" / "qnli"
    folder.mkdir(parents=True)
    for name, count in (("train", rows), ("validation", 1000)):
        with (folder / f"{name}.jsonl").open("w") as stream:
            for n in range(count):
                question = f"the cat {n} sat not {n % 97} the dog ran {n % 13}"
                row = {"question": question, "sentence": f"dogs ran {n % 1009} not the cat", "label": n % 2}
                stream.write(json.dumps(row | {"idx": n}) + "\n")
    return root


def run(root: Path, model: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(root), str(model), str(cache), "VmHWM"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_four_hundred_thousand_pairs_load_with_flat_memory(tmp_path, model_folder, cache):
    root = write(tmp_path / "data", 400_000)
    process = run(root, model_folder, cache)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    grew, _, told, sane = out.split("GREW")[1].split()
    assert float(grew) < 300, f"{grew} MiB more than before"
    assert int(told) > 300
    assert sane == "True"


def test_a_run_that_is_killed_leaves_nothing_that_is_taken_for_whole(tmp_path, model_folder, cache):
    root = write(tmp_path / "data", 30_000)
    process = run(root, model_folder, cache)
    deadline = time.monotonic() + 60
    while not list((cache / "tokens").glob(".draft.*")) and time.monotonic() < deadline:
        assert process.poll() is None, "it was done before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole = [path for path in (cache / "tokens").iterdir() if path.is_dir() and path.name[0] != "."]
    assert whole == []
    again = run(root, model_folder, cache)
    out, _ = again.communicate(timeout=120)
    assert again.returncode == 0, out
    (kept,) = [path for path in (cache / "tokens").iterdir() if path.is_dir() and path.name[0] != "."]
    assert len(np.load(kept / "train.labels.npy")) == 27_000
