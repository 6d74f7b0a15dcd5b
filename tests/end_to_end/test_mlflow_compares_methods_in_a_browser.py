"""A new user opens an experiment of six combiners and reads what won, by how much, and by which sources."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from browser import CHROMIUM, fresh_page, keep_picture, plain_mlflow, platform_ui
from tiny_world import platform, write_world

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

KINDS = ["scalearn", "scalearn_uniform", "scalearn_pp", "adapterfusion", "adaptersoup", "uniform_average"]
SOURCES = ("cb", "rte")
COMBINERS = f"""\
kind = {json.dumps(KINDS)}

[combiner.per_kind.adaptersoup]
settings = {{ max_texts = 20, encoder = "folder:backbone" }}
"""
EXPERIMENT = "adapterlab/tiny"


@dataclass(frozen=True)
class Swept:
    """A home folder with the finished sweep, and its report."""

    home: Path
    report: dict

    @property
    def winner(self) -> dict:
        """The cell of the best method; there is one target."""
        whole = [cell for cell in self.report["cells"] if cell["mean"] is not None]
        return max(whole, key=lambda cell: cell["mean"])


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Swept:
    """Submit the tiny spec with six combiners and a baseline, for real."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    folder = tmp_path_factory.mktemp("compared")
    spec = write_world(folder, trials=1, epochs=2)
    text = spec.read_text().replace('kind = ["scalearn", "scalearn_uniform"]\n', COMBINERS)
    spec.write_text(f'{text}\n[[baseline]]\nmethod = "lora"\n')
    home = folder / "home"
    in_process = ("--set", "cluster.launcher='in_process'")
    done = platform(home, "submit", str(spec), *in_process, "--json", timeout_s=800)
    assert done.returncode == 0, done.stderr
    return Swept(home, json.loads(done.stdout)["report"])


def rows_of(page) -> dict[str, dict[str, str]]:
    """Return what the table of runs shows: cells by heading, by run name."""
    page.get_by_role("columnheader", name="test/score", exact=False).first.wait_for()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = page.evaluate(_TABLE)
        if len(found) > len(KINDS):
            return found
        page.wait_for_timeout(500)
    return found


_TABLE = """() => {
  const rows = {}, named = {};
  for (const cell of document.querySelectorAll('.ag-row .ag-cell[col-id]')) {
    const index = cell.closest('.ag-row').getAttribute('row-index'), link = cell.querySelector('a[href*="/runs/"]');
    const row = rows[index] = rows[index] || {};
    row[cell.getAttribute('col-id')] = cell.innerText.trim();
    if (link) row.name = link.innerText.trim();
  }
  for (const index of Object.keys(rows).sort((one, other) => one - other)) {
    if (rows[index].name) named[rows[index].name] = rows[index];
  }
  return named;
}"""


def check_first_line(page, swept: Swept) -> None:
    """Read the winner, its spread and coefficients above the runs, as MLflow shows them unfolded."""
    line = page.get_by_text(re.compile("best is")).first
    line.wait_for()
    said = line.inner_text()
    score = f"{100 * swept.winner['mean']:.1f} ± {100 * swept.winner['std']:.1f}"
    assert score in said
    assert swept.winner["combiner"] in said or "level with" in said
    assert "coefficients on rte: " in said
    for source in SOURCES:
        assert re.search(rf"{source} \d\.\d{{3}} \(\d+ %\)", said), said


def check_rows(page, swept: Swept) -> None:
    """Read the list: every method, best first, and no combination without coefficients or contributions."""
    found = rows_of(page)
    wanted = {f"rte · {cell['combiner']}": cell for cell in swept.report["cells"]}
    assert set(found) == set(wanted)
    shown = [float(row["metrics.`test/score`"].rstrip("…")) for row in found.values()]
    assert shown == sorted(shown, reverse=True)
    for name, row in found.items():
        assert float(row["metrics.`test/score`"].rstrip("…")) == pytest.approx(wanted[name]["mean"], abs=1e-6)
        assert row["metrics.`test/score_std`"] not in ("", "-")
        if wanted[name]["is_baseline"]:
            continue
        for kind in ("coefficient", "contribution"):
            for source in SOURCES:
                value = row[f"metrics.`{kind}/{source}`"]
                assert value not in ("", "-"), f"{name} has no {kind} of {source}"


def test_our_server_opens_the_comparison_by_the_experiments_name(swept):
    """Start page, experiments, its name: nothing else is pressed."""
    with platform_ui(swept.home) as (url, said), fresh_page(timeout_s=120) as page:
        page.goto(f"{url}/?token={re.search(r'token=([^#]+)#', said)[1]}")
        page.get_by_role("link", name="Experiments", exact=True).first.click()
        page.get_by_role("link", name=EXPERIMENT, exact=True).first.click()
        check_first_line(page, swept)
        check_rows(page, swept)
        keep_picture(page, "comparison-of-methods")
        page.goto("about:blank")
        page.goto(re.search(rf"{re.escape(EXPERIMENT)}: (\S+)", said)[1])
        check_rows(page, swept)


def test_a_plain_server_shows_the_winner_at_once_and_the_rest_by_the_link(swept):
    """Without our plug-in the experiment's description says it; the views are MLflow's own."""
    with plain_mlflow(swept.home) as url, fresh_page(timeout_s=120) as page:
        page.goto(f"{url}/#/experiments")
        page.get_by_role("link", name=EXPERIMENT, exact=True).first.click()
        check_first_line(page, swept)
        keep_picture(page, "plain-server")
        # Not by its role: a dialog of MLflow's GenAI half, which a plain server opens in, hides roles behind it.
        link = page.locator("a", has_text="all runs compared").first.get_attribute("href")
        page.goto("about:blank")
        page.goto(f"{url}/{link}")
        check_rows(page, swept)
        page.goto("about:blank")
        page.goto(f"{url}/{link}&compareRunsMode=CHART")
        page.get_by_text("What the sources contribute").first.wait_for()
        page.get_by_text("Test score").first.wait_for()
        keep_picture(page, "charts")
