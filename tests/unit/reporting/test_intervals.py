"""Intervals cover what they should over rows and seeds together, differences are of pairs, McNemar's test is exact."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pytest

from adapterlab.data.metrics import compute
from adapterlab.data.run_predictions import KeptPredictions
from adapterlab.records import ProblemType
from adapterlab.reporting.evidence import majorities
from adapterlab.reporting.intervals import interval, mcnemar_p, resample, row_weights
from adapterlab.reporting.predictions import write_predictions
from adapterlab.reporting.summary import Summary
from reports import cell

ROWS = 120


def answered(right, labels=None):
    """Return a run of two classes that is right on some rows."""
    labels = np.zeros(len(right), dtype=np.uint8) if labels is None else labels
    said = np.where(right, labels, 1 - labels)
    return KeptPredictions(ProblemType.CLASSIFICATION, np.eye(2, dtype=np.float16)[said], labels)


def sweep(**rows):
    """Return a summary of runs by method, and where their predictions are."""
    cells, read = [], {}
    for name, runs in rows.items():
        keys = [f"{name}{seed}" for seed in range(len(runs))]
        read |= dict(zip(keys, runs, strict=True))
        test = [float(np.mean(one.right)) for one in runs if one is not None] or [0.5]
        cells.append(replace(cell(name, test), keys=tuple(keys)))
    return Summary("s", "0", "complete", tuple(cells)), read.get


@pytest.mark.parametrize(("of_seeds", "of_rows"), [(0.0, 1.5), (1.0, 0.2), (0.6, 0.8)])
@pytest.mark.parametrize("seeds", [3, 8])
def test_of_a_hundred_intervals_about_95_hold_the_true_score(of_seeds, of_rows, seeds):
    """Rows differ in how hard they are and seeds in how good: the interval of a score that neither alone explains."""
    draws = np.random.default_rng(0)
    tried = 300

    def chance(shape_seeds, shape_rows):
        skill = of_seeds * draws.normal(size=shape_seeds) + of_rows * draws.normal(size=shape_rows)
        return 1 / (1 + np.exp(-0.8 - skill))

    truth = chance((200_000, 1), (200_000, 1)).mean()
    (weights,) = row_weights(ROWS, None, samples=400, seed=1)
    drawn = draws.integers(seeds, size=(400, seeds))
    hits = rows_alone = 0
    for _ in range(tried):
        right = draws.random((seeds, ROWS)) < chance((seeds, 1), (1, ROWS))
        scores = weights @ right.T / ROWS  # (B, S)
        low, high = interval(scores, drawn)
        hits += low <= truth <= high
        low, high = np.quantile(scores.mean(axis=1), [0.025, 0.975])
        rows_alone += low <= truth <= high
    assert hits / tried >= 0.92
    assert hits >= rows_alone
    if of_seeds == 1.0:
        assert rows_alone / tried < 0.7  # what an interval over rows alone would promise


def test_an_interval_is_around_the_score_and_that_of_a_difference_is_of_pairs():
    draws = np.random.default_rng(0)
    base = draws.random((3, ROWS)) < 0.6
    better = base.copy()
    better[:, :8] = True  # right wherever the other is, and on some rows more
    labels = draws.integers(2, size=ROWS).astype(np.uint8)
    summary, read = sweep(
        a=[answered(one, labels) for one in better], b=[answered(one, labels) for one in base]
    )
    found = resample(summary, read, resamples=500, against="b")
    a, b = found.of("a", "glue/rte"), found.of("b", "glue/rte")
    assert (a.rows, a.seeds) == (ROWS, 3)
    assert a.low < better.mean() < a.high
    assert b.difference is None
    assert a.difference == pytest.approx(better.mean() - base.mean())
    assert a.difference_low <= a.difference <= a.difference_high
    assert a.difference_high - a.difference_low < 0.5 * (a.high - a.low)
    assert resample(summary, read, resamples=500, against="b") == found  # the draws are seeded
    tests = found.tests_of("a", "glue/rte")
    assert [one.only_reference for one in tests] == [0, 0, 0]
    assert sum(one.only_it for one in tests) == (better & ~base).sum()
    assert all(one.p <= one.p_adjusted for one in tests)


def test_rows_of_one_group_are_drawn_together():
    groups = np.repeat([7, 3, 5], [1, 4, 2])
    (weights,) = row_weights(7, groups, samples=50, seed=0)
    assert (weights[:, 1:5] == weights[:, 1:2]).all()
    assert set((weights[:, 0] + weights[:, 1] + weights[:, 5]).tolist()) == {3}


def test_what_has_no_interval_is_counted_with_the_reason():
    right = np.arange(ROWS) % 3 > 0
    other = np.ones(ROWS, dtype=np.uint8)
    summary, read = sweep(a=[answered(right)], old=[None], elsewhere=[answered(right, other)])
    found = resample(summary, read, resamples=100)
    assert [one.combiner for one in found.intervals] == ["a"]
    assert found.without == {"a run keeps no test predictions": 1, "its test rows are others": 1}


def test_a_metric_of_groups_is_drawn_by_groups():
    draws = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 4)
    right = draws.random(60) < 0.5
    summary, read = sweep(a=[answered(np.repeat(right, 4))])
    run = replace(read("a0"), groups=groups)
    grouped = replace(summary, cells=tuple(replace(one, metric="group_accuracy") for one in summary.cells))
    (found,) = resample(grouped, {"a0": run}.get, resamples=2000).intervals
    width = 2 * 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 60)
    assert found.low < right.mean() < found.high
    assert found.high - found.low == pytest.approx(width, rel=0.1), "60 groups, not 240 rows"
    texts = replace(summary, cells=tuple(replace(one, metric="entity_f1") for one in summary.cells))
    assert resample(texts, {"a0": run}.get, resamples=100).without == {"what entity_f1 is of is not kept": 1}
    values = {"entity_f1": right.astype(np.float32)}
    (of_texts,) = resample(texts, {"a0": replace(run, of_groups=values)}.get, resamples=2000).intervals
    assert (of_texts.low, of_texts.high) == (found.low, found.high)


@pytest.mark.parametrize(("one", "two"), [(0, 0), (0, 5), (3, 9), (6, 6)])
def test_mcnemar_is_the_exact_binomial_tail(one, two):
    count = one + two
    tail = sum(comb(count, k) for k in range(min(one, two) + 1)) / 2**count
    assert mcnemar_p(one, two) == pytest.approx(min(1.0, 2 * tail))


def test_predictions_are_files_that_score_as_the_report_says(tmp_path):
    right = np.arange(ROWS) % 4 > 0
    summary, read = sweep(a=[answered(right)], old=[None])
    assert write_predictions(tmp_path, summary, read) == ["a0.npz", "predictions.csv"]
    with np.load(tmp_path / "a0.npz", allow_pickle=False) as file:
        score = compute(("accuracy",), predictions=file["predictions"], labels=file["labels"])
    assert score["accuracy"] == summary.cell("glue/rte", "a").test[0]
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert [line.rsplit(",", 1)[-1] for line in lines] == ["file", "a0.npz", ""]
    assert majorities(summary, read) == {"glue/rte": 1.0}


def test_runs_over_one_pool_are_one_draw():
    """Two pools of two runs have the interval of two runs that are right as often as each pool's are on average."""
    draws = np.random.default_rng(4)
    right = draws.random((4, 400)) < np.array([0.6, 0.6, 0.9, 0.9])[:, None]
    runs = [answered(one) for one in right]
    nested, read = sweep(a=runs, b=[answered(draws.random(400) < 0.5) for _ in range(2)])
    cells = (replace(nested.cells[0], seeds=(0, 1, 0, 1), source_seeds=(0, 0, 1, 1)), nested.cells[1])
    found = resample(replace(nested, cells=cells), read, resamples=400, against="b")
    (a,) = (one for one in found.intervals if one.combiner == "a")
    assert a.seeds == 2
    flat = resample(nested, read, resamples=400).of("a", "glue/rte")
    assert flat is not None
    assert a.high - a.low > flat.high - flat.low, (
        "two pools say less than four runs that are draws of their own"
    )
    mean = np.mean([one.mean() for one in right])
    assert a.low < mean < a.high
    assert a.difference == pytest.approx(mean - np.mean([np.mean(read(f"b{one}").right) for one in range(2)]))
    assert not found.tests, "a pool's runs are no one model"
