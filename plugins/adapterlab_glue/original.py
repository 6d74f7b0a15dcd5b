"""GLUE's own files (``CoLA/train.tsv``, ``MNLI/dev_matched.tsv``, …) as rows with the hub's columns.

They are tab-separated without any quoting: a quote is text. QQP's has a few broken lines, which the
hub leaves out as well. SST-2, QNLI, RTE and WNLI have the hub's columns already.

Source: the files of gluebenchmark.com; huggingface/datasets, ``glue.py``, for columns and the rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapterlab.plugin import Original, Row


def _renamed(marks: tuple[str, ...], *, lenient: bool = False, **names: str) -> Original:
    """Return an original whose columns are called ``names`` (new by old) on the hub."""
    columns: Mapping[str, str] = {old: new for new, old in names.items()}

    def convert(row: Row) -> Iterator[dict[str, Any]]:
        yield {columns.get(name, name): value for name, value in row.items()}

    return Original(marks=marks, convert=convert, lenient=lenient)


COLA = Original(header=("source", "label", "mark", "sentence"))
MRPC = _renamed(
    ("Quality", "#1 String", "#2 String"), label="Quality", sentence1="#1 String", sentence2="#2 String"
)
QQP = _renamed(("is_duplicate", "qid1"), label="is_duplicate", lenient=True)
STSB = _renamed(("score", "genre"), label="score", lenient=True)
MNLI = _renamed(("gold_label", "promptID"), label="gold_label", premise="sentence1", hypothesis="sentence2")
INDEXED = Original(marks=("index",))
"""QNLI, RTE and WNLI: the hub's columns, and a number of each line."""
