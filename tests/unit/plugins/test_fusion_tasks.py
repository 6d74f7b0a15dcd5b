"""AdapterFusion's own tasks: what each choice shows, from the hub's columns and from those at hand."""

from __future__ import annotations

import json

import pytest

from adapterlab.errors import DataError
from adapterlab.registry.entry_points import task_definition
from rows import read_file


def written(tmp_path, task, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_file(path, task_definition(f"adapterfusion/{task}"))


def first(real_data, task, split="validation"):
    path = real_data / "adapterfusion" / task / f"{split}.jsonl"
    return read_file(path, task_definition(f"adapterfusion/{task}"))


def test_winogrande_fills_its_blank(real_data):
    rows = first(real_data, "winogrande")
    assert rows.texts[:2] == [
        ("Sarah was a much better surgeon than Maria so", "Sarah always got the easier cases."),
        ("Sarah was a much better surgeon than Maria so", "Maria always got the easier cases."),
    ]
    assert rows.labels[0] == 1


def test_commonsense_qa_shows_five_choices(real_data):
    rows = first(real_data, "commonsense_qa")
    assert [choice for _, choice in rows.texts[:5]] == [
        "bank", "library", "department store", "mall", "new york",
    ]  # fmt: skip
    assert rows.labels[0] == 0


def test_social_iqa_joins_question_and_answer(real_data):
    rows = first(real_data, "social_iqa")
    assert rows.texts[2] == (
        "Tracy didn't go home that evening and resisted Riley's attacks.",
        "What does Tracy need to do before this? Find somewhere to go",
    )
    assert rows.labels[0] == 2


def same(one, two):
    return (one.texts, one.labels) == (two.texts, two.labels)


def test_the_hubs_rows_are_the_same(tmp_path):
    words = ["a", "b", "c", "d", "e"]
    plain = {"question": "Which?", "choices": words, "label": 3}
    hub = {"question": "Which?", "choices": {"label": list("ABCDE"), "text": words}, "answerKey": "D"}
    pairs = [{"label": name, "text": word} for name, word in zip("ABCDE", words, strict=True)]
    original = {"question": {"stem": "Which?", "choices": pairs}, "answerKey": "D"}
    assert same(written(tmp_path, "commonsense_qa", plain), written(tmp_path, "commonsense_qa", hub))
    assert same(written(tmp_path, "commonsense_qa", plain), written(tmp_path, "commonsense_qa", original))

    options = {"sentence": "He fed _ .", "option1": "it", "option2": "her"}
    at_hand, of_hub = {**options, "label": 1}, {**options, "answer": "2"}
    assert same(written(tmp_path, "winogrande", at_hand), written(tmp_path, "winogrande_xs", of_hub))

    swag = {"ctx": "He runs", "endings": ["a", "b", "c", "d"]}
    assert written(tmp_path, "hellaswag", {**swag, "label": "3"}).labels == [3]
    people = {"context": "c", "question": "q", "answerA": "a", "answerB": "b", "answerC": "c"}
    assert written(tmp_path, "social_iqa", {**people, "label": "3"}, {**people, "label": 2}).labels == [2, 2]


@pytest.mark.parametrize(
    ("task", "row", "complaint"),
    [
        ("commonsense_qa", {"question": "q", "choices": ["a"], "label": 0}, "1 choices, expected 5"),
        ("hellaswag", {"ctx": "c", "endings": "abcd", "label": 0}, "expected a list of 4 endings"),
        ("winogrande", {"sentence": "No gap.", "option1": "a", "option2": "b", "label": 0}, "has no blank"),
        ("winogrande", {"sentence": "A _.", "option1": "a", "option2": "b", "answer": ""}, "winogrande"),
    ],
)
def test_a_malformed_row_is_named(tmp_path, task, row, complaint):
    with pytest.raises(DataError, match=f"rows.jsonl:1: .*{complaint}"):
        written(tmp_path, task, row)


def test_sizes_of_winogrande_differ_in_their_train_rows(real_data):
    folder = real_data / "adapterfusion" / "winogrande"
    for size, count in (("xs", 160), ("s", 640), ("m", 2558)):
        definition = task_definition(f"adapterfusion/winogrande_{size}")
        assert definition.place.train == f"train_{size}"
        assert len(read_file(folder / f"{definition.place.train}.jsonl", definition)) == count
