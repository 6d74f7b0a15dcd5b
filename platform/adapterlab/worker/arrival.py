"""What a machine of a cluster takes of a shipment, into its own cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adapterlab.caching.folders import read_or_build
from adapterlab.data.task_rows import rows_folder
from adapterlab.errors import CorruptBlobError, UnavailableError
from adapterlab.worker.orders import Context
from adapterlab.worker.shipment import Shipment, inputs_of


def receive_backbone(context: Context) -> Context:
    """Return a context as this machine sees it: the backbone handed over, the caches its own.

    Args:
        context: As the driver made it; without a shipment it is returned as it is.

    Raises:
        UnavailableError: This machine does not find in ``store.blobs`` what the driver put there.
    """
    shipment = context.shipment
    if shipment is None:
        return context
    cache = context.stores.cache
    _receive(shipment, shipment.backbone, cache, context.stores.blobs)
    return replace(
        context,
        backbone=replace(context.backbone, folder=str(cache / shipment.backbone)),
        library=replace(context.library, cache=cache, known=shipment.facts),
    )


def receive_rows(context: Context, task: str) -> None:
    """Make a task's rows ready in this machine's cache, if they were handed over.

    Args:
        context: Of :func:`receive_backbone`.
        task: Full name.

    Raises:
        UnavailableError: This machine does not find in ``store.blobs`` what the driver put there.
    """
    shipment = context.shipment
    if shipment is not None and task in shipment.facts:
        _receive(shipment, rows_folder(shipment.facts[task]), context.stores.cache, context.stores.blobs)


def _receive(shipment: Shipment, folder: str, cache: Path, blobs: str) -> None:
    files, inputs = shipment.folders[folder], inputs_of(blobs)

    def check(there: Path) -> Path:
        if missing := [name for name in files if not (there / name).is_file()]:
            raise ValueError(f"{there}: {', '.join(missing)} gone")
        return there

    def fetch(draft: Path) -> None:
        for name, digest in files.items():
            try:
                (draft / name).write_bytes(inputs.read(digest))
            except CorruptBlobError as error:
                raise UnavailableError(
                    f"what the driver handed to this machine is not in its {inputs.name}: {error.message}",
                    remedy="store.blobs must be a URL, or a folder, that all machines of the cluster share.",
                ) from error

    read_or_build(cache / folder, check, fetch)
