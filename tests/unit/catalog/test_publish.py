"""Publishing: all of a result is visible, or nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from adapterlab.catalog.store import current_owner
from adapterlab.errors import ClaimLostError, NotFoundError, UnavailableError
from adapterlab.records import BackboneFacts, BackboneShape, ProblemType, State, TaskFacts
from catalogs import (
    BOTH_DATABASES,
    LEASE_S,
    adapter,
    coefficients,
    key,
    let_leases_expire,
    put_adapter,
    put_study,
    put_transfer,
    sql,
    study,
    transfer,
)

pytestmark = pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)


def claim_of(catalog, name):
    """Claim the step called ``name``."""
    return catalog.claim_many([key(name)], owner=current_owner(), lease_s=LEASE_S)[key(name)]


def test_an_adapter_comes_back_as_it_went_in(catalog):
    stored = put_adapter(catalog, "a", b"weights")
    expected = replace(
        adapter("a"), blob=key("weights"), blob_bytes=len(b"weights"), created_at=stored.created_at
    )
    assert stored == expected
    assert catalog.find_adapter(key("a")) == expected
    assert catalog.read_weights(stored) == b"weights"
    assert catalog.status([key("a")])[key("a")].state is State.COMPLETE
    assert catalog.holder(key("a")) is None


def test_a_study_and_a_transfer_come_back_as_they_went_in(catalog):
    put_adapter(catalog, "a")
    put_adapter(catalog, "b")
    stored_study = put_study(catalog, "s", "a", "b")
    stored = put_transfer(catalog, "t", "s", "a", "b")
    assert (
        catalog.find_study(key("s"))
        == stored_study
        == replace(study("s", "a", "b"), created_at=stored_study.created_at)
    )
    assert catalog.find_transfer(key("t")) == stored
    assert (stored.validation_value, stored.test_value) == (0.8, 0.75)
    assert catalog.coefficients(key("t")) == coefficients("t", "a", "b")


def test_metrics_that_are_no_number_stay_no_number(catalog):
    put_adapter(catalog, "a", metric_value=math.nan, metrics={"pearson": math.nan, "mse": 0.5})
    found = catalog.find_adapter(key("a"))
    assert math.isnan(found.metric_value)
    assert math.isnan(found.metrics["pearson"])
    assert found.metrics["mse"] == 0.5
    assert found.to_json()["metric_value"] is None


def test_settings_that_are_no_json_are_refused_and_leave_nothing(catalog):
    claim = claim_of(catalog, "a")
    with pytest.raises(ValueError, match="nan"):
        catalog.publish_adapter(adapter("a", settings={"lr": math.nan}), b"w", claim)
    assert catalog.find_adapter(key("a")) is None
    catalog.check(claim)


def test_publishing_twice_with_one_claim_is_the_same_as_once(catalog):
    claim = claim_of(catalog, "a")
    first = catalog.publish_adapter(adapter("a"), b"w", claim)
    assert catalog.publish_adapter(adapter("a"), b"w", claim) == first
    assert len(catalog.adapters()) == 1


def test_a_late_owner_cannot_publish_over_the_winner(catalog):
    late = claim_of(catalog, "a")
    let_leases_expire(catalog)
    winner = catalog.publish_adapter(adapter("a", metric_value=0.9), b"winner", claim_of(catalog, "a"))
    with pytest.raises(ClaimLostError):
        catalog.publish_adapter(adapter("a", metric_value=0.1), b"late", late)
    assert catalog.find_adapter(key("a")) == winner
    assert list(catalog.blobs.digests()) == [winner.blob]


def test_a_claim_publishes_its_own_step_only(catalog):
    claim = claim_of(catalog, "a")
    with pytest.raises(ValueError, match="the claim is for step"):
        catalog.publish_adapter(adapter("b"), b"w", claim)


def test_a_study_needs_its_adapters_and_a_transfer_its_study(catalog):
    with pytest.raises(NotFoundError, match="source adapter"):
        catalog.publish_study(study("s", "missing"), claim_of(catalog, "s"))
    with pytest.raises(NotFoundError, match="study"):
        catalog.publish_transfer(transfer("t", "s"), b"w", [], claim_of(catalog, "t"))
    assert catalog.find_study(key("s")) is None
    assert catalog.find_transfer(key("t")) is None


def test_coefficients_of_another_transfer_are_refused(catalog):
    put_adapter(catalog, "a")
    put_study(catalog, "s", "a")
    with pytest.raises(ValueError, match="coefficients of"):
        catalog.publish_transfer(transfer("t", "s"), b"w", coefficients("x", "a"), claim_of(catalog, "t"))


def test_a_store_that_cannot_be_written_leaves_nothing_and_the_claim(catalog, tmp_path):
    claim = claim_of(catalog, "a")
    (tmp_path / "blobs").write_text("a file where the folder should be")
    with pytest.raises(UnavailableError, match="cannot store"):
        catalog.publish_adapter(adapter("a"), b"w", claim)
    assert catalog.find_adapter(key("a")) is None
    assert catalog.status([key("a")])[key("a")].state is State.RUNNING
    (tmp_path / "blobs").unlink()
    assert catalog.publish_adapter(adapter("a"), b"w", claim).blob == key("w")


def test_a_failure_in_the_middle_of_the_rows_leaves_none_of_them(catalog):
    put_adapter(catalog, "a")
    put_study(catalog, "s", "a")
    claim = claim_of(catalog, "t")
    twice = coefficients("t", "a") * 2  # the same primary key twice
    with pytest.raises(Exception, match=r"(?i)unique"):
        catalog.publish_transfer(transfer("t", "s"), b"w", twice, claim)
    assert catalog.find_transfer(key("t")) is None
    assert sql(catalog, "SELECT count(*) FROM metrics WHERE key = :key", key=key("t")) == [(0,)]
    catalog.check(claim)


def test_two_steps_with_the_same_weights_share_a_blob(catalog):
    first, second = put_adapter(catalog, "a", b"same"), put_adapter(catalog, "b", b"same")
    assert first.blob == second.blob
    assert catalog.read_weights(second) == b"same"


def test_backbones_and_tasks_are_known_by_name_once_recorded(catalog):
    put_adapter(catalog, "a")
    shape = BackboneShape(layers=6, hidden_size=384)
    digest = adapter("a").backbone_digest
    catalog.record_backbone(
        BackboneFacts("package:mini", "bert", shape, digest, key("tokenizer"), key("config"), None)
    )
    catalog.record_task(
        TaskFacts("glue/rte", ProblemType.CLASSIFICATION, 2, ("no", "yes"), ("accuracy",), key("rte rows"), 9)
    )
    (backbone,), (task,) = catalog.backbones(), catalog.tasks()
    assert (backbone.digest, backbone.source, backbone.layers) == (digest, "package:mini", 6)
    assert (task.name, task.problem_type, task.n_train) == ("glue/rte", "classification", 9)


def test_facts_without_a_digest_are_refused(catalog):
    with pytest.raises(ValueError, match="not downloaded"):
        catalog.record_backbone(BackboneFacts("hub:x", None, None, None, None, None, None, "not downloaded"))
