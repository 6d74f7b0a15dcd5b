"""Heatmaps and bars are PNGs of a size that fits what they show."""

import io
import struct
import threading

import numpy as np
import pytest

from adapterlab.tracking.drawing import png
from adapterlab.tracking.pictures import (
    HeatmapRows,
    Spread,
    coefficient_heatmap,
    difference_bars,
    label_bars,
    source_figure,
)


def _size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def _draw(shape, **settings):
    layers, count, width = shape
    values = np.random.default_rng(0).normal(2 / count, 0.1, (layers, count, width))
    return coefficient_heatmap(
        values, [f"glue/task{i}" for i in range(count)], target="glue/task0", combiner="scalearn", **settings
    )


@pytest.mark.parametrize("shape", [(1, 2, 1), (6, 6, 1), (12, 6, 384), (1, 16, 768), (24, 16, 1)])
def test_heatmap_is_a_png_that_grows_with_layers_and_sources(shape):
    width, height = _size(_draw(shape))
    layers, count, _ = shape
    assert width > 100 * count
    assert height > 50 * layers


def test_heatmap_survives_values_that_are_not_numbers():
    values = np.full((2, 3, 1), np.nan)
    values[0, 0, 0] = np.inf
    assert _size(coefficient_heatmap(values, ["a", "b", "c"], target="a", combiner="x"))


def test_heatmap_of_equal_values_is_drawn():
    assert _size(coefficient_heatmap(np.zeros((2, 2, 1)), ["a", "b"], target="a", combiner="x", start=0.0))


@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 1), (0, 3, 1)])
def test_heatmap_refuses_a_shape_that_does_not_fit_the_sources(shape):
    with pytest.raises(ValueError, match="3 sources"):
        coefficient_heatmap(np.zeros(shape), ["a", "b", "c"], target="a", combiner="x")


def test_white_is_where_training_started():
    """The same values look different when they started elsewhere."""
    assert _draw((2, 2, 1), start=1.0) != _draw((2, 2, 1), start=0.0)


def test_heatmaps_drawn_in_threads_are_the_same_as_alone():
    alone = [_draw((layers, 3, 1)) for layers in range(1, 5)]
    together: dict[int, bytes] = {}
    threads = [
        threading.Thread(target=lambda n=n: together.__setitem__(n, _draw((n, 3, 1)))) for n in range(1, 5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[n] for n in range(1, 5)] == alone


def test_many_sources_fit_on_one_page():
    """Cells shrink, and numbers that do not fit are left out, instead of a picture metres wide."""
    assert _size(_draw((4, 64, 1)))[0] < 4000


def test_targets_by_sources_may_have_empty_cells():
    means = np.array([[0.1, np.nan], [0.2, 0.3]])
    spread = Spread(np.abs(means), "3 seeds")
    rows = HeatmapRows(["x", "y"], of="target")
    assert _size(png(source_figure(means, ["a", "b"], rows=rows, title="t", spread=spread)))
    with pytest.raises(ValueError, match="1 rows, 2 sources"):
        source_figure(means, ["a", "b"], rows=HeatmapRows(["x"]), title="t")


def test_bars_grow_with_sources_and_refuse_what_does_not_fit():
    few = _size(difference_bars([-0.1, 0.2], ["a", "b"], title="t", what="w"))
    many = _size(difference_bars([0.0, float("nan")] * 6, [f"s{i}" for i in range(12)], title="t", what="w"))
    assert many[1] > few[1]
    with pytest.raises(ValueError, match="got 1 for 2"):
        difference_bars([0.1], ["a", "b"], title="t", what="w")


def _pixels(png):
    image = pytest.importorskip("matplotlib.image")
    return np.asarray(image.imread(io.BytesIO(png), format="png"))


@pytest.mark.parametrize("count", [1, 6, 33])
def test_label_bars_are_as_high_as_there_are_labels(count):
    names = [f"Humanitarian Access->{'very ' * 20}long name {i}" for i in range(count)]
    drawn = _pixels(label_bars(names, [i / count for i in range(count)], list(range(count)), title="a · b"))
    assert drawn.shape[0] > 30 * count
    assert drawn.std() > 0


def test_a_greater_score_is_a_longer_label_bar():
    def coloured(score):
        drawn = _pixels(label_bars(["one"], [score], [1], title="t"))
        return int((np.abs(drawn[..., :3] - np.array([0x4A, 0x7F, 0xB5]) / 255) < 0.02).all(axis=-1).sum())

    assert coloured(0.9) > 1.5 * coloured(0.5) > 0
    assert coloured(0.0) == 0


def test_label_bars_want_as_many_scores_as_labels():
    with pytest.raises(ValueError, match="2 labels, 1 scores"):
        label_bars(["a", "b"], [0.5], [1, 2], title="t")
