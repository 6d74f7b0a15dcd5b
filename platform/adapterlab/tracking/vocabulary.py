"""The names of what runs carry in MLflow: the same for every task, method and combiner, so that columns line up.

They are a promise to whoever reads runs by program; ``docs/reference/metrics.md`` lists them.
"""

from __future__ import annotations

import re
from typing import Final

# -- metrics ----------------------------------------------------------------------------------------

TEST_SCORE: Final = "test/score"
"""The task's leading metric on test; of a row and of the sweep a mean over seeds."""
TEST_SCORE_STD: Final = "test/score_std"
"""Its sample standard deviation over seeds; absent for fewer than two."""
VALIDATION_SCORE: Final = "validation/score"
"""The leading metric on validation, of the epoch that was kept."""
PARAMETERS: Final = "parameters"
"""Trained parameters without the head."""
SECONDS: Final = "seconds"
"""Computing of one run; a pass's time is divided by the lanes that shared it."""
STABILITY: Final = "coefficient_stability"
"""Of a row: how alike the coefficients are over seeds, mean rank correlation of all pairs, -1 to 1."""
SEEDS: Final = "seeds"
"""How many seeds a mean is over."""

# -- parameters -------------------------------------------------------------------------------------

TARGET: Final = "target"
"""Full name of the task that is trained on and scored."""
METHOD: Final = "method"
"""What is compared: a combiner with its point of a grid, a baseline, or the adapter method of a source."""
BACKBONE: Final = "backbone"
"""As the spec names it."""
TRAIN_ROWS: Final = "train_rows"
"""Examples of the target it trains on."""
SEED: Final = "seed"
PRECISION: Final = "precision"
COMMON_PARAMETERS: Final = (TARGET, METHOD, BACKBONE, TRAIN_ROWS, SEED, PRECISION)
"""What every run below a sweep has."""

SELECTION: Final = "selection"
"""Rule that selected the sources; on studies and final runs where some were."""
SOURCES: Final = "sources"
"""The sources these combine, in coefficient order, by comma."""

# -- tags -------------------------------------------------------------------------------------------

ROW_TAG: Final = "adapterlab.row"
"""``"true"`` on runs that stand for one target × method: what a comparison lists."""
WINNER_TAG: Final = "adapterlab.winner"
"""On a sweep's run: the method with the best average over its targets."""
SETTING_TAG: Final = "adapterlab.setting."
"""Beginning of the tags that hold settings of one combiner or one way to train."""

COEFFICIENT: Final = "coefficient/"
CONTRIBUTION: Final = "contribution/"

_REFUSED = re.compile(r"[^A-Za-z0-9_. :-]+")


def coefficient(source: str) -> str:
    """Return the metric of a source's mean coefficient, over layers and dimensions: ``coefficient/mnli``."""
    return f"{COEFFICIENT}{_word(source)}"


def contribution(source: str) -> str:
    """Return the metric of a source's share of the combined output, 0 to 1: ``contribution/mnli``."""
    return f"{CONTRIBUTION}{_word(source)}"


def source_score(source: str) -> str:
    """Return the metric of how well a selection found a source to suit its target: ``source_score/mnli``."""
    return f"source_score/{_word(source)}"


def of_task(metric: str, task: str) -> str:
    """Return a joint run's metric of one of its tasks on validation: ``validation accuracy/rte``."""
    return f"validation {_word(metric)}/{_word(task)}"


def leave_one_out(split: str, source: str) -> str:
    """Return the metric of the leading metric without a source minus with all."""
    return f"leave_one_out {split}/{_word(source)}"


def method_score(method: str) -> str:
    """Return the sweep's metric of a method's average over the targets: ``score/scalearn``."""
    return f"score/{_word(method)}"


def method_score_std(method: str) -> str:
    """Return the sweep's metric of the deviation of that average over seeds: ``score_std/scalearn``."""
    return f"score_std/{_word(method)}"


def _word(name: str) -> str:
    """Return a name without what MLflow refuses in a metric's, or would take for a section of its own."""
    return _REFUSED.sub(" ", name).strip()[:200] or "unnamed"
