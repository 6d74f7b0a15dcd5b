"""The picture of a multi-label task's labels."""

from __future__ import annotations

import io

import numpy as np
import pytest

from adapterlab.tracking.label_bars import label_bars


def pixels(png):
    image = pytest.importorskip("matplotlib.image")
    return np.asarray(image.imread(io.BytesIO(png), format="png"))


@pytest.mark.parametrize("count", [1, 6, 33])
def test_it_is_as_high_as_it_has_labels(count):
    names = [f"Humanitarian Access->{'very ' * 20}long name {i}" for i in range(count)]
    drawn = pixels(label_bars(names, [i / count for i in range(count)], list(range(count)), title="a · b"))
    assert drawn.shape[0] > 30 * count
    assert drawn.std() > 0


def test_a_greater_score_is_a_longer_bar():
    def coloured(score):
        drawn = pixels(label_bars(["one"], [score], [1], title="t"))
        return int((np.abs(drawn[..., :3] - np.array([0x4A, 0x7F, 0xB5]) / 255) < 0.02).all(axis=-1).sum())

    assert coloured(0.9) > 1.5 * coloured(0.5) > 0
    assert coloured(0.0) == 0


def test_as_many_scores_as_labels():
    with pytest.raises(ValueError, match="2 labels, 1 scores"):
        label_bars(["a", "b"], [0.5], [1, 2], title="t")
