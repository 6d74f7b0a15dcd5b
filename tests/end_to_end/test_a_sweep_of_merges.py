"""Every merge is a row of one table, over LoRAs and over bottlenecks, and leaves as one adapter."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file

from adapterlab.catalog.store import open_catalog
from adapterlab.search.study import read_trials
from tiny_world import platform, write_world

pytestmark = pytest.mark.slow

EVERYWHERE = (
    "weighted_average",
    "task_arithmetic",
    "ties",
    "dare_linear",
    "dare_ties",
    "magnitude_prune",
    "lorahub",
)
OF_LORAS = ("svd",)
SEARCHED = """
[combiner.per_kind.ties.search]
density = { choices = [0.1, 0.9] }

[combiner.per_kind.task_arithmetic]
settings = { weights = { "superglue/cb" = -0.5, target = 1.0 } }
search = { scale = { low = 0.2, high = 1.0 } }
"""


@pytest.fixture(scope="module", params=["lora", pytest.param("pfeiffer", marks=pytest.mark.nightly)])
def swept(request, tmp_path_factory):
    """Submit the tiny spec with every merge that takes the method."""
    folder = tmp_path_factory.mktemp(request.param)
    spec = write_world(folder, trials=3, epochs=1)
    kinds = (*EVERYWHERE, *(OF_LORAS if request.param == "lora" else ()))
    rows = json.dumps(["scalearn_uniform", *kinds])
    text = spec.read_text().replace('kind = ["scalearn", "scalearn_uniform"]\n', f"kind = {rows}\n{SEARCHED}")
    settings = {
        "lora": 'method = "lora"\nsettings = { r = 4 }',
        "pfeiffer": "settings = { reduction_factor = 8 }",
    }
    text = text.replace("workers = 2", 'workers = 1\nlauncher = "in_process"')
    spec.write_text(text.replace(settings["pfeiffer"], settings[request.param]))
    done = platform(folder / "home", "submit", str(spec))
    assert done.returncode == 0, done.stderr
    return folder, kinds, request.param


@pytest.fixture
def catalog(swept):
    home = swept[0] / "home"
    with open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks") as one:
        yield one


def finals_of(catalog, kind):
    (study,) = catalog.studies(limit=None, combiner=kind)
    return study, list(catalog.transfers(limit=None, study_key=study.key))


def test_a_merge_trains_a_head_alone_and_stands_in_the_table(catalog, swept):
    folder, kinds, _ = swept
    shown = json.loads(platform(folder / "home", "report", "tiny", "--json").stdout)
    assert {cell["combiner"] for cell in shown["cells"]} >= {"scalearn_uniform", *kinds}
    for kind in kinds:
        _, finals = finals_of(catalog, kind)
        assert {one.n_parameters for one in finals} == {0}
        assert all(one.head_parameters > 0 for one in finals)


def test_how_much_is_kept_is_searched(catalog, swept):
    folder, _, _ = swept
    study, finals = finals_of(catalog, "ties")
    trials = read_trials(f"sqlite:///{folder / 'home' / 'studies.db'}", study.study_name)
    assert {trial.settings["density"] for trial in trials} == {0.1, 0.9}
    assert all(one.settings["density"] == study.best_settings["density"] for one in finals)
    _, finals = finals_of(catalog, "task_arithmetic")
    means = [one.mean for one in catalog.coefficients(finals[0].key)]
    assert means == pytest.approx([-0.5 * finals[0].settings["scale"], finals[0].settings["scale"]], rel=1e-6)


def test_a_merge_leaves_as_one_adapter_as_large_as_a_source(catalog, swept):
    folder, kinds, method = swept
    home, rows = folder / "home", folder / "rows.jsonl"
    backbone = ("--backbone", str(folder / "backbone"))
    rows.write_text('{"sentence1": "the cat sees a dog", "sentence2": "a dog"}\n')
    for kind in kinds:
        _, finals = finals_of(catalog, kind)
        to = folder / f"export-{kind}"
        done = platform(home, "export", finals[0].key[:12], "--to", str(to))
        assert done.returncode == 0, done.stderr
        config = json.loads((to / "adapter_config.json").read_text())
        if method == "lora":
            tensors = load_file(to / "adapter_model.safetensors")
            assert config["r"] == 4
            assert {one.shape[0] for name, one in tensors.items() if "lora_A" in name} == {4}
        else:
            assert config["config"]["reduction_factor"] == 8
        assert "merged" in (to / "README.md").read_text()
        answers = []
        for what in (finals[0].key[:12], str(to)):
            done = platform(home, "predict", what, "--file", str(rows), "--json", *backbone)
            assert done.returncode == 0, done.stderr
            answers.append(json.loads(done.stdout))
        one, other = (each["predictions"][0]["probabilities"] for each in answers)
        assert one == pytest.approx(other, abs=1e-5)
