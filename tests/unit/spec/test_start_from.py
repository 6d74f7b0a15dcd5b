"""What a search starts from is checked where it stands, against every combiner it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterlab.errors import SpecError
from adapterlab.spec.load import load_spec

HEAD = """\
name = "x"
[backbone]
source = "package:x"
[pool]
tasks = ["glue/rte", "glue/mrpc"]
[targets]
tasks = ["glue/rte"]
[combiner]
"""


def written(folder: Path, search: str, combiner: str) -> Path:
    path = folder / "spec.toml"
    path.write_text(f"{HEAD}{combiner}\n[search]\n{search}\n")
    return path


def faults_of(folder: Path, search: str, combiner: str = 'kind = "scalearn"') -> list[dict]:
    with pytest.raises(SpecError) as refused:
        load_spec(written(folder, search, combiner))
    return refused.value.details["faults"]


@pytest.mark.parametrize(
    ("start", "count"),
    [
        ('"an-earlier-sweep"', 1),
        ("{ lr = 2e-3 }", 1),
        ('["sweep", { lr = 2e-3, dropout = 0.3 }, { combiner = "scalearn", init_scale = 2 }]', 3),
        ("[]", 0),
    ],
)
def test_a_name_a_setting_and_a_list_of_them_are_taken(tmp_path, start, count):
    loaded = load_spec(written(tmp_path, f"start_from = {start}", 'kind = "scalearn"'))
    assert len(loaded.spec.search.starts) == count


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("{ lrr = 2e-3 }", "no combiner here has a dimension 'lrr'"),
        ("{ lr = 0.5 }", "lr of scalearn is searched in 0.001 to 0.02, got 0.5"),
        ("[{ lr = 2e-3 }, { dropout = 0.2 }]", "dropout of scalearn is searched in 0.3 only, got 0.2"),
        ('{ lr = "high" }', "lr of scalearn is a number"),
        ('{ combiner = "scalern", lr = 2e-3 }', "'scalern' is none of this spec's combiners"),
        ('"x"', "a sweep cannot start from itself"),
        ("[{ lr = 2e-3 }, { lr = 3e-3 }]\ntrials = 1", "2 settings, but 1 trials"),
        ("{}", "at least 1 item"),
        ("3", "expected"),
    ],
)
def test_what_cannot_be_tried_is_refused_at_its_line(tmp_path, start, message):
    (fault,) = faults_of(tmp_path, f"start_from = {start}")
    assert message in fault["message"]
    assert fault["source"].startswith("start_from = ")


def test_of_several_combiners_a_setting_says_whose_it_is(tmp_path):
    both = 'kind = ["scalearn", "adapterfusion"]'
    (fault,) = faults_of(tmp_path, "start_from = { lr = 2e-3 }", both)
    assert "lr of adapterfusion is searched in 5e-05 only" in fault["message"]
    assert "combiner" in fault["hint"]
    load_spec(written(tmp_path, 'start_from = { combiner = "scalearn", lr = 2e-3 }', both))
    load_spec(written(tmp_path, "start_from = { dropout = 0.3 }\ndropout = { choices = [0.3, 0.1] }", both))


def test_where_the_search_chooses_the_combiner_a_setting_names_one(tmp_path):
    auto = 'kind = "auto"\namong = ["scalearn", "adapterfusion"]'
    (fault,) = faults_of(tmp_path, "start_from = { lr = 2e-3 }", auto)
    assert "a setting has to name one" in fault["message"]
    load_spec(written(tmp_path, 'start_from = { combiner = "scalearn", lr = 2e-3 }', auto))


def test_own_ranges_of_a_combiner_count(tmp_path):
    own = 'kind = "scalearn"\nper_kind.scalearn.search.lr = { low = 0.1, high = 0.9 }'
    load_spec(written(tmp_path, "start_from = { lr = 0.5 }\nlr = 1e-3", own))
