"""Files to records: every format gives the same, every broken file is told with its line."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.data import formats
from adapterlab.data.formats import Fault, records
from adapterlab.data.row_reading import ReadOptions
from adapterlab.data.task_facts import task_facts
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import DataError
from adapterlab.records import ProblemType
from adapterlab.registry.task_definitions import TaskDefinition
from adapterlab.spec.tasks import TaskSpec
from rows import read_file

PAIR = TaskDefinition(
    name="pair",
    text=("first", "second"),
    label="label",
    problem_type=ProblemType.CLASSIFICATION,
    labels=("no", "yes"),
    metrics=("accuracy",),
)
ROWS = [
    {"first": 'He said "no"', "second": "one\ttab", "label": "yes"},
    {"first": '"quoted"', "second": "two\nlines, and a comma", "label": "no"},
    {"first": "naïve – 日本語 \u2028 é", "second": "'", "label": "yes"},
]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows in the format of the path's name, as a person's tools do."""
    name = path.name.removesuffix(".gz")
    columns = list(rows[0])
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    text = io.StringIO(newline="")
    if name.endswith(".jsonl"):
        text.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        separator = "," if name.endswith(".csv") else "\t"
        writer = csv.DictWriter(
            text, columns, delimiter=separator, lineterminator="\r\n" if separator == "," else "\n"
        )
        writer.writeheader()
        writer.writerows(rows)
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


NAMES = ["x.jsonl", "x.csv", "x.tsv", "x.parquet", "x.jsonl.gz", "x.csv.gz", "x.tsv.gz"]


@pytest.mark.parametrize("name", NAMES)
def test_quotes_tabs_newlines_and_unicode_come_back_as_they_were(tmp_path, name):
    found = [record for _, record in records(write(tmp_path / name, ROWS))]
    assert found == ROWS


texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), min_size=1, max_size=12
).filter(str.strip)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=12, max_size=16))
def test_the_same_rows_in_any_format_have_the_same_digest(tmp_path_factory, pairs):
    """A TSV file that no quote or break needs is read as it stands; one that has them, as CSV is."""
    folder = tmp_path_factory.mktemp("same")
    rows = [
        {"first": one, "second": two, "label": ("no", "yes")[number % 2]}
        for number, (one, two) in enumerate(pairs)
    ]
    digests = set()
    for name in NAMES:
        write(folder / name, rows)
        task = TaskSpec(name="mine/same", train=name, text=("first", "second"))
        # without the rows' own quotes a TSV file's form is one of two, so say which where both would do
        if name.startswith("x.tsv"):
            task = task.model_copy(update={"quotes": "csv"})
        library = TaskLibrary(folder / "cache", own_tasks={task.name: task}, own_folder=folder)
        facts = task_facts(library, "mine/same")
        digests.add(facts.content_digest)
    assert len(digests) == 1


def test_a_tsv_file_of_the_old_kind_keeps_its_quotes(tmp_path):
    """GLUE's files quote nothing: a quote that opens a text is part of it, and never closed."""
    path = tmp_path / "x.tsv"
    path.write_text('first\tsecond\n"Go, he said.\tit"s\n"a" b\tc\n')
    assert [record for _, record in records(path)] == [
        {"first": '"Go, he said.', "second": 'it"s'},
        {"first": '"a" b', "second": "c"},
    ]


def test_two_texts_that_open_with_a_quote_do_not_swallow_the_rows_between(tmp_path):
    """Read as CSV the first quote would close at the second, four rows on, and nobody would be told."""
    path = tmp_path / "x.tsv"
    lines = ["text\tlabel", '"it begins here\t0', "between\t1", 'and ends there"\t1', "after\t0"]
    path.write_text("".join(f"{line}\n" for line in lines))
    found = [record for _, record in records(path)]
    assert [record["text"] for record in found] == ['"it begins here', "between", 'and ends there"', "after"]
    path.write_text('text\tlabel\n"one\nand two"\t0\n')  # a break inside a cell that is quoted
    assert [record for _, record in records(path)] == [{"text": "one\nand two", "label": "0"}]


@pytest.mark.parametrize(("quotes", "first"), [("none", '"a"'), ("csv", "a"), ("auto", "a")])
def test_what_could_be_either_is_said_or_taken_as_quoted(tmp_path, quotes, first):
    path = tmp_path / "x.tsv"
    path.write_text('first\tsecond\n"a"\tb\n')
    assert [record for _, record in records(path, quotes=quotes)] == [{"first": first, "second": "b"}]


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl"])
def test_a_byte_order_mark_is_no_part_of_a_name_and_other_bytes_are_named_by_line(tmp_path, name):
    path = write(tmp_path / name, ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert next(iter(records(path)))[1] == ROWS[0]
    content = path.read_bytes()
    path.write_bytes(content.replace("naïve".encode(), b"na\xefve"))
    with pytest.raises(DataError, match=r"not UTF-8: byte 0xef") as caught:
        read_file(path, PAIR)
    line = 3 if name == "x.jsonl" else 5  # a cell of the table has a line break
    assert caught.value.message.startswith(f"{path}:{line}:")


def test_utf_16_is_told_as_such(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("first,second\na,b\n".encode("utf-16"))
    with pytest.raises(DataError, match="UTF-16") as caught:
        list(records(path))
    assert "UTF-8" in caught.value.remedy


def test_lines_are_counted_as_an_editor_does_though_cells_break_them(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('first,second,label\n"a\nb",c,yes\nd,e,maybe\n')
    with pytest.raises(DataError, match=r"x\.csv:4: unknown label 'maybe'"):
        read_file(path, PAIR)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("first,second,label\na,b,yes\na,b\n", r":3: 2 cells, expected 3"),
        ("first,second,label\na,b,yes,x\n", r":2: 4 cells, expected 3"),
        ('first,second,label\na,b,yes\n"a,b,yes\n', r":3: broken CSV: .*is the file whole"),
        ("first,first,label\na,b,yes\n", r":1: the column 'first' stands there twice"),
        ("first,second\na,b\n", r":2: no column 'label'"),
        ("first;second;label\na;b;yes\n", r":1: one column, .* separated by ';', expected ','"),
        ("first,second,label\na,,yes\n", r":2: column 'second' is empty"),
        ("first,second,label\n", "no rows"),
        ("", "no rows"),
    ],
)
def test_a_broken_table_is_told_with_its_line(tmp_path, content, says):
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=says):
        read_file(path, PAIR)


def test_a_packed_file_that_is_cut_off_or_damaged_is_told(tmp_path):
    path = write(tmp_path / "x.jsonl.gz", ROWS)
    content = path.read_bytes()
    for broken in (content[:-12], b"plain text", content[:20] + b"\x00\x01\x02" + content[23:]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="cannot be unpacked"):
            read_file(path, PAIR)


def test_a_gzip_bomb_is_refused_long_before_it_fills_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "FREE_BYTES", 1 << 19)
    monkeypatch.setattr(formats, "MAX_LINE_BYTES", 1 << 20)
    path = tmp_path / "x.jsonl.gz"
    with gzip.open(path, "wb") as stream:
        for _ in range(4):
            stream.write(b"{}\n" * 100_000)
    with pytest.raises(DataError, match="no text does that"):
        for _ in records(path):
            pass
    with gzip.open(path, "wb") as stream:
        stream.write(bytes(formats.MAX_LINE_BYTES + 10))
    with pytest.raises(DataError, match=r"longer than|no text does that"):
        list(records(path))


def test_a_packed_file_of_real_text_is_no_bomb(tmp_path):
    rows = [
        {"first": f"A sentence about the number {n}.", "second": "so", "label": "yes"} for n in range(5000)
    ]
    assert sum(1 for _ in records(write(tmp_path / "x.csv.gz", rows))) == 5000


def test_parquet_is_refused_by_row_and_when_it_is_not_whole(tmp_path):
    path = tmp_path / "x.parquet"
    bad = [*ROWS, {"first": "a", "second": None, "label": "yes"}]
    pq.write_table(pa.Table.from_pylist(bad), path)
    with pytest.raises(DataError, match=r"x\.parquet, row 4: column 'second' is null"):
        read_file(path, PAIR)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="no whole Parquet file"):
        read_file(path, PAIR)
    path.write_text("first,second,label\n")
    with pytest.raises(DataError, match="no whole Parquet file"):
        read_file(path, PAIR)


def test_nan_in_parquet_is_no_label(tmp_path):
    path = tmp_path / "x.parquet"
    score = TaskDefinition("s", ("first",), "score", ProblemType.REGRESSION, (), ("pearson",))
    pq.write_table(pa.table({"first": ["a", "b"], "score": [1.0, float("nan")]}), path)
    with pytest.raises(DataError, match=r"row 2: column 'score' is null, expected a number"):
        read_file(path, score)


def test_every_nan_of_a_parquet_row_is_nothing(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [float("nan")], "b": [1.5], "c": [float("nan")]}), path)
    assert [record for _, record in records(path)] == [{"a": None, "b": 1.5, "c": None}]


def test_decimals_and_times_of_parquet_are_read_as_csv_would_have_them(tmp_path):
    path = tmp_path / "x.parquet"
    label = pa.array([1, 2, 1], pa.int32()).cast(pa.decimal128(12, 2))
    day = pa.array([0, 86_400, 0], pa.timestamp("s"))
    pq.write_table(pa.table({"first": ["a", "b", "c"], "label": label, "day": day}), path)
    assert [record for _, record in records(path)][1] == {
        "first": "b", "label": "2.00", "day": "1970-01-02 00:00:00",
    }  # fmt: skip
    classes = TaskDefinition(
        "d", ("{first} {day}",), "label", ProblemType.CLASSIFICATION, ("1.00", "2.00"), ("accuracy",)
    )
    assert [row.label for row in read_file(path, classes)] == [0, 1, 0]


def test_two_columns_of_one_name_are_refused_in_every_format(tmp_path):
    columns = [pa.array(["a"]), pa.array(["yes"]), pa.array(["no"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["first", "label", "label"]), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("first,label,label\na,yes,no\n")
    for name in ("x.parquet", "x.csv"):
        with pytest.raises(DataError, match="column 'label' stands there twice"):
            list(records(tmp_path / name))


def test_lines_that_end_in_a_carriage_return_alone_are_told_as_such(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"first,label\ra,yes\rb,no\r")
    ((_, fault),) = records(tmp_path / "x.csv")
    assert "save it with line feeds" in str(fault)
    assert "universal" not in str(fault)


@pytest.mark.parametrize("name", ["x.xlsx", "x.json", "x.parquet.gz", "x"])
def test_another_format_is_refused_with_those_that_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=r"\.jsonl, \.csv, \.tsv, \.parquet"):
        list(records(tmp_path / name))


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl"])
@settings(max_examples=40)
@given(content=st.binary(max_size=120))
def test_no_bytes_crash_a_reader(tmp_path_factory, name, content):
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    try:
        for number, record in records(path):
            assert number >= 1
            assert isinstance(record, Fault) or not isinstance(record, bytes)
    except DataError:
        pass


def test_ids_that_two_rows_share_are_told(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,first,second,label\n7,a,b,yes\n8,c,d,no\n7,e,f,no\n")
    with pytest.raises(DataError, match=r"x\.csv:4: the same id as line 2"):
        read_file(path, PAIR, ReadOptions(id_column="id"))
    assert len(read_file(path, PAIR)) == 3
    path.write_text("id,first,second,label\n,a,b,yes\n8,c,d,no\n")
    with pytest.raises(DataError, match="holds no id"):
        read_file(path, PAIR, ReadOptions(id_column="id"))


def test_two_different_rows_of_one_index_are_told_and_twins_are_not(tmp_path):
    path = tmp_path / "x.jsonl"
    row = {"first": "a", "second": "b", "label": 0, "idx": 3}
    lines = [row, row | {"idx": 4, "label": 1}, row]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert len(read_file(path, PAIR)) == 3
    lines[2] = row | {"first": "other"}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match=r":3: the same idx as line 1, but another row"):
        read_file(path, PAIR)
