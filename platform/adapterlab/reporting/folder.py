"""A report as a folder: the tables in every format, the numbers behind them, and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterlab.errors import UnavailableError
from adapterlab.home import Stores
from adapterlab.reporting import render
from adapterlab.reporting.figures import coefficient_pictures, search_pictures
from adapterlab.reporting.significance import Significance
from adapterlab.reporting.summary import Summary
from adapterlab.reporting.tables import Grid


def write_report(
    folder: Path,
    summary: Summary,
    grids: list[Grid],
    significance: Significance | None = None,
    *,
    stores: Stores | None = None,
) -> list[str]:
    """Write everything a report has, replacing files of the same names; return their names.

    Args:
        folder: Made if it does not exist.
        summary: A sweep's results.
        grids: Its tables.
        significance: Rows against a reference, if that was asked for.
        stores: Where its searches are, to be shown as well; absent: they are not.

    Raises:
        UnavailableError: The folder cannot be written.
    """
    pictures = coefficient_pictures(summary)
    if stores is not None:
        pictures |= search_pictures(summary, stores)
    captions = {name: name.removesuffix(".png").replace("-", " ") for name in pictures}
    texts = {
        "report.md": render.markdown(grids)
        + "".join(f"\n![{text}]({name})\n" for name, text in captions.items()),
        "report.tex": render.latex(grids),
        "report.html": render.page(summary.sweep, grids, captions),
        "cells.csv": render.cells_csv(summary, significance),
        "runs.csv": render.runs_csv(summary),
        "coefficients.csv": render.coefficients_csv(summary),
        "report.json": json.dumps(document(summary, significance), indent=2, allow_nan=False) + "\n",
    }
    files = {name: text.encode() for name, text in texts.items()} | pictures
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise UnavailableError(
            f"{folder}: cannot be written ({error.strerror or error})",
            remedy="Check the disk and permissions.",
        ) from error
    return sorted(files)


def document(summary: Summary, significance: Significance | None = None) -> dict[str, Any]:
    """Return a report as JSON has it: numbers that are not finite are ``None``."""
    whole = summary.to_json()
    if significance is not None:
        whole["significance"] = significance.to_json()
    plain: dict[str, Any] = _plain(whole)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
