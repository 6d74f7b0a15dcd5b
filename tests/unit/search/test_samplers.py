"""Proposals are Optuna's own TPE, whatever is done to have them sooner."""

from __future__ import annotations

import optuna
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

from adapterlab.search import samplers, tpe
from adapterlab.search.round_tpe import RoundTpe
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


@settings(max_examples=6, deadline=None)
@given(ended=st.integers(0, 40), seed=st.integers(0, 1000), draws=st.integers(2, 5))
def test_trials_of_one_round_propose_what_fresh_samplers_propose(ended, seed, draws):
    """What was fitted for the first of them serves the others, and nothing of it is left for the next round."""
    proposer = Proposer("study", SPACES, direction="maximize", sampler="tpe", seed=seed)
    distributions = proposer.distributions({})
    random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    history = []
    for number in range(ended + 4):
        trial = create_trial(
            state=TrialState.COMPLETE,
            params=random.ask(distributions).params,
            distributions=distributions,
            value=float(number % 7),
        )
        trial.number = number
        history.append(trial)
    for known in (history[:ended], history):
        for number in range(len(known), len(known) + draws):
            plain = optuna.create_study(
                direction="maximize",
                sampler=TPESampler(seed=_seed_of(seed, "study", number, 0), n_startup_trials=STARTUP_TRIALS),
            )
            plain.add_trials(known)
            assert plain.ask(distributions).params == proposer.propose(number, known, known)


def test_an_optuna_that_is_not_known_proposes_the_same_in_its_own_way(monkeypatch):
    def proposed():
        proposer = Proposer("study", SPACES, direction="maximize", sampler="tpe", seed=3)
        distributions, history = proposer.distributions({}), []
        for number in range(14):
            drawn = proposer.propose(number, history, history)
            trial = create_trial(
                state=TrialState.COMPLETE, params=drawn, distributions=distributions, value=drawn["lr"]
            )
            trial.number = number
            history.append(trial)
        return [trial.params for trial in history]

    known = proposed()
    monkeypatch.setattr(tpe, "_KNOWN", "none")
    monkeypatch.setattr(RoundTpe, "_fitted", None)
    assert proposed() == known


def test_a_round_is_fitted_once(monkeypatch):
    """However many trials it has, and however many it knows."""
    fitted = []
    fit = RoundTpe._fitted
    monkeypatch.setattr(RoundTpe, "_fitted", lambda *given: fitted.append(1) or fit(*given))
    proposer = Proposer("study", SPACES, direction="maximize", sampler="tpe", seed=0)
    distributions = proposer.distributions({})
    history = []
    for number in range(60):
        drawn = proposer.propose(number, history, history[: samplers.round_start(number)])
        trial = create_trial(
            state=TrialState.COMPLETE, params=drawn, distributions=distributions, value=drawn["lr"]
        )
        trial.number = number
        history.append(trial)
    assert len(fitted) == len({samplers.round_start(number) for number in range(60)} - {0, 4})


def test_a_grids_trials_are_looked_at_once(monkeypatch):
    spaces = {"lr": Choices(choices=tuple(range(1, 13))), "dropout": Choices(choices=tuple(range(12)))}
    proposer = Proposer("study", spaces, direction="maximize", sampler="grid", seed=0)
    distributions = proposer.distributions({})
    looked = []
    identity = Proposer._identity
    monkeypatch.setattr(Proposer, "_identity", lambda *given: looked.append(1) or identity(*given))
    proposer._tried._identity = proposer._identity
    history, found = [], []
    for number in range(144):
        found.append(tuple(proposer.propose(number, history, ()).values()))
        trial = create_trial(
            state=TrialState.COMPLETE,
            params=dict(zip(spaces, found[-1], strict=True)),
            distributions=distributions,
            value=1.0,
        )
        trial.number = number
        history.append(trial)
    assert len(set(found)) == 144
    assert len(looked) < 4 * 144
