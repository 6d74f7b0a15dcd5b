"""The stored result of a step, whatever its kind."""

from __future__ import annotations

from adapterlab.catalog.records import AdapterRecord, StudyRecord, TransferRecord
from adapterlab.catalog.store import Catalog
from adapterlab.records import Step, StepKind


def stored_result(catalog: Catalog, step: Step) -> AdapterRecord | StudyRecord | TransferRecord | None:
    """Return what the catalog has of a step; ``None`` if nothing."""
    key = str(step.key)
    if step.kind is StepKind.SOURCE:
        return catalog.find_adapter(key)
    return catalog.find_study(key) if step.kind is StepKind.STUDY else catalog.find_transfer(key)
