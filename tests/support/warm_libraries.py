"""Loads what ``platform submit`` needs, as it would itself; see ``warm_platform``."""

from __future__ import annotations

import os

os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", MLFLOW_LOGGING_LEVEL="WARNING", HF_HUB_OFFLINE="1"
)

import mlflow.store.tracking.sqlalchemy_store
import mlflow.tracking
import optuna
import sklearn.metrics
import torch
import transformers

import adapterlab.cli.main
import adapterlab.driver.sweep
import adapterlab.tracking.pictures
import adapterlab.tracking.tracker
import adapterlab.worker.entry

__all__ = ["adapterlab", "mlflow", "optuna", "sklearn", "torch", "transformers"]
