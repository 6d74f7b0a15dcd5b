"""Proposals are Optuna's own TPE, whatever is done to have them sooner."""

from __future__ import annotations

import optuna
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

from adapterlab.search.samplers import STARTUP_TRIALS, Proposer, _seed_of
from adapterlab.spec.search_space import Choices, FloatRange

SPACES = {
    "lr": FloatRange(low=1e-4, high=1e-2, log=True),
    "init_scale": FloatRange(low=0.5, high=4.0),
    "batch": 32.0,
    "dropout": Choices(choices=(0.0, 0.3)),
}
ENDS = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)


@settings(max_examples=15, deadline=None)
@given(ends=st.lists(st.sampled_from(ENDS), max_size=14), seed=st.integers(0, 1000))
def test_a_proposal_is_what_a_fresh_tpe_sampler_proposes(ends, seed):
    proposer = Proposer("study", SPACES, direction="maximize", sampler="tpe", seed=seed)
    distributions = proposer.distributions({})
    history = []
    for number, state in enumerate(ends):
        drawn = proposer.propose(number, history, history)
        plain = optuna.create_study(
            direction="maximize",
            sampler=TPESampler(seed=_seed_of(seed, "study", number, 0), n_startup_trials=STARTUP_TRIALS),
        )
        for trial in history:
            plain.add_trial(trial)
        assert plain.ask(distributions).params == drawn
        trial = create_trial(
            state=state,
            params=drawn,
            distributions=distributions,
            value=-abs(drawn["lr"] - 2e-3) if state is TrialState.COMPLETE else None,
            intermediate_values={1: drawn["init_scale"]} if state is TrialState.PRUNED else None,
        )
        trial.number = number
        history.append(trial)
