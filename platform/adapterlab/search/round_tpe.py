"""TPE fitted once a round, and how likely its model holds its candidates, with what they share computed once.

This looks into Optuna, and is used with the versions it was tested against only (:mod:`adapterlab.search.tpe`).

TPE puts a kernel on every trial it knows and asks for each proposal how likely each of 24 candidates is under all of
them. Half of that work is the same for all candidates and all proposals that know the same trials: by how much each
kernel is cut off at the ends of its range. The other half goes through as many numbers as there are trials times
candidates times dimensions; candidate by candidate they stay in the processor's cache. Every number is computed by
the operations of Optuna's own ``log_pdf``, in the same order, so that it is the same to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import _BatchedCategoricalDistributions
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.trial import FrozenTrial, TrialState

from adapterlab.search.told_tpe import ToldTpe

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
                self._known = False  # whole numbers
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


class RoundTpe(ToldTpe):
    """TPE that fits its model once for all proposals that know the same trials.

    What is proposed is what Optuna's own would propose, number for number. That one sorts all trials and fits a
    kernel to each of them, for every proposal. But the trials of a round know the same, and a round is a third of
    all before it (:func:`~adapterlab.search.samplers.round_start`).
    """

    def _sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space or self._knows_little(study):
            return {}
        return self._sample(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a value of a dimension that is sampled by itself."""
        if self._knows_little(study):
            return self._random_sampler.sample_independent(study, trial, param_name, param_distribution)
        return self._sample(study, trial, {param_name: param_distribution})[param_name]

    def _knows_little(self, study: optuna.Study) -> bool:
        def count() -> int:
            return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))

        return bool(self._once("ended", count) < self._n_startup_trials)

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        # Fitting draws no random numbers, so that it does not matter whose it was.
        below, above = self._once(("fit", *search_space), lambda: self._fitted(study, trial, search_space))
        drawn = below.sample(self._rng.rng, self._n_ei_candidates)
        best = self._compare(drawn, below.log_pdf(drawn) - above.log_pdf(drawn))
        return {name: one.to_external_repr(best[name]) for name, one in search_space.items()}

    def _fitted(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> tuple[_ParzenEstimator, Kernels]:
        """Return what models good settings, and what models the others, which are many."""
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        trials = [
            one for one in study.get_trials(deepcopy=False, states=states) if one.number != trial.number
        ]
        ended = sum(one.state is not TrialState.RUNNING for one in trials)
        good, others = _split_trials(study, trials, default_gamma(ended))
        return (
            self._build_parzen_estimator(study, search_space, good, handle_below=True),
            Kernels(self._build_parzen_estimator(study, search_space, others, handle_below=False)),
        )
