"""A pool that has seen a target under another name is told."""

from __future__ import annotations

import pytest

from adapterlab.registry import entry_points
from adapterlab.spec.overlaps import overlap_warnings
from specs import spec


def warned(pool, targets, **more):
    return overlap_warnings(spec(**{"pool.tasks": pool, "targets.tasks": targets, **more}))


@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("glue/rte", "superglue/rte"),
        ("superglue/rte", "glue/rte"),
        ("glue/stsb", "glue/mrpc"),
        ("glue/mrpc", "glue/stsb"),
        ("glue/sst2", "other/mr"),
        ("other/mr", "glue/sst2"),
        ("glue/wnli", "superglue/wsc"),
        ("superglue/wsc", "glue/wnli"),
        ("adapterfusion/winogrande_xs", "adapterfusion/winogrande"),
    ],
)
def test_known_overlaps_are_named(target, source):
    (warning,) = warned([source, "glue/cola", target], [target])
    assert warning.startswith(f"{target} shares rows or texts with {source} in its pool")


def test_every_overlapping_source_is_named_in_one_sentence():
    (warning,) = warned(["other/mr", "glue/sst2", "glue/cola", "other/sst2_sentence"], ["other/mr"])
    assert "other/mr shares rows or texts with glue/sst2 and other/sst2_sentence in its pool" in warning


def test_a_targets_own_source_and_strangers_are_not():
    assert warned(["glue/rte", "glue/cola"], ["glue/rte", "glue/cola"]) == ()


def test_overlaps_among_the_pool_alone_are_not():
    assert warned(["glue/rte", "superglue/rte", "glue/cola"], ["glue/cola"]) == ()


def test_every_overlap_is_a_task_that_exists():
    for suite in entry_points.names(entry_points.TASK_SUITES):
        for name, task in entry_points.task_suite(suite).definitions().items():
            for other in task.overlaps:
                assert entry_points.task_definition(other)
                assert other != f"{suite}/{name}"
