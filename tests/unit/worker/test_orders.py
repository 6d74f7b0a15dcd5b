"""What a worker is told arrives as it was sent, and nothing else is understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as run_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from adapterlab.catalog.records import Claim
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import UsageError
from adapterlab.home import Stores
from adapterlab.planning.steps import (
    AdapterRecipe,
    CombinerRecipe,
    FinalJob,
    PoolMember,
    ReadModel,
    RunRows,
    SearchSettings,
    SourceJob,
    StepId,
    StudyJob,
)
from adapterlab.records import StepKind, TrainRegime, TrainSettings
from adapterlab.spec.search_space import Choices, FloatRange
from adapterlab.worker.orders import (
    Assignment,
    BackboneFiles,
    Context,
    SourcesOrder,
    StudyOrder,
    TrialsOrder,
    from_json,
    order_from_json,
    to_json,
)

words = st.text(max_size=12)
counts = st.integers(0, 2**40)
shares = st.floats(0, 1, allow_nan=False)
values = st.recursive(
    st.none() | st.booleans() | counts | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
settings = st.dictionaries(words, values, max_size=3)
rows = st.builds(RunRows, st.none() | counts, st.none() | counts, st.none() | counts)
regimes = {
    "max_epochs": counts,
    "patience": counts,
    "batch_size": counts,
    "weight_decay": shares,
    "head_dropout": shares,
    "backbone_dropout": st.booleans(),
}
recipes = st.builds(AdapterRecipe, words, counts, settings)
spaces = (
    shares
    | st.builds(lambda low: FloatRange(low=low, high=low + 1), shares)
    | st.lists(shares, min_size=1, unique=True).map(lambda some: Choices(choices=tuple(some)))
)
pools = st.lists(st.builds(PoolMember, st.none() | words, words, words), min_size=1, max_size=3).map(tuple)
ids = st.builds(
    StepId,
    st.sampled_from(StepKind),
    st.from_regex(r"[a-z0-9_]{1,9}/[a-z0-9_]{1,9}", fullmatch=True),
    st.none() | st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable()),
    st.none() | counts,
    st.none() | counts,
)
sources = st.builds(
    SourceJob, words, words, words, st.booleans(), recipes,
    st.builds(TrainSettings, lr=shares, **regimes), counts, st.none() | rows,
)  # fmt: skip
studies = st.builds(
    StudyJob, words, words, words, st.booleans(),
    st.lists(
        st.builds(
            CombinerRecipe, words, counts, settings, st.dictionaries(words, spaces, max_size=3),
            st.builds(TrainRegime, **regimes),
            st.dictionaries(words, st.builds(ReadModel, words, words), max_size=2),
        ),
        min_size=1,
        max_size=2,
    ).map(tuple),
    pools, recipes, st.builds(SearchSettings, words, words, counts, counts), st.none() | words,
    st.none() | rows,
)  # fmt: skip
finals = st.builds(FinalJob, ids, counts, st.none() | rows, st.none() | pools)
claims = st.builds(Claim, words, counts, words)
CONTEXT = Context(
    sweep_key="k", name="test", stores=Stores("h", "c", "b", "t", "a", "s"), experiment="x",
    backbone=BackboneFiles("/models/x", "roberta", "d", "float32"), library=TaskLibrary(Path("/cache")),
    max_length=128, max_train_rows=None, lanes=None, threads=1, gpu=False,
)  # fmt: skip
orders = st.one_of(
    st.builds(
        SourcesOrder, st.just(CONTEXT), words,
        st.lists(st.builds(Assignment, sources, claims), max_size=2).map(tuple),
    ),
    st.builds(TrialsOrder, st.just(CONTEXT), words, st.builds(Assignment, studies, claims)),
    st.builds(
        StudyOrder, st.just(CONTEXT), words, words, studies, st.none() | claims,
        st.lists(st.builds(Assignment, finals, claims), max_size=2).map(tuple),
    ),
)  # fmt: skip


@given(orders)
def test_an_order_arrives_as_it_was_sent(order):
    text = json.dumps(to_json(order), allow_nan=False)
    assert order_from_json(json.loads(text)) == order


@given(st.one_of(sources, studies, finals))
def test_so_does_each_job_alone(job):
    assert from_json(type(job), json.loads(json.dumps(to_json(job)))) == job


@run_settings(max_examples=30)
@given(st.data())
def test_a_field_nobody_knows_is_refused_wherever_it_is(data):
    document = to_json(data.draw(orders))
    inner = [document]
    for part in inner:  # every mapping that is a record of ours, not one of a plug-in
        inner += [
            one
            for name, value in part.items()
            if name
            not in {"settings", "spaces", "models", "revisions", "own_tasks", "known", "pruning", "start"}
            for one in (value if isinstance(value, list) else [value])
            if isinstance(one, dict)
        ]
    data.draw(st.sampled_from(inner))["misspelt"] = 1
    with pytest.raises(ValidationError, match="misspelt"):
        order_from_json(document)


def test_a_missing_or_mistyped_field_is_refused_by_name():
    document = to_json(SourcesOrder(CONTEXT, "w", ()))
    with pytest.raises(ValidationError, match=r"context\.max_length"):
        order_from_json({**document, "context": {**document["context"], "max_length": "128"}})
    del document["context"]["threads"]
    with pytest.raises(ValidationError, match=r"context\.threads"):
        order_from_json(document)


def test_a_worker_of_another_version_refuses_in_words():
    document = to_json(SourcesOrder(CONTEXT, "w", ()))
    document["context"] |= {"version": "0.0.1", "a field of then": 1}
    with pytest.raises(UsageError, match=r"submitted by adapterlab 0\.0\.1, but .* has"):
        order_from_json(document)
