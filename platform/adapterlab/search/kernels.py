"""How likely TPE's model holds its candidates, with what does not depend on them computed once.

TPE puts a kernel on every trial it knows and asks for each proposal how likely each of 24 candidates is under all of
them. Half of that work is the same for all candidates and all proposals that know the same trials: by how much each
kernel is cut off at the ends of its range. The other half goes through as many numbers as there are trials times
candidates times dimensions; candidate by candidate they stay in the processor's cache. Every number is computed by
the operations of Optuna's own ``log_pdf``, in the same order, so that it is the same to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import _BatchedCategoricalDistributions

Numbers = NDArray[np.float64]


class Kernels:
    """One of TPE's two models.

    Args:
        estimator: The model, as TPE has fitted it.
    """

    def __init__(self, estimator: _ParzenEstimator) -> None:
        self._estimator = estimator
        mixture = estimator._mixture_distribution
        self._log_weights = np.log(mixture.weights[np.newaxis])
        self._choices: list[tuple[int, list[Numbers]]] = []
        self._is_log: list[tuple[int, bool]] = []
        ranges: list[Any] = []
        self._known = True
        for place, one in enumerate(mixture.distributions):
            if isinstance(one, _BatchedCategoricalDistributions):
                self._choices.append((place, [np.log(column) for column in one.weights.T.copy()]))
            elif one.step == 0.0:
                self._is_log.append((place, one.is_log))
                ranges.append(one)
            else:
                self._known = False  # whole numbers; no search of ours has them
        if not ranges:
            return
        self._means = np.asarray([one.mu for one in ranges]).T  # (kernels, dimensions), as all below
        self._widths = np.asarray([one.sigma for one in ranges]).T
        self._low = (np.asarray([one.adapted_low for one in ranges]) - self._means) / self._widths
        self._high = (np.asarray([one.adapted_high for one in ranges]) - self._means) / self._widths
        self._mass = _truncnorm._log_gauss_mass(self._low, self._high)
        self._log_widths = np.log(self._widths)
        if (self._low == self._high).any():
            self._known = False

    def log_pdf(self, candidates: dict[str, Numbers]) -> Numbers:
        """Return the logarithm of each candidate's density."""
        if not self._known:
            kept: Numbers = self._estimator.log_pdf(candidates)
            return kept
        x = self._estimator._transform(candidates)  # (candidates, dimensions)
        weighted = np.zeros((len(x), self._log_weights.size), dtype=np.float64)
        for place, of_choice in self._choices:
            for row, choice in enumerate(x[:, place].astype(np.int64)):
                weighted[row] += of_choice[choice]
        if self._is_log:
            values = np.asarray(
                [np.log(x[:, place]) if log else x[:, place] for place, log in self._is_log]
            ).T
            for row, value in enumerate(values):
                weighted[row] += self._log_pdf_of(value)
        weighted += self._log_weights
        greatest = weighted.max(axis=1)
        greatest[np.isneginf(greatest)] = 0
        with np.errstate(divide="ignore"):
            result: Numbers = np.log(np.exp(weighted - greatest[:, None]).sum(axis=1)) + greatest
        return result

    def _log_pdf_of(self, value: Numbers) -> Numbers:
        """Return one candidate's density under each kernel, over its ranges: (kernels,)."""
        x = (value - self._means) / self._widths
        out = -(x**2) / 2.0 - _truncnorm._norm_pdf_logC
        out -= self._mass
        out -= self._log_widths
        outside = (x < self._low) | (x > self._high)
        if outside.any():
            out[outside] = -np.inf
        total: Numbers = out.sum(axis=-1)
        return total
