"""A report as a folder: the tables in every format, the numbers behind them, and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adapterlab.errors import UnavailableError
from adapterlab.reporting import render
from adapterlab.reporting.evidence import Evidence
from adapterlab.reporting.figures import report_figures
from adapterlab.reporting.grid import Grid
from adapterlab.reporting.intervals import Resampled
from adapterlab.reporting.page import page
from adapterlab.reporting.picture import Figures
from adapterlab.reporting.significance import Significance
from adapterlab.reporting.stability import stabilities
from adapterlab.reporting.summary import Summary


def write_report(
    folder: Path,
    summary: Summary,
    grids: list[Grid],
    significance: Significance | None = None,
    evidence: Evidence | None = None,
    *,
    resampled: Resampled | None = None,
    figures: Figures | None = None,
) -> list[str]:
    """Write everything a report has, replacing files of the same names; return their names.

    Args:
        folder: Made if it does not exist.
        summary: A sweep's results.
        grids: Its tables.
        significance: Rows against a reference, if that was asked for.
        evidence: Learning curves and confusion matrices, as far as they are at hand.
        resampled: Intervals over rows and seeds, if they were asked for.
        figures: What is drawn; absent: what the results have data for, without the searches.

    Raises:
        UnavailableError: The folder cannot be written.
    """
    shown = _figures(summary, significance) if figures is None else figures
    texts = {
        "report.md": render.markdown(grids) + _markdown_figures(shown),
        "report.tex": render.latex(grids),
        "report.html": whole_page(summary, grids, evidence=evidence, figures=shown),
        "cells.csv": render.cells_csv(summary, significance, resampled),
        "runs.csv": render.runs_csv(summary),
        "coefficients.csv": render.coefficients_csv(summary),
        "tasks.csv": render.tasks_csv(summary),
        "report.json": json.dumps(
            document(summary, significance, evidence, resampled, figures=shown), indent=2, allow_nan=False
        )
        + "\n",
    }
    if resampled is not None and resampled.tests:
        texts["mcnemar.csv"] = render.mcnemar_csv(resampled)
    files = {name: text.encode() for name, text in texts.items()}
    for picture in shown.pictures:
        files |= picture.files
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    return sorted(files)


def _figures(summary: Summary, significance: Significance | None = None) -> Figures:
    return report_figures(summary, against=None if significance is None else significance.against)


def _markdown_figures(figures: Figures) -> str:
    drawn = [f"\n![{one.caption}]({one.name}.png)\n" for one in figures.pictures]
    return "".join((*drawn, *(f"\n*{said}*\n" for said in figures.words)))


def write_page(
    file: Path,
    summary: Summary,
    grids: list[Grid],
    evidence: Evidence | None = None,
    *,
    figures: Figures | None = None,
) -> None:
    """Write a report as one HTML file, replacing one that is there.

    Args:
        file: Its folder is made if it does not exist.
        summary: A sweep's results.
        grids: Its tables.
        evidence: Learning curves and confusion matrices, as far as they are at hand.
        figures: What is drawn; absent: what the results have data for.

    Raises:
        UnavailableError: It cannot be written.
    """
    text = whole_page(summary, grids, evidence=evidence, figures=figures)
    with _written(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


@contextmanager
def _written(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"{place}: cannot be written ({error.strerror or error})",
            remedy="Check the disk and permissions.",
        ) from error


def whole_page(
    summary: Summary,
    grids: list[Grid],
    *,
    evidence: Evidence | None = None,
    figures: Figures | None = None,
) -> str:
    """Return a report as one HTML file with its pictures inside.

    Args:
        summary: A sweep's results.
        grids: Its tables.
        evidence: Learning curves and confusion matrices, as far as they are at hand.
        figures: What is drawn; absent: what the results have data for.
    """
    return page(summary, grids, evidence=evidence, figures=_figures(summary) if figures is None else figures)


def document(
    summary: Summary,
    significance: Significance | None = None,
    evidence: Evidence | None = None,
    resampled: Resampled | None = None,
    *,
    figures: Figures | None = None,
) -> dict[str, Any]:
    """Return a report as JSON has it: numbers that are not finite are ``None``; of figures their files' names."""
    whole = summary.to_json()
    if evidence is not None:
        whole["evidence"] = evidence.to_json()
    whole["stability"] = [asdict(one) for one in stabilities(summary)]
    if resampled is not None:
        whole["resampled"] = resampled.to_json()
    if figures is not None:
        whole |= figures.to_json()
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
