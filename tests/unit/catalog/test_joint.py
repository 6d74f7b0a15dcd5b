"""Joint runs in the catalog: stored with what their tasks have of them, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapterlab.catalog.copying import copy
from adapterlab.catalog.records import Claim
from adapterlab.catalog.store import current_owner
from adapterlab.errors import ClaimLostError, ConflictError
from adapterlab.records import State, StepKind
from catalogs import (
    BOTH_DATABASES,
    LEASE_S,
    adapter,
    joint_run,
    key,
    open_at,
    put_joint,
    put_study,
    put_transfer,
    sql,
)

on_both = pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
TASKS = ("glue/rte", "glue/cola")


@on_both
def test_a_run_comes_back_as_it_went_in(catalog):
    stored = put_joint(catalog, "j", *TASKS)
    assert catalog.get_joint(key("j")[:12]) == stored
    assert catalog.joint_runs(method="adapter_m", seed=0) == [stored]
    assert catalog.joint_runs(method="full_m") == []
    assert catalog.read_weights(stored) == b"j"
    for share in stored.shares:
        one = catalog.get_adapter(share.key)
        assert (one.task, one.task_digest) == (share.task, share.task_digest)
        assert catalog.joint_of(one.key) == stored
    assert catalog.durations(stored.backbone_digest, StepKind.JOINT) == (20.0 / 640,)
    states = catalog.status([stored.key, *(share.key for share in stored.shares)])
    assert {one.state for one in states.values()} == {State.COMPLETE}


@on_both
def test_one_whose_setting_a_study_chose_is_made_from_the_study(catalog):
    put_study(catalog, "chooser")
    put_joint(catalog, "j", *TASKS, settings={"study": key("chooser")})
    rows = sql(
        catalog, "SELECT child_kind, parent, parent_kind FROM lineage WHERE child = :child", child=key("j")
    )
    assert list(map(tuple, rows)) == [("joint", key("chooser"), "study")]
    share = catalog.get_joint(key("j")).shares[0].key
    assert catalog.lineage(share).parents[0].parents[0].key == key("chooser")


@on_both
def test_with_one_claim_lost_nothing_of_it_is_stored(catalog):
    record = joint_run("j", *TASKS)
    keys = [record.key, *(share.key for share in record.shares)]
    claims = catalog.claim_many(keys, owner=current_owner(), lease_s=LEASE_S)
    lost = Claim(keys[2], claims[keys[2]].token + 1, claims[keys[2]].owner)
    parts = [
        (replace(adapter("x"), key=share.key, task=share.task, task_digest=share.task_digest), b"x", claim)
        for share, claim in zip(record.shares, (claims[keys[1]], lost), strict=True)
    ]
    with pytest.raises(ClaimLostError):
        catalog.publish_joint(record, b"j", parts, claims[record.key])
    assert catalog.joint_runs() == []
    assert catalog.adapters() == []
    assert set(catalog.status(keys)) == set(keys)
    assert {one.state for one in catalog.status(keys).values()} == {State.RUNNING}


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
def test_adapters_of_other_keys_than_it_names_are_refused(catalog_url, tmp_path):
    with open_at(catalog_url, tmp_path) as catalog:
        record = joint_run("j", *TASKS)
        claims = catalog.claim_many([record.key], owner=current_owner(), lease_s=LEASE_S)
        with pytest.raises(ValueError, match="not those of its shares"):
            catalog.publish_joint(record, b"j", [], claims[record.key])


@on_both
@pytest.mark.parametrize("how", ["damaged", "its row lost"])
def test_a_run_without_one_of_its_parts_is_not_done(catalog, how):
    run = put_joint(catalog, "j", *TASKS)
    lost, kept = run.shares[0].key, run.shares[1].key
    if how == "damaged":
        sql(catalog, "UPDATE adapters SET state = 'corrupt' WHERE key = :key", key=lost)
    else:
        sql(catalog, "DELETE FROM adapters WHERE key = :key", key=lost)
    states = {name: one.state for name, one in catalog.status([run.key, lost, kept]).items()}
    assert states == {run.key: State.PENDING, lost: State.PENDING, kept: State.COMPLETE}
    claims = catalog.claim_many([run.key, lost, kept], owner=current_owner(), lease_s=LEASE_S)
    assert set(claims) == {run.key, lost}
    parts = [(catalog_part(run, 0), b"again", claims[lost]), (catalog_part(run, 1), b"same", None)]
    catalog.publish_joint(run, b"j", parts, claims[run.key])
    assert catalog.status([run.key])[run.key].state is State.COMPLETE
    assert catalog.read_weights(catalog.get_adapter(kept)) == b"j glue/cola"


def catalog_part(run, place):
    share = run.shares[place]
    return replace(adapter("x"), key=share.key, task=share.task, task_digest=share.task_digest)


@on_both
def test_a_run_is_removed_whole_unless_something_was_made_of_a_part(catalog):
    run = put_joint(catalog, "j", *TASKS)
    with pytest.raises(ConflictError, match="has of the joint run") as error:
        catalog.remove(run.shares[0].key)
    assert run.key[:12] in error.value.remedy
    put_study(catalog, "s", "j glue/rte")
    with pytest.raises(ConflictError, match="study"):
        catalog.remove(run.key)
    catalog.remove(key("s"))
    catalog.remove(run.key)
    assert catalog.joint_runs() == []
    assert catalog.adapters() == []
    assert sql(catalog, "SELECT * FROM lineage") == []


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
def test_its_lineage_goes_through_it(catalog_url, tmp_path):
    with open_at(catalog_url, tmp_path) as catalog:
        run = put_joint(catalog, "j", *TASKS)
        put_study(catalog, "s", "j glue/rte")
        put_transfer(catalog, "t", "s", "j glue/rte")
        above = catalog.lineage(key("t")).parents[0].parents[0]
        assert [(one.kind, one.key) for one in above.parents if one.kind == "joint"] == [("joint", run.key)]
        assert [one.kind for one in above.parents[0].parents] == ["backbone"]
        below = catalog.lineage(run.key)
        assert [one.kind for one in below.children] == ["source", "source"]


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
def test_what_a_task_has_is_copied_with_its_run(catalog_url, tmp_path):
    with (
        open_at(catalog_url, tmp_path) as catalog,
        open_at(f"sqlite:///{tmp_path / 'o.db'}", tmp_path / "o") as other,
    ):
        run = put_joint(catalog, "j", *TASKS)
        put_study(catalog, "s", "j glue/rte")
        put_transfer(catalog, "t", "s", "j glue/rte")
        done = copy(catalog, [key("t")], other)
        assert [one.key for one, _ in done] == [run.key, key("s"), key("t")]
        assert other.joint_runs()[0].shares == run.shares
        assert other.read_weights(other.get_adapter(run.shares[1].key)) == b"j glue/cola"
        assert [new for _, new in copy(catalog, [run.shares[0].key], other)] == [False]


# -- checkpoints --------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["folder", "url"])
def test_a_checkpoint_is_kept_replaced_and_dropped(tmp_path, store):
    from adapterlab.catalog.blobs import open_blobs

    blobs = open_blobs(str(tmp_path / "b") if store == "folder" else f"memory://{tmp_path.name}")
    assert blobs.checkpoint(key("a")) is None
    blobs.keep_checkpoint(key("a"), b"one")
    blobs.keep_checkpoint(key("a"), b"two")
    assert blobs.checkpoint(key("a")) == b"two"
    assert blobs.checkpoint(key("b")) is None
    assert list(blobs.digests()) == []
    blobs.drop_checkpoint(key("a"))
    blobs.drop_checkpoint(key("a"))
    assert blobs.checkpoint(key("a")) is None


def test_a_damaged_checkpoint_is_none(tmp_path):
    from adapterlab.catalog.blobs import open_blobs

    blobs = open_blobs(str(tmp_path))
    blobs.keep_checkpoint(key("a"), b"whole")
    (path,) = (tmp_path / "checkpoints").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert blobs.checkpoint(key("a")) is None
    path.write_bytes(b"")
    assert blobs.checkpoint(key("a")) is None


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
def test_an_old_checkpoint_is_garbage_unless_its_step_is_in_work(catalog_url, tmp_path):
    import os

    with open_at(catalog_url, tmp_path) as catalog:
        for name in ("old", "held", "young"):
            catalog.blobs.keep_checkpoint(key(name), b"x")
            if name != "young":
                (path,) = (tmp_path / "blobs" / "checkpoints").glob(f"{key(name)}*")
                os.utime(path, (1.0, 1.0))
        catalog.claim_many([key("held")], owner=current_owner(), lease_s=LEASE_S)
        report = catalog.collect_garbage()
        assert [key("old") in one.name for one in report.temporary] == [True]
        assert [catalog.blobs.checkpoint(key(name)) for name in ("old", "held", "young")] == [
            None,
            b"x",
            b"x",
        ]


@on_both
def test_the_study_of_a_joint_run_has_several_tasks_and_is_copied_with_them(catalog, tmp_path):
    tasks = {task: key(f"{task} rows") for task in TASKS}
    stored = put_study(catalog, "s", task="", task_digest="", tasks=tasks, combiner="full_m", metric="loss")
    assert catalog.get_study(key("s")) == stored
    assert list(stored.tasks) == list(TASKS)
    assert catalog.studies(combiner="full_m") == [stored]
    assert sql(catalog, "SELECT task, task_digest FROM studies") == [(None, None)]
    with open_at(f"sqlite:///{tmp_path / 'other.db'}", tmp_path / "other") as other:
        copy(catalog, [stored.key], other)
        copied = other.get_study(stored.key)
        assert {(one.name, one.digest) for one in other.tasks()} == set(tasks.items())
    assert (copied.tasks, copied.best_settings) == (stored.tasks, stored.best_settings)
