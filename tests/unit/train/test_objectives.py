"""What each kind of task minimises."""

from __future__ import annotations

import pytest
import torch

from adapterlab.records import ProblemType
from adapterlab.train.objectives import loss


@pytest.mark.parametrize(
    ("kind", "outputs", "labels"),
    [
        (ProblemType.MULTI_LABEL, (5, 3), torch.ones(5, 3)),
        (ProblemType.MULTIPLE_CHOICE, (20, 1), torch.tensor([0, 3, 1, 1, 2])),
        (ProblemType.CLASSIFICATION, (5, 3), torch.tensor([0, 2, 1, 1, 2])),
        (ProblemType.REGRESSION, (5, 1), torch.rand(5)),
    ],
)
def test_a_mean_over_examples_is_their_sum_by_their_number(kind, outputs, labels):
    """So the loss of a split does not depend on how evaluation cut it."""
    values = torch.randn(*outputs, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean = loss(kind, values, labels)
    torch.testing.assert_close(loss(kind, values, labels, reduction="sum") / 5, mean)
