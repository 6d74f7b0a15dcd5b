"""Tasks are alike by the mean states of their texts, and by the weights of the adapters trained on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adapterlab.errors import UsageError
from adapterlab.train.passes import Pass, gather
from adapterlab.train.task_similarity import adapter_vector, cosine, text_embedding
from tiny_models import random_choice_task, random_encoder, random_task

ENCODER = random_encoder(layers=2, d=16, dropout=0.1)


@pytest.mark.parametrize("task", [random_task(rows=9, n_labels=2), random_choice_task(rows=5)])
def test_an_embedding_is_the_mean_over_texts_of_the_mean_over_tokens(task):
    examples = task.train
    means = []
    for row in range(len(examples)):
        one = gather(examples, np.array([row]))
        with torch.inference_mode():
            states = ENCODER.forward(Pass((one,))).double()
        means += [part.mean(0) for part in torch.split(states, one.lengths.tolist())]
    assert len(means) == len(examples) * examples.choices
    assert text_embedding(ENCODER, examples) == pytest.approx(torch.stack(means).mean(0).numpy(), abs=1e-5)


def test_rows_of_other_lengths_beside_a_text_do_not_move_it():
    examples = random_task(rows=30, n_labels=2).train
    whole = text_embedding(ENCODER, examples)
    halves = [text_embedding(ENCODER, examples.take(rows)) for rows in (range(15), range(15, 30))]
    assert whole == pytest.approx(np.mean(halves, axis=0), abs=1e-5)


def test_an_adapters_vector_has_its_tensors_by_name_whatever_their_order():
    tensors = {"b": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "a": torch.tensor([5.0])}
    assert adapter_vector(tensors).tolist() == [5, 1, 2, 3, 4]
    assert adapter_vector(dict(reversed(tensors.items()))).tolist() == [5, 1, 2, 3, 4]


def test_a_cosine_is_one_of_a_multiple_minus_one_of_its_opposite_and_nothing_of_nothing():
    one = np.array([1.0, 2.0, -1.0])
    assert cosine(one, 3 * one) == pytest.approx(1)
    assert cosine(one, -one) == pytest.approx(-1)
    assert cosine(one, np.array([2.0, -1.0, 0.0])) == pytest.approx(0)
    assert cosine(one, np.zeros(3)) == 0
    with pytest.raises(UsageError, match="3 and 2 numbers cannot be compared"):
        cosine(one, np.zeros(2))
