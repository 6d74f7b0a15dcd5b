"""The test predictions that a catalog's runs keep: read, and written into files for other programs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.catalog.reading import ReadableCatalog
from adapterlab.catalog.records import SelectionRecord, StudyRecord
from adapterlab.errors import (
    AdapterlabError,
    CorruptBlobError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from adapterlab.reporting.intervals import Read
from adapterlab.reporting.render import csv_text
from adapterlab.reporting.summary import Summary

if TYPE_CHECKING:
    from adapterlab.data.run_predictions import KeptPredictions

INDEX = "predictions.csv"
"""Names the file of each run."""


def predictions_of_run(catalog: ReadableCatalog, key: str) -> KeptPredictions | None:
    """Return what an adapter or a transfer answered on its task's test rows.

    Args:
        catalog: The open catalog; nothing in it is changed, also where weights are damaged.
        key: Its key, or a unique beginning.

    Returns:
        ``None`` where the run was made by a version that kept none, or was imported.

    Raises:
        NotFoundError: There is no such record.
        UsageError: It is a study's key, whose final runs have predictions, or a selection's.
        CorruptBlobError: Its weights, which hold them, are damaged or missing.
    """
    from adapterlab.data.run_predictions import from_weights

    record = catalog.get(key)
    if isinstance(record, SelectionRecord | StudyRecord):
        kind = "selection of sources" if isinstance(record, SelectionRecord) else "study"
        raise UsageError(
            f"{key} is a {kind}, which has no test predictions",
            remedy="Name one of its transfers: `platform catalog list --kind transfer`.",
        )
    return from_weights(catalog.blobs.read(record.blob))


def reader(catalog: ReadableCatalog) -> Read:
    """Return a function from a run's key to its predictions; what cannot be read counts as not kept."""

    def read(key: str) -> KeptPredictions | None:
        try:
            return predictions_of_run(catalog, key)
        except (CorruptBlobError, NotFoundError):
            return None

    return read


def prediction_files(summary: Summary, read: Read) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of one ``.npz`` file a run, without pickles, and last of their index.

    Args:
        summary: A sweep's results.
        read: From a run's key to what it keeps.
    """
    fields = ["method", "target", "seed", "metric", "test", "key", "file"]
    lines: list[list[object]] = []
    written: set[str] = set()
    for cell in summary.cells:
        for seed, value, key in zip(cell.seeds, cell.test, cell.keys, strict=False):
            name = f"{key[:16]}.npz"
            if name not in written:
                kept = read(key)
                if kept is None:
                    lines.append([cell.combiner, cell.target, seed, cell.metric, value, key, None])
                    continue
                written.add(name)
                yield name, npz(kept)
            lines.append([cell.combiner, cell.target, seed, cell.metric, value, key, name])
    yield INDEX, csv_text(fields, lines).encode()


def npz(kept: KeptPredictions) -> bytes:
    """Return predictions as a compressed NumPy file: ``outputs``, ``labels``, ``predictions``, ``groups`` and metrics of groups."""
    import numpy as np

    arrays: dict[str, Any] = {"outputs": kept.outputs, "labels": kept.labels, "predictions": kept.predictions}
    if kept.groups is not None:
        arrays["groups"] = kept.groups
    arrays |= {f"of_groups_{metric}": values for metric, values in kept.of_groups.items()}
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def write_predictions(folder: Path, summary: Summary, read: Read) -> list[str]:
    """Write the predictions of a report's runs into a folder; return the files' names, the index last.

    Raises:
        UnavailableError: The folder cannot be written.
    """
    names = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in prediction_files(summary, read):
            (folder / name).write_bytes(data)
            names.append(name)
    except AdapterlabError:  # some are an OSError, too: the folder is not to blame for the store of weights
        raise
    except OSError as error:
        raise UnavailableError(
            f"{folder}: cannot be written ({error.strerror or error})",
            remedy="Check the disk and permissions.",
        ) from error
    return names
