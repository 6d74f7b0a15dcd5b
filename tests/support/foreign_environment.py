"""An environment of its own with AdapterHub's ``adapters`` and PEFT, and scripts that run in it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from adapterlab.train.passes import gather
from tiny_models import random_examples
from tiny_trained import LIKE_ROBERTA

CONSTRAINTS = Path(__file__).parents[1] / "end_to_end" / "adapterhub-constraints.txt"
# torch is named in the same command, so that no other build of it is fetched.
WANTED = ("adapters==1.3.0", "peft==0.21.2", "torch==2.13.0")
ROWS = random_examples(12, 2, seed=4, vocab=25)


@pytest.fixture(scope="session")
def hub_python() -> Path:
    """Python of an environment with both libraries; kept beside the temporary files for the next run."""
    mark = hashlib.sha256(CONSTRAINTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"adapterlab-adapterhub-{mark}"
    python = folder / "bin" / "python"
    with FileLock(f"{folder}.lock"):
        if not (folder / "complete").exists():
            venv.create(folder, with_pip=True, clear=True)
            install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*install, "-c", CONSTRAINTS, *WANTED], check=True)
            (folder / "complete").touch()
    return python


def run_in(python: Path, script: str, work):
    """Run a script of this folder in the other environment, and return what it says."""
    done = subprocess.run(
        [python, Path(__file__).with_name(script)],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def batch(architecture):
    """The rows as transformers wants them: padded, with masks."""
    rectangle = gather(ROWS, np.arange(len(ROWS)))
    mask = torch.arange(rectangle.token_ids.shape[1])[None] < rectangle.lengths[:, None]
    pad = 1 if architecture in LIKE_ROBERTA else 0
    types = torch.zeros_like(rectangle.type_ids) if architecture in LIKE_ROBERTA else rectangle.type_ids
    ids = torch.where(mask, rectangle.token_ids.clamp(min=4), pad)
    return {
        "input_ids": ids.tolist(),
        "attention_mask": mask.long().tolist(),
        "token_type_ids": types.tolist(),
    }


def rows_of(architecture):
    """The same rows as the engine takes them."""
    types = 0 * ROWS.type_ids if architecture in LIKE_ROBERTA else ROWS.type_ids
    return type(ROWS)(ROWS.token_ids.clip(min=4), types, ROWS.offsets, ROWS.labels)
