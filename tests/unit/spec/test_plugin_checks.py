"""What a spec says of plug-ins is checked before anything runs, each fault where it stands.

Plug-ins that are missing or broken are faults like any other; they never crash the check.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adapterlab.registry import entry_points
from adapterlab.spec.complaints import MAX_COMPLAINTS
from adapterlab.spec.load import load_spec
from adapterlab.spec.plugin_checks import overlap_warnings, plugin_complaints
from specs import spec

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
def test_a_joint_method_as_a_baseline_is_told_where_it_belongs(method: str) -> None:
    (found,) = plugin_complaints({**GOOD, "baseline": [{"method": method}]})
    assert found.path == ("baseline", 0, "method")
    assert "trains one model on several tasks at once" in found.message
    assert found.hint == f'write it as [[joint.run]] with method = "{method}"'


FITTING = {
    "pool": {"tasks": ["glue/mrpc", "glue/rte"]},
    "targets": {"tasks": ["glue/rte"]},
}


def complaints(combiner, **rest):
    return plugin_complaints({**FITTING, "combiner": combiner, **rest})


def test_what_fits_is_accepted():
    kinds = ["scalearn", "adapterfusion", "adaptersoup", "uniform_average", "single", "probe"]
    own = {
        "adapterfusion": {"settings": {"value_regulariser": 0.0}, "search": {"dropout": 0.0}},
        "probe": {"settings": {"sources": ["target", "glue/mrpc"], "grid": [0.0, 1.0]}},
    }
    assert complaints({"kind": kinds, "per_kind": own}) == []
    assert complaints({"kind": "auto", "among": ["scalearn", "single"]}) == []


@pytest.mark.parametrize(
    ("combiner", "path", "words"),
    [
        ({"kind": "auto", "among": ["scalern"]}, ("combiner", "among", 0), "no combiner named"),
        (
            {"kind": "adapterfusion", "per_kind": {"adapterfusion": {"settings": {"x": 1}}}},
            ("combiner", "per_kind", "adapterfusion", "settings", "x"),
            "unknown key",
        ),
        (
            {"kind": ["adapterfusion", "scalearn"], "settings": {"value_regulariser": 0.1}},
            ("combiner", "settings", "value_regulariser"),
            "unknown key",
        ),
        (
            {"kind": "adapterfusion", "per_kind": {"adapterfusion": {"search": {"init_scale": 2.0}}}},
            ("combiner", "per_kind", "adapterfusion", "search", "init_scale"),
            "has no dimension",
        ),
        (
            {"kind": "probe", "settings": {"weights": {"glue/mnli": 0.3}}},
            ("combiner", "kind"),
            "the pool of glue/rte does not hold glue/mnli",
        ),
        ({"kind": "auto", "among": ["scalearn", "probe"]}, ("combiner", "among", 1), "a grid of probe"),
    ],
)
def test_a_fault_stands_where_it_was_made(combiner, path, words):
    (complaint,) = complaints(combiner)
    assert complaint.path == path
    assert words in complaint.message


def test_single_needs_the_targets_own_adapter():
    fine = {"kind": ["scalearn", "single"]}
    (complaint,) = complaints(fine, pool={**FITTING["pool"], "target": "exclude"})
    assert complaint.path == ("combiner", "kind", 1)
    assert "does not hold its own adapter" in complaint.message
    assert [one.path for one in complaints(fine, targets={"tasks": ["glue/cola"]})] == [complaint.path]


@pytest.mark.parametrize("name", ["target_share", "source_head"])
def test_what_starts_at_the_targets_own_adapter_needs_it_in_the_pool(name):
    without = {**FITTING["pool"], "target": "exclude"}
    for space in (1.0, {"choices": [0.0, 0.5]}, {"low": 0.0, "high": 1.0}):
        assert complaints({"kind": "scalearn"}, search={name: space}) == []
        (complaint,) = complaints({"kind": "scalearn"}, search={name: space}, pool=without)
        assert complaint.path == ("search", name)
        assert "the target's own adapter" in complaint.message
    assert complaints({"kind": "scalearn"}, search={name: 0.0}, pool=without) == []
    own = {"kind": "scalearn", "per_kind": {"scalearn": {"search": {name: 1.0}}}}
    (complaint,) = complaints(own, pool=without)
    assert complaint.path == ("combiner", "per_kind", "scalearn", "search", name)


@pytest.mark.parametrize("size", [9, [1, 9]])
def test_a_pool_larger_than_its_sources_is_refused(size):
    (complaint,) = complaints({"kind": "scalearn"}, pool={**FITTING["pool"], "size": size})
    assert complaint.path == ("pool", "size")
    assert "a pool of 9 for" in complaint.message


def test_what_a_small_pool_leaves_out_a_combiner_cannot_name():
    """The pool of one is the target's own adapter; a probe of another source has none to weigh."""
    probe = {"kind": "probe", "settings": {"weights": {"glue/mrpc": 0.3}}}
    assert complaints(probe) == []
    (complaint,) = complaints(probe, pool={**FITTING["pool"], "size": 1})
    assert complaint.path == ("combiner", "kind")


def test_a_grid_sampler_needs_choices_of_every_combiner():
    search = {"sampler": "grid", "lr": 1e-3, "init_scale": 2.0, "dropout": 0.0}
    assert complaints({"kind": ["scalearn", "single"]}, search=search) == []
    del search["lr"]
    (complaint,) = complaints({"kind": ["scalearn", "single"]}, search=search)
    assert complaint.path == ("search", "sampler")
    assert "lr of scalearn" in complaint.message
    assert complaints({"kind": ["adapterfusion", "single"]}, search=search) == []


@pytest.mark.parametrize(
    ("kind", "adapter", "words"),
    [
        ("ties", {"method": "compacter_pp"}, "adapters of compacter_pp cannot be merged"),
        ("dare_ties", {"method": "propetl"}, "adapters of propetl cannot be merged"),
        ("svd", {}, "merges products of two factors, which adapters of pfeiffer do not have"),
        ("arrow", {}, "routes by the products of two factors, which adapters of pfeiffer do not have"),
    ],
)
def test_a_combiner_refuses_adapters_that_it_cannot_take(kind, adapter, words):
    (found,) = complaints({"kind": ["scalearn", kind]}, adapter=adapter)
    assert found.path == ("combiner", "kind", 1)
    assert words in found.message
    assert complaints({"kind": ["scalearn", kind]}, adapter={"method": "lora"}) == []


@pytest.mark.parametrize(
    "space",
    [0.0, 1.5, {"low": 0.5, "high": 2.0}, {"choices": [0.2, 0.0]}],
    ids=["none", "more", "range", "choice"],
)
def test_a_dimension_keeps_to_what_its_combiner_can_take(space):
    own = {"ties": {"search": {"density": space}}}
    (found,) = complaints({"kind": "ties", "per_kind": own})
    assert found.path == ("combiner", "per_kind", "ties", "search", "density")
    assert "density of ties lies between 0.001 and 1" in found.message
    assert complaints({"kind": "ties", "per_kind": {"ties": {"search": {"density": 0.5}}}}) == []


def test_adapters_that_cannot_be_combined_are_refused():
    (complaint,) = complaints({"kind": "scalearn"}, adapter={"method": "ia3"})
    assert complaint.path == ("adapter", "method")
    assert "cannot be combined" in complaint.message


@pytest.mark.parametrize("method", [{"method": "houlsby"}, {"method": "pfeiffer"}, {}])
def test_nor_are_settings_with_which_they_cannot_be(method):
    adapter = {**method, "settings": {"layer_norm": "both"}}
    (complaint,) = complaints({"kind": "scalearn"}, adapter=adapter)
    assert complaint.path == ("adapter", "settings")
    assert "cannot be combined: layer_norm = 'both'" in complaint.message
    baseline = [{"method": "pfeiffer", "settings": {"layer_norm": "both"}}]
    assert complaints({"kind": "scalearn"}, baseline=baseline) == []


@pytest.mark.parametrize(
    ("combiner", "words"),
    [
        ({"kind": "auto"}, "needs among"),
        ({"kind": "scalearn", "among": ["scalearn"]}, "is for kind"),
        ({"kind": "auto", "among": ["auto"]}, "cannot hold auto"),
        ({"kind": "scalearn", "per_kind": {"single": {}}}, "none of this spec"),
        ({"kind": "scalearn", "per_kind": {"scalearn": {"search": {"dropout": 1.0}}}}, "dropout must lie"),
        (
            {"kind": "scalearn", "per_kind": {"scalearn": {"search": {"target_share": 1.5}}}},
            "target_share must lie",
        ),
        (
            {"kind": "scalearn", "per_kind": {"scalearn": {"search": {"head_lr": 0.0}}}},
            "head_lr must be positive",
        ),
        ({"kind": "scalearn", "per_kind": {"scalearn": {"search": {"l1": -1.0}}}}, "l1 must not be negative"),
    ],
)
def test_what_makes_no_sense_is_refused(combiner, words):
    with pytest.raises(ValueError, match=words):
        spec(combiner=combiner)


def test_faults_are_shown_at_their_line(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(
        """name = "x"
[backbone]
source = "package:x"
[pool]
tasks = ["glue/rte"]
[targets]
tasks = ["glue/rte"]
[combiner]
kind = ["scalearn", "adapterfusion"]
[combiner.per_kind.adapterfusion.search]
lr = 5e-5
init_scale = 2.0
"""
    )
    with pytest.raises(Exception) as caught:  # noqa: PT011
        load_spec(path)
    (fault,) = caught.value.details["faults"]
    assert fault["line"] == 12
    assert fault["hint"] == "it has lr, dropout, head_lr, source_head"


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


def test_of_thousands_of_unknown_tasks_some_hundreds_are_looked_up(monkeypatch):
    asked = []
    known = entry_points.near
    monkeypatch.setattr(entry_points, "near", lambda *one: asked.append(one[0]) or known(*one))
    document = {"pool": {"tasks": [f"glue/r{number}" for number in range(5000)]}}
    found = plugin_complaints(document)
    assert 1 <= len(asked) <= 2 * MAX_COMPLAINTS
    assert len(found) >= MAX_COMPLAINTS
