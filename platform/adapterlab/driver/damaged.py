"""Are the weights a plan relies on really there, and intact?"""

from __future__ import annotations

from collections.abc import Iterable

from adapterlab.catalog.records import AdapterRecord, TransferRecord
from adapterlab.catalog.store import Catalog
from adapterlab.driver.stored_results import stored_result
from adapterlab.errors import ConflictError, CorruptBlobError
from adapterlab.records import Step, StepKind


def set_damaged_aside(catalog: Catalog, steps: Iterable[Step], *, blobs: str) -> tuple[str, ...]:
    """Check the stored weights of steps; damaged ones count as missing from now on.

    Args:
        catalog: Where the records are.
        steps: The steps to look at; those without a stored result are passed over.
        blobs: Where weights are kept, for the message.

    Returns:
        Titles of the steps that must be done again.

    Raises:
        ConflictError: The catalog has results, but the blob store is empty: it is another one.
    """
    results = {step.title: stored_result(catalog, step) for step in steps if step.kind is not StepKind.STUDY}
    stored = {title: one for title, one in results.items() if isinstance(one, AdapterRecord | TransferRecord)}
    if stored and next(iter(catalog.blobs.digests()), None) is None:
        raise ConflictError(
            f"the catalog has {len(stored)} results of this plan, but the blob store {blobs} is empty",
            remedy="Point store.blobs (or ADAPTERLAB_BLOBS) to where their weights are kept; if they are lost "
            "for good, `platform doctor --repair` marks them to be trained again.",
        )
    return tuple(title for title, record in stored.items() if _is_damaged(catalog, record))


def _is_damaged(catalog: Catalog, record: AdapterRecord | TransferRecord) -> bool:
    try:
        catalog.read_weights(record)
    except CorruptBlobError:
        return True
    return False
