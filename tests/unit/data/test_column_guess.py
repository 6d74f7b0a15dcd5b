"""What a file's columns seem to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterlab.data.column_guess import guess_columns
from adapterlab.errors import DataError


def csv(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("header", "rows", "text", "label", "kind"),
    [
        ("text,label", ["a,1", "b,0"], ("text",), "label", "classification"),
        ("premise,hypothesis,gold", ["a,b,yes", "c,d,no"], ("premise", "hypothesis"), "gold", "classification"),
        ("sentence1,sentence2,score", ["a,b,1.5", "c,d,0.25", "e,f,3"], ("sentence1", "sentence2"), "score", "regression"),
        ("nr,Aussage,Klasse", ["1,lang genug,ja", "2,auch lang,nein", "3,noch was,ja"], ("Aussage",), "Klasse", "classification"),
        ("review,y", ["good,1.0", "bad,0.0"], ("review",), "y", "classification"),
    ],
)  # fmt: skip
def test_names_come_first_and_then_what_is_in_the_columns(tmp_path, header, rows, text, label, kind) -> None:
    guess = guess_columns(csv(tmp_path / "a.csv", header, *rows))
    assert (guess.text, guess.label, guess.type) == (text, label, kind)


def test_json_lines_are_looked_at_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"question": "a", "sentence": "b", "label": "x"}\n{"question": "c", "sentence": "d", "label": "y"}\n'
    )
    assert guess_columns(path).text == ("question", "sentence")


def test_what_was_said_is_taken_and_must_be_there(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "a,b,label", "x,y,0", "z,w,1")
    assert guess_columns(path, text=["b"]).text == ("b",)
    with pytest.raises(DataError, match="no column 'c'"):
        guess_columns(path, label="c")
    with pytest.raises(DataError, match="no column that could be"):
        guess_columns(csv(tmp_path / "b.csv", "a,b", "1,same", "1,same"), label=None)
    with pytest.raises(DataError, match="unknown format"):
        guess_columns(csv(tmp_path / "a.txt", "text,label"))
