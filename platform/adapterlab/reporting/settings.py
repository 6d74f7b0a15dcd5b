"""What the spec of a sweep says of its report."""

from __future__ import annotations

import json

from adapterlab.reporting.summary import Summary
from adapterlab.spec.model import ReportSpec


def report_settings(summary: Summary) -> ReportSpec:
    """Return ``[report]`` of the spec that was submitted last; defaults where it is not known.

    Args:
        summary: Of one sweep; of several, whose rows have other names and whose specs may differ, defaults are returned.
    """
    if len(summary.background) != 1:
        return ReportSpec()
    try:
        return ReportSpec.model_validate(json.loads(summary.background[0].spec).get("report", {}))
    except (ValueError, AttributeError):  # a spec of another version
        return ReportSpec()
