"""Plug-ins that are missing or broken are faults like any other; they never crash the check."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adapterlab.registry import entry_points
from adapterlab.spec.plugin_checks import plugin_complaints

GOOD = {"pool": {"tasks": ["glue/rte"]}, "targets": {"tasks": ["glue/rte"]}}


@pytest.fixture
def broken_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install, for one test, a real distribution whose combiner cannot be imported."""
    info = tmp_path / "brokenplug-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brokenplug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[adapterlab.combiners]\nbroken = brokenplug:COMBINER\n")
    (tmp_path / "brokenplug.py").write_text("raise RuntimeError('made to fail')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    caches = [item for item in vars(entry_points).values() if hasattr(item, "cache_clear")]
    for cached in caches:
        cached.cache_clear()
    yield "broken"
    sys.modules.pop("brokenplug", None)
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


def test_what_is_installed_is_accepted() -> None:
    assert plugin_complaints({**GOOD, "combiner": {"kind": ["scalearn", "scalearn_uniform_pp"]}}) == []


def test_a_plug_in_that_cannot_be_imported_is_a_fault(broken_plugin: str) -> None:
    (complaint,) = plugin_complaints({**GOOD, "combiner": {"kind": broken_plugin}})
    assert complaint.path == ("combiner", "kind")
    assert "RuntimeError: made to fail" in complaint.message


@pytest.mark.parametrize(
    "document",
    [{}, {"pool": 3, "adapter": [], "combiner": "x"}, {"pool": {"tasks": "glue/rte"}, "adapter": {"method": 3}},
     {"combiner": {"kind": [3, None]}, "adapter": {"settings": "x"}}, {"targets": {"tasks": ["Glue", 3, None]}}],
)  # fmt: skip
def test_parts_of_the_wrong_type_are_left_to_the_model(document: dict[str, object]) -> None:
    assert plugin_complaints(document) == []


def test_a_task_under_a_misspelt_benchmark_is_put_right() -> None:
    (complaint,) = plugin_complaints({"pool": {"tasks": ["gleu/rte"]}})
    assert complaint.hint == 'did you mean "glue/rte"?'
    assert complaint.path == ("pool", "tasks", 0)


def test_settings_that_two_combiners_refuse_alike_are_one_fault() -> None:
    complaints = plugin_complaints(
        {**GOOD, "combiner": {"kind": ["scalearn", "scalearn_pp"], "settings": {"x": 1}}}
    )
    assert [complaint.path for complaint in complaints] == [("combiner", "settings", "x")]


def test_baselines_are_checked_where_they_stand() -> None:
    complaints = plugin_complaints(
        {
            **GOOD,
            "baseline": [
                {"method": "lora", "settings": {"r": 4, "targets": ["query"]}},
                {"method": "lorra"},
                {"method": "compacter_pp", "settings": {"reduction": 2}},
                {"method": 3},
                "x",
            ],
        }
    )
    assert [complaint.path for complaint in complaints] == [
        ("baseline", 1, "method"),
        ("baseline", 2, "settings", "reduction"),
    ]
    assert complaints[0].hint == "did you mean 'lora'?"
    assert complaints[1].hint == 'did you mean "reduction_factor"?'


def test_what_one_task_has_of_its_own_needs_a_task_that_exists() -> None:
    document = {**GOOD, "per_task": {"glue/rte": {}, "superglue/recrod": {}, "mine/x": {}}}
    document["task"] = [{"name": "mine/x"}]
    (found,) = plugin_complaints(document)
    assert found.path == ("per_task", "superglue/recrod")
    assert "record" in found.hint


@pytest.mark.parametrize("method", ["hyperformer", "hyperformer_pp", "propetl_m", "adapter_m", "full_m"])
def test_joint_training_is_refused_by_name_and_not_as_a_typo(method: str) -> None:
    (found,) = plugin_complaints({**GOOD, "baseline": [{"method": method}]})
    assert found.path == ("baseline", 0, "method")
    assert "joint multi-task training is not built" in found.message
