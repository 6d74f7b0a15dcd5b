"""Weights nothing refers to: removed when they are old, and never those that somebody needs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
import uuid
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapterlab.catalog.blobs import LocalBlobs, RemoteBlobs, StoredFile, open_blobs
from adapterlab.catalog.garbage import GRACE_S
from adapterlab.catalog.store import Catalog
from adapterlab.errors import ConflictError, UnavailableError
from catalogs import (
    BOTH_DATABASES,
    key,
    open_at,
    put_adapter,
    put_study,
    put_transfer,
    sql,
)

DAY_S = 24 * 3600.0
ORPHAN = b"published by nobody"


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_of(root: Path, digest: str) -> Path:
    return root / "sha256" / digest[:2] / f"{digest}.safetensors"


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def put_orphan(catalog: Catalog, data: bytes = ORPHAN, *, old: bool = True) -> str:
    digest = catalog.blobs.write(data)
    if old:
        age(file_of(catalog.blobs.root, digest), 2 * DAY_S)
    return digest


def everything_old(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            age(path, 9 * DAY_S)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "blobs"


# --- What goes and what stays -----------------------------------------------------------------


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_only_old_weights_that_no_row_refers_to_are_removed(catalog, root):
    kept = [put_adapter(catalog, "a"), put_adapter(catalog, "b")]
    put_study(catalog, "s", "a", "b")
    kept.append(put_transfer(catalog, "t", "s", "a", "b"))
    everything_old(root)
    orphan, young = put_orphan(catalog), put_orphan(catalog, b"just written", old=False)
    report = catalog.collect_garbage()
    assert [file.name for file in report.removed] == [orphan]
    assert (report.referenced, report.young, report.freed_bytes) == (3, 1, len(ORPHAN))
    assert sorted(catalog.blobs.digests()) == sorted([young, *(one.blob for one in kept)])
    assert [catalog.read_weights(one) for one in kept] == [b"a", b"b", b"t"]
    assert catalog.collect_garbage().removed == ()


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_a_row_of_any_state_keeps_its_weights(catalog, root):
    stored = put_adapter(catalog, "a")
    sql(catalog, "UPDATE adapters SET state = 'corrupt'")
    everything_old(root)
    assert catalog.collect_garbage(grace_s=0).removed == ()
    assert catalog.blobs.exists(stored.blob)


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
class TestOneCatalog:
    def test_a_dry_run_says_the_same_and_changes_nothing(self, catalog, root):
        put_adapter(catalog, "a")
        orphan = put_orphan(catalog)
        (root / "incoming" / "half").write_bytes(b"half")
        (root / "quarantine").mkdir()
        aside = root / "quarantine" / f"{orphan}.12345678.safetensors"
        aside.write_bytes(b"bad")
        for path in (root / "incoming" / "half", aside):
            age(path, 3 * DAY_S)
        before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
        said = catalog.collect_garbage(dry_run=True, quarantine=True)
        assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before
        done = catalog.collect_garbage(quarantine=True)
        for report in (said, done):
            assert [file.name for file in report.removed] == [orphan]
            assert [file.name for file in report.temporary] == [str(root / "incoming" / "half")]
            assert [file.name for file in report.quarantined] == [str(aside)]
            assert report.freed_bytes == len(ORPHAN) + len(b"half") + len(b"bad")
        assert [path.name for path in root.rglob("*.safetensors")] == [
            f"{catalog.find_adapter(key('a')).blob}.safetensors"
        ]
        assert [path for name in ("incoming", "quarantine") for path in (root / name).iterdir()] == []

    def test_the_grace_is_counted_from_the_last_writing(self, catalog):
        put_adapter(catalog, "a")
        orphan = put_orphan(catalog)
        assert catalog.collect_garbage(grace_s=3 * DAY_S).young == 1
        catalog.blobs.write(ORPHAN)
        assert catalog.collect_garbage(grace_s=GRACE_S).young == 1
        age(file_of(catalog.blobs.root, orphan), 2 * DAY_S)
        assert len(catalog.collect_garbage(grace_s=GRACE_S).removed) == 1

    @pytest.mark.parametrize("grace_s", [-1.0, float("nan"), float("inf")])
    def test_a_grace_that_is_none_is_refused(self, catalog, grace_s):
        with pytest.raises(ValueError, match="0 or more"):
            catalog.collect_garbage(grace_s=grace_s)

    def test_quarantined_weights_are_kept_until_they_are_asked_for(self, catalog, root):
        stored = put_adapter(catalog, "a")
        file_of(root, stored.blob).write_bytes(b"bad")
        aside = Path(catalog.blobs.quarantine(stored.blob))
        age(aside, 2 * DAY_S)
        assert [file.name for file in catalog.collect_garbage().quarantined] == [str(aside)]
        assert aside.exists()
        catalog.collect_garbage(quarantine=True)
        assert not aside.exists()

    def test_weights_set_aside_lately_are_kept_however_old_they_are(self, catalog, root):
        stored = put_adapter(catalog, "a")
        file_of(root, stored.blob).write_bytes(b"bad")
        age(file_of(root, stored.blob), 9 * DAY_S)
        aside = Path(catalog.blobs.quarantine(stored.blob))
        assert catalog.collect_garbage(quarantine=True).quarantined == ()
        assert aside.exists()

    def test_temporary_files_of_the_last_hour_stay_whatever_the_grace(self, catalog, root):
        put_adapter(catalog, "a")
        file = root / "incoming" / "half"
        file.write_bytes(b"half")
        assert catalog.collect_garbage(grace_s=0).temporary == ()
        assert file.exists()

    @pytest.mark.parametrize("place", ["doomed", "quarantine"])
    def test_needed_weights_that_a_killed_process_moved_away_are_put_back(self, catalog, root, place):
        stored = put_adapter(catalog, "a")
        moved = root / place / f"{stored.blob}.12345678.safetensors"
        moved.parent.mkdir(exist_ok=True)
        file_of(root, stored.blob).rename(moved)
        age(moved, 2 * DAY_S)
        report = catalog.collect_garbage(quarantine=True)
        assert report.restored == (stored.blob,)
        assert catalog.read_weights(stored) == b"a"
        assert not moved.exists()

    def test_what_a_killed_collector_left_is_finished(self, catalog, root):
        stored = put_adapter(catalog, "a")
        (root / "doomed").mkdir()
        for digest in (digest_of(ORPHAN), stored.blob):
            (root / "doomed" / f"{digest}.12345678.safetensors").write_bytes(ORPHAN)
        report = catalog.collect_garbage()
        assert report.restored == ()
        assert list((root / "doomed").iterdir()) == []
        assert catalog.read_weights(stored) == b"a"

    def test_weights_of_another_catalog_are_not_removed_unasked(self, catalog, tmp_path):
        put_adapter(catalog, "a")
        with open_at(f"sqlite:///{tmp_path / 'other.db'}", tmp_path) as other:
            for name in "bcd":
                put_adapter(other, name)
            everything_old(tmp_path / "blobs")
            with pytest.raises(ConflictError, match=r"catalog\.db keeps weights there as well") as refused:
                other.collect_garbage()
            assert "catalog.db" in other.collect_garbage(dry_run=True).doubt
            assert catalog.blobs.exists(catalog.find_adapter(key("a")).blob)
            mark = re.search(r"delete (\S+\.json)\.", refused.value.remedy).group(1)
            Path(mark).unlink()
            assert len(other.collect_garbage().removed) == 1

    def test_a_catalog_that_knows_none_of_the_weights_removes_none_unasked(self, catalog):
        orphan = put_orphan(catalog)
        with pytest.raises(ConflictError, match="refers to none of the 1 stored weights"):
            catalog.collect_garbage()
        assert catalog.blobs.exists(orphan)
        assert "none of the 1" in catalog.collect_garbage(dry_run=True).doubt
        assert len(catalog.collect_garbage(force=True).removed) == 1

    def test_a_catalog_that_was_moved_is_still_itself(self, catalog, tmp_path):
        put_adapter(catalog, "a")
        put_orphan(catalog)
        catalog.close()
        (tmp_path / "catalog.db").rename(tmp_path / "moved.db")
        with open_at(f"sqlite:///{tmp_path / 'moved.db'}", tmp_path) as moved:
            put_adapter(moved, "b")
            assert len(moved.collect_garbage().removed) == 1

    def test_far_more_unknown_weights_than_known_ones_are_not_removed_unasked(self, catalog):
        put_adapter(catalog, "a")
        for number in range(21):
            put_orphan(catalog, f"orphan {number}".encode())
        with pytest.raises(ConflictError, match="refers to 1 of 22 stored weights only"):
            catalog.collect_garbage()
        assert len(catalog.collect_garbage(force=True).removed) == 21

    def test_an_empty_store_is_no_garbage(self, catalog, root):
        report = catalog.collect_garbage()
        assert (report.removed, report.referenced, report.doubt) == ((), 0, None)
        assert not root.exists()

    def test_progress_ends_with_everything(self, catalog):
        put_adapter(catalog, "a")
        for number in range(120):
            put_orphan(catalog, f"orphan {number}".encode())
        told = []
        catalog.collect_garbage(force=True, tell=lambda done, total: told.append((done, total)))
        assert told[-1] == (120, 120)
        assert told == sorted(told)


# --- At the same moment -----------------------------------------------------------------------


class Meddling(LocalBlobs):
    """A store in which something happens between a blob's writing and its row."""

    def __init__(self, root: Path, meddle) -> None:
        super().__init__(root)
        self.meddle, self.times = meddle, 0

    def write(self, data: bytes) -> str:
        digest = super().write(data)
        self.times += 1
        self.meddle(self, digest)
        return digest


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_weights_removed_before_their_row_is_written_are_written_again(catalog, root):
    def remove(blobs, digest):
        if blobs.times == 1:
            file_of(blobs.root, digest).unlink()

    catalog.blobs = Meddling(root, remove)
    stored = put_adapter(catalog, "a")
    assert catalog.blobs.times == 2
    assert catalog.read_weights(stored) == b"a"


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_weights_that_cannot_be_written_again_get_no_row(catalog, root):
    def remove(blobs, digest):
        if blobs.times == 2:
            shutil.rmtree(blobs.root)
            blobs.root.write_text("a file where the folder should be")

    catalog.blobs = Meddling(root, remove)
    put_adapter(catalog, "first")
    with pytest.raises(UnavailableError, match="cannot store"):
        put_adapter(catalog, "a")
    assert [one.key for one in catalog.adapters()] == [key("first")]
    root.unlink()
    catalog.blobs = LocalBlobs(root)
    sql(catalog, "UPDATE claims SET expires_at = 1")
    assert catalog.read_weights(put_adapter(catalog, "a")) == b"a"


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
def test_weights_written_anew_between_the_look_and_the_renaming_go_back(catalog, root, monkeypatch):
    """As a version of the code would write them that does not look for them before it commits."""
    put_adapter(catalog, "a")
    orphan = put_orphan(catalog)
    rename = Path.rename

    def rename_late(self, target):
        catalog.blobs.write(ORPHAN)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_late)
    report = catalog.collect_garbage()
    monkeypatch.undo()
    assert (report.removed, report.young) == ((), 1)
    assert catalog.blobs.read(orphan) == ORPHAN
    assert list((root / "doomed").iterdir()) == []


NAMES = ("a", "b", "c", "d")
STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES)),
    st.tuples(st.just("publish"), st.sampled_from(NAMES)),
    st.tuples(st.just("age"), st.sampled_from(NAMES)),
    st.tuples(st.just("damage"), st.sampled_from(NAMES)),
    st.tuples(st.just("collect"), st.sampled_from([0.0, DAY_S, 5 * DAY_S])),
    st.tuples(st.just("collect all"), st.just(DAY_S)),
    st.tuples(st.just("collector killed"), st.sampled_from(NAMES)),
)


@given(steps=st.lists(STEPS, max_size=25))
@example(steps=[("write", "a"), ("collector killed", "a"), ("publish", "a"), ("damage", "a")])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_in_whatever_order_no_row_loses_its_weights(sqlite_catalog, steps):
    """Whatever was published is readable, or known to be damaged; old garbage is gone after a collection."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "catalog.db").write_bytes(sqlite_catalog.read_bytes())
        with open_at(f"sqlite:///{folder / 'catalog.db'}", folder) as catalog:
            published, damaged = set(), set()
            for number, (what, which) in enumerate(steps):
                data = str(which).encode()
                file = file_of(folder / "blobs", digest_of(data))
                if what == "write":
                    catalog.blobs.write(data)
                    damaged.discard(data)
                elif what == "publish":
                    put_adapter(catalog, f"{which} {number}", data)
                    published.add(data)
                    damaged.discard(data)
                elif what == "age" and file.exists():
                    age(file, 3 * DAY_S)
                elif what == "damage" and file.exists():
                    file.write_bytes(b"bad")
                    catalog.blobs.quarantine(digest_of(data))
                    damaged.add(data)
                elif what == "collector killed" and file.exists():
                    doomed = folder / "blobs" / "doomed" / f"{file.stem}.{number:08d}.safetensors"
                    doomed.parent.mkdir(exist_ok=True)
                    file.rename(doomed)
                elif what.startswith("collect") and what != "collector killed":
                    catalog.collect_garbage(
                        grace_s=float(which), quarantine=what == "collect all", force=True
                    )
            catalog.collect_garbage(force=True)
            # What a killed collector had put aside before it was damaged elsewhere is back, and whole.
            damaged -= {data for data in damaged if catalog.blobs.exists(digest_of(data))}
            for data in published - damaged:
                assert catalog.blobs.read(digest_of(data)) == data
            everything_old(folder / "blobs")
            catalog.collect_garbage(force=True)
            left = set(catalog.blobs.digests())
            assert left == {digest_of(data) for data in published - damaged}


# --- Stores behind URLs -----------------------------------------------------------------------


@pytest.fixture(params=["folder", "file-url", "memory", "rename"])
def place(request, tmp_path):
    yield {
        "folder": str(tmp_path / "blobs"),
        "file-url": f"file://{tmp_path / 'blobs'}",
        "memory": f"memory://test-{uuid.uuid4().hex}",
        "rename": f"local://{tmp_path / 'blobs'}",
    }[request.param]
    fsspec.filesystem("memory").store.clear()


def test_ages_are_the_store_s_own(place):
    blobs = open_blobs(place)
    before = blobs.clock()
    digest = blobs.write(b"weights")
    (file,) = blobs.stored()
    assert (file.name, file.bytes) == (digest, 7)
    assert before - 1 <= file.modified <= blobs.clock() + 1
    assert list(blobs.others("incoming")) == []


def test_a_blob_is_removed_only_if_it_was_written_before(place):
    blobs = open_blobs(place)
    digest = blobs.write(b"weights")
    (file,) = blobs.stored()
    assert not blobs.remove(digest, written_before=file.modified)
    assert blobs.read(digest) == b"weights"
    assert blobs.remove(digest, written_before=file.modified + 1)
    assert not blobs.exists(digest)
    assert not blobs.remove(digest, written_before=file.modified + 1)
    assert list(blobs.stored()) == list(blobs.others("doomed")) == []


def test_a_collection_of_any_store(place, tmp_path, monkeypatch):
    with open_at(f"sqlite:///{tmp_path / 'catalog.db'}", tmp_path) as catalog:
        catalog.blobs = open_blobs(place)
        stored = put_adapter(catalog, "a")
        orphan = catalog.blobs.write(ORPHAN)
        assert catalog.collect_garbage().young == 1
        later = catalog.blobs.clock() + 2 * DAY_S
        monkeypatch.setattr(type(catalog.blobs), "clock", lambda self: later)
        assert [file.name for file in catalog.collect_garbage().removed] == [orphan]
        assert catalog.read_weights(stored) == b"a"
        assert list(catalog.blobs.digests()) == [stored.blob]


def test_a_store_that_tells_no_times_keeps_everything(monkeypatch, tmp_path):
    blobs = RemoteBlobs(f"memory://test-{uuid.uuid4().hex}")

    def nothing(self, path):
        raise NotImplementedError

    monkeypatch.setattr(type(blobs._files), "modified", nothing)
    with open_at(f"sqlite:///{tmp_path / 'catalog.db'}", tmp_path) as catalog:
        catalog.blobs = blobs
        put_adapter(catalog, "a")
        blobs.write(ORPHAN)
        report = catalog.collect_garbage(grace_s=0)
        assert (report.removed, report.young, report.ageless) == ((), 0, 1)


@pytest.mark.parametrize(
    "said",
    [
        {"mtime": 1.5e9},
        {"LastModified": "2017-07-14T02:40:00+00:00"},
        {"last_modified": "2017-07-14T02:40:00Z"},
        {"updated": "2017-07-14T02:40:00.000Z"},
        {"mtime": None, "modified": "2017-07-14T02:40:00"},
    ],
    ids=str,
)
def test_the_packages_spellings_of_a_time_are_understood(said):
    blobs = RemoteBlobs("memory://spellings")
    assert blobs._described("x", {"size": 3, **said}) == StoredFile("x", 3, 1.5e9)


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    blobs = LocalBlobs(tmp_path)
    digest = blobs.write(ORPHAN)
    (tmp_path / "doomed").write_text("a file where a folder should be")
    with pytest.raises(UnavailableError, match="cannot remove blob"):
        blobs.remove(digest, written_before=time.time() + 5)
    assert blobs.read(digest) == ORPHAN
