"""The committed page of the tables is the generated one; its queries answer what they ask, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterlab.catalog.records import SweepStep
from adapterlab.catalog.reference import QUERIES, meanings, page
from adapterlab.catalog.store import current_owner
from adapterlab.catalog.tables import Base
from adapterlab.records import BackboneFacts, StepKind
from catalogs import BACKBONE, BOTH_DATABASES, LEASE_S, key, put_adapter, put_study, put_transfer, sql

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "catalog.md"


def test_the_committed_page_is_what_the_schema_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "the schema changed: run `python -m adapterlab.catalog.reference docs/reference/catalog.md`"
    )


def test_every_table_is_on_the_page_and_every_column_has_a_meaning() -> None:
    text, said = page(), meanings()
    for table in Base.metadata.tables.values():
        section = text.split(f"## `{table.name}`\n", 1)[1].split("\n## ", 1)[0]
        for column in table.columns:
            assert f"| `{column.name}` |" in section
            assert (table.name, column.name) in said, (
                f"{table.name}.{column.name}: write a string below it in schema.py, or a meaning in reference.py"
            )


def test_every_query_is_on_the_page() -> None:
    assert all(f"### {one.question}\n\n```sql\n{one.sql};\n```" in page() for one in QUERIES)


@pytest.fixture
def filled(catalog):
    """Three adapters, a study of two of them with two seeds, and two sweeps that share an adapter."""
    catalog.record_backbone(BackboneFacts("package:mini-lm", "bert", None, BACKBONE, None, None, None))
    put_adapter(catalog, "good", metric_value=0.8, seconds=10.0)
    put_adapter(catalog, "bad", metric_value=0.6, seed=1, seconds=20.0)
    put_adapter(catalog, "cola", task="glue/cola", task_digest=key("cola rows"), method="lora", seconds=5.0)
    put_study(catalog, "study", "good", "cola")
    for seed, name in enumerate(("first", "second")):
        put_transfer(
            catalog, name, "study", "good", "cola", seed=seed, test={"accuracy": 0.7 + seed / 10, "f1": 0.5}
        )
    step = {
        "good": StepKind.SOURCE,
        "cola": StepKind.SOURCE,
        "study": StepKind.STUDY,
        "late": StepKind.SOURCE,
    }
    steps = {name: SweepStep(place, key(name), kind, name) for place, (name, kind) in enumerate(step.items())}
    catalog.open_sweep(key("sweep one"), "one", "{}", [steps["good"], steps["cola"]])
    catalog.open_sweep(key("sweep two"), "two", "{}", [steps["good"], steps["study"], steps["late"]])
    sql(catalog, "UPDATE sweeps SET created_at = 1 WHERE name = 'one'")
    claims = catalog.claim_many([key("late")], owner=current_owner(), lease_s=LEASE_S)
    catalog.fail(claims[key("late")], "it diverged")
    return catalog


def _answers(catalog, question: str):
    (query,) = [one for one in QUERIES if question in one.question]
    return sql(catalog, query.sql)


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
class TestQueries:
    def test_the_best_adapter_of_each_task(self, filled):
        found = _answers(filled, "the best")
        assert [(row.task, row.source, row.key) for row in found] == [
            ("glue/cola", "package:mini-lm", key("cola")),
            ("glue/rte", "package:mini-lm", key("good")),
        ]

    def test_how_good_a_combiner_is_over_its_seeds(self, filled):
        (row,) = _answers(filled, "over its seeds")
        assert (row.task, row.combiner, row.seeds) == ("glue/cb", "scalearn", 2)
        assert (row.worst, row.mean, row.best) == pytest.approx((0.7, 0.75, 0.8))

    def test_which_transfers_use_the_adapters_of_a_task(self, filled):
        assert [row.key for row in _answers(filled, "Which transfers use")] == [key("first"), key("second")]

    def test_coefficients_by_source(self, filled):
        (row,) = _answers(filled, "How much weight")
        assert (row.target, row.source_task) == ("glue/cb", "glue/rte")
        assert (row.coefficient, row.smallest, row.largest) == pytest.approx((1.0, 0.2, 0.9))

    def test_failed_steps_with_their_reason(self, filled):
        assert [tuple(row) for row in _answers(filled, "failed")] == [("two", "late", "it diverged")]

    def test_what_a_sweep_trained_and_what_it_reused(self, filled):
        assert [tuple(row) for row in _answers(filled, "reuse")] == [
            ("one", "source", 2, 0),
            ("two", "source", 1, 1),
            ("two", "study", 1, 0),
        ]

    def test_where_the_time_went(self, filled):
        assert [(row.method, row.adapters, row.seconds) for row in _answers(filled, "time gone")] == [
            ("pfeiffer", 2, 30.0),
            ("lora", 1, 5.0),
        ]

    def test_what_is_claimed_now(self, filled):
        assert _answers(filled, "claimed right now") == []
        filled.claim_many([key("late")], owner=current_owner(), lease_s=LEASE_S)
        (row,) = _answers(filled, "claimed right now")
        assert (row.title, row.token) == ("late", 2)
