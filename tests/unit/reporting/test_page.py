"""One file holds a whole report: nothing is fetched, every text is escaped, every picture is inside."""

from __future__ import annotations

import html.parser
import re
from dataclasses import replace

from adapterlab.reporting.evidence import Confusion, Curve, Evidence
from adapterlab.reporting.grid import Column, Entry, Grid
from adapterlab.reporting.page import page
from adapterlab.reporting.picture import Figures, Picture
from adapterlab.reporting.summary import Background, TaskRows
from adapterlab.reporting.tables import grids, scores
from reports import SUMMARY

EVIL = '<script>alert("&")</script>'
ODD = Grid("a_b & <c>", (Column("100 %", "x|y", is_number=False),), ((Entry("$5_{}~^\\#", "1", "*n*"),),))
BACKGROUND = Background(
    sweep="demo", key="f" * 64, state="complete", submitted="2026-01-02T03:04:05+00:00", updated="", backbone=EVIL,
    backbone_digest="b" * 64, backbone_shape="bert, 2 layers", pool=("glue/rte", EVIL), adapter="pfeiffer",
    seeds=(0, 1), limits="16 few-shot rows of each target",
    search="at most 5 min a study, 7 to 16 of at most 16 trials made",
    tasks=(TaskRows("glue/rte", "target", "classification", 2, "accuracy", 2490, 277, 277, "d" * 64),),
    versions=("adapterlab 0.1.0; torch 2.9.0", EVIL), spec='{"name": "demo", "store": {"catalog": null}}',
)  # fmt: skip
EVIDENCE = Evidence(
    curves=(
        Curve("glue/rte", "scalearn", 0, (1, 2, 3), (0.5, 0.6, 0.7)),
        Curve("glue/rte", "scalearn", 1, (1, 2), (0.7, 0.8)),
        Curve("glue/rte", EVIL, 0, (1,), (0.4,)),
    ),
    confusions=(
        Confusion("glue/rte", EVIL, (EVIL, "no"), ((3, 1), (0, 1234)), 2),
        Confusion("superglue/cb", "scalearn", ("a", "b"), ((5, 6, 7), (0, 0, 0)), 1, is_multi_label=True),
    ),
    majority={"glue/rte": 0.5},
)
WHOLE = replace(
    SUMMARY,
    background=(BACKGROUND,),
    cells=(
        *SUMMARY.cells,
        replace(SUMMARY.cells[2], combiner=EVIL, is_own_adapter=True, keys=("a" * 64, "b" * 64, "c" * 64)),
    ),
)


class Reader(html.parser.HTMLParser):
    """Checks that tags nest, and keeps attributes and text."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.seen += [(tag, name, value) for name, value in attrs]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def whole():
    figures = Figures((Picture("evil", "coefficients", EVIL, b"\x89PNG data"),), (EVIL,))
    return page(WHOLE, grids(WHOLE, majority=EVIDENCE.majority), evidence=EVIDENCE, figures=figures)


def test_everything_is_in_the_file_and_nothing_is_asked_for():
    reader = read(whole())
    asked = [value for _, name, value in reader.seen if name in ("src", "href", "action", "data", "srcset")]
    assert asked == ["data:image/png;base64,iVBORyBkYXRh"]
    assert any("default-src 'none'" in (value or "") for _, name, value in reader.seen if name == "content")
    assert not re.search(r"https?://|url\(|@import|fetch\(", whole())


def test_every_text_is_escaped():
    text = whole()
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(&quot;&amp;&quot;)") >= 10
    odd = page(SUMMARY, [ODD])
    assert "<c>" not in odd
    assert "a_b &amp; &lt;c&gt;" in odd
    read(odd)


def test_it_says_what_was_done_with_what_and_how_to_do_it_again():
    text = read(whole()).text
    for said in ("f" * 64, "2026-01-02T03:04:05", "bert, 2 layers, 1,000,000 parameters", "glue/rte", "0, 1", "2,490",
                 "16 few-shot rows", "torch 2.9.0", "platform submit demo.toml", f"platform report {'f' * 12}",
                 'name = "demo"', "a" * 64):  # fmt: skip
        assert said in text, said
    assert "[store]" not in text, "a part without a value is left out"


def test_what_is_no_method_of_the_sweep_is_marked():
    text = whole()
    (floor,) = re.findall(r'<tr class="floor">.*?</tr>', text)
    assert "majority class" in floor
    assert "50.0" in floor
    (own,) = {re.sub(r"<td.*", "", one) for one in re.findall(r'<tr class="own">.*?</tr>', text)}
    assert own == '<tr class="own">'
    assert "target's own adapter" in read(text).text


def test_tables_keep_marks_and_can_be_sorted():
    text = page(SUMMARY, [scores(SUMMARY)])
    assert '<td class="best">80.0 <small>± 10.0</small></td>' in text
    assert text.partition("<details>")[0].count("<button") == len(scores(SUMMARY).columns)
    assert "Best bold" in text


def test_curves_are_means_over_the_seeds_that_got_so_far():
    (points,) = re.findall(r'points="([^"]+)"><title>scalearn</title>', whole())
    heights = [float(one.split(",")[1]) for one in points.split()]
    assert len(heights) == 3
    assert heights[0] > heights[1] == heights[2], "0.6, then 0.7 twice, and up is less"


def test_matrices_show_counts_of_all_seeds():
    text = read(whole()).text
    assert "1,234" in text
    assert "2 runs together" in text
    assert "missed" in text
