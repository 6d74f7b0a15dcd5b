"""The report's one file as a reader sees it: in a real Chromium, on a telephone, on a wide screen and on paper."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from adapterlab.reporting.evidence import Confusion, Curve, Evidence
from adapterlab.reporting.page import page
from adapterlab.reporting.picture import Figures
from adapterlab.reporting.tables import grids
from browser import fresh_page
from reports import SUMMARY

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

LABELS = ("entailment", "neither_entailment_nor_contradiction", "contradiction")
EVIDENCE = Evidence(
    curves=(Curve("glue/rte", "scalearn", 0, (1, 2, 3), (0.5, 0.6, 0.7)),),
    confusions=(Confusion("glue/rte", "scalearn", LABELS, ((3, 1, 0), (0, 1234, 2), (5, 6, 7)), 2),),
    majority={"glue/rte": 0.5},
)
LONG = "scalearn_uniform 10 sources, 100 rows · source seed 3"


@pytest.fixture
def file(tmp_path):
    summary = replace(
        SUMMARY, cells=(*SUMMARY.cells, *(replace(one, combiner=LONG) for one in SUMMARY.cells[:1]))
    )
    path = tmp_path / "report.html"
    path.write_text(page(summary, grids(summary), evidence=EVIDENCE, figures=Figures()), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_itself_never_scrolls_sideways_and_its_console_is_silent(file, width):
    with fresh_page() as browser:
        said = []
        browser.on("console", lambda message: said.append(message.text))
        browser.on("pageerror", lambda error: said.append(str(error)))
        browser.set_viewport_size({"width": width, "height": 900})
        browser.goto(file.as_uri())
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert said == []


def test_a_press_on_a_heading_sorts_its_table(file):
    with fresh_page() as browser:
        browser.goto(file.as_uri())
        table = browser.locator("table.sorts").first
        head = table.locator("th button").last

        def column() -> list[float]:
            texts = table.locator("tbody tr td:last-child").all_inner_texts()
            numbers = [re.match(r"[0-9.]+", text.strip()) for text in texts]
            return [float(one[0]) for one in numbers if one]

        head.click()
        falling = column()
        head.click()
        assert len(falling) > 1
        assert falling == sorted(falling, reverse=True)
        assert column() == sorted(falling)


def test_on_paper_no_table_is_wider_than_a_browser_can_shrink(file):
    """Chromium shrinks a page by a half at most; an A4 sheet has 718 pixels within its margins."""
    with fresh_page() as browser:
        browser.set_viewport_size({"width": 718, "height": 1000})
        browser.goto(file.as_uri())
        browser.emulate_media(media="print")
        assert browser.evaluate("document.documentElement.scrollWidth") < 1.5 * 718
        assert browser.pdf().startswith(b"%PDF")
