"""However a spec is written, the same work has the same keys; and today's keys stay what they are."""

from __future__ import annotations

import tomllib

import pytest

from adapterlab.planning.compile import compile_plan
from adapterlab.records import StepKind
from adapterlab.spec.model import Spec
from specs import facts

TERSE = """\
name = "x"
[backbone]
source = "package:x"
[pool]
tasks = ["glue/rte", "glue/mrpc"]
[targets]
tasks = ["glue/rte"]
[search]
lr = 3e-3
"""

SPELLED_OUT = """\
# the same, told at length and in another order
targets.tasks = [ "glue/rte" ]  # a comment
pool = { target = "include", tasks = [
  "glue/rte",
  'glue/mrpc',
] }
schema_version = 1
name = 'x'
backbone.source = "package:x"
search = { dropout = 3e-1, lr = 0.003, init_scale = 2, trials = 16, sampler = "tpe" }
[source]
seed = 0
max_epochs = 30
lr = 0.0003
[data]
max_length = 128
[combiner]
kind = "scalearn"
[final]
seeds = [0, 1, 2]
"""


def keys_of(text: str) -> dict[str, str | None]:
    wanted = Spec.model_validate(tomllib.loads(text))
    return {step.title: step.key for step in compile_plan(wanted, facts(wanted)).steps}


def test_comments_order_and_spelled_out_defaults_change_no_key():
    assert keys_of(TERSE) == keys_of(SPELLED_OUT)
    assert None not in keys_of(TERSE).values()


@pytest.mark.parametrize(
    "change",
    [
        ("lr = 3e-3", "lr = 3.1e-3"),
        ("glue/mrpc", "glue/cola"),
        ("[search]", "[transfer]\npatience = 6\n[search]"),
    ],
)
def test_a_changed_setting_changes_the_keys_it_decides(change):
    before, after = keys_of(TERSE), keys_of(TERSE.replace(*change))
    assert before["rte · scalearn"] != after["rte · scalearn"]
    assert before["rte · scalearn · final · seed 0"] != after["rte · scalearn · final · seed 0"]
    assert before["source · rte · seed 0"] == after["source · rte · seed 0"]


def test_a_budget_of_time_is_in_the_key_where_it_can_end_a_search():
    searched = TERSE.replace("lr = 3e-3", "lr = { low = 1e-3, high = 1e-2 }")
    assert searched != TERSE
    limited = {text: text.replace("[search]", "[search]\nbudget_minutes = 5") for text in (searched, TERSE)}
    assert keys_of(limited[searched])["rte · scalearn"] != keys_of(searched)["rte · scalearn"]
    assert keys_of(limited[TERSE]) == keys_of(TERSE)  # of one trial, nothing can be cut


def test_keys_are_those_that_catalogs_hold():
    """A change here makes everything that was ever trained unknown.

    Change them only together with the version of a step kind, and say so in the changelog.
    """
    keys = keys_of(TERSE)
    assert {kind: keys[title] for kind, title in TITLES.items()} == GOLDEN


TITLES = {
    StepKind.SOURCE: "source · rte · seed 0",
    StepKind.STUDY: "rte · scalearn",
    StepKind.TRANSFER: "rte · scalearn · final · seed 0",
}
GOLDEN = {
    StepKind.SOURCE: "753934f7ba1e5247fd547d8ca3f0cce7cb2da64df9b2f9aef51174743dfbc587",
    StepKind.STUDY: "36cd93504e6235fa95694d8627bc423a004b03aaa77bae413071ea662bd4bfd9",
    StepKind.TRANSFER: "41694049e90cc8ec924b295aba92454575b1eaffd40bd9c19b4852232278b199",
}
