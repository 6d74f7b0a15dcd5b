"""A joint run: what each step may touch, when it ends, and that a restart changes nothing."""

from __future__ import annotations

import math
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[4] / "benchmarks"))

from adapterlab.errors import CorruptBlobError, DataError, UsageError
from adapterlab.records import JointSettings, State
from adapterlab.train.adaptation import OwnAdapter, Seat
from adapterlab.train.evaluate import evaluate
from adapterlab.train.gpu_path import as_on_a_gpu
from adapterlab.train.joint.loop import evaluate_joint, train_joint_runs
from adapterlab.train.joint.run import JointRun
from adapterlab.train.step import take_step
from adapterlab_bottleneck.plugin import PFEIFFER
from adapterlab_joint.plugin import ADAPTER_M, FULL_M, HYPERFORMER, HYPERFORMER_PP, PROPETL_M
from operations import Counts
from tiny_models import random_choice_task, random_encoder, random_label_task, random_task

ENCODER = random_encoder(layers=2, d=16, dropout=0.1)
TASKS = [
    random_task("suite/two", rows=20, n_labels=2, seed=0),
    random_task("suite/number", rows=8, n_labels=1, seed=3),
    random_label_task(rows=12, seed=6),
    random_choice_task(rows=9, seed=9),
]
_R = {"reduction_factor": 4}
_HYPER = _R | {"task_embedding": 6, "hidden": 5, "projected": 4}
METHODS = {
    "full_m": (FULL_M, {}),
    "adapter_m": (ADAPTER_M, _R),
    "adapter_m_per_task": (ADAPTER_M, _R | {"per_task": True}),
    "propetl_m": (PROPETL_M, _R),
    "propetl_m_shipped": (PROPETL_M, _R | {"first_layer_scores": "last_task"}),
    "hyperformer": (HYPERFORMER, _HYPER),
    "hyperformer_pp": (HYPERFORMER_PP, _HYPER),
}
SETTINGS = JointSettings(lr=5e-3, steps=12, evaluate_every=4, patience=10, batch_size=4)


def run_of(method="hyperformer_pp", tasks=TASKS, settings=SETTINGS, *, seed=0, encoder=ENCODER):
    plugin, own = METHODS[method]
    layer = plugin.layer(plugin.settings(**own), encoder.shape, [one.facts.task for one in tasks])
    return JointRun(encoder, layer, tasks, settings, seed=seed, name=method)


def trained(run, *, sees_test=False):
    (result,) = together([run], sees_test=sees_test).values()
    return result


def together(runs, *, on_evaluation=lambda run, result: True, sees_test=False):
    """Return the results of runs that shared passes, by run."""
    waiting = iter(runs)
    return dict(
        train_joint_runs(
            lambda: next(waiting, None),
            capacity=len(runs),
            on_evaluation=on_evaluation,
            sees_test=sees_test,
        )
    )


def copied(tensors):
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_of_one_task_leaves_other_tasks_tensors_alone(method):
    run = run_of(method, settings=replace(SETTINGS, warmup_ratio=0.0))
    names = list(run.tasks)
    moved = set()
    for step in range(8):
        number, _ = run.sampler.batch(step)
        before = copied(run.tensors)
        take_step(run.model.backbone, [run])
        changed = {name for name in before if not torch.equal(before[name], run.tensors[name])}
        others = [task for task in names if task != names[number]]
        allowed = {names[-1]} if method == "propetl_m_shipped" else set()  # whose scores mask layer 0 of all
        for task in others:
            own = {name for name in changed if task in name and name.startswith("head.")}
            if task not in allowed:
                own |= {name for name in changed if task in name}
            assert not own
        assert any(name.startswith(f"head.{names[number]}.") for name in changed)
        moved |= changed
    assert {names[run.sampler.batch(step)[0]] for step in range(8)} > {names[0]}
    if method != "adapter_m_per_task":
        assert any(not any(task in name for task in names) for name in moved), "nothing shared has moved"


@pytest.mark.parametrize("method", METHODS)
def test_a_restart_ends_with_the_bits_of_an_undisturbed_run(method):
    """Also right after an evaluation and right before one; with dropout on."""
    whole = run_of(method)
    undisturbed = trained(whole)
    going = run_of(method)
    while not going.finished:
        if going.step % 3 == 0 or going.step % 4 == 0:
            fresh = run_of(method)
            fresh.restore(going.checkpoint())
            going = fresh
        if going.evaluation_due:
            evaluate_joint(going)
        else:
            take_step(ENCODER, [going])
    result = going.result(State.COMPLETE)
    assert same(undisturbed.tensors, result.tensors)
    assert same(copied(whole.tensors), copied(going.tensors))
    assert [replace(one, seconds=0.0) for one in undisturbed.evaluations] == [
        replace(one, seconds=0.0) for one in result.evaluations
    ]
    assert undisturbed.best.step == result.best.step
    assert undisturbed.train_rows == result.train_rows


@pytest.mark.parametrize("gpu", [False, True])
def test_runs_that_share_passes_come_to_what_each_comes_to_alone(gpu):
    """Of other methods, seeds, rates and lengths, joining when one leaves; computed together as on a GPU, too."""

    def runs():
        return [
            run_of("hyperformer_pp"),
            run_of("adapter_m", settings=replace(SETTINGS, backbone_dropout=True), seed=1),
            run_of("adapter_m", settings=replace(SETTINGS, lr=1e-3, steps=7, evaluate_every=3)),
            run_of("propetl_m", tasks=TASKS[::-1]),
            run_of("adapter_m_per_task"),
        ]

    waiting = iter(both := runs())
    with as_on_a_gpu() if gpu else nullcontext():
        found = dict(
            train_joint_runs(
                lambda: next(waiting, None), capacity=3, on_evaluation=lambda *_: True, sees_test=True
            )
        )
        alone = [trained(run, sees_test=True) for run in runs()]
    for run, wanted in zip(both, alone, strict=True):
        result = found[run]
        assert result.state is State.COMPLETE
        for name, tensor in wanted.tensors.items():
            torch.testing.assert_close(result.tensors[name], tensor, rtol=0, atol=1e-9)
        assert result.best.step == wanted.best.step
        assert result.test_metrics.keys() == wanted.test_metrics.keys()
        assert result.train_rows == wanted.train_rows


@pytest.mark.parametrize("method", ["adapter_m", "propetl_m", "hyperformer", "hyperformer_pp"])
def test_eight_runs_dispatch_far_less_than_eight_times_what_one_does(method):
    """The backbone runs once for all; masks and generated adapters are each run's own."""
    operations = []
    for number in (1, 8):
        runs = [run_of(method, seed=seed) for seed in range(number)]
        with as_on_a_gpu():
            for _ in range(3):  # moments of AdamW are there by then
                take_step(ENCODER, runs)
            with Counts() as counts:
                take_step(ENCODER, runs)
        operations.append(counts.operations)
    assert operations[1] <= 5.5 * operations[0]


def test_of_runs_that_train_the_backbone_there_is_never_more_than_one():
    runs = [run_of("adapter_m"), run_of("full_m"), run_of("full_m", seed=1), run_of("adapter_m", seed=1)]
    waiting, in_work = iter(runs), []

    def note():
        in_work.append([run for run in runs if run.exclusive and 0 < run.step < SETTINGS.steps])

    found = dict(
        train_joint_runs(lambda: next(waiting, None), capacity=4, on_evaluation=lambda *_: True, on_pass=note)
    )
    assert {run.step for run in found} == {SETTINGS.steps}
    assert max(len(one) for one in in_work) == 1


def test_a_pass_of_runs_that_does_not_fit_is_done_in_halves(monkeypatch):
    """With the same results, and fewer in the next pass."""
    from adapterlab.train import step

    whole = step.gradients_of

    def small(backbone, steps):
        if len(steps) > 1:
            raise torch.OutOfMemoryError("no room")
        return whole(backbone, steps)

    alone = trained(run_of("adapter_m"))
    monkeypatch.setattr(step, "gradients_of", small)
    found = together([run_of("adapter_m"), run_of("adapter_m", seed=1)])
    assert same(next(iter(found.values())).tensors, alone.tensors)


def test_the_seed_decides_batches_init_and_dropout():
    one, again, other = trained(run_of()), trained(run_of()), trained(run_of(seed=1))
    assert same(one.tensors, again.tensors)
    assert not same(one.tensors, other.tensors)


def test_a_sampler_seed_of_its_own_keeps_the_batches_of_other_seeds():
    fixed = replace(SETTINGS, sampler_seed=0)
    runs = [run_of(settings=settings, seed=seed) for settings in (SETTINGS, fixed) for seed in (0, 1)]
    batches = [[tuple(run.sampler.batch(step)[1]) for step in range(9)] for run in runs]
    assert batches[0] != batches[1]
    assert batches[2] == batches[3]


@pytest.mark.parametrize("method", METHODS)
def test_computed_together_as_on_a_gpu_it_comes_to_the_same(method):
    """Without dropout: the two draw different numbers."""
    settings = replace(SETTINGS, steps=3, head_dropout=0.0, backbone_dropout=False)
    alone, together = run_of(method, settings=settings), run_of(method, settings=settings)
    result = trained(alone, sees_test=True)
    with as_on_a_gpu():
        other = trained(together, sees_test=True)
    for name, one in result.tensors.items():
        torch.testing.assert_close(other.tensors[name], one, rtol=0, atol=1e-9)
    assert result.test_metrics.keys() == other.test_metrics.keys() == set(alone.tasks)
    assert len(result.test_outputs["suite/choices"]) == 11


def test_a_mask_keeps_its_share_exactly():
    run = run_of("propetl_m")
    for _ in range(3):
        take_step(run.model.backbone, [run])
    keep = run.model.layer.settings.keep
    scores = {name: one for name, one in run.tensors.items() if name.startswith("score.")}
    assert scores
    for owner in {name.rsplit(".", 1)[0].removeprefix("score.") + "." for name in scores}:
        for mask in run.model.layer._of(run.tensors, owner).values():
            assert int(mask.sum()) == mask.numel() - int((1 - keep) * mask.numel())
            assert set(mask.detach().unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("method", ["adapter_m", "propetl_m"])
def test_a_tasks_adapter_is_an_ordinary_one(method):
    """So that pools, predictions and exports take it as they take any other."""
    run = run_of(method)
    trained(run)
    plugin, own = METHODS[method]
    name, settings = plugin.adapters(plugin.settings(**own))
    assert name == PFEIFFER.name
    data = run.tasks["suite/two"]
    tensors = run.model.of_task(copied(run.best_tensors), "suite/two")
    seat = Seat(OwnAdapter(PFEIFFER.layer(settings, ENCODER.shape)), tensors, run.model.heads["suite/two"])
    (found,) = evaluate(ENCODER, [seat], [data.validation], [data.facts])
    assert found.loss == run.best.losses["suite/two"]


def test_the_least_mean_loss_over_tasks_is_kept():
    run = run_of(settings=replace(SETTINGS, steps=20, lr=0.05))
    result = trained(run)
    assert [one.step for one in result.evaluations] == [4, 8, 12, 16, 20]
    for one in result.evaluations:
        assert one.selected_by == pytest.approx(sum(one.losses.values()) / 4, rel=1e-12)
    assert result.best.selected_by == min(one.selected_by for one in result.evaluations)
    without = trained(run_of(settings=replace(SETTINGS, unselected=("suite/number",))))
    first = without.evaluations[0]
    chosen = [loss for task, loss in first.losses.items() if task != "suite/number"]
    assert first.selected_by == pytest.approx(sum(chosen) / 3, rel=1e-12)
    by_metric = trained(run_of(settings=replace(SETTINGS, select_by="metric")))
    assert by_metric.best.selected_by == max(one.selected_by for one in by_metric.evaluations)


def test_it_stops_after_evaluations_without_a_better_one():
    """At a rate of nearly 0 the first evaluation is the best; what follows is no better."""
    run = run_of(settings=replace(SETTINGS, lr=1e-300, steps=100, patience=2))
    result = trained(run)
    assert [one.step for one in result.evaluations] == [4, 8, 12]
    assert result.best.step == 4
    assert result.state is State.COMPLETE


def test_the_last_step_is_evaluated_too():
    result = trained(run_of(settings=replace(SETTINGS, steps=10)))
    assert [one.step for one in result.evaluations] == [4, 8, 10]


def test_a_pruned_run_ends_at_once():
    (result,) = together([run_of()], on_evaluation=lambda run, evaluation: False).values()
    assert result.state is State.PRUNED
    assert [one.step for one in result.evaluations] == [4]


def test_a_run_that_diverges_fails_with_a_reason_and_keeps_its_tensors():
    run = run_of(settings=replace(SETTINGS, evaluate_every=12))
    with torch.no_grad():
        run.tensors["head.suite/two.out.weight"].fill_(math.inf)
    before = {}
    while not run.finished:
        before = copied(run.tensors)
        take_step(run.model.backbone, [run])
    assert "diverged in step" in run.reason
    assert "suite/two" in run.reason
    assert same(before, copied(run.tensors))
    assert trained(run).state is State.FAILED


def test_a_cap_changes_how_often_a_task_comes_and_not_which_rows():
    base = replace(SETTINGS, temperature=1.0, batch_size=5)
    capped = run_of(settings=replace(base, caps={"suite/two": 4}))
    assert capped.sampler.probabilities[0] == pytest.approx(4 / 33)
    assert capped.sampler.batches_per_epoch == math.ceil(33 / 5)
    drawn = Counter()
    for step in range(400):
        task, rows = capped.sampler.batch(step)
        if task == 0:
            drawn.update(rows.tolist())
    assert set(drawn) == set(range(20))
    first = run_of(settings=replace(base, caps={"suite/two": 4}, capped_rows="first"))
    rows = [rows.tolist() for task, rows in map(first.sampler.batch, range(200)) if task == 0]
    assert {row for one in rows for row in one} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"temperature": 0.0}, "temperature is 0"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"steps": 0}, "steps is 0"),
        ({"evaluate_every": 0}, "evaluate_every is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"warmup_ratio": 1.0}, "warmup_ratio is 1"),
        ({"caps": {"suite/two": 0}}, "cap of suite/two is 0 rows"),
        ({"caps": {"suite/other": 9}}, "suite/other, which is not a task of this run"),
        ({"capped_rows": "last"}, "'any' or 'first'"),
        ({"select_by": "luck"}, "'loss' or 'metric'"),
        ({"unselected": ("suite/other",)}, "suite/other has no part"),
        ({"unselected": tuple(one.facts.task for one in TASKS)}, "no task is left"),
    ],
)
def test_bad_settings_are_refused(wrong, says):
    with pytest.raises(UsageError, match=says):
        run_of(settings=replace(SETTINGS, **wrong))


def test_bad_tasks_are_refused():
    with pytest.raises(UsageError, match="two tasks or more"):
        run_of(tasks=TASKS[:1])
    with pytest.raises(UsageError, match="each once"):
        run_of(tasks=[TASKS[0], TASKS[0]])
    empty = replace(TASKS[0], train=TASKS[0].train.first(0))
    with pytest.raises(DataError, match="suite/two has no training rows"):
        run_of(tasks=[empty, TASKS[1]])
    layer = ADAPTER_M.layer(ADAPTER_M.settings(), ENCODER.shape, ["suite/two", "suite/number"])
    with pytest.raises(UsageError, match="was made for suite/two, suite/number"):
        JointRun(ENCODER, layer, TASKS[1::-1], SETTINGS, seed=0, name="swapped")


def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing():
    run = run_of()
    take_step(run.model.backbone, [run])
    before, data = copied(run.tensors), run_of(seed=1).checkpoint()
    others = (
        run_of("hyperformer"),
        run_of(seed=1),
        run_of(settings=replace(SETTINGS, steps=13)),
        run_of(tasks=TASKS[:3]),
    )
    for other in others:
        with pytest.raises(UsageError, match="another method, other tasks or other settings"):
            run.restore(other.checkpoint())
    for broken in (b"", data[:100], data[:-3]):
        with pytest.raises(CorruptBlobError):
            run.restore(broken)
    assert same(before, copied(run.tensors))
    assert run.step == 1
