"""Filters: what is found, in which order, and what people type into them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapterlab.catalog.records import Origin
from adapterlab.errors import NotFoundError, UsageError
from adapterlab.records import BackboneFacts, StepKind
from catalogs import (
    BOTH_DATABASES,
    adapter,
    coefficients,
    key,
    put_adapter,
    put_study,
    put_transfer,
    sql,
)

pytestmark = pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)

START = datetime(2026, 1, 1, tzinfo=UTC)
MINI, LARGE = key("mini"), key("large")


@pytest.fixture
def filled(catalog):
    """Six adapters, the youngest last, on two backbones and three tasks."""
    rows = [
        ("a", "glue/rte", MINI, "pfeiffer", 0, 0.61, 0.3),
        ("b", "glue/rte", MINI, "houlsby", 0, 0.72, 0.9),
        ("c", "glue/cola", MINI, "pfeiffer", 1, 0.44, 0.8),
        ("d", "glue/rte", LARGE, "pfeiffer", 1, 0.83, 0.1),
        ("e", "superglue/rte", LARGE, "lora", 2, 0.77, 0.2),
        ("f", "glue/cola", LARGE, "lora", 2, float("nan"), 0.5),
    ]
    for minute, (name, task, backbone, method, seed, value, f1) in enumerate(rows):
        put_adapter(
            catalog,
            name,
            task=task,
            task_digest=key(task),
            backbone_digest=backbone,
            method=method,
            seed=seed,
            metric_value=value,
            metrics={"accuracy": value, "f1": f1},
            created_at=START + timedelta(minutes=minute),
        )
    for digest, source in ((MINI, "package:mini-lm"), (LARGE, "hub:someone/large_100%")):
        catalog.record_backbone(BackboneFacts(source, "bert", None, digest, None, None, None))
    return catalog


def names(records):
    """Return the names behind the keys."""
    known = {key(letter): letter for letter in "abcdef"}
    return "".join(known[record.key] for record in records)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "fedcba"),
        ({"task": "glue/rte"}, "dba"),
        ({"task": "rte"}, "edba"),
        ({"task": "cola"}, "fc"),
        ({"task": "COLA"}, ""),
        ({"task": "glue/nothing"}, ""),
        ({"task": "nothing"}, ""),
        ({"backbone": MINI}, "cba"),
        ({"backbone": MINI[:8]}, "cba"),
        ({"backbone": "package:mini-lm"}, "cba"),
        ({"backbone": "MINI"}, "cba"),
        ({"backbone": "someone/large"}, "fed"),
        ({"backbone": "large_100%"}, "fed"),
        ({"backbone": "large%"}, ""),
        ({"backbone": "mini_lm"}, ""),
        ({"backbone": ":"}, "fedcba"),
        ({"method": "pfeiffer"}, "dca"),
        ({"method": "pfeif%"}, ""),
        ({"seed": 2}, "fe"),
        ({"metric_min": 0.7}, "deb"),
        ({"metric_min": 0.77}, "de"),
        ({"metric": "accuracy"}, "debac"),
        ({"metric": "f1"}, "bcfaed"),
        ({"metric": "f1", "metric_min": 0.3}, "bcfa"),
        ({"metric": "f1", "order": "newest"}, "fedcba"),
        ({"metric": "bleu"}, ""),
        ({"order": "best"}, "debac"),
        ({"task": "rte", "order": "best"}, "deba"),
        ({"task": "rte", "backbone": ":", "metric": "f1"}, "baed"),
        ({"task": "glue/rte", "backbone": "mini", "method": "houlsby", "metric_min": 0.7}, "b"),
        ({"task": "glue/rte", "backbone": "mini", "method": "houlsby", "metric": "f1", "seed": 0}, "b"),
        ({"limit": 2}, "fe"),
        ({"limit": 2, "offset": 3}, "cb"),
        ({"offset": 4}, "ba"),
        ({"task": "rte", "limit": 2, "offset": 1}, "db"),
        ({"limit": 0}, ""),
        ({"offset": 99}, ""),
    ],
)
def test_adapters_are_found_by(filled, wanted, expected):
    assert names(filled.adapters(**wanted)) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"name": "mnli, long"}, "a"),
        ({"name": "mnli*"}, "ba"),
        ({"name": "MNLI*"}, ""),
        ({"name": "*"}, "ba"),
        ({"tags": ["good"]}, "ca"),
        ({"tags": ["team-*"]}, "ba"),
        ({"tags": ["good", "team-?lp"]}, "a"),
        ({"tags": ["good"], "task": "rte"}, "a"),
        ({"tags": ["good"], "metric_min": 0.5}, "a"),
        ({"tags": ["goo"]}, ""),
        ({"tags": ["%"]}, ""),
        ({"tags": [], "limit": 1}, "f"),
        ({"tags": ["*"], "limit": 1, "offset": 1}, "b"),
    ],
)
def test_adapters_are_found_by_what_people_noted(filled, wanted, expected):
    filled.annotate(key("a"), name="mnli, long", add=["good", "team-nlp"])
    filled.annotate(key("b"), name="mnli", add=["team-vision"])
    filled.annotate(key("c"), add=["good"])
    assert names(filled.adapters(**wanted)) == expected


def test_transfers_and_studies_are_found_by_what_people_noted(catalog):
    put_adapter(catalog, "a")
    put_study(catalog, "s", "a")
    put_transfer(catalog, "t", "s", "a")
    catalog.annotate(key("s"), add=["good"])
    assert [one.key for one in catalog.studies(tags=["good"])] == [key("s")]
    assert catalog.transfers(tags=["good"]) == []
    catalog.annotate(key("t"), name="best one")
    assert [one.key for one in catalog.transfers(name="best*")] == [key("t")]


def test_what_a_card_reports_is_asked_for_by_name_and_never_taken_for_measured(catalog):
    told = Origin(source="folder:/x", format="peft", metrics={"accuracy": 0.91, "f1": 0.5})
    put_adapter(catalog, "a", metric="accuracy", metric_value=0.7, metrics={"accuracy": 0.7})
    put_adapter(catalog, "b", metric="accuracy", metric_value=float("nan"), metrics={}, origin=told)
    assert names(catalog.adapters(metric="accuracy")) == "a"
    assert names(catalog.adapters(metric="accuracy", metric_min=0.8)) == ""
    assert names(catalog.adapters(metric="accuracy", metric_min=0.8, reported=True)) == "b"
    assert names(catalog.adapters(metric="f1", metric_min=0.6, reported=True)) == ""
    assert catalog.adapters(reported=True, metric="f1")[0].metrics == {}
    with pytest.raises(UsageError, match="no leading metric"):
        catalog.adapters(reported=True)


def test_transfers_and_studies_are_found_by_their_combiner_and_test_metric(catalog):
    put_adapter(catalog, "a")
    for name, combiner, value in (("1", "scalearn", 0.6), ("2", "scalearn_uniform", 0.9)):
        put_study(catalog, f"s{name}", "a", combiner=combiner, best_value=value)
        put_transfer(
            catalog, f"t{name}", f"s{name}", "a", combiner=combiner, test={"accuracy": value}, seed=int(name)
        )
    found = catalog.transfers(combiner="scalearn")
    assert [one.key for one in found] == [key("t1")]
    assert [one.key for one in catalog.transfers(metric_min=0.7)] == [key("t2")]
    assert [one.key for one in catalog.transfers(metric="accuracy")] == [key("t2"), key("t1")]
    assert [one.key for one in catalog.transfers(study_key=key("s1"))] == [key("t1")]
    assert [one.key for one in catalog.transfers(task="cb", seed=2)] == [key("t2")]
    assert [one.key for one in catalog.studies(combiner="scalearn_uniform")] == [key("s2")]
    assert [one.key for one in catalog.studies(metric="accuracy", metric_min=0.7)] == [key("s2")]
    assert catalog.studies(metric="f1") == []


HOSTILE = [
    "'; DROP TABLE adapters; --",
    '" OR 1=1 --',
    "%",
    "_",
    "\\",
    "glue/%",
    "é中文🙂",
    "\x00",
    "\ud800",
    "rte\n",
    "a" * 100_000,
    "",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_people_type_is_never_sql_nor_a_pattern(filled, text):
    for wanted in ({"task": text}, {"method": text}, {"metric": text}, {"task": "glue/rte", "metric": text}):
        assert filled.adapters(**wanted) == []
    assert filled.adapters(backbone=text) == [] or text in ("%", "_", "")
    assert len(filled.adapters()) == 6


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(max_size=30),
    metric_min=st.none() | st.floats(allow_nan=False),
    seed=st.none() | st.integers(),
    limit=st.none() | st.integers(-3, 2**70),
)
def test_no_filter_raises_anything_but_a_usage_error(filled, text, metric_min, seed, limit):
    try:
        found = filled.adapters(
            task=text, backbone=text, method=text, metric_min=metric_min, seed=seed, limit=limit
        )
    except UsageError:
        return
    assert all(one.task.endswith(text) for one in found)


def test_stored_names_may_hold_anything_a_database_can(catalog):
    name = "bench/'; DROP TABLE adapters; -- %_é🙂"
    put_adapter(catalog, "a", task=name, method="50%_\\")
    (found,) = catalog.adapters(task=name, method="50%_\\")
    assert found.task == name
    assert catalog.adapters(task="'; DROP TABLE adapters; -- %_é🙂") == [found]


@pytest.mark.parametrize(
    "wanted", [{"limit": -1}, {"offset": -1}, {"metric_min": float("nan")}, {"limit": 2**64}, {"seed": 2**80}]
)
def test_numbers_that_make_no_sense_are_refused(catalog, wanted):
    with pytest.raises(UsageError):
        catalog.adapters(**wanted)


# --- Look-ups by key --------------------------------------------------------------------------


def test_find_may_miss_and_get_raises(filled):
    assert filled.find_adapter(key("a")).key == key("a")
    assert filled.find_adapter(key("z")) is None
    assert filled.find_study(key("a")) is None
    with pytest.raises(NotFoundError, match="no record with key"):
        filled.get_adapter(key("z"))
    with pytest.raises(NotFoundError):
        filled.get_transfer(key("a"))


def test_get_takes_a_unique_beginning(filled):
    assert filled.get_adapter(key("a")[:6]).key == key("a")
    assert filled.get(key("a")[:6]).key == key("a")
    for bad in (key("a")[:3], "", "%%%%", "xyz!", key("a") + "0", key("a")[:8].upper()):
        with pytest.raises(NotFoundError, match="not a key"):
            filled.get_adapter(bad)


def test_a_beginning_of_several_keys_names_them(catalog):
    first, second = "ab" * 32, "abab" + "0" * 60
    for one in (first, second):
        sample = put_adapter(catalog, one)
        sql(catalog, "UPDATE adapters SET key = :new WHERE key = :old", new=one, old=sample.key)
    with pytest.raises(NotFoundError, match="begin with 'abab'") as error:
        catalog.get_adapter("abab")
    assert first[:12] in error.value.remedy
    assert second[:12] in error.value.remedy
    assert catalog.get_adapter("ababa").key == first


def test_a_miss_names_the_nearest_key(filled):
    near = key("a")[:7] + ("0" if key("a")[7] != "0" else "1")
    with pytest.raises(NotFoundError) as error:
        filled.get_adapter(near)
    assert key("a")[:12] in error.value.remedy


def test_coefficients_are_in_order(catalog):
    for name in "ab":
        put_adapter(catalog, name)
    put_study(catalog, "s", "b", "a")
    put_transfer(catalog, "t", "s", "b", "a")
    assert catalog.coefficients(key("t")) == coefficients("t", "b", "a")
    assert catalog.coefficients(key("nothing")) == []


def test_durations_are_seconds_per_row_newest_first(catalog):
    rows = [(10.0, 100), (30.0, 100), (None, 100), (5.0, None), (5.0, 0)]
    for minute, (seconds, n_rows) in enumerate(rows):
        put_adapter(
            catalog,
            f"{minute}",
            seconds=seconds,
            train_rows=n_rows,
            created_at=START + timedelta(minutes=minute),
        )
    digest = adapter("x").backbone_digest
    assert catalog.durations(digest, StepKind.SOURCE) == (0.3, 0.1)
    assert catalog.durations(digest, StepKind.SOURCE, limit=1) == (0.3,)
    assert catalog.durations(digest, StepKind.TRANSFER) == ()
    assert catalog.durations(key("other"), StepKind.SOURCE) == ()


def test_durations_of_a_cpu_say_nothing_of_a_gpu(catalog):
    for name, device, seconds in (("a", "cpu", 10.0), ("b", "cuda:0", 1.0), ("c", None, 20.0)):
        put_adapter(catalog, name, seconds=seconds, train_rows=100, device=device)
    digest = adapter("x").backbone_digest
    assert sorted(catalog.durations(digest, StepKind.SOURCE)) == [0.1, 0.2]
    assert catalog.durations(digest, StepKind.SOURCE, gpu=True) == (0.01,)


def test_times_keep_their_zone(catalog):
    put_adapter(catalog, "a", created_at=START)
    assert catalog.find_adapter(key("a")).created_at == START
    with pytest.raises(Exception, match="needs a zone"):
        put_adapter(catalog, "b", created_at=START.replace(tzinfo=None))
    assert replace(catalog.find_adapter(key("a"))).to_json()["created_at"] == "2026-01-01T00:00:00+00:00"
