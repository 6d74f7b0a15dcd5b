"""A report does as the spec of its sweep says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from adapterlab.reporting.settings import report_settings
from adapterlab.reporting.summary import Background
from adapterlab.spec.model import ReportSpec
from reports import SUMMARY

BACKGROUND = Background(
    sweep="demo", key="f" * 64, state="complete", submitted="", updated="", backbone="", backbone_digest=None,
    backbone_shape="", pool=(), adapter="", seeds=(), limits="", search="", tasks=(), versions=(), spec="{}",
)  # fmt: skip


def of(*specs):
    return replace(SUMMARY, background=tuple(replace(BACKGROUND, spec=spec) for spec in specs))


def test_it_is_that_of_the_spec():
    spec = json.dumps(
        {"name": "demo", "report": {"against": "own adapter", "equal_within": 0.5, "digits": 2}}
    )
    found = report_settings(of(spec))
    assert (found.against, found.equal_within, found.bootstrap, found.digits) == ("own adapter", 0.5, None, 2)


@pytest.mark.parametrize("spec", ["{}", "", "[]", "not json", '{"report": {"unknown": 1}}'])
def test_of_a_spec_without_one_or_of_another_version_it_is_the_default(spec):
    assert report_settings(of(spec)) == ReportSpec()


def test_several_sweeps_have_rows_of_other_names():
    spec = json.dumps({"report": {"against": "own adapter"}})
    assert report_settings(of(spec, spec)) == ReportSpec()


@pytest.mark.parametrize(
    "wrong", [{"equal_within": 1.0}, {"against": "a", "equal_within": 0.0}, {"bootstrap": 10}, {"digits": 5}]
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        ReportSpec.model_validate(wrong)
