"""A small summary for tests of reports: two targets, a whole row, a row with gaps, a baseline."""

from __future__ import annotations

from adapterlab.reporting.summary import OWN_ADAPTER, Cell, Gap, Influence, LayerInfluence, Summary


def cell(combiner, test, *, target="glue/rte", expected=3, gaps=(), parameters=12_345, **fields) -> Cell:
    """Return one cell whose seeds count from 0."""
    return Cell(
        target=target,
        combiner=combiner,
        metric="accuracy",
        test=tuple(test),
        validation=tuple(test),
        seeds=tuple(range(len(test))),
        expected_seeds=expected,
        parameters=parameters if test else None,
        settings={"init_scale": 2.0},
        seconds_a_run=2.0 if test else None,
        gaps=tuple(gaps),
        **fields,
    )


def layer(source, position, mean, *, target="glue/rte", combiner="scalearn_uniform", number=0, seed=0):
    """Return one source's coefficient in one layer."""
    return LayerInfluence(
        target, combiner, seed, number, source, position, mean, 0.0, mean, mean, is_vector=False
    )


SUMMARY = Summary(
    sweep="demo",
    key="0" * 64,
    state="running",
    cells=(
        cell(OWN_ADAPTER, [0.6], expected=1, is_baseline=True),
        cell(OWN_ADAPTER, [0.4], expected=1, is_baseline=True, target="superglue/cb"),
        cell("scalearn", [0.7, 0.8, 0.9]),
        cell("scalearn", [0.4, 0.5, 0.6], target="superglue/cb", parameters=10),
        cell("scalearn_pp", [0.99], gaps=(Gap(1, "failed", "loss is nan"), Gap(2, "running"))),
        cell("scalearn_pp", [], target="superglue/cb", gaps=(Gap(0, "pending"),), expected=1),
    ),
    influences=(
        Influence("glue/rte", "scalearn", "glue/mnli", 1.4),
        Influence("glue/rte", "scalearn", "glue/cola", 0.2),
    ),
    backbone_parameters=1_000_000,
)
