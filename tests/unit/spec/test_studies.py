"""What a spec says of its combiners becomes the studies every target has."""

from __future__ import annotations

import pytest

from adapterlab.spec.model import Spec
from adapterlab.spec.studies import study_plans
from specs import spec


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


def test_optional_dimensions_are_there_only_where_they_are_written():
    kinds = {"combiner.kind": ["scalearn", "adapterfusion"]}
    written = {"search.source_head": 1.0, "search.head_lr": 1e-4, "search.target_share": {"choices": [0, 1]}}
    found = choice("scalearn", **kinds, **written).spaces
    assert list(found) == ["lr", "init_scale", "dropout", "head_lr", "source_head", "target_share"]
    assert found["target_share"].choices == (0, 1)
    assert list(choice(**kinds, **written).spaces) == ["lr", "dropout", "head_lr", "source_head"]
    own = {"combiner.per_kind": {"scalearn": {"search": {"l1": 0.1}}}}
    assert choice("scalearn", **kinds, **own).spaces["l1"] == 0.1


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


def test_sources_may_be_probed_each_alone():
    alone = {"sources": ["target", "glue/mrpc", "glue/mnli"], "grid": [0.0, 0.5], "each_alone": True}
    plans = study_plans(spec(combiner={"kind": "probe", "settings": alone}))
    labels = [one.label for one in plans]
    assert labels == [
        f"probe {name} {value:g}" for name in ("target", "mrpc", "mnli") for value in (0.0, 0.5)
    ]
    (point,) = study_plans(spec(combiner={"kind": "probe", "settings": {"weights": {"glue/mrpc": 0.5}}}))
    assert plans[3].choices[0].settings == point.choices[0].settings, (
        "a point is the same however it came about"
    )
    with pytest.raises(ValueError, match="3 listed; a grid is over one or two"):
        study_plans(spec(combiner={"kind": "probe", "settings": {**alone, "each_alone": False}}))
