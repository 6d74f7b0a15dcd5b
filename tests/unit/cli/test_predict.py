"""``platform predict`` and ``evaluate``: rows from anywhere, answers to a screen or a file."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest

from adapterlab.cli.given_rows import rows_in
from adapterlab.cli.main import main
from adapterlab.cli.predict import _writing
from tiny_trained import write_trained

ROWS = [
    {"sentence1": f"a cat sees {number}", "sentence2": "the dog, hears", "label": number % 2}
    for number in range(4)
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def run(world, capsys, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))

    def running(*words, stdin=""):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return running


@pytest.fixture
def key(world):
    return world.transfers["scalearn"]


def lines(rows=ROWS):
    return "".join(json.dumps(row) + "\n" for row in rows)


def cells(separator):
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(ROWS[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(ROWS)
    return stream.getvalue()


def write_each(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "rows.jsonl").write_text(lines())
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(lines().encode()))
    (folder / "rows.csv").write_text(cells(","))
    (folder / "rows.tsv").write_text(cells("\t"))
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "rows.parquet")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.csv", "rows.tsv", "rows.parquet"])
def test_rows_of_every_format_have_the_same_answers(run, key, tmp_path, name):
    write_each(tmp_path)
    wanted = run("predict", key, "--file", "-", "--json", stdin=lines())[1]
    code, out, err = run("predict", key, "--file", str(tmp_path / name), "--json")
    assert (code, out) == (0, wanted), err
    assert run("predict", key, str(tmp_path / name), "--json")[1] == wanted, "as `evaluate` takes them"
    code, out, _ = run("evaluate", key, str(tmp_path / name), "--json")
    assert (code, json.loads(out)["rows"]) == (0, 4)


def test_several_texts_are_several_rows(run, key):
    code, out, _ = run(
        "predict", key, "--text", "a", "--text", "b", "--text-pair", "c", "--text-pair", "d", "--json"
    )
    assert code == 0
    assert [one["texts"] for one in json.loads(out)["predictions"]] == [["a", "c"], ["b", "d"]]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--text", "a"), 3, "row 1: expected sentence1, sentence2, or text and text_pair; it has text"),
        (("--text", "a", "--text", "b", "--text-pair", "c"), 2, "2 --text, but 1 --text-pair"),
        (("--text", "a", "--text", "b", "--choice", "c"), 2, "2 --text with --choice"),
        ((), 2, "give either a file of rows or --text"),
        (("--file", "-", "--text-pair", "a"), 2, "--text-pair needs --text"),
        (("a.csv", "--file", "b.csv"), 2, "rows are given twice: a.csv and --file b.csv"),
        (("--file", "missing.jsonl"), 4, "missing.jsonl does not exist"),
        (("--file", "-"), 3, "standard input: no rows"),
        (("--text", "a", "--text-pair", "b", "--to", "x.txt"), 2, "ends in .jsonl or .csv"),
    ],
)
def test_what_does_not_fit_is_told(run, key, words, code, says):
    found, _, err = run("predict", key, *words)
    assert found == code, err
    assert says in err


def test_two_that_write_one_file_at_once_leave_a_whole_one(run, key, tmp_path):
    """The one that ends last wins; neither writes into what the other has begun."""
    to = tmp_path / "answers.jsonl"
    rows = tmp_path / "rows.jsonl"
    rows.write_text(lines(), encoding="utf-8")
    with _writing(str(to)) as write:
        assert run("predict", key, "--file", str(rows), "--to", str(to))[0] == 0
        between = to.read_text(encoding="utf-8")
        write([])
    assert len(between.splitlines()) == len(lines().splitlines())
    assert to.read_text(encoding="utf-8") == ""
    assert sorted(one.name for one in tmp_path.iterdir()) == ["answers.jsonl", "rows.jsonl"]


def test_a_bad_row_is_named_by_its_file_and_line(run, key, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("sentence1,sentence2\na,b\nc\n")
    code, _, err = run("predict", key, "--file", str(path))
    assert code == 3
    assert f"{path}:3: 1 cells, expected 2" in err
    code, _, err = run("predict", key, "--file", "-", stdin="text,label\na,b\n")
    assert code == 3
    assert "standard input:1: broken JSON" in err
    assert "Standard input is read as JSON lines" in err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": NaN}', "standard input:2: NaN is not a value"),
        ('{"text": "a"}\r{"text": "b"}', "standard input:2: broken JSON at column 15"),
    ],
)
def test_lines_of_standard_input_are_read_as_those_of_a_file(run, key, tmp_path, line, says):
    first, *_ = lines().splitlines()
    text = f"\ufeff{first}\n{line}\n"
    code, _, err = run("predict", key, "--file", "-", stdin=text)
    assert code == 3
    assert says in err
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    assert run("predict", key, "--file", str(tmp_path / "rows.jsonl"))[0] == code


def test_a_file_whose_ending_names_no_format_is_told_how_it_is_read(run, key, tmp_path):
    (tmp_path / "rows.txt").write_text("sentence1,sentence2\na,b\n", encoding="utf-8")
    code, _, err = run("predict", key, str(tmp_path / "rows.txt"))
    assert code == 3
    assert "rows.txt:1: broken JSON" in err
    assert "end it in .csv" in err


def test_answers_go_into_a_file_that_is_whole_or_not_there(run, key, tmp_path):
    rows, jsonl, table = tmp_path / "rows.jsonl", tmp_path / "out.jsonl", tmp_path / "out.csv"
    rows.write_text(lines())
    wanted = json.loads(run("predict", key, "--file", str(rows), "--json")[1])["predictions"]
    code, out, err = run("predict", key, "--file", str(rows), "--to", str(jsonl))
    assert (code, out) == (0, "")
    assert "wrote 4 answers" in err
    assert [json.loads(line) for line in jsonl.read_text().splitlines()] == wanted
    assert run("predict", key, "--file", str(rows), "--to", str(table))[0] == 0
    read = list(csv.DictReader(table.open()))
    assert [one["answer"] for one in read] == [one["label"] for one in wanted]
    assert list(read[0]) == ["text 1", "text 2", "answer", "p(entailment)", "p(not_entailment)"]
    rows.write_text(lines() + "{\n")
    assert run("predict", key, "--file", str(rows), "--to", str(tmp_path / "half.jsonl"))[0] == 3
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.csv", "out.jsonl", "rows.jsonl"]


def test_an_evaluation_shows_scores_with_intervals_the_confusion_and_what_went_wrong(run, key, tmp_path):
    rows, wrong = tmp_path / "rows.jsonl", tmp_path / "wrong.jsonl"
    rows.write_text(lines(ROWS * 10))
    code, out, err = run("evaluate", key, str(rows), "--to", str(wrong), "--wrong", "3")
    assert code == 0, err
    assert "on 40 rows" in out
    assert "accuracy" in out
    assert " to " in out
    assert "right \\ answered" in out
    found = json.loads(run("evaluate", key, str(rows), "--json")[1])
    assert found["wrong"]  # half of the labels contradict the other half, row by row
    assert len(wrong.read_text().splitlines()) == len(found["wrong"])
    assert f"{rows}:" in out
    assert f"3 of {len(found['wrong'])} rows" in out
    code, _, err = run("evaluate", key, str(rows), "--label", "gold")
    assert code == 3
    assert f"{rows}:1: no column 'gold', which holds the right answer" in err


def test_answers_go_to_a_pipe_as_json_lines(run, key):
    code, out, err = run("predict", key, "--file", "-", "--to", "-", stdin=lines())
    assert code == 0
    assert len([json.loads(line)["label"] for line in out.splitlines()]) == len(ROWS)
    assert "wrote 4 answers to standard output" in err


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.csv", "rows.tsv", "rows.parquet"])
def test_rows_are_counted_before_they_are_read(tmp_path, name):
    write_each(tmp_path)
    assert rows_in(str(tmp_path / name)) == len(ROWS)


def test_what_cannot_be_counted_is_left_to_who_reads_it(tmp_path):
    (tmp_path / "bad.parquet").write_text("no")
    (tmp_path / "bad.csv.gz").write_text("no")
    assert [rows_in(str(one)) for one in (None, "-", tmp_path, tmp_path / "bad.parquet", tmp_path / "bad.csv.gz")] == [None] * 5  # fmt: skip
