"""What a sweep leaves behind, as plain values: two sweeps that did the same leave the same record."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from adapterlab.catalog.store import Catalog, open_catalog
from adapterlab.search.study import read_trials
from adapterlab.tracking.vocabulary import CONTRIBUTION, SECONDS

_CIRCUMSTANCES = {"seconds", "run_id", "created_at", "provenance", "device"}
"""Of a result: when, where and how fast it came about."""

_TOLD = (
    "adapterlab.setting.",
    "adapterlab.best.",
    "adapterlab.sources",
    "adapterlab.row",
    "adapterlab.winner",
)
"""Beginnings of the tags that tell what a step is and came to."""


@dataclass(frozen=True)
class Places:
    """Where a sweep keeps its state."""

    home: Path
    catalog: str
    studies: str
    tracking: str
    experiment: str

    @classmethod
    def on_files(cls, home: Path, experiment: str) -> Places:
        """Return those of a home in which everything is a file."""
        urls = [f"sqlite:///{home / name}.db" for name in ("catalog", "studies", "mlflow")]
        return cls(home, *urls, experiment)

    def options(self) -> list[str]:
        """Return the options of ``submit`` that make it so."""
        settings = {
            "store.catalog": self.catalog,
            "store.studies": self.studies,
            "tracking.uri": self.tracking,
            "tracking.experiment": self.experiment,
        }
        return [part for name, value in settings.items() for part in ("--set", f'{name}="{value}"')]

    @contextlib.contextmanager
    def open(self) -> Iterator[Catalog]:
        """Open the catalog."""
        with open_catalog(self.catalog, str(self.home / "blobs"), locks=self.home / "locks") as catalog:
            yield catalog

    def runs(self) -> list[Run]:
        """Return the sweep's runs in MLflow that are not deleted."""
        client = MlflowClient(tracking_uri=self.tracking)
        experiment = client.get_experiment_by_name(self.experiment)
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id], max_results=5000))


def read_record(places: Places) -> dict[str, Any]:
    """Return everything two sweeps of the same spec must agree in, bit for bit."""
    with places.open() as catalog:
        assert catalog.lost_rows() == {}
        report = catalog.verify(deep=True)
        assert (report.missing, report.damaged) == ({}, {})
        studies, transfers = catalog.studies(limit=None), catalog.transfers(limit=None)
        results = [
            *catalog.adapters(limit=None),
            *catalog.joint_runs(limit=None),
            *catalog.selections(limit=None),
            *studies,
            *transfers,
        ]
        (sweep,) = catalog.sweeps()
        steps = catalog.sweep(sweep.key).steps
        record: dict[str, Any] = {
            "sweep": (sweep.key, str(sweep.state)),
            "steps": {str(step.id): (step.key, step.needs) for step in steps},
            "results": {one.key: _without_circumstances(one.to_json()) for one in results},
            "made from": {
                one.key: [above.key for above in catalog.lineage(one.key).parents] for one in results
            },
            "coefficients": {one.key: catalog.coefficients(one.key) for one in transfers},
            "held": [step.key for step in steps if catalog.holder(str(step.key))],
        }
    record["trials"] = {
        one.key: [
            (trial.number, str(trial.state), dict(trial.settings), trial.value, dict(trial.intermediate))
            for trial in read_trials(places.studies, one.study_name)
        ]
        for one in studies
    }
    record["runs"] = read_runs(places)
    return record


def _without_circumstances(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in _CIRCUMSTANCES}


def read_runs(places: Places) -> dict[str, Any]:
    """Return the run tree: each node with what its one run says."""
    runs = places.runs()
    nodes = {run.info.run_id: run.data.tags["adapterlab.node"] for run in runs}
    twice = {node: count for node, count in Counter(nodes.values()).items() if count > 1}
    assert not twice, f"nodes with several runs: {twice}"
    return {nodes[run.info.run_id]: _said(run, nodes) for run in runs}


def _said(run: Run, nodes: Mapping[str, str]) -> dict[str, Any]:
    tags = run.data.tags
    above = tags.get("mlflow.parentRunId")
    return {
        "kind": tags["adapterlab.kind"],
        "status": run.info.status,
        "state": tags["adapterlab.state"],
        "above": None if above is None else nodes.get(above, f"{above}, which is not there"),
        "parameters": dict(run.data.params),
        "tags": {name: value for name, value in tags.items() if name.startswith(_TOLD)},
        # How long a run took is never the same twice; what sources contribute is known to the run that measured
        # it alone, and gone with one that is deleted.
        "metrics": {
            name: value
            for name, value in run.data.metrics.items()
            if name != SECONDS and not name.startswith(CONTRIBUTION)
        },
    }


def differences(expected: Any, found: Any, path: str = "") -> list[str]:
    """Return where two records differ, in words; at most ten places."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        told = [f"{path}/{key}: is missing" for key in expected if key not in found]
        told += [f"{path}/{key}: is too much" for key in found if key not in expected]
        for key in expected:
            if key in found:
                told += differences(expected[key], found[key], f"{path}/{key}")
        return told[:10]
    return [] if expected == found else [f"{path}: {found!r} instead of {expected!r}"]
