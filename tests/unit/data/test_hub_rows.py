"""A data set on the hub: a pinned commit, Parquet files only, every refusal told, nothing half kept."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapterlab.data.hub_rows import files_of
from adapterlab.data.task_facts import task_facts
from adapterlab.data.task_library import TaskLibrary
from hub_server import REVISION, Hub, serve

ROWS = [
    {"sentence1": f"premise {i}", "sentence2": f"hypothesis {i}", "label": i % 2, "idx": i} for i in range(40)
]


def parquet(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


FILES = {
    "README.md": b"# glue",
    "glue.py": b"raise SystemExit('a script was run')",
    "rte/train-00000-of-00002.parquet": parquet(ROWS[:25]),
    "rte/train-00001-of-00002.parquet": parquet(ROWS[25:]),
    "rte/validation-00000-of-00001.parquet": parquet(ROWS[:6]),
    "rte/test-00000-of-00001.parquet": parquet([row | {"label": -1} for row in ROWS[:6]]),
    "cola/train-00000-of-00001.parquet": parquet([{"sentence": "a", "label": 0}]),
}

PROGRAM = """
import json, pathlib, sys
from dataclasses import asdict
from adapterlab.data.task_facts import task_facts
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import AdapterlabError
options = json.loads(sys.argv[1])
try:
    library = TaskLibrary(pathlib.Path(options["cache"]), hub=True, revisions=options["revisions"])
    facts = task_facts(library, "glue/rte", download=options["download"])
    print("ANSWER" + json.dumps({"facts": asdict(facts)}))
except AdapterlabError as error:
    print("ANSWER" + json.dumps({"error": error.to_json()}))
"""


@pytest.fixture
def glue() -> Iterator[Hub]:
    """A hub that holds ``nyu-mll/glue``."""
    with serve(dict(FILES), repository="nyu-mll/glue", kind="datasets") as state:
        yield state


@pytest.fixture
def ask(glue: Hub, tmp_path: Path) -> Any:
    """Look ``glue/rte`` up in a process of its own: the client reads its environment once."""

    def asking(
        *, download: bool = True, revision: str | None = REVISION, **environment: str
    ) -> dict[str, Any]:
        options = {
            "cache": str(tmp_path / "cache"),
            "download": download,
            "revisions": {} if revision is None else {"nyu-mll/glue": revision},
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        clean |= {"HF_ENDPOINT": glue.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(options)],
            env=clean | environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "ANSWER" in done.stdout, done.stdout + done.stderr
        assert "canary" not in done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.partition("ANSWER")[2])
        return answer

    return asking


def digest_of_a_folder(tmp_path: Path) -> str | None:
    folder = tmp_path / "data" / "glue" / "rte"
    folder.mkdir(parents=True)
    for name, rows in (("train", ROWS), ("validation", ROWS[:6])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return task_facts(TaskLibrary(tmp_path / "other", tmp_path / "data"), "glue/rte").content_digest


def test_the_hubs_shards_are_the_rows_of_a_folder_and_nothing_else_is_fetched(glue, ask, tmp_path):
    facts = ask()["facts"]
    assert facts["content_digest"] == digest_of_a_folder(tmp_path)
    assert (facts["n_train"], facts["n_validation"], facts["n_test"]) == (36, 4, 6)
    assert not any("glue.py" in one or "cola" in one or "/test-" in one for one in glue.requests)


def test_a_second_call_asks_the_hub_for_nothing_also_offline(glue, ask):
    first = ask()["facts"]
    glue.requests.clear()
    assert ask(download=False)["facts"] == first
    assert ask(HF_HUB_OFFLINE="1")["facts"] == first
    assert glue.requests == []


def test_a_cache_that_the_client_filled_serves_without_our_list(glue, ask, tmp_path):
    first = ask()["facts"]
    for kept in [*(tmp_path / "cache" / "hub").iterdir(), *(tmp_path / "hf").rglob("trees/*.json")]:
        kept.unlink()
    glue.fault = "500"
    assert ask(HF_HUB_OFFLINE="1")["facts"] == first


def test_a_plan_touches_no_network_and_says_what_is_pending(glue, ask):
    facts = ask(download=False)["facts"]
    assert glue.requests == []
    assert facts["content_digest"] is None
    assert "nyu-mll/glue@01234567 is not in the local Hugging Face cache" in facts["pending_reason"]


def test_a_commit_must_be_pinned(glue, ask):
    facts = ask(revision=None)["facts"]
    assert "no commit of nyu-mll/glue is pinned" in facts["pending_reason"]
    assert glue.requests == []


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("401", "NotFoundError", "private or gated"),
        ("404", "NotFoundError", "does not exist"),
        ("404 revision", "NotFoundError", "no revision 0123456789abcdef"),
        ("403 gated", "NotFoundError", "data set set HF_TOKEN"),
        ("429", "UnavailableError", "17 s"),
        ("500", "UnavailableError", "HTTP 500"),
        ("half", "UnavailableError", "part of a file"),
        ("other", "UnavailableError", "another sha256"),
    ],
)
def test_each_refusal_is_told_with_a_remedy_and_keeps_nothing(glue, ask, tmp_path, fault, kind, says):
    glue.fault = fault
    error = ask(HF_TOKEN="hf_canaryCANARYcanary")["error"]
    assert error["error"] == kind
    assert says in f"{error['message']} {error['remedy']}"
    assert error["remedy"]
    assert not list((tmp_path / "hf").rglob("*.parquet"))
    assert not (tmp_path / "cache" / "hub").exists()
    glue.fault = None
    assert ask()["facts"]["content_digest"]


def test_a_split_that_is_not_there_is_told_with_those_that_are(glue, ask):
    for name in [name for name in glue.files if name.startswith("rte/validation")]:
        del glue.files[name]
    error = ask()["error"]
    assert error["error"] == "NotFoundError"
    assert "no Parquet files of the split 'validation' of 'rte'" in error["message"]
    assert "rte/train-00000-of-00002.parquet" in error["remedy"]


def test_a_repository_of_scripts_is_never_run(glue, ask):
    for name in [name for name in glue.files if name.endswith(".parquet")]:
        del glue.files[name]
    error = ask()["error"]
    assert "holds a script (glue.py)" in error["message"]
    assert "refs/convert/parquet" in error["remedy"]
    assert not any("glue.py" in one for one in glue.requests)


def test_a_damaged_file_of_the_cache_is_named(ask, tmp_path):
    ask()
    blob = next(path for path in (tmp_path / "hf").rglob("blobs/*") if len(path.name) == 64)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    error = ask()["error"]
    assert error["error"] == "DataError"
    assert str(blob) in error["message"]
    assert "delete" in error["remedy"]


@pytest.mark.parametrize(
    ("config", "listed"),
    [
        ("rte", "rte/train-00000-of-00001.parquet"),
        ("rte", "rte/train-00000-of-00001-0123456789abcdef.parquet"),
        ("rte", "rte/train/0000.parquet"),
        (None, "data/train-00000-of-00001.parquet"),
        (None, "default/train/0000.parquet"),
        (None, "train.parquet"),
    ],
)
def test_splits_are_found_as_the_hub_lays_them_out(config, listed):
    others = ["rte/test-00000-of-00001.parquet", "train_matched.parquet", "mrte/train/0000.parquet", "rte.py"]
    assert files_of([*others, listed], config, "train") == [listed]
