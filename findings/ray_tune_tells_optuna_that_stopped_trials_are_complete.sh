#!/usr/bin/env bash
# Ray Tune 2.60.0 with Optuna 5.0.0: trials that ASHA stops early are complete trials to Optuna.
#
# `OptunaSearch` beside `ASHAScheduler`: a trial stopped after one of four epochs enters the study as COMPLETE with its value
# of that epoch, where Optuna's own pruners leave it PRUNED. The sampler then learns from it as from a whole run, and
# `best_trial` of a metric that worsens while training (a validation loss that overfits) may be one that hardly trained.
#
# Seen: epochs of each trial [4, 1, 4, 1]; states in the study COMPLETE COMPLETE COMPLETE COMPLETE
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "ray[tune]==2.60.0" optuna==5.0.0
cd "$folder"
RAY_AIR_NEW_OUTPUT=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0 "$folder/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON' | tail -n 1
import os

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch


def train(config):
    for epoch in range(4):
        tune.report({"loss": config["height"] - 0.01 * epoch})


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
search = OptunaSearch(
    metric="loss", mode="min", points_to_evaluate=[{"height": h} for h in (1.0, 3.0, 0.5, 2.0)], seed=0
)
results = tune.Tuner(
    train,
    param_space={"height": tune.uniform(0.0, 4.0)},
    tune_config=tune.TuneConfig(
        metric="loss",
        mode="min",
        search_alg=search,
        scheduler=ASHAScheduler(max_t=4, grace_period=1, reduction_factor=2),
        num_samples=4,
        max_concurrent_trials=1,
    ),
    run_config=tune.RunConfig(storage_path=os.getcwd(), verbose=0),
).fit()
trials = search._ot_study.trials
epochs = [one.metrics["training_iteration"] for one in results]
states = [one.state.name for one in trials]
print(f"epochs of each trial {epochs}; states in the study {' '.join(states)}")
assert epochs == [4, 1, 4, 1], "other trials were stopped"
assert set(states) == {"COMPLETE"}, "this has changed"
PYTHON
