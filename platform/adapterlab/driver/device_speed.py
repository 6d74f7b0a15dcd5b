"""How fast this machine's device trains a spec's runs: measured once in a process of its own, then known."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from adapterlab.caching.file_digests import recall_or_compute
from adapterlab.cluster.gpus import WorkerDevice
from adapterlab.fingerprint import Json
from adapterlab.planning.baselines import pool_recipes
from adapterlab.records import BackboneFacts
from adapterlab.spec.model import Spec

VERSION = 1
"""Raise it when what is measured changes its meaning: kept speeds are measured anew."""
_TIMEOUT_S = 180.0


def seconds_per_row(
    spec: Spec,
    backbone: BackboneFacts,
    device: WorkerDevice,
    *,
    tokens: int,
    cache: Path,
    tell: Callable[[str], None] | None,
) -> float | None:
    """Return the seconds that a run of the spec's pool takes for one row of training.

    Args:
        spec: The spec.
        backbone: What is known of its backbone.
        device: What its workers train on.
        tokens: Of a row.
        cache: Folder of this machine's caches, where it is kept.
        tell: Told, in words, that it is being measured; ``None``: nothing is measured that is not kept.

    Returns:
        ``None`` where it is not kept and cannot be measured: the backbone is not at hand, or nothing can train.
    """
    order = _order(spec, backbone, device, tokens)
    if order is None:
        return None
    # The digest, not the place: a folder may be another one tomorrow.
    identity = {**order, "folder": backbone.weights_digest, "device": device.words, "torch": version("torch")}

    def timed() -> dict[str, Any]:
        if tell is None:
            raise _NotTimedError
        tell(f"timing a few training steps of this backbone on {device.words}, once")
        return _measured(order)

    try:
        found = recall_or_compute(cache, "speed", [], [VERSION, identity], timed)
    except _NotTimedError:
        return None
    return float(found["seconds_per_row"])


class _NotTimedError(Exception):
    """Nothing is kept, and nothing could be, or is to be, timed."""


def _order(spec: Spec, backbone: BackboneFacts, device: WorkerDevice, tokens: int) -> dict[str, Json] | None:
    """Return the fields of what ``adapterlab.train.speed`` is asked, which costs torch to import."""
    if backbone.folder is None or backbone.architecture is None or not spec.pool.tasks:
        return None
    recipe = pool_recipes(spec, spec.pool.tasks[0])[0]
    return {
        "folder": backbone.folder,
        "architecture": backbone.architecture,
        "precision": spec.backbone.precision,
        "method": recipe.adapter.method,
        "settings": {**recipe.adapter.settings},
        "tokens": max(2, tokens),
        "batch_size": recipe.training.batch_size,
        "backbone_dropout": recipe.training.backbone_dropout,
        "threads": max(1, int(spec.cluster.cpus_per_worker)),
        "gpu": bool(device.gpus),
    }


def _measured(order: dict[str, Json]) -> dict[str, Any]:
    command = [sys.executable, "-m", "adapterlab.train.speed"]
    try:
        reply = subprocess.run(
            command, input=json.dumps(order), capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
        found: dict[str, Any] = json.loads(reply.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise _NotTimedError from error  # what keeps it from training is a submit's to say
    return found
