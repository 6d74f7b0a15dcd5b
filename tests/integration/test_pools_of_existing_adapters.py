"""Sweeps whose pools exist already, wholly or by half, from folders, the catalog and queries."""

from __future__ import annotations

import json
import os
import re
import signal
import time

import pytest
import torch

import tiny_trained
import tiny_world
from adapterlab import api
from adapterlab.cli.main import main
from adapterlab.errors import AdapterlabError, NotFoundError, SpecError, UsageError
from adapterlab.exporting import peft
from adapterlab.importing.pool import existing_pool
from adapterlab.spec.load import load_spec
from adapterlab.train import weights

TASKS = 'tasks = ["glue/rte", "superglue/cb"]'
FIXED = "dropout = 0.3\nlr = 6e-3\ninit_scale = 2.0"
"""Proposals of a search depend on its study, and a study on its sources: what is fixed is proposed alike."""
ENTRY = '[[pool.adapter]]\nsource = "{}"\n'


@pytest.fixture(autouse=True)
def home(tmp_path, temporary, monkeypatch):
    """An empty home folder."""
    for name in ("ADAPTERLAB_CATALOG", "ADAPTERLAB_BLOBS"):
        monkeypatch.delenv(name, raising=False)

    def use(name):
        monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / name))

    use("home")
    return use


@pytest.fixture
def spec_with(tmp_path):
    """Write the tiny world's spec with another pool, and other lines instead of some of its own."""
    path = tiny_world.write_world(tmp_path / "world", trials=2, epochs=1)
    text = path.read_text().replace("[cluster]", '[cluster]\nlauncher = "in_process"')

    def write(pool, name="pool", **replaced):
        changed = text.replace(TASKS, pool)
        for key, line in replaced.items():
            changed = re.sub(rf"(?m)^{key} = .*$", line, changed, count=1)
        target = path.with_name(f"{name}.toml")
        target.write_text(changed)
        return target

    return write


def adapters():
    """Return the catalog's adapters by task."""
    with api.open_catalog() as catalog:
        return {one.task: one.key for one in catalog.adapters()}


def learned():
    """Return the tensors of every final run, by combiner and seed."""
    with api.open_catalog() as catalog:
        return {
            (one.combiner, one.seed): weights.from_bytes(catalog.read_weights(one))
            for one in catalog.transfers()
        }


def same(one, other):
    """Return whether two runs learned the same, bit for bit."""
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def write_lora(folder, rank, scale, targets, *, seed):
    """Write a LoRA of random numbers on the tiny world's BERT, as PEFT does."""
    folder.mkdir()
    draw = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(2):
        for target in targets:
            name = f"layer.{layer}.attention.{target}"
            tensors[f"{name}.a"] = torch.randn(rank, 32, generator=draw)
            tensors[f"{name}.b"] = torch.randn(32, rank, generator=draw)
    (folder / peft.WEIGHTS).write_bytes(weights.to_bytes(peft.peft_tensors(tensors, None, "bert")))
    about = {"base_model": "x", "architecture": "bert", "has_head": False}
    (folder / peft.CONFIG).write_text(json.dumps(peft.config(tensors, scale=scale, **about)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_pool_of_three_origins_is_killed_and_resumed(home, spec_with, tmp_path):
    """One source trained, one from an export of another catalog, one from a PEFT folder; kill -9 at three points."""
    lora = {"settings": 'method = "lora"\nsettings = { r = 4, alpha = 8.0 }'}
    home("maker")
    api.submit(spec_with(TASKS, "maker", **lora))
    api.export(adapters()["superglue/cb"], tmp_path / "cb")
    write_lora(tmp_path / "friend", 2, 1.0, ("query", "value"), seed=3)
    pool = 'tasks = ["glue/rte"]\n' + "".join(
        ENTRY.format(f"folder:{tmp_path / name}") for name in ("cb", "friend")
    )
    spec = spec_with(pool, "half", **lora)
    home("calm")
    outcome = api.submit(spec)
    assert (outcome.trained["source"], len(adapters())) == (1, 3)
    wanted, keys = learned(), adapters()
    home("rough")

    def reached(kind, count):
        path = tmp_path / "rough" / "catalog.db"
        if not path.exists():
            return False
        try:
            with api.open_catalog() as catalog:
                return len(getattr(catalog, kind)()) >= count
        except AdapterlabError:  # its tables are being made
            return False

    for kind, count in (("adapters", 1), ("adapters", 3), ("transfers", 1)):
        process = tiny_world.start_platform(tmp_path / "rough", "submit", str(spec))
        while process.poll() is None and not reached(kind, count):
            time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = tiny_world.platform(tmp_path / "rough", "submit", str(spec), timeout_s=400)
    assert done.returncode == 0, done.stderr
    assert adapters() == keys
    got = learned()
    assert set(got) == set(wanted)
    assert all(same(got[run], wanted[run]) for run in wanted)
    assert api.submit(spec).nothing_to_do


@pytest.mark.slow
def test_a_half_imported_pool_gives_what_the_trained_one_gives_bit_for_bit(home, spec_with, tmp_path):
    api.submit(spec_with(TASKS, dropout=FIXED))
    wanted, keys = learned(), adapters()
    api.export(keys["superglue/cb"], tmp_path / "cb")
    home("other")
    half = spec_with(
        'tasks = ["glue/rte"]\n' + ENTRY.format(f"folder:{tmp_path / 'cb'}"), "half", dropout=FIXED
    )
    planned = api.plan(half)
    (existing,) = planned.plan.facts.existing
    assert (existing.task, existing.there) == ("superglue/cb", False)
    assert [step.job.task for step in planned.plan.sources] == ["glue/rte"]
    outcome = api.submit(half)
    assert outcome.trained["source"] == 1
    got = learned()
    assert set(got) == set(wanted)
    assert all(same(got[run], wanted[run]) for run in wanted)
    # Where it lies decides nothing, and what is there is not done again.
    (tmp_path / "cb").rename(tmp_path / "moved")
    moved = spec_with(
        'tasks = ["glue/rte"]\n' + ENTRY.format(f"folder:{tmp_path / 'moved'}"), "half", dropout=FIXED
    )
    assert api.submit(moved).nothing_to_do
    kept = spec_with(
        'tasks = ["glue/rte"]\n' + ENTRY.format(f"catalog:{existing.key}"), "half", dropout=FIXED
    )
    assert api.plan(kept).plan.facts.existing[0].there
    assert api.submit(kept).nothing_to_do
    with api.open_catalog() as catalog:
        transfer = catalog.transfers()[0]
        lineage = json.dumps(catalog.lineage(transfer.key).to_json())
        recorded = json.loads(catalog.sweep(outcome.sweep_key).spec)
    assert f"imported from folder:{tmp_path / 'cb'}" in lineage
    assert recorded["pool"]["adapter"][0]["source"] == f"catalog:{existing.key}"
    assert {one.source for one in api.report(outcome.sweep_key).influences} == {"glue/rte", "superglue/cb"}
    assert api.export(transfer.key, tmp_path / "folded").difference < 1e-5
    assert api.predict(transfer.key, [{"sentence1": "the cat sees", "sentence2": "a dog"}])
    assert {one.task for one in api.contributions(transfer.key).sources} == {"glue/rte", "superglue/cb"}


@pytest.mark.slow
def test_a_query_takes_what_the_catalog_has(home, spec_with):
    api.submit(spec_with(TASKS))
    keys, wanted = adapters(), learned()
    query = spec_with('[pool.query]\nmin_value = 0.0\npick = "best"\n', "query")
    existing = api.plan(query).plan.facts.existing
    assert {one.task: one.key for one in existing} == keys
    # The same adapters in the same order are the same study.
    assert api.submit(query).trained["study"] == 0
    assert learned().keys() == wanted.keys()
    excluded = spec_with('target = "exclude"\n[pool.query]\ntasks = ["superglue/cb"]\n', "query")
    assert [one.task for one in api.plan(excluded).plan.facts.existing] == ["superglue/cb"]
    with pytest.raises(SpecError, match="has no such adapter"):
        api.plan(spec_with("[pool.query]\nmin_value = 2.0\n", "query"))


@pytest.mark.slow
def test_a_pool_of_loras_of_unequal_ranks_and_scales_from_peft_folders(home, spec_with, tmp_path):
    """The target's own data is not in the pool, and nothing is trained but the combination."""
    spec = spec_with("", "loras")
    backbone = spec.parent / "backbone"
    for number, (rank, scale, targets) in enumerate(
        [(2, 1.0, ("query", "value")), (5, 3.0, ("query", "key"))]
    ):
        write_lora(tmp_path / f"lora-{number}", rank, scale, targets, seed=number)
    pool = "".join(ENTRY.format(f"folder:{tmp_path / f'lora-{number}'}") for number in range(2))
    spec = spec_with(pool, "loras", settings="")
    spec.write_text(spec.read_text().replace("[adapter]\n", ""))
    assert main(["validate", str(spec)]) == 0
    outcome = api.submit(spec)
    assert outcome.trained["source"] == 0
    with api.open_catalog() as catalog:
        transfer = catalog.transfers(combiner="scalearn")[0]
        assert [one.task for one in catalog.get_study(transfer.study_key).pool] == [
            "imported/lora_0",
            "imported/lora_1",
        ]
    # The fold is checked against the pool as it was trained; PEFT's own format read back.
    assert api.export(transfer.key, tmp_path / "folded", backbone=str(backbone)).difference < 1e-5


def test_what_cannot_be_a_pool_is_told_where_it_stands(home, spec_with, tmp_path):
    trained = tiny_trained.write_trained(tmp_path / "made")
    gelu = tiny_trained.write_trained(tmp_path / "gelu", non_linearity="gelu")
    lora = tiny_trained.write_trained(tmp_path / "lora", method="lora", settings={"r": 4, "alpha": 8.0})
    for made, name in ((trained, "relu"), (gelu, "gelu"), (lora, "lora")):
        home(f"{'made' if name == 'relu' else name}/home")
        api.export(made.sources[0], tmp_path / f"out-{name}", backbone=str(made.backbone))
    home("home")
    spec = spec_with("", "bad", source=f'source = "folder:{trained.backbone}"')

    def faults(pool, **replaced):
        path = spec_with(pool, "bad", source=f'source = "folder:{trained.backbone}"', **replaced)
        with pytest.raises(SpecError) as caught:
            existing_pool(load_spec(path))
        return caught.value.details["faults"]

    own = 'tasks = ["glue/rte"]\n'
    relu, other = (ENTRY.format(f"folder:{tmp_path / f'out-{name}'}") for name in ("relu", "gelu"))
    (fault,) = faults(own + ENTRY.format("folder:nowhere"))
    assert fault["line"] == spec.read_text().splitlines().index("[pool]") + 4
    assert "no folder" in fault["message"]
    (fault,) = faults(own + ENTRY.format("catalog:abcdef"))
    assert "abcdef" in fault["message"]
    (fault,) = faults(own + other)
    assert "share their non_linearity: relu and gelu" in fault["message"]
    assert "what [adapter] trains" in fault["message"]
    (fault,) = faults(own + ENTRY.format(f"folder:{tmp_path / 'out-lora'}"))
    assert "adapters of pfeiffer and of lora cannot share a pool" in fault["message"]
    (fault,) = faults(own + relu + ENTRY.format(f"folder:{tmp_path / 'out-relu'}/../out-relu"))
    assert "the same adapter" in fault["message"]
    path = spec_with(own + relu, "bad")  # on the tiny world's own backbone
    with pytest.raises(SpecError, match="was trained on a backbone with sha256"):
        api.plan(path)
    assert spec is not None


def test_a_combiner_that_reads_the_sources_texts_refuses_those_it_cannot_know(home, spec_with, tmp_path):
    made = tiny_trained.write_trained(tmp_path / "made")
    home("made/home")
    api.export(made.sources[0], tmp_path / "mrpc", backbone=str(made.backbone))
    home("home")
    spec = spec_with(
        'tasks = ["glue/rte"]\n' + ENTRY.format(f"folder:{tmp_path / 'mrpc'}"),
        source=f'source = "folder:{made.backbone}"',
        kind='kind = ["single"]',
    )
    api.plan(spec)
    soup = spec.read_text().replace('kind = ["single"]', 'kind = ["adaptersoup"]')
    spec.write_text(soup)
    with pytest.raises((UsageError, NotFoundError), match="adaptersoup compares the training texts"):
        api.plan(spec)
    alone = spec_with(
        ENTRY.format(f"folder:{tmp_path / 'mrpc'}"),
        source=f'source = "folder:{made.backbone}"',
        kind='kind = ["single"]',
    )
    with pytest.raises(UsageError, match="single on glue/rte"):
        api.plan(alone)


def test_a_merge_refuses_existing_adapters_of_other_sizes_when_it_is_planned(home, spec_with, tmp_path):
    made = tiny_trained.write_trained(tmp_path / "made")
    home("made/home")
    api.export(made.sources[0], tmp_path / "mrpc", backbone=str(made.backbone))
    home("home")
    spec = spec_with(
        'tasks = ["glue/rte"]\n' + ENTRY.format(f"folder:{tmp_path / 'mrpc'}"),
        source=f'source = "folder:{made.backbone}"',
        kind='kind = ["ties"]',
    )
    written = spec.read_text()
    merged = "ties on glue/rte: it merges parameters one by one, and the pool's adapters differ in size"
    for factor, fits in ((8, True), (2, False)):
        spec.write_text(written.replace("reduction_factor = 8", f"reduction_factor = {factor}"))
        if fits:
            api.plan(spec)
            continue
        with pytest.raises(UsageError, match=merged):
            api.plan(spec)
    spec.write_text(written.replace('kind = ["ties"]', 'kind = ["svd"]'))
    with pytest.raises((UsageError, SpecError), match=r"svd.*products of two factors"):
        api.plan(spec)
