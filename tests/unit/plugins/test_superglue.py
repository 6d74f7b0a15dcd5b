"""SuperGLUE: what each task shows the model, to the letter, from the hub's rows and from its own files."""

from __future__ import annotations

import json

import pytest

from adapterlab.errors import DataError
from adapterlab.records import ProblemType, Splits
from adapterlab.registry.entry_points import task_definition
from rows import read_file


def read(real_data, task, split="validation"):
    return read_file(real_data / "superglue" / task / f"{split}.jsonl", task_definition(f"superglue/{task}"))


def written(tmp_path, task, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_file(path, task_definition(f"superglue/{task}"))


def test_wsc_marks_the_pronoun_by_its_place_among_the_words(real_data):
    rows = read(real_data, "wsc")
    assert rows.texts[0] == (
        (
            "Bernard , who had not told the government official that he was less than 21 when he filed for a "
            "homestead claim, did not consider that he had done anything dishonest. Still, anyone who knew that "
            "he was 19 years old could take his claim away from *him* ."
        ),
        "anyone",
    )
    assert rows.labels[0] == 0
    assert all(text.count("*") == 2 for text, _ in rows.texts)


def test_wic_puts_the_word_before_both_sentences(real_data):
    rows = read(real_data, "wic")
    assert rows.texts[0] == (
        "class: An emerging professional class.",
        "class: Apologizing for losing your temper, even though you were badly provoked, showed real class.",
    )


def test_copa_asks_for_a_cause_or_an_effect(real_data):
    rows = read(real_data, "copa")
    assert rows.texts[:2] == [
        ("The man turned on the faucet. so", "The toilet filled with water."),
        ("The man turned on the faucet. so", "Water flowed from the spout."),
    ]
    assert (rows.choices, rows.labels[0], len(rows)) == (2, 1, 100)
    causes = sum(text.endswith(". because") for text, _ in rows.texts)
    effects = sum(text.endswith(". so") for text, _ in rows.texts)
    assert causes + effects == 200
    assert causes > 50 < effects


def test_multirc_joins_its_paragraph_and_groups_its_answers(real_data):
    rows = read(real_data, "multirc")
    paragraph, asked = rows.texts[0]
    assert paragraph.startswith("What causes a change in motion?")
    assert asked == ("Would the mass of a baseball affect how much force you have to use to pick it up? No")
    assert (len(rows), rows.labels.count(1)) == (4848, 2075)
    assert len(set(rows.groups)) == 953  # Source: Wang et al. 2019, SuperGLUE: questions of the dev set
    assert rows.groups == sorted(rows.groups)


# Source: the hub's card and CPJKU/ScaLearn@81d77ea8.
RECORD = {
    "passage": "A ship sank.\n@highlight\nThe Ararat sank off Oslo\n@highlight\nNobody was hurt",
    "query": "The @placeholder had left Oslo an hour before.",
    "entities": ["Oslo", "Ararat", "The Ararat", "Oslo"],
    "answers": ["The Ararat", "Ararat", "Ararat"],
    "idx": {"passage": 7, "query": 3},
}


def test_record_has_a_row_for_each_entity(tmp_path):
    rows = written(tmp_path, "record", RECORD, {**RECORD, "idx": {"passage": 7, "query": 4}})
    passage = "A ship sank.\n- The Ararat sank off Oslo\n- Nobody was hurt"
    assert rows.texts[:3] == [
        (passage, "The Ararat had left Oslo an hour before."),
        (passage, "The Oslo had left Oslo an hour before."),
        (passage, "The The Ararat had left Oslo an hour before."),
    ]
    assert rows.labels == [1, 0, 1] * 2
    assert rows.groups == [0, 0, 0, 1, 1, 1]
    assert rows.extras[1] == {"entity": "Oslo", "answers": ["Ararat", "The Ararat"]}


def test_long_tasks_have_lengths_and_splits_of_their_own():
    record, multirc = task_definition("superglue/record"), task_definition("superglue/multirc")
    assert (record.max_length, record.truncate, record.splits) == (256, "only_first", Splits.SHARED)
    assert (multirc.max_length, multirc.truncate, multirc.splits) == (324, "longest_first", Splits.HOLDOUT)
    assert task_definition("superglue/copa").problem_type is ProblemType.MULTIPLE_CHOICE


def same(first, second):
    return (first.texts, first.labels, first.groups, first.extras) == (
        second.texts, second.labels, second.groups, second.extras,
    )  # fmt: skip


def test_the_original_record_file_gives_the_hubs_rows(tmp_path):
    text = RECORD["passage"]

    def span(words):
        start = text.index(words)
        return {"start": start, "end": start + len(words) - 1}

    original = {
        "source": "Daily mail",
        "idx": 7,
        "passage": {"text": text, "entities": [span("The Ararat"), span("Ararat"), span("Oslo")]},
        "qas": [
            {
                "idx": 3,
                "query": RECORD["query"],
                "answers": [{**span(words), "text": words} for words in ("Ararat", "The Ararat")],
            }
        ],
    }
    assert same(written(tmp_path, "record", original), written(tmp_path, "record", RECORD))


def test_the_original_multirc_file_gives_the_hubs_rows(tmp_path):
    answers = [{"text": "Yes", "idx": 0, "label": 1}, {"text": "No", "idx": 1, "label": 0}]
    original = {
        "idx": 5,
        "passage": {
            "text": "It rains.",
            "questions": [
                {"question": "Does it?", "idx": 8, "answers": answers},
                {"question": "Really?", "idx": 9, "answers": answers},
            ],
        },
    }
    hub = [
        {
            "paragraph": "It rains.",
            "question": question,
            "answer": answer["text"],
            "label": answer["label"],
            "idx": {"paragraph": 5, "question": number, "answer": answer["idx"]},
        }
        for question, number in (("Does it?", 8), ("Really?", 9))
        for answer in answers
    ]
    assert same(written(tmp_path, "multirc", original), written(tmp_path, "multirc", *hub))


@pytest.mark.parametrize(
    ("task", "flat", "nested"),
    [
        (
            "wsc",
            {"text": "Anna saw her .", "span2_index": 2, "span1_text": "Anna"},
            {"text": "Anna saw her .", "target": {"span2_index": 2, "span1_text": "Anna"}},
        ),
        ("boolq", {"question": "is it", "passage": "It is."}, {"question": "is it", "passage": "It is."}),
        (
            "wic",
            {"word": "run", "sentence1": "a run", "sentence2": "run on"},
            {"word": "run", "sentence1": "a run", "sentence2": "run on"},
        ),
    ],
)
def test_the_original_truth_values_are_the_hubs_numbers(tmp_path, task, flat, nested):
    hub = written(tmp_path, task, {**flat, "label": 0}, {**flat, "label": 1})
    own = written(tmp_path, task, {**nested, "label": False}, {**nested, "label": True})
    assert same(own, hub)
    assert hub.labels == [0, 1]


@pytest.mark.parametrize(
    ("task", "row", "complaint"),
    [
        ("wsc", {"text": "two words", "span2_index": 2, "span1_text": "a", "label": 0}, "span2_index is 2"),
        (
            "wsc",
            {"text": "two words", "span2_index": "1", "span1_text": "a", "label": 0},
            "span2_index is '1'",
        ),
        ("wsc", {"text": "two words", "span1_text": "a", "label": 0}, "no column 'span2_index'"),
        (
            "copa",
            {"premise": "p", "choice1": "a", "choice2": "b", "question": "why", "label": 0},
            "question is 'why', expected 'cause' or 'effect'",
        ),
        ("record", {"passage": "p", "query": "q", "entities": ["e"]}, "no column 'answers'"),
        ("multirc", {"question": "q", "answer": "a", "label": 1}, "no column 'paragraph'"),
    ],
)
def test_a_malformed_row_is_named(tmp_path, task, row, complaint):
    with pytest.raises(DataError, match=f"rows.jsonl:1: .*{complaint}"):
        written(tmp_path, task, row)
