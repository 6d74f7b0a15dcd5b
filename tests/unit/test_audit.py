"""What CI says of the dependencies' advisories: found, not found, and not looked up are three things."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

AUDIT = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "audit.py"))


def checked(name: str, *advisories: dict[str, object]) -> dict[str, object]:
    return {"name": name, "version": "1.0", "vulns": list(advisories)}


@pytest.mark.parametrize(
    "found",
    [None, [], [{"name": "torch", "skip_reason": "Dependency not found"}]],
    ids=["silent", "empty", "skipped"],
)
def test_nothing_looked_up_is_not_nothing_found(found):
    lines, mendable = AUDIT["report"](found)
    assert "NOT checked" in lines[0]
    assert not mendable


def test_an_advisory_that_a_release_mends_fails():
    lines, mendable = AUDIT["report"](
        [checked("a", {"id": "PYSEC-1", "fix_versions": ["1.1"]}), checked("b")]
    )
    assert mendable
    assert lines == ["a 1.0: PYSEC-1, mended in 1.1", "2 dependencies checked, 1 advisories"]


def test_an_advisory_without_a_mended_release_is_listed_and_passes():
    found = [checked("a", {"id": "PYSEC-1", "fix_versions": []}), {"name": "b", "skip_reason": "unknown"}]
    lines, mendable = AUDIT["report"](found)
    assert not mendable
    assert "no release mends it yet" in lines[0]
    assert lines[-1].endswith("1 are not in the feed")
