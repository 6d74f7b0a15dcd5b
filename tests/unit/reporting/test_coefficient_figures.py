"""Heat maps of coefficients: drawn where they vary, told in words where they do not."""

from __future__ import annotations

from dataclasses import replace

from adapterlab.reporting.coefficient_figures import coefficient_figures
from adapterlab.reporting.figures import report_figures
from adapterlab.reporting.summary import LayerInfluence, Summary
from drawings import cut, is_blank, texts
from reports import cell

TARGETS = ("glue/rte", "superglue/cb", "glue/mnli")
SOURCES = ("glue/mnli", "glue/rte", "superglue/cb")


def of(layers, row="scalearn_uniform", **fields) -> Summary:
    cells = tuple(
        cell(name, [0.5] * 3, target=target, **fields)
        for name in dict.fromkeys([row, *(one.combiner for one in layers)])
        for target in TARGETS
    )
    return Summary(sweep="demo", key="0" * 64, state="complete", cells=cells, layers=tuple(layers))


def layers(value, *, row="scalearn_uniform", targets=TARGETS, deep=3, seeds=(0,), **fields):
    """Return coefficients; ``value`` is called with target, layer and source, each a number from 0."""
    return [
        LayerInfluence(
            target, row, seed, layer, source, place, mean := value(number, layer, place), fields.get("std", 0.0),
            mean - fields.get("std", 0.0), mean + fields.get("std", 0.0), "std" in fields, fields.get("is_attention", False),
        )
        for number, target in enumerate(targets)
        for seed in seeds
        for layer in range(deep)
        for place, source in enumerate(SOURCES)
    ]  # fmt: skip


def varied(number, layer, place):
    return 0.1 + 0.2 * ((number + layer + 2 * place) % 4)


def names(figures):
    return [one.name for one in figures.pictures]


def drawn(figures, name):
    (one,) = [picture for picture in figures.pictures if picture.name == name]
    assert not is_blank(one.png)
    assert cut(one.svg) == []
    return {text.text for text in texts(one.svg)}


def test_each_target_has_its_layers_and_all_stand_together():
    found = coefficient_figures(of(layers(varied)))
    singles = [f"coefficients-{target.replace('/', '-')}-scalearn_uniform" for target in TARGETS]
    assert names(found) == [
        *singles,
        "coefficients-scalearn_uniform-by-target",
        "coefficients-scalearn_uniform",
    ]
    assert {"mnli", "rte", "cb", "0.30", "0.70", "mean"} <= drawn(found, singles[0])
    assert {"mnli", "rte", "cb", "layer", "source", "1", "3"} <= drawn(
        found, "coefficients-scalearn_uniform-by-target"
    )
    assert "seed 0" in found.pictures[3].caption


def test_what_is_alike_everywhere_is_told_with_its_numbers():
    found = coefficient_figures(of(layers(lambda *_: 0.6667)))
    assert found.pictures == ()
    assert found.words == ("Not drawn: scaling coefficients of scalearn_uniform; all are 0.667.",)
    (said,) = coefficient_figures(of(layers(lambda _, layer, __: 0.6667 + layer / 1000, std=0.02))).words
    assert "all lie between 0.6667 and 0.6687, single dimensions between 0.647 and 0.689" in said


def test_coefficients_that_are_the_same_in_every_layer_are_not_drawn_layer_by_layer():
    found = coefficient_figures(of(layers(lambda number, _, place: 0.1 + number / 4 + place / 8)))
    assert names(found) == ["coefficients-scalearn_uniform"]


def test_a_grid_of_given_coefficients_draws_none_of_them():
    """A grid of 7 × 7 on seven targets would be 343 pictures of one colour each."""
    points = [layers(lambda *_, w=w: w / 10, row=f"probe target {w}") for w in range(7)]
    summary = of([one for point in points for one in point])
    cells = tuple(
        replace(one, coordinates={"target": 0.1}) if one.combiner.startswith("probe") else one
        for one in summary.cells
    )
    found = coefficient_figures(replace(summary, cells=cells))
    assert found.pictures == ()
    assert len(found.words) == 1


def test_very_many_targets_have_no_picture_each():
    many = tuple(f"glue/task{number}" for number in range(25))
    found = coefficient_figures(of(layers(varied, targets=many)))
    assert names(found) == ["coefficients-scalearn_uniform-by-target", "coefficients-scalearn_uniform"]
    assert found.words == ("Not drawn: 25 heat maps of one target each; those of all targets show the same.",)


def attention(number, layer, place):
    if number == 2:
        return (0.5, 0.4, 0.1)[place]
    return 0.6 if (number + layer // 2) % 3 == place else 0.2


def test_attention_is_drawn_layer_by_layer_and_how_far_targets_differ():
    found = coefficient_figures(of(layers(attention, row="fusion", is_attention=True), row="fusion"))
    assert {"layer 1", "layer 2", "layer 3", "target", "source"} <= drawn(found, "attention-fusion-by-layer")
    said = drawn(found, "attention-fusion-between-targets")
    assert "0.40" in said, "of the first two: |0.6 - 0.2| twice, halved"
    assert "0.23" in said, (
        "of the first and last: (0.1 + 0.2 + 0.1) / 2 in two layers, (0.3 + 0.2 + 0.1) / 2 in one"
    )


def test_attention_of_two_methods_is_compared_where_their_sources_are_the_same():
    one = layers(attention, row="fusion", is_attention=True)
    other = layers(lambda *_: 1 / 3, row="fusion of MT-A", is_attention=True)
    found = coefficient_figures(of([*one, *other], row="fusion"))
    assert {"rte", "cb", "mnli"} <= drawn(found, "attention-fusion-minus-fusion-of-MT-A")
    assert "Not drawn: mean attention of fusion of MT-A; all are 0.333." in found.words
    same = coefficient_figures(of([*one, *(replace(each, combiner="again") for each in one)], row="fusion"))
    assert "Not drawn: the mean attention over layers of fusion and of again is the same." in same.words


def test_names_that_would_be_one_file_are_told_apart():
    rows = [layers(varied, row=row) for row in ("a b", "a-b")]
    found = names(report_figures(of([*rows[0], *rows[1]], row="a b")))
    assert len(found) == len(set(found))
    assert {"coefficients-a-b", "coefficients-a-b-2"} <= set(found)
