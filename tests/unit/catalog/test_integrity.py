"""Damaged weights: found by their digest, set aside, and made again."""

from __future__ import annotations

import pytest

from adapterlab.catalog.store import current_owner
from adapterlab.errors import ConflictError, CorruptBlobError, NotFoundError, UnavailableError
from adapterlab.records import State
from catalogs import BOTH_DATABASES, LEASE_S, adapter, key, put_adapter, put_study, put_transfer, sql

pytestmark = pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)


def file_of(tmp_path, record):
    """Return the file of a record's weights."""
    return tmp_path / "blobs" / "sha256" / record.blob[:2] / f"{record.blob}.safetensors"


def flip(file):
    """Change one bit in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


DAMAGES = {
    "flipped": flip,
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "emptied": lambda file: file.write_bytes(b""),
    "deleted": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_set_aside_and_their_step_counts_as_not_done(catalog, tmp_path, damage):
    stored = put_adapter(catalog, "a", b"some weights")
    catalog.blobs.write(b"others")  # a store that holds nothing is another store
    DAMAGES[damage](file_of(tmp_path, stored))
    with pytest.raises(CorruptBlobError) as error:
        catalog.read_weights(stored)
    assert error.value.details["keys"] == [key("a")]
    assert "Submit the spec again" in error.value.remedy
    assert catalog.find_adapter(key("a")) is None
    assert catalog.adapters() == []
    assert catalog.get(key("a")).state == "corrupt"
    with pytest.raises(NotFoundError):
        catalog.get_adapter(key("a"))
    status = catalog.status([key("a")])[key("a")]
    assert (status.state, "damaged" in status.reason) == (State.PENDING, True)
    aside = list((tmp_path / "blobs" / "quarantine").glob("*"))
    assert len(aside) == (0 if damage == "deleted" else 1)
    assert not file_of(tmp_path, stored).exists()


def test_a_damaged_step_is_done_again_and_whole(catalog, tmp_path):
    stored = put_adapter(catalog, "a", b"some weights")
    flip(file_of(tmp_path, stored))
    with pytest.raises(CorruptBlobError):
        catalog.read_weights(stored)
    again = put_adapter(catalog, "a", b"some weights", metric_value=0.8)
    assert catalog.read_weights(again) == b"some weights"
    assert catalog.find_adapter(key("a")) == again
    assert catalog.adapters(metric_min=0.75) == [again]
    assert catalog.status([key("a")])[key("a")].attempts == 2


def test_all_records_that_share_the_weights_are_marked(catalog, tmp_path):
    put_adapter(catalog, "a", b"same")
    put_study(catalog, "s", "a")
    put_transfer(catalog, "t", "s", "a")
    shared = put_adapter(catalog, "b", b"same")
    catalog.blobs.write(b"others")
    file_of(tmp_path, shared).unlink()
    with pytest.raises(CorruptBlobError) as error:
        catalog.read_weights(shared.blob)
    assert error.value.details["keys"] == sorted([key("a"), key("b")])
    assert catalog.find_study(key("s")) is not None
    assert catalog.find_transfer(key("t")) is not None


def test_a_store_that_holds_nothing_is_another_one_and_marks_nothing(catalog, tmp_path):
    """Somebody named the wrong folder, or it is not mounted: that must not cost a record."""
    stored = put_adapter(catalog, "a")
    (tmp_path / "blobs").rename(tmp_path / "elsewhere")
    with pytest.raises(ConflictError, match="is empty"):
        catalog.read_weights(stored)
    assert catalog.find_adapter(key("a")) == stored
    (tmp_path / "elsewhere").rename(tmp_path / "blobs")
    assert catalog.read_weights(stored) == b"a"
    file_of(tmp_path, stored).unlink()
    assert catalog.repair(catalog.verify()) == [key("a")]  # who asks for it says that it is lost


def test_a_tampered_digest_cannot_leave_the_store(catalog, tmp_path):
    stored = put_adapter(catalog, "a")
    (tmp_path / "secret.safetensors").write_bytes(b"secret")
    sql(catalog, "UPDATE adapters SET blob = '../../secret'")
    tampered = catalog.find_adapter(stored.key)
    report = catalog.verify(deep=True)
    assert list(report.missing) == ["../../secret"]
    with pytest.raises(CorruptBlobError, match="not a blob digest"):
        catalog.read_weights(tampered)
    assert catalog.find_adapter(stored.key) is None
    assert (tmp_path / "secret.safetensors").read_bytes() == b"secret"


def test_an_unreachable_store_marks_nothing(catalog, tmp_path):
    stored = put_adapter(catalog, "a")
    file = file_of(tmp_path, stored)
    file.unlink()
    file.symlink_to(file)  # a loop: the system refuses to open it
    with pytest.raises(UnavailableError, match="cannot read"):
        catalog.read_weights(stored)
    assert catalog.find_adapter(key("a")) == stored


def test_verify_finds_what_is_wrong_and_changes_nothing(catalog, tmp_path):
    good, gone, bad = (put_adapter(catalog, name) for name in ("good", "gone", "bad"))
    file_of(tmp_path, gone).unlink()
    flip(file_of(tmp_path, bad))
    orphan = catalog.blobs.write(b"published by nobody")
    shallow, deep = catalog.verify(), catalog.verify(deep=True)
    assert shallow.missing == deep.missing == {gone.blob: (key("gone"),)}
    assert (shallow.damaged, deep.damaged) == ({}, {bad.blob: (key("bad"),)})
    assert deep.orphans == (orphan,)
    assert deep.checked == 3
    assert not deep.healthy
    assert len(catalog.adapters()) == 3
    assert catalog.verify(deep=True) == deep
    assert catalog.read_weights(good) == b"good"


def test_repair_does_what_verify_found(catalog, tmp_path):
    put_adapter(catalog, "good")
    gone, bad = put_adapter(catalog, "gone"), put_adapter(catalog, "bad")
    file_of(tmp_path, gone).unlink()
    flip(file_of(tmp_path, bad))
    redone = catalog.repair(catalog.verify(deep=True))
    assert redone == sorted([key("gone"), key("bad")])
    assert catalog.verify(deep=True).healthy
    assert set(catalog.claim_many(redone, owner=current_owner(), lease_s=LEASE_S)) == set(redone)


def test_a_healthy_catalog_is_healthy(catalog):
    put_adapter(catalog, "a")
    report = catalog.verify(deep=True)
    assert report.healthy
    assert catalog.repair(report) == []
    assert catalog.read_weights(adapter("a", blob=key("a"))) == b"a"


def test_every_lost_metric_is_missed(catalog):
    put_adapter(catalog, "a", test={"accuracy": 0.5})
    put_study(catalog, "s", "a")
    put_transfer(catalog, "t", "s", "a")
    rows = sql(catalog, "SELECT key, split, name FROM metrics ORDER BY key, split, name")
    assert len({split for _, split, _ in rows}) == 2
    assert catalog.lost_rows() == {}
    for which, split, name in rows:
        found = {"key": which, "split": split, "name": name}
        sql(catalog, "DELETE FROM metrics WHERE key = :key AND split = :split AND name = :name", **found)
        assert catalog.lost_rows() == {which: "some of its metrics"}
        catalog.do_again(catalog.lost_rows())
        if which == key("a"):
            put_adapter(catalog, "a", test={"accuracy": 0.5})
        else:
            put_transfer(catalog, "t", "s", "a")
        assert catalog.lost_rows() == {}
    assert sql(catalog, "SELECT key, split, name FROM metrics ORDER BY key, split, name") == rows


def test_a_metric_that_was_lost_on_one_split_is_found(catalog):
    whole = {"accuracy": 0.8, "f1": 0.7}
    put_adapter(catalog, "a", settings={})
    put_study(catalog, "s", "a")
    for name in ("t", "u"):
        put_transfer(catalog, name, "s", "a", validation=whole, test=whole)
    lose = "DELETE FROM metrics WHERE key = :key AND split = :split AND name = :name"
    assert catalog.lost_rows() == {}
    sql(catalog, lose, key=key("t"), split="test", name="accuracy")
    sql(catalog, lose, key=key("u"), split="validation", name="f1")
    assert catalog.lost_rows() == {
        key("t"): "some of its metrics",
        key("u"): "some of its metrics",
    }
    catalog.do_again(catalog.lost_rows())
    assert catalog.status([key("t")])[key("t")].state is State.PENDING
    assert catalog.lost_rows() == {}


def test_a_metric_that_is_of_one_split_by_nature_is_not_missed(catalog):
    put_adapter(catalog, "a")
    put_study(catalog, "s", "a")
    for name in ("t", "u"):
        put_transfer(
            catalog, name, "s", "a", validation={"accuracy": 0.8}, test={"accuracy": 0.8, "parity": 0.9}
        )
    assert catalog.lost_rows() == {}
