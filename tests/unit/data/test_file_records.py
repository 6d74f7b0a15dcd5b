"""The original distributions give the digests of the hub's columns, on the real tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapterlab.data.task_facts import task_facts
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import DataError
from adapterlab.registry.entry_points import task_definition
from rows import read_file

ENTAILED = ("entailment", "not_entailment")
Lines = Callable[[list[dict[str, Any]]], Iterable[Iterable[object]]]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def cola(rows):
    return [("gj04", row["label"], "" if row["label"] else "*", row["sentence"]) for row in rows]


def sst2(rows):
    return [("sentence", "label"), *((row["sentence"], row["label"]) for row in rows)]


def mrpc(rows):
    head = ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")
    return [head, *((row["label"], 11, 12, row["sentence1"], row["sentence2"]) for row in rows)]


def stsb(rows):
    head = [
        "index",
        "genre",
        "filename",
        "year",
        "old_index",
        "source1",
        "source2",
        "sentence1",
        "sentence2",
        "score",
    ]
    return [
        head,
        *(
            (n, "main", "f", "2012", n, "a", "b", row["sentence1"], row["sentence2"], row["label"])
            for n, row in enumerate(rows)
        ),
    ]


def rte(rows):
    head = ("index", "sentence1", "sentence2", "label")
    return [head, *((n, r["sentence1"], r["sentence2"], ENTAILED[r["label"]]) for n, r in enumerate(rows))]


def wnli(rows):
    head = ("index", "sentence1", "sentence2", "label")
    return [head, *((n, row["sentence1"], row["sentence2"], row["label"]) for n, row in enumerate(rows))]


GLUE: dict[str, tuple[str, Lines]] = {
    "cola": ("CoLA", cola),
    "sst2": ("SST-2", sst2),
    "mrpc": ("MRPC", mrpc),
    "stsb": ("STS-B", stsb),
    "rte": ("RTE", rte),
    "wnli": ("WNLI", wnli),
}


def digest(task: str, root: Path, cache: Path) -> str | None:
    return task_facts(TaskLibrary(cache, root), task).content_digest


@pytest.mark.parametrize("task", GLUE)
def test_glues_own_files_are_the_hubs_rows(real_data, tmp_path, cache, task):
    folder, lines = GLUE[task]
    (tmp_path / "glue" / folder).mkdir(parents=True)
    for split, name in (("train", "train"), ("validation", "dev")):
        rows = lines_of(real_data / "glue" / task / f"{split}.jsonl")
        text = "".join("\t".join(map(str, cells)) + "\n" for cells in lines(rows))
        (tmp_path / "glue" / folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    assert digest(f"glue/{task}", tmp_path, cache) == digest(f"glue/{task}", real_data, cache)


@pytest.mark.parametrize("task", ["glue/rte", "glue/stsb", "superglue/copa", "superglue/wsc"])
def test_parquet_as_the_hub_has_it_gives_the_same_digest(real_data, tmp_path, cache, task):
    folder = tmp_path / task
    folder.mkdir(parents=True)
    for split in ("train", "validation"):
        rows = lines_of(real_data / task / f"{split}.jsonl")
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}-00000-of-00001.parquet")
    assert digest(task, tmp_path, cache) == digest(task, real_data, cache)


def wic(row):
    return row | {"label": bool(row["label"])}


def wsc(row):
    spans = {name: row[name] for name in ("span1_index", "span1_text", "span2_index", "span2_text")}
    return {"idx": row["idx"], "text": row["text"], "target": spans, "label": bool(row["label"])}


def cb(row):
    return row | {"label": ("entailment", "contradiction", "neutral")[row["label"]]}


@pytest.mark.parametrize(
    ("task", "name", "dressed"), [("wic", "WiC", wic), ("wsc", "WSC", wsc), ("cb", "CB", cb)]
)
def test_superglues_own_files_are_the_hubs_rows(real_data, tmp_path, cache, task, name, dressed):
    (tmp_path / "SuperGLUE" / name).mkdir(parents=True)
    for split, own in (("train", "train"), ("validation", "val")):
        rows = lines_of(real_data / "superglue" / task / f"{split}.jsonl")
        text = "".join(json.dumps(dressed(row)) + "\n" for row in rows)
        (tmp_path / "SuperGLUE" / name / f"{own}.jsonl").write_text(text)
    assert digest(f"superglue/{task}", tmp_path, cache) == digest(f"superglue/{task}", real_data, cache)


def test_multircs_nested_files_are_the_joined_rows(real_data, tmp_path, cache):
    """SuperGLUE's file has each passage once, with its questions and answers; the hub has a row an answer."""
    (tmp_path / "SuperGLUE" / "MultiRC").mkdir(parents=True)
    for split, own in (("train", "train"), ("validation", "val")):
        source = real_data / "superglue" / "multirc"
        texts = {one["idx"]: one["paragraph"] for one in lines_of(source / f"{split}.paragraphs.jsonl")}
        nested: dict[int, dict[int, list[dict[str, Any]]]] = {}
        for row in lines_of(source / f"{split}.jsonl"):
            place = row["idx"]
            nested.setdefault(place["paragraph"], {}).setdefault(place["question"], []).append(row)
        with (tmp_path / "SuperGLUE" / "MultiRC" / f"{own}.jsonl").open("w") as stream:
            for paragraph, questions in nested.items():
                asked = [
                    {
                        "idx": number,
                        "question": answers[0]["question"],
                        "answers": [
                            {"text": one["answer"], "idx": one["idx"]["answer"], "label": one["label"]}
                            for one in answers
                        ],
                    }
                    for number, answers in questions.items()
                ]
                passage = {"text": texts[paragraph], "questions": asked}
                stream.write(json.dumps({"idx": paragraph, "version": 1.1, "passage": passage}) + "\n")
    assert digest("superglue/multirc", tmp_path, cache) == digest("superglue/multirc", real_data, cache)


def test_mnlis_and_qqps_own_columns_are_renamed(tmp_path):
    mnli = tmp_path / "train.tsv"
    mnli.write_text(
        "index\tpromptID\tpairID\tgenre\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
        '0\t1\t1n\tfiction\t(x\t(y\tHe said "yes\tHe spoke.\tneutral\tentailment\n'
        "1\t2\t2c\tfiction\t(x\t(y\tNo.\tYes.\tneutral\tcontradiction\n"
    )
    rows = read_file(mnli, task_definition("glue/mnli"))
    assert rows.texts[0] == ('He said "yes', "He spoke.")
    assert rows.labels == [0, 2]
    qqp = tmp_path / "dev.tsv"
    qqp.write_text(
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
        "0\t1\t2\tWhy?\tWhy not?\t0\n"
        "1\t3\t4\ta broken line\n"  # the hub leaves such lines out
        "2\t5\t6\tHow?\t\t1\n"  # and keeps such rows: the second question is empty
    )
    rows = read_file(qqp, task_definition("glue/qqp"))
    assert rows.texts == [("Why?", "Why not?"), ("How?", "")]
    assert rows.labels == [0, 1]


def test_qqp_takes_one_empty_question_but_not_two(tmp_path):
    path = tmp_path / "train.jsonl"
    rows = [{"question1": "", "question2": " ", "label": 0}, {"question1": "a", "question2": "", "label": 1}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r":1: columns 'question1', 'question2' are all empty") as caught:
        read_file(path, task_definition("glue/qqp"))
    assert len(caught.value.details["faults"]) == 1


def test_a_broken_nested_row_is_told_by_its_line(tmp_path):
    path = tmp_path / "val.jsonl"
    path.write_text('{"idx": 0, "passage": {"text": "x"}}\n')
    with pytest.raises(DataError, match=r":1: no column 'questions'"):
        read_file(path, task_definition("superglue/multirc"))


def test_a_row_that_names_no_paragraph_of_the_file_beside_it_is_told(tmp_path):
    (tmp_path / "train.paragraphs.jsonl").write_text('{"idx": 0, "paragraph": "Once."}\n')
    row = {
        "question": "Who?",
        "answer": "He",
        "label": 0,
        "idx": {"paragraph": 1, "question": 0, "answer": 0},
    }
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(
        DataError, match=r":1: idx\.paragraph is 1, which no line of train\.paragraphs\.jsonl"
    ):
        read_file(tmp_path / "train.jsonl", task_definition("superglue/multirc"))
