"""Freeze a catalog at today's head: a SQL dump with one record of everything.

    PYTHONPATH=tests/support python tests/migration/freeze.py

Run it once for each new revision and commit the file; never change one that is there: it stands for
the databases people have.
"""

from __future__ import annotations

import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from adapterlab.catalog.records import SweepStep
from adapterlab.catalog.schema import HEAD_REVISION
from adapterlab.catalog.store import Catalog
from adapterlab.records import (
    BackboneFacts,
    BackboneShape,
    ProblemType,
    State,
    StepKind,
    TaskFacts,
)
from catalogs import (
    BACKBONE,
    key,
    let_leases_expire,
    open_at,
    put_adapter,
    put_joint,
    put_selection,
    put_study,
    put_transfer,
)

WHEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOURCE, STUDY = "source/glue/rte/seed=0", "study/superglue/cb/scalearn"


def fill(catalog: Catalog) -> None:
    """Put one record of everything into a catalog; ``test_upgrade.py`` looks for them."""
    shape = BackboneShape(layers=6, hidden_size=384)
    catalog.record_backbone(
        BackboneFacts("package:mini", "bert", shape, BACKBONE, key("tokenizer"), key("config"), None)
    )
    labels, metrics = ("no", "yes"), ("accuracy",)
    rte = TaskFacts("glue/rte", ProblemType.CLASSIFICATION, 2, labels, metrics, key("rte rows"), 100, 20, 30)
    catalog.record_task(rte)
    put_adapter(catalog, "a", test={"accuracy": 0.69}, created_at=WHEN)
    put_adapter(
        catalog,
        "b",
        task="glue/cola",
        task_digest=key("cola rows"),
        metric="matthews",
        metric_value=float("nan"),
        metrics={},
        created_at=WHEN,
    )
    put_joint(catalog, "j", "glue/rte", "glue/cola", created_at=WHEN)
    put_study(catalog, "s", "b", "a", created_at=WHEN)
    put_transfer(catalog, "t", "s", "b", "a", created_at=WHEN)
    put_selection(catalog, "x", "a", "b", created_at=WHEN)
    put_study(catalog, "y", "a", selection=key("x"), created_at=WHEN)
    claims = catalog.claim_many([key("held"), key("failed")], owner="someone", lease_s=60)
    catalog.fail(claims[key("failed")], "loss is NaN")
    let_leases_expire(catalog)
    steps = (
        SweepStep(0, key("a"), StepKind.SOURCE, "source · rte · seed 0", id=SOURCE),
        SweepStep(1, key("s"), StepKind.STUDY, "study · cb · scalearn", needs=(SOURCE,), id=STUDY),
    )
    catalog.open_sweep(key("sweep"), "glue", '{"name":"glue"}', steps, owner="someone")
    catalog.set_sweep_state(key("sweep"), State.COMPLETE)
    catalog.record_run(key("a"), "run-of-a")


def main() -> None:
    """Write ``frozen/<revision>.sql``."""
    target = Path(__file__).with_name("frozen") / f"{HEAD_REVISION}.sql"
    if target.exists():
        raise SystemExit(f"{target} is there already and must not change")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_at(f"sqlite:///{folder / 'catalog.db'}", folder) as catalog:
            fill(catalog)
        connection = sqlite3.connect(folder / "catalog.db")
        target.write_text("\n".join(connection.iterdump()) + "\n", encoding="utf-8")
        connection.close()


if __name__ == "__main__":
    main()
