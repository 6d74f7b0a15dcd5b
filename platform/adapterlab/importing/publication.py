"""What a folder for the hub needs besides what every export has: a base model that others can load."""

from __future__ import annotations

import re

from adapterlab.catalog.records import AdapterRecord
from adapterlab.catalog.store import Catalog
from adapterlab.errors import UsageError
from adapterlab.exporting.backbone_references import short_name
from adapterlab.exporting.stored_models import backbone_source, spec_of, trained_record

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def base_model_name(catalog: Catalog, key: str, backbone: str | None) -> str:
    """Return what transformers loads a record's backbone by.

    Args:
        catalog: The open catalog.
        key: Key of an adapter or a transfer, or a unique beginning of it.
        backbone: Where the backbone is; ``None``: where it was.

    Raises:
        UsageError: It is known by a folder or a package only.
    """
    record = trained_record(catalog, key)
    source = backbone or backbone_source(catalog, record, spec_of(catalog, record.key)) or ""
    if source.startswith("hub:"):
        return short_name(source)
    origin = record.origin if isinstance(record, AdapterRecord) else None
    if origin is not None and origin.base_model and _REPOSITORY.fullmatch(origin.base_model):
        return origin.base_model
    raise UsageError(
        f"the backbone of {record.key[:12]} is {source or 'not known by a name'}, which nobody else can load",
        remedy="Say what it is called on the hub: --base-model OWNER/NAME.",
    )
