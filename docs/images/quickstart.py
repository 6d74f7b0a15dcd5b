"""Make ``mlflow-comparison.png`` and ``coefficients.png`` from a finished quickstart.

    make quickstart
    .venv/bin/python docs/images/quickstart.py

Needs a Chromium on this machine. Reads the home folder that the quickstart ran in (``ADAPTERLAB_HOME``).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from adapterlab import home

FOLDER = Path(__file__).parent
SWEEP = "quickstart"
STUDY = "entailment · scalearn"
"""A row of the table of methods."""
FINAL = f"{STUDY} · final · seed 0"
"""Whose coefficients are shown."""
SIZE = {"width": 1400, "height": 760}
_LINK = re.compile(rf"^\s*(?:adapterlab/)?{SWEEP}: (\S+)")


def draw_comparison(page: Page) -> None:
    """Wait for the table of methods that the experiment opens with, and take a picture."""
    page.get_by_role("columnheader", name="test/score", exact=False).first.wait_for()
    page.get_by_role("link", name=STUDY, exact=True).first.wait_for()
    page.wait_for_timeout(2000)  # for what is still drawn
    page.screenshot(path=FOLDER / "mlflow-comparison.png")


def copy_coefficients() -> None:
    """Take the picture that was logged with a final run."""
    import mlflow

    os.environ.setdefault("MLFLOW_TRACKING_URI", home.stores().tracking)
    client = mlflow.MlflowClient()
    experiments = [one.experiment_id for one in client.search_experiments() if SWEEP in one.name]
    runs = client.search_runs(
        experiments, f"tags.`mlflow.runName` = '{FINAL}'", order_by=["attributes.start_time DESC"]
    )
    if not runs:
        sys.exit(f"no run {FINAL!r} in {home.home_folder()}: run `make quickstart` first")
    file = client.download_artifacts(runs[0].info.run_id, "coefficients.png")
    shutil.copyfile(file, FOLDER / "coefficients.png")


@contextmanager
def address() -> Iterator[str]:
    """Run ``platform ui`` and give the link to the quickstart's runs that it prints."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = [sys.executable, "-m", "adapterlab.cli", "ui", "--port", str(port)]
    ui = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ui.stdout is not None
    link = ""
    for line in ui.stdout:
        found = _LINK.match(line)
        link = found[1] if found else link
        if "Ctrl-C" in line:
            break
    try:
        if not link:
            sys.exit(f"`platform ui` knows no experiment {SWEEP!r}: run `make quickstart` first")
        yield link
    finally:
        ui.send_signal(signal.SIGINT)
        ui.wait(60)


def main() -> None:
    """Make both pictures."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("no Chromium on this machine")
    copy_coefficients()
    with address() as link, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(60_000)
        page.goto(link)
        draw_comparison(page)
        browser.close()


if __name__ == "__main__":
    main()
