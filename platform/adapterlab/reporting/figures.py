"""Every figure of a report: scores, coefficients, searches."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace

from adapterlab.errors import AdapterlabError
from adapterlab.home import Stores
from adapterlab.reporting.coefficient_figures import coefficient_figures
from adapterlab.reporting.picture import Figures, Picture, file_name
from adapterlab.reporting.result_figures import result_figures
from adapterlab.reporting.summary import Summary
from adapterlab.reporting.tables import short


def report_figures(summary: Summary, *, against: str | None = None, stores: Stores | None = None) -> Figures:
    """Return all figures that a report has data for, those of scores first.

    Args:
        summary: A sweep's results.
        against: The row that others are compared with; absent: differences are not drawn.
        stores: Where its searches are, to be shown as well; absent: they are not.
    """
    found = result_figures(summary, against) + coefficient_figures(summary)
    return _apart(found if stores is None else found + search_figures(summary, stores))


def _apart(figures: Figures) -> Figures:
    """Give figures whose names are one file's, such as those of rows ``a b`` and ``a-b``, numbers."""
    met: Counter[str] = Counter()
    pictures = []
    for one in figures.pictures:
        met[one.name] += 1
        pictures.append(one if met[one.name] == 1 else replace(one, name=f"{one.name}-{met[one.name]}"))
    return replace(figures, pictures=tuple(pictures))


def search_figures(summary: Summary, stores: Stores) -> Figures:
    """Return the history of each search, and the importance of its dimensions.

    A search whose trials are out of reach here is left out.

    Args:
        summary: A sweep's results.
        stores: Where the studies are, and this machine's caches, in which pictures are kept once drawn.
    """
    from adapterlab.search.pictures import PicturedStudy, study_pictures

    found: list[Picture] = []
    for one in summary.searches:
        title = f"{short(one.target)} · {one.combiner}"
        study = PicturedStudy(one.key, one.name, title, one.metric, one.trials)
        with suppress(AdapterlabError, OSError):
            for name, png in study_pictures(stores.studies, study, cache=stores.cache).items():
                what = name.removesuffix(".png")
                stem = file_name(f"search-{one.target}-{one.combiner}-{what}")
                found.append(
                    Picture(stem, "search", f"Search of {one.combiner} on {short(one.target)}: {what}", png)
                )
    return Figures(tuple(found))
