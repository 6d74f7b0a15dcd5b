"""The site is built without a warning, and fetches nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    find_spec("mkdocs") is None, reason="mkdocs is not installed; see the extra 'docs'"
)


def _build(site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    # A proxy that does not exist: whoever asks the network fails.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site, *options],
        cwd=REPOSITORY,
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_site_is_built_without_warnings_or_the_network(tmp_path: Path) -> None:
    done = _build(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        fetched = re.findall(
            r'<(?:script|img|iframe)[^>]+src="?(https?:[^" >]+)', page.read_text(encoding="utf-8")
        )
        fetched += re.findall(
            r'<link[^>]+rel="?(?:stylesheet|preconnect|preload|icon)"?[^>]+href="?(https?:[^" >]+)',
            page.read_text(encoding="utf-8"),
        )
        assert fetched == [], page


def test_a_broken_anchor_is_an_error(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("[gone](#nowhere)\n")
    settings = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    alone = re.sub(
        r"^nav:.*?(?=^exclude_docs:)", "nav:\n  - index.md\n\n", settings, flags=re.DOTALL | re.MULTILINE
    )
    (tmp_path / "mkdocs.yml").write_text(alone, encoding="utf-8")
    done = _build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert done.returncode != 0
    assert "nowhere" in done.stderr
