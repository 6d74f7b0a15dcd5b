"""The committed reference page is the generated one."""

from __future__ import annotations

from pathlib import Path

from adapterlab.spec.key_tables import tables
from adapterlab.spec.reference import page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "spec.md"


def test_the_committed_page_is_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "the models changed: run `python -m adapterlab.spec.reference docs/reference/spec.md`"
    )


def test_every_key_is_on_the_page() -> None:
    text = page()
    for table in tables():
        assert not table.path or f"## `{table.header}`" in text
        for knob in table.knobs:
            assert f"| `{knob.name}` |" in text
            assert knob.doc, f"{table.path}.{knob.name} has no docstring"
