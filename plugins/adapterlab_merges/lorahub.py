"""LoraHub: the weights of a merge are searched without gradients, on few rows of the target.

The paper composes LoRAs of a language model, which answers by itself; a set of weights is as good as the loss of
those answers. A frozen encoder answers through a head, and a head has to be trained. So a set of weights is as good
as what a linear head could make of it at best: a ridge regression of the targets on the states, judged on each row by
the regression without that row. That has a closed form, so that a set of weights costs one pass over the rows.

The head of the transfer is trained afterwards as for any other merge. As in the paper's code both factors of a LoRA
are summed under the whole weight, ``(Σ_t w_t B_t)(Σ_t w_t A_t)``, weights start even, and their mean size is added to
the loss. The paper searches with Nevergrad's NGOpt; here it is Optuna's TPE.

Shapes: ``N`` sequences, ``d`` hidden size, ``C`` classes, labels or 1, ``T`` sources.

Source: LoraHub, arXiv 2307.13269, section 3; the left-out residual of a linear smoother is Allen's PRESS.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from adapterlab.plugin import PoolContext, Tensors, UsageError
from adapterlab_merges.layer import MergeLayer

_RIDGE = 0.1
"""Times the mean squared length of a state; keeps the regression from reading noise."""


class LoraHubLayer(MergeLayer):
    """Torch side of LoraHub."""

    def fixed(self, context: PoolContext) -> Tensors:
        """Return the best weights that were found, (1, T, 1).

        Raises:
            UsageError: The target's rows are not at hand, or the adapters cannot be merged.
        """
        if context.few_rows is None or context.method is None:
            raise UsageError(
                "lorahub weighs by rows of the target, which are not known here",
                remedy="Give the weights: coefficients = one number an adapter, (1, T, 1).",
            )
        method, few_rows, adapters = context.method, context.few_rows, context.adapters

        def loss(weights: list[float]) -> float:
            omega = torch.tensor(weights).reshape(1, -1, 1)
            merged = self.merge({"omega": omega}, adapters, method)
            states, targets = few_rows(merged, self.settings.rows, self.settings.seed)
            penalty: float = self.settings.l1 * float(omega.abs().mean())
            return unexplained(states, targets) + penalty

        return {"omega": torch.tensor(self._search(loss, len(adapters))).reshape(1, -1, 1)}

    def _search(self, loss: Callable[[list[float]], float], sources: int) -> list[float]:
        """Return the weights of the least loss among those that are tried."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        bound = self.settings.bound
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=self.settings.seed))
        space = {f"w{t}": optuna.distributions.FloatDistribution(-bound, bound) for t in range(sources)}
        study.enqueue_trial(dict.fromkeys(space, min(1 / sources, bound)))
        for _ in range(self.settings.evaluations):
            trial = study.ask(space)
            study.tell(trial, loss([trial.params[name] for name in space]))
        return [float(study.best_params[name]) for name in space]


def unexplained(states: Tensor, targets: Tensor) -> float:
    """Return the share of the targets' variance that a ridge regression misses on rows it has not seen, >= 0.

    Every row is predicted by the regression on all others; the hat matrix ``H`` gives that without making it:
    ``(y - Hy)_i / (1 - H_ii)``. 1 is as good as the mean; targets that do not vary have nothing to explain: 1.

    Args:
        states: (N, d).
        targets: (N, C).
    """
    count = len(states)
    centred = targets - targets.mean(0)
    spread = float((centred**2).sum())
    if spread == 0 or count < 2:
        return 1.0
    own = states - states.mean(0)
    gram = own @ own.T  # (N, N)
    ridge = _RIDGE * gram.diagonal().mean().clamp_min(1e-12)
    hat = torch.linalg.solve(gram + ridge * torch.eye(count, dtype=gram.dtype), gram).T + 1 / count
    missed = (targets - hat @ targets) / (1 - hat.diagonal()).clamp_min(1e-9).unsqueeze(1)
    return float((missed**2).sum()) / spread
