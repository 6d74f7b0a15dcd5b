"""Figures of what was learned of the sources: coefficients by layer and target, attention, and how these differ.

As in ScaLearn (arXiv 2310.01217), Figures 7-10, and AdapterFusion (arXiv 2005.00247), Figure 4. What is alike everywhere,
or was given before training, is told in words: a picture of one colour shows nothing.

Shapes: ``L`` layers, ``T`` sources, ``S`` seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from adapterlab.reporting.matrices import Names, Panel, Scale, matrix_panels
from adapterlab.reporting.picture import Figures, Picture
from adapterlab.reporting.summary import LayerInfluence, Summary, short_names
from adapterlab.tracking.drawing import drawn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STARTS_AT_UNIFORM = 1.0
"""Attention is spread evenly over the sources before it is learned: 1 / T each."""
_ALIKE = 0.01
"""Coefficients that differ by less, relative to the greatest, look like one number."""
_MOST_SINGLE = 24
"""Heat maps of one target each; where there were more, only those of all targets together are drawn."""
_BY_TARGET = "each target has its own colours"


def coefficient_figures(summary: Summary) -> Figures:
    """Return heat maps of the coefficients, as far as they vary.

    A cell is the mean over seeds. Its spread is over the hidden dimensions where a combiner has a
    coefficient for each of them, else over the seeds.

    Args:
        summary: A sweep's results, with its transfers' coefficients.
    """
    given = {cell.combiner for cell in summary.cells if cell.coordinates}
    learned: dict[str, dict[str, _Map]] = {}
    for one in summary.layers:
        if one.combiner not in given:
            learned.setdefault(one.combiner, {}).setdefault(one.target, _Map(one)).take(one)
    words = []
    if given & {one.combiner for one in summary.layers}:
        words.append(
            "Not drawn: coefficients of grids, which are given; they are the axes of the grids' figures."
        )
    found = Figures(words=tuple(words))
    singles = [
        (row, target)
        for row, maps in learned.items()
        for target, one in maps.items()
        if one.varies and not one.same_in_layers
    ]
    if len(singles) > _MOST_SINGLE:
        found += Figures(
            words=(
                f"Not drawn: {len(singles)} heat maps of one target each; those of all targets show the same.",
            )
        )
        singles = []
    for row, maps in learned.items():
        found += Figures(
            tuple(
                _single(summary, row, target, one) for target, one in maps.items() if (row, target) in singles
            )
        )
        found += _together(summary, row, maps)
    return found + _attention_apart(summary, learned)


class _Map:
    """One row's coefficients on one target."""

    def __init__(self, first: LayerInfluence) -> None:
        self.is_attention, self.is_vector = first.is_attention, first.is_vector
        self.rows: list[LayerInfluence] = []

    def take(self, one: LayerInfluence) -> None:
        """Add the coefficients of one source in one layer with one seed."""
        self.rows.append(one)

    @property
    def sources(self) -> list[str]:
        """Names in the order of the pool, T."""
        by_place = {one.position: one.source for one in self.rows}
        return [by_place[place] for place in sorted(by_place)]

    @property
    def runs(self) -> list[tuple[int | None, int]]:
        """Of the pool, where there are several, and of the run, in order."""
        return list(dict.fromkeys((one.source_seed, one.seed) for one in self.rows))

    def values(self, field: str = "mean") -> NDArray[np.float64]:
        """Return one of the summaries' fields, (S, L, T); NaN where there is none."""
        import numpy as np

        seeds, sources = self.runs, sorted({one.position for one in self.rows})
        found = np.full((len(seeds), 1 + max(one.layer for one in self.rows), len(sources)), np.nan)
        for one in self.rows:
            found[seeds.index((one.source_seed, one.seed)), one.layer, sources.index(one.position)] = getattr(
                one, field
            )
        return found

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean over seeds, (L, T)."""
        found: NDArray[np.float64] = self.values().mean(axis=0)
        return found

    @property
    def varies(self) -> bool:
        """Whether not all look like one number."""
        return not _is_alike(self.means)

    @property
    def same_in_layers(self) -> bool:
        """Whether every layer has the same, or there is one for all."""
        means = self.means
        return _is_alike(means - means[:1], float(abs(means).max()))

    def over_layers(self, sources: Sequence[str]) -> list[float]:
        """Return the mean over layers and seeds of each named source; NaN where the pool has it not."""
        import numpy as np

        mine = dict(zip(self.sources, self.means.mean(axis=0), strict=True))
        return [float(mine.get(source, np.nan)) for source in sources]


def _is_alike(values: NDArray[np.float64], of: float | None = None) -> bool:
    import numpy as np

    finite = values[np.isfinite(values)]
    if not finite.size:
        return True
    size = float(np.abs(finite).max()) if of is None else of
    return float(np.ptp(finite)) <= _ALIKE * size


# -- one target ---------------------------------------------------------------------------------------


def _single(summary: Summary, row: str, target: str, one: _Map) -> Picture:
    import numpy as np

    from adapterlab.tracking.pictures import HeatmapRows, Spread, source_figure

    means = one.values()
    seeds = len(means)
    spread = None
    if one.is_vector:
        over = "dimensions" if seeds == 1 else f"dimensions, {seeds} seeds"
        # Variances are averaged, not deviations.
        pooled = np.sqrt(np.mean(one.values("std") ** 2, axis=0))
        spread = Spread(pooled, over, one.values("minimum").min(axis=0), one.values("maximum").max(axis=0))
    elif seeds > 1:
        spread = Spread(means.std(axis=0, ddof=1), f"{seeds} seeds")
    name = short_names(summary.targets)[target]
    figure = source_figure(
        one.means,
        one.sources,
        rows=HeatmapRows.of_layers(means.shape[1]),
        title=f"{name} · {row}",
        what=_what(one),
        spread=spread,
        start=_start(summary, row, target, one),
        own=target,
    )
    caption = f"{_large(_what(one))} of {row} on {name}: layers and sources, {_of_seeds(one)}."
    return Picture.of(f"coefficients-{target}-{row}", _kind(one), caption, drawn(figure), is_printed=False)


# -- all targets --------------------------------------------------------------------------------------


def _together(summary: Summary, row: str, maps: Mapping[str, _Map]) -> Figures:
    """Draw what shows several targets: each one's layers, all of them by source, attention layer by layer."""
    import numpy as np

    names = short_names((*maps, *(source for one in maps.values() for source in one.sources)))
    first = next(iter(maps.values()))
    sources = _sources(summary, maps.values())
    totals = np.array([one.over_layers(sources) for one in maps.values()])  # (targets, T)
    if not any(one.varies for one in maps.values()) and _is_alike(totals):
        return Figures(words=(f"Not drawn: {_what(first)} of {row}; {_ends(maps.values())}.",))
    starts = {_start(summary, row, target, one) for target, one in maps.items()}
    centre = starts.pop() if len(starts) == 1 else None
    coloured, floor = (None, 0.0) if first.is_attention else (centre, None)  # a share begins at 0
    over = _of_seeds(first)
    columns = [names[source] for source in sources]
    pictures = []
    layered = {target: one for target, one in maps.items() if not one.same_in_layers}
    if len(layered) > 1:
        layers = 1 + max(one.layer for maps_ in layered.values() for one in maps_.rows)
        panels = [Panel(names[target], _placed(one, sources, layers)) for target, one in layered.items()]
        panel = matrix_panels(
            panels,
            Names([str(layer) for layer in range(1, layers + 1)], columns, "layer", "source"),
            Scale(f"{_what(first)}, {over}; {_BY_TARGET}", coloured, floor, digits=2),
            title=f"{row}: layers and sources, target by target",
        )
        caption = (
            f"{_large(_what(first))} of {row}: layers and sources, one panel a target, {over}; {_BY_TARGET}."
        )
        pictures.append(Picture.of(f"coefficients-{row}-by-target", _kind(first), caption, panel))
    words: tuple[str, ...] = ()
    if len(maps) > 1 and _is_alike(totals):
        low, high = float(np.nanmin(totals)), float(np.nanmax(totals))
        words = (f"Not drawn: means over layers of {row}; all lie between {low:.4g} and {high:.4g}.",)
    elif len(maps) > 1:
        pictures.append(_targets_by_sources(row, maps, columns, totals, centre))
    found = Figures(tuple(pictures), words)
    if first.is_attention and layered and len(maps) > 1:
        found += _attention(row, maps, sources, columns, [names[target] for target in maps])
    return found


def _targets_by_sources(
    row: str,
    maps: Mapping[str, _Map],
    columns: Sequence[str],
    totals: NDArray[np.float64],
    centre: float | None,
) -> Picture:
    """Draw one row a target, its mean over layers and seeds; pools may differ, so cells may be empty."""
    from adapterlab.tracking.pictures import HeatmapRows, source_figure

    first = next(iter(maps.values()))
    figure = source_figure(
        totals,
        columns,
        rows=HeatmapRows(list(short_names(maps).values()), of="target"),
        title=row,
        what=f"{_what(first)}, mean over layers and seeds",
        start=centre,
    )
    caption = f"{_large(_what(first))} of {row}: targets and sources, mean over layers and seeds."
    return Picture.of(f"coefficients-{row}", _kind(first), caption, drawn(figure), is_printed=False)


def _placed(one: _Map, sources: Sequence[str], layers: int) -> NDArray[np.float64]:
    """Return the means with each named source in its column, (L, sources); NaN where the pool has it not."""
    import numpy as np

    found = np.full((layers, len(sources)), np.nan)
    means = one.means
    for place, source in enumerate(one.sources):
        found[: len(means), sources.index(source)] = means[:, place]
    return found


def _sources(summary: Summary, maps: Any) -> list[str]:
    """Return every source once, in the order of the specs' pools."""
    known = [name for one in summary.background for name in one.pool]
    met = list(dict.fromkeys(source for one in maps for source in one.sources))
    return sorted(met, key=lambda name: known.index(name) if name in known else len(known))


# -- attention ----------------------------------------------------------------------------------------


def _attention(
    row: str, maps: Mapping[str, _Map], sources: Sequence[str], columns: Sequence[str], targets: Sequence[str]
) -> Figures:
    """Draw targets and sources layer by layer, and how far apart the targets' attention lies."""
    import numpy as np

    layers = max(len(one.means) for one in maps.values())
    placed = np.stack([_placed(one, sources, layers) for one in maps.values()])  # (targets, L, T)
    panels = [Panel(f"layer {layer + 1}", placed[:, layer]) for layer in range(layers)]
    over = _of_seeds(next(iter(maps.values())))
    by_layer = matrix_panels(
        panels,
        Names(targets, columns, "target", "source"),
        Scale(f"mean attention, {over}; one scale for all layers", floor=0.0, digits=2),
        title=f"{row}: attention to the sources, layer by layer",
        shared=True,
    )
    caption = f"Mean attention of {row} to each source, one panel a layer, {over}."
    found = Figures((Picture.of(f"attention-{row}-by-layer", "attention", caption, by_layer),))
    if len(maps) > 2:
        shares = np.nan_to_num(placed)
        apart = np.abs(shares[:, None] - shares[None]).sum(axis=3).mean(axis=2) / 2  # (targets, targets)
        np.fill_diagonal(apart, np.nan)
        if _is_alike(apart):
            distance = float(np.nanmean(apart))
            found += Figures(
                words=(f"Not drawn: how far targets of {row} differ; any two by {distance:.2g}.",)
            )
        else:
            drawn_ = matrix_panels(
                [Panel("", apart)],
                Names(targets, targets, "target", "target"),
                Scale("share of attention that lies elsewhere, mean over layers", digits=2),
                title=f"{row}: how far targets differ",
                written=True,
            )
            caption = (
                f"How far the attention of two targets of {row} differs: half the sum of absolute differences over "
                "sources, mean over layers; 0 the same, 1 nothing in common."
            )
            found += Figures((Picture.of(f"attention-{row}-between-targets", "attention", caption, drawn_),))
    return found


def _attention_apart(summary: Summary, learned: Mapping[str, Mapping[str, _Map]]) -> Figures:
    """Draw the differences of attention between methods that attend to the same sources."""
    import numpy as np

    rows = [row for row, maps in learned.items() if next(iter(maps.values())).is_attention]
    found = Figures()
    for one, other in combinations(rows, 2):
        targets = [
            target for target, mine in learned[one].items()
            if target in learned[other] and set(mine.sources) == set(learned[other][target].sources)
        ]  # fmt: skip
        if not targets:
            continue
        sources = _sources(summary, [learned[one][target] for target in targets])
        apart = np.array([
            np.subtract(learned[one][target].over_layers(sources), learned[other][target].over_layers(sources))
            for target in targets
        ])  # fmt: skip
        if _is_alike(apart, 1.0):
            found += Figures(
                words=(f"Not drawn: the mean attention over layers of {one} and of {other} is the same.",)
            )
            continue
        names = short_names((*targets, *sources))
        panel = matrix_panels(
            [Panel("", apart)],
            Names(
                [names[target] for target in targets],
                [names[source] for source in sources],
                "target",
                "source",
            ),
            Scale("difference of mean attention, mean over layers and seeds", 0.0, digits=2),
            title=f"{one} minus {other}",
            written=True,
        )
        caption = f"Mean attention of {one} minus that of {other}, mean over layers and seeds."
        found += Figures((Picture.of(f"attention-{one}-minus-{other}", "attention", caption, panel),))
    return found


# -- words --------------------------------------------------------------------------------------------


def _start(summary: Summary, row: str, target: str, one: _Map) -> float | None:
    """Return where coefficients started: ``init_scale / T``; attention starts evenly."""
    if one.is_attention:
        return _STARTS_AT_UNIFORM / len(one.sources)
    cell = summary.cell(target, row)
    settings: Mapping[str, Any] = {} if cell is None else cell.settings
    scale = None if settings.get("target_share") else settings.get("init_scale")  # a share starts them apart
    return float(scale) / len(one.sources) if isinstance(scale, int | float) else None


def _what(one: _Map) -> str:
    return "mean attention" if one.is_attention else "scaling coefficients"


def _kind(one: _Map) -> Any:
    return "attention" if one.is_attention else "coefficients"


def _of_seeds(one: _Map) -> str:
    runs = one.runs
    return f"mean over {len(runs)} seeds" if len(runs) > 1 else f"seed {runs[0][1]}"


def _ends(maps: Iterable[_Map]) -> str:
    """Say between which numbers all lie."""
    found = list(maps)
    low, high = min(float(one.means.min()) for one in found), max(float(one.means.max()) for one in found)
    said = (
        f"all are {low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"all lie between {low:.4g} and {high:.4g}"
    )
    if not found[0].is_vector:
        return said
    least = min(float(one.values("minimum").min()) for one in found)
    most = max(float(one.values("maximum").max()) for one in found)
    return f"{said}, single dimensions between {least:.3g} and {most:.3g}"


def _large(text: str) -> str:
    return text[:1].upper() + text[1:]
