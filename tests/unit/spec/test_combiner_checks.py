"""What a spec says of combiners is checked before anything runs, each fault where it stands."""

from __future__ import annotations

import pytest

from adapterlab.spec.load import load_spec
from adapterlab.spec.model import Spec
from adapterlab.spec.plugin_checks import plugin_complaints
from adapterlab.spec.studies import study_plans
from specs import spec

GOOD = {
    "pool": {"tasks": ["glue/mrpc", "glue/rte"]},
    "targets": {"tasks": ["glue/rte"]},
}


def complaints(combiner, **rest):
    return plugin_complaints({**GOOD, "combiner": combiner, **rest})


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
    (complaint,) = complaints(fine, pool={**GOOD["pool"], "target": "exclude"})
    assert complaint.path == ("combiner", "kind", 1)
    assert "does not hold its own adapter" in complaint.message
    assert [one.path for one in complaints(fine, targets={"tasks": ["glue/cola"]})] == [complaint.path]


def test_a_grid_sampler_needs_choices_of_every_combiner():
    search = {"sampler": "grid", "lr": 1e-3, "init_scale": 2.0, "dropout": 0.0}
    assert complaints({"kind": ["scalearn", "single"]}, search=search) == []
    del search["lr"]
    (complaint,) = complaints({"kind": ["scalearn", "single"]}, search=search)
    assert complaint.path == ("search", "sampler")
    assert "lr of scalearn" in complaint.message
    assert complaints({"kind": ["adapterfusion", "single"]}, search=search) == []


def test_adapters_that_cannot_be_combined_are_refused():
    (complaint,) = complaints({"kind": "scalearn"}, adapter={"method": "ia3"})
    assert complaint.path == ("adapter", "method")
    assert "cannot be combined" in complaint.message


@pytest.mark.parametrize(
    ("combiner", "words"),
    [
        ({"kind": "auto"}, "needs among"),
        ({"kind": "scalearn", "among": ["scalearn"]}, "is for kind"),
        ({"kind": "auto", "among": ["auto"]}, "cannot hold auto"),
        ({"kind": "scalearn", "per_kind": {"single": {}}}, "none of this spec"),
        ({"kind": "scalearn", "per_kind": {"scalearn": {"search": {"dropout": 1.0}}}}, "dropout must lie"),
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
    assert fault["hint"] == "it has lr, dropout"


def choice(label="adapterfusion", **changes):
    return next(one for one in study_plans(spec(**changes)) if one.label == label).choices[0]


def test_dimensions_come_from_the_nearest_place():
    kinds = {"combiner.kind": ["scalearn", "adapterfusion"]}
    assert choice(**kinds).spaces == {"lr": 5e-5, "dropout": 0.1}
    assert choice(**kinds, **{"search.lr": 1e-3}).spaces == {"lr": 1e-3, "dropout": 0.1}
    own = {"combiner.per_kind": {"adapterfusion": {"search": {"lr": 1e-4}}}, "search.dropout": 0.2}
    assert choice(**kinds, **own, **{"search.lr": 1e-3}).spaces == {"lr": 1e-4, "dropout": 0.2}
    assert choice("scalearn", **kinds, **own).spaces["dropout"] == 0.2
    assert list(choice("scalearn", **kinds).spaces) == ["lr", "init_scale", "dropout"]


def test_training_of_one_combiner_differs_where_it_says_so():
    own = {"combiner.per_kind": {"adapterfusion": {"transfer": {"patience": 7, "backbone_dropout": False}}}}
    found = choice(**{"combiner.kind": ["scalearn", "adapterfusion"], "transfer.max_epochs": 9, **own})
    assert (found.training.max_epochs, found.training.patience) == (9, 7)
    assert not found.training.backbone_dropout
    assert (
        choice("scalearn", **{"combiner.kind": ["scalearn", "adapterfusion"], **own}).training.patience == 5
    )


def test_a_grid_of_probes_is_a_study_a_point():
    plans = study_plans(spec(combiner={"kind": "probe", "settings": {"sources": ["target", "glue/mrpc"]}}))
    assert len(plans) == 49
    assert plans[0].label == "probe target 0 mrpc 0"
    assert plans[-1].choices[0].settings.weights == {"target": 1.0, "glue/mrpc": 1.0}
    (one,) = study_plans(spec(combiner={"kind": "probe", "settings": {"weights": {"glue/mrpc": 0.3}}}))
    assert one.label == "probe mrpc 0.3"


def test_spelled_out_spec_means_the_same():
    written = spec(**{"combiner.kind": ["scalearn", "adapterfusion"], "search.lr": 1e-3})
    again = Spec.model_validate(written.model_dump(mode="json"))
    assert study_plans(again) == study_plans(written)
