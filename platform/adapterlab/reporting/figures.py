"""Pictures of a whole sweep: coefficients over seeds, source by source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from adapterlab.errors import AdapterlabError
from adapterlab.reporting.summary import LayerInfluence, Summary, short_names
from adapterlab.reporting.tables import short

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from adapterlab.home import Stores

_STARTS_AT_UNIFORM = 1.0
"""Attention is spread evenly over the sources before it is learned: 1 / T each."""


def coefficient_pictures(summary: Summary) -> dict[str, bytes]:
    """Return PNGs by file name: layers × sources for each target and combiner, targets × sources for each combiner.

    A cell is the mean over seeds. Its spread is over the hidden dimensions where a combiner has a
    coefficient for each of them, else over the seeds.

    Args:
        summary: A sweep's results, with its transfers' coefficients.
    """
    found: dict[str, bytes] = {}
    for target, combiner in dict.fromkeys((one.target, one.combiner) for one in summary.layers):
        rows = [one for one in summary.layers if (one.target, one.combiner) == (target, combiner)]
        found[f"coefficients-{_file(target)}-{_file(combiner)}.png"] = _layers_by_sources(
            summary, target, combiner, rows
        )
    for combiner in dict.fromkeys(one.combiner for one in summary.layers):
        targets = dict.fromkeys(one.target for one in summary.layers if one.combiner == combiner)
        if len(targets) > 1:
            found[f"coefficients-{_file(combiner)}.png"] = _targets_by_sources(
                summary, combiner, list(targets)
            )
    return found


def search_pictures(summary: Summary, stores: Stores) -> dict[str, bytes]:
    """Return PNGs by file name: the history of each search, and the importance of its dimensions.

    A search whose trials are out of reach here is left out.

    Args:
        summary: A sweep's results.
        stores: Where the studies are, and this machine's caches, in which pictures are kept once drawn.
    """
    from adapterlab.search.pictures import PicturedStudy, study_pictures

    found: dict[str, bytes] = {}
    for one in summary.searches:
        title = f"{short(one.target)} · {one.combiner}"
        study = PicturedStudy(one.key, one.name, title, one.metric, one.trials)
        with suppress(AdapterlabError, OSError):
            for name, png in study_pictures(stores.studies, study, cache=stores.cache).items():
                found[f"search-{_file(one.target)}-{_file(one.combiner)}-{name}"] = png
    return found


def _layers_by_sources(summary: Summary, target: str, combiner: str, rows: Sequence[LayerInfluence]) -> bytes:
    import numpy as np

    from adapterlab.tracking.pictures import HeatmapRows, Spread, source_heatmap

    sources = [one.source for one in _first_of_each(rows)]
    layers = 1 + max(one.layer for one in rows)
    seeds = list(dict.fromkeys((one.source_seed, one.seed) for one in rows))
    means = np.full((len(seeds), layers, len(sources)), np.nan)
    deviations, least, greatest = (np.full_like(means, np.nan) for _ in range(3))
    for one in rows:
        place = seeds.index((one.source_seed, one.seed)), one.layer, one.position
        means[place], deviations[place] = one.mean, one.std
        least[place], greatest[place] = one.minimum, one.maximum
    spread = None
    if any(one.is_vector for one in rows):
        over = "dimensions" if len(seeds) == 1 else f"dimensions, {len(seeds)} seeds"
        # Variances are averaged, not deviations.
        pooled = np.sqrt(np.mean(deviations**2, axis=0))
        spread = Spread(pooled, over, least.min(axis=0), greatest.max(axis=0))
    elif len(seeds) > 1:
        spread = Spread(means.std(axis=0, ddof=1), f"{len(seeds)} seeds")
    return source_heatmap(
        means.mean(axis=0),
        sources,
        rows=HeatmapRows.of_layers(layers),
        title=f"{short(target)} · {combiner}",
        what=_what(rows),
        spread=spread,
        start=_start(summary, rows[0], len(sources)),
        own=target,
    )


def _targets_by_sources(summary: Summary, combiner: str, targets: Sequence[str]) -> bytes:
    """Draw one row a target, its mean over layers and seeds; pools may differ, so cells may be empty."""
    import numpy as np

    from adapterlab.tracking.pictures import HeatmapRows, source_heatmap

    rows = [one for one in summary.influences if one.combiner == combiner]
    sources = list(dict.fromkeys(one.source for one in rows))
    means: NDArray[np.float64] = np.full((len(targets), len(sources)), np.nan)
    for one in rows:
        means[targets.index(one.target), sources.index(one.source)] = one.mean
    names = short_names(targets)
    layers = [one for one in summary.layers if one.combiner == combiner]
    starts = {_start(summary, one, _pool_size(layers, one.target)) for one in layers}
    return source_heatmap(
        means,
        sources,
        rows=HeatmapRows([names[target] for target in targets], of="target"),
        title=combiner,
        what=f"{_what(layers)}, mean over layers and seeds",
        start=next(iter(starts)) if len(starts) == 1 else None,
    )


def _first_of_each(rows: Iterable[LayerInfluence]) -> list[LayerInfluence]:
    """Return one row for each source, in the order of the pool."""
    by_place: Mapping[int, LayerInfluence] = {one.position: one for one in rows}
    return [by_place[place] for place in sorted(by_place)]


def _pool_size(layers: Iterable[LayerInfluence], target: str) -> int:
    return len({one.position for one in layers if one.target == target})


def _start(summary: Summary, one: LayerInfluence, sources: int) -> float | None:
    """Return where coefficients started: ``init_scale / T``; attention starts evenly."""
    if one.is_attention:
        return _STARTS_AT_UNIFORM / sources
    cell = summary.cell(one.target, one.combiner)
    scale: Any = None if cell is None else cell.settings.get("init_scale")
    return float(scale) / sources if isinstance(scale, int | float) else None


def _what(layers: Sequence[LayerInfluence]) -> str:
    return "mean attention" if layers[0].is_attention else "scaling coefficients"


def _file(name: str) -> str:
    return name.replace("/", "-").replace(" ", "-")
