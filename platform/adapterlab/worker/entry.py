"""The door of a worker: one Ray process that trains a group of sources, or one study with its final runs.

What comes in is a JSON job: the sweep's context, steps and their claims. What goes out is a JSON
count; results themselves go into the catalog and to MLflow, under the claims the driver holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapterlab.worker.context import Context
from adapterlab.worker.source_runs import train_sources
from adapterlab.worker.study_runs import run_study, run_trials
from adapterlab.worker.worker import open_worker


def work(job: Mapping[str, Any]) -> dict[str, Any]:
    """Do one job; what Ray Tune calls.

    Args:
        job: ``{"kind": "sources" | "trials" | "study", "name": …, "context": …, …}``.

    Returns:
        Counts of what was done, by state.
    """
    with open_worker(Context.from_json(job["context"]), job["name"]) as worker:
        if job["kind"] == "sources":
            return train_sources(worker, job["steps"])
        if job["kind"] == "trials":
            return run_trials(worker, job["step"])
        return run_study(worker, job["step"], job["finals"])
