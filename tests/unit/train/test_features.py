"""States of few rows are those the head would read, beside what they should lead to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from adapterlab.train.adaptation import OwnAdapter, Seat, hidden_states
from adapterlab.train.features import FewRows
from adapterlab.train.passes import gather
from adapterlab.train.rng import stream
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from tiny_models import random_choice_task, random_encoder, random_label_task, random_task

ENCODER = random_encoder(layers=2, d=16, dropout=0.1)
METHOD = PFEIFFER.layer(PfeifferSettings(reduction_factor=4), ENCODER.shape)
ADAPTER = {name: one * 30 for name, one in METHOD.initial(stream(0, "adapter init")).items()}


def one_by_one(examples, token):
    """Each sequence in a pass of its own; the state of its first or last token, or the mean."""
    seat = Seat(OwnAdapter(METHOD), {name: one.to(ENCODER.dtype) for name, one in ADAPTER.items()})
    found = []
    for row in range(len(examples)):
        (states,) = hidden_states(ENCODER, [seat], [gather(examples, np.array([row])).to(ENCODER.device)])
        lengths = examples.lengths.reshape(len(examples), -1)[row]
        for one, length in zip(states, lengths, strict=True):
            read = {"first": one[0], "last": one[length - 1], "mean": one[:length].mean(0)}
            found.append(read[token])
    return torch.stack(found).double()


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        (random_task(rows=9, n_labels=3), lambda labels: np.eye(3)[labels]),
        (random_task(rows=9, n_labels=1), lambda labels: labels.reshape(-1, 1)),
        (random_label_task(rows=9, labels=4), lambda labels: labels),
        (random_choice_task(rows=9, choices=3), lambda labels: np.eye(3)[labels].reshape(-1, 1)),
    ],
    ids=["classes", "number", "labels", "choices"],
)
def test_states_and_targets_are_those_of_the_rows(task, targets):
    states, wanted = FewRows(ENCODER, METHOD, task)(ADAPTER, 100, 0)
    with torch.inference_mode():
        torch.testing.assert_close(states, one_by_one(task.train, "first"), rtol=0, atol=1e-9)
    np.testing.assert_allclose(wanted.numpy(), targets(task.train.labels), rtol=1e-6)


def test_the_token_is_the_heads():
    task = random_task(rows=9)
    last = replace(task, facts=replace(task.facts, head="last_token"))
    states, _ = FewRows(ENCODER, METHOD, last)(ADAPTER, 100, 0)
    with torch.inference_mode():
        torch.testing.assert_close(states, one_by_one(task.train, "last"), rtol=0, atol=1e-9)
    every = replace(task, facts=replace(task.facts, head="mean_token"))
    states, _ = FewRows(ENCODER, METHOD, every)(ADAPTER, 100, 0)
    with torch.inference_mode():
        torch.testing.assert_close(states, one_by_one(task.train, "mean"), rtol=0, atol=1e-9)


def test_few_rows_are_chosen_by_their_seed():
    few = FewRows(ENCODER, METHOD, random_task(rows=20))
    first, again, other = (few(ADAPTER, 6, seed) for seed in (0, 0, 1))
    assert first[0].shape == (6, 16)
    assert first[1].shape == (6, 2)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
