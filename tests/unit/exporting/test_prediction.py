"""Predictions are the head's outputs on what was trained, from the catalog and from a folder alike."""

from __future__ import annotations

import json

import numpy as np
import pytest

import adapterlab
from adapterlab.errors import BackboneError, DataError, NotFoundError, TrainingError
from adapterlab.exporting import selftest
from adapterlab.exporting.stored_models import open_trained
from adapterlab.train.predict import outputs
from adapterlab_encoder.loading import load
from tiny_trained import write_backbone, write_trained

ROWS = [
    {"text": "a cat sees", "text_pair": "the dog hears"},
    {"sentence1": "the small bird and the big fish", "sentence2": "never"},
    {"text": "today ?", "text_pair": "the dog"},
]


def test_probabilities_are_the_softmax_of_the_trained_heads_outputs(world):
    key = world.transfers["scalearn"]
    predictions = adapterlab.predict(key[:8], ROWS)
    with world.open() as catalog:
        trained = open_trained(catalog, key)
    backbone = load(world.backbone)
    texts = [tuple(row.values()) for row in ROWS]
    rows = selftest.encoded(texts, world.backbone, trained.max_length)
    logits = outputs(backbone, trained.seat(backbone), rows)
    wanted = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    got = [list(one.probabilities.values()) for one in predictions]
    np.testing.assert_allclose(got, wanted, atol=1e-12)
    assert [one.label for one in predictions] == [
        ("entailment", "not_entailment")[index] for index in wanted.argmax(1)
    ]
    assert [one.texts for one in predictions] == texts
    assert predictions[0].to_json()["probabilities"].keys() == {"entailment", "not_entailment"}


@pytest.mark.parametrize("what", ["scalearn", "stsb", "cola"])
def test_a_folder_says_what_the_catalog_says(world, tmp_path, what):
    adapterlab.export(world.transfers[what], tmp_path / "out")
    rows = [{"text": row["text"]} for row in ROWS if "text" in row] if what == "cola" else ROWS[::2]
    told = adapterlab.predict(world.transfers[what], rows)
    read = adapterlab.predict(tmp_path / "out", rows, backbone=str(world.backbone))
    for one, two in zip(told, read, strict=True):
        assert one.label == two.label
        assert one.value == (None if what != "stsb" else pytest.approx(two.value, abs=1e-5))
        assert list(one.probabilities.values()) == pytest.approx(list(two.probabilities.values()), abs=1e-5)


def test_a_regression_gives_a_number(world):
    (one,) = adapterlab.predict(world.transfers["stsb"], ROWS[:1])
    assert isinstance(one.value, float)
    assert one.to_json() == {"texts": ["a cat sees", "the dog hears"], "value": one.value}


def test_a_plain_adapterhub_folder_answers_with_its_own_labels(world, tmp_path):
    adapterlab.export(world.transfers["scalearn"], tmp_path / "out")
    wanted = adapterlab.predict(tmp_path / "out", ROWS[:1], backbone=str(world.backbone))
    for name in ("adapterlab.json", "self_test.json"):
        (tmp_path / "out" / name).unlink()
    assert adapterlab.predict(tmp_path / "out", ROWS[:1], backbone=str(world.backbone)) == wanted


def test_no_rows_no_predictions(world):
    assert adapterlab.predict(world.sources[0], []) == []


def test_long_rows_are_cut_as_in_training(world):
    long = {"text": "the cat " * 50, "text_pair": "the dog"}
    longer = {"text": "the cat " * 60, "text_pair": "the dog"}
    one, two = adapterlab.predict(world.sources[0], [long, longer])
    assert one.probabilities == pytest.approx(two.probabilities)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({}, "row 1: expected sentence1, sentence2, or text and text_pair; it has nothing"),
        ({"text": "a"}, "row 1: expected sentence1, sentence2, or text and text_pair; it has text"),
        ({"sentence1": "a"}, "it has sentence1"),
        ({"text": 3, "text_pair": "a"}, "row 1: text is 3, expected text"),
        ({"text": "a", "text_pair": "  "}, "row 1: text_pair is '  '"),
        ({"sentence1": "a", "sentence2": None}, "row 1: sentence2 is None"),
    ],
)
def test_malformed_rows_are_refused(world, row, complaint):
    with pytest.raises(DataError, match=complaint):
        adapterlab.predict(world.transfers["scalearn"], [row])


def test_a_second_text_for_a_task_of_one_is_refused(world):
    with pytest.raises(DataError, match="row 1: text_pair is given, but glue/cola takes one text"):
        adapterlab.predict(world.transfers["cola"], [{"text": "a", "text_pair": "b"}])


def test_any_number_of_rows_is_answered_as_each_alone(world):
    rows = [{"text": f"a cat sees {number}", "text_pair": "the dog"} for number in range(300)]
    many = adapterlab.predict(world.transfers["scalearn"], iter(rows))
    assert len(many) == 300
    for number in (0, 255, 256, 299):
        (alone,) = adapterlab.predict(world.transfers["scalearn"], [rows[number]])
        assert many[number].texts == alone.texts
        assert many[number].probabilities == pytest.approx(alone.probabilities, abs=1e-6)


def test_a_folder_needs_a_backbone_and_it_must_be_the_right_one(world, tmp_path):
    adapterlab.export(world.transfers["scalearn"], tmp_path / "out")
    with pytest.raises(NotFoundError, match="does not say where its backbone is"):
        adapterlab.predict(tmp_path / "out", ROWS)
    write_backbone(tmp_path / "other", seed=5)
    with pytest.raises(BackboneError, match="was trained on a backbone with sha256"):
        adapterlab.predict(tmp_path / "out", ROWS, backbone=str(tmp_path / "other"))
    write_backbone(tmp_path / "roberta", "roberta")
    (tmp_path / "out" / "adapterlab.json").unlink()
    with pytest.raises(BackboneError, match="made for a bert model, not roberta"):
        adapterlab.predict(tmp_path / "out", ROWS, backbone=str(tmp_path / "roberta"))
    with pytest.raises(TrainingError, match="logits differ"):
        adapterlab.predict(tmp_path / "out", ROWS, backbone=str(tmp_path / "other"))


def test_a_folder_without_a_head_cannot_answer(world, tmp_path):
    adapterlab.export(world.transfers["scalearn"], tmp_path / "out")
    (tmp_path / "out" / "model_head.safetensors").unlink()
    with pytest.raises(NotFoundError, match="no head"):
        adapterlab.predict(tmp_path / "out", ROWS, backbone=str(world.backbone))


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"task": "x"},
        {"task": None, "problem_type": "classification", "labels": ["a"], "columns": [], "metric": None},
    ],
)
def test_broken_answers_are_refused(world, tmp_path, answers):
    adapterlab.export(world.transfers["scalearn"], tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "adapterlab.json").read_text())
    (tmp_path / "out" / "adapterlab.json").write_text(json.dumps({**facts, "answers": answers}))
    with pytest.raises(DataError, match=r"adapterlab\.json"):
        adapterlab.predict(tmp_path / "out", ROWS, backbone=str(world.backbone))


def test_a_damaged_self_test_is_refused(world, tmp_path):
    adapterlab.export(world.transfers["scalearn"], tmp_path / "out")
    (tmp_path / "out" / "self_test.json").write_text('{"rows": [{"input_ids": [1]}]}')
    with pytest.raises(DataError, match="no self-test"):
        adapterlab.predict(tmp_path / "out", ROWS, backbone=str(world.backbone))


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """A world of one adapter for pairs, one for choices, one for label sets."""
    made = write_trained(tmp_path / "typed", tasks=("glue/mrpc", "superglue/copa", "synthetic/mentions"))
    monkeypatch.setenv("ADAPTERLAB_HOME", str(made.home))
    return made


COPA = {"premise": "the cat", "question": "effect", "choice1": "it sleeps", "choice2": "the dog hears it"}


def scores(world, key, texts):
    """Return one output of each text or pair."""
    with world.open() as catalog:
        trained = open_trained(catalog, key)
    backbone = load(world.backbone)
    return outputs(
        backbone, trained.seat(backbone), selftest.encoded(texts, world.backbone, trained.max_length)
    )


def test_a_choice_is_the_one_with_the_greatest_output(typed):
    key = typed.sources[1]
    general = {"text": "the cat so", "choices": ["it sleeps", "the dog hears it"]}
    one, two = adapterlab.predict(key, [COPA, general])
    logits = scores(typed, key, [("the cat so", "it sleeps"), ("the cat so", "the dog hears it")])[:, 0]
    wanted = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(list(one.probabilities.values()), wanted, atol=1e-12)
    assert one.label == ("choice1", "choice2")[wanted.argmax()]
    assert one.texts == ("the cat so", "it sleeps", "the dog hears it")
    assert one == two
    assert one.to_json().keys() == {"texts", "label", "probabilities"}


def test_a_label_set_is_what_is_more_likely_than_not(typed):
    key = typed.sources[2]
    texts = ["a cat sees", "the dog never hears the small bird", "today ?"]
    predictions = adapterlab.predict(key, [{"report": text} for text in texts])
    logits = scores(typed, key, [(text,) for text in texts])
    for prediction, row in zip(predictions, logits, strict=True):
        chances = 1 / (1 + np.exp(-row))
        np.testing.assert_allclose(list(prediction.probabilities.values()), chances, atol=1e-12)
        names = list(prediction.probabilities)
        assert prediction.labels == tuple(name for name, z in zip(names, row, strict=True) if z > 0)
        assert prediction.label is prediction.value is None
    assert {len(one.labels) for one in predictions} != {0}
    assert predictions[0].to_json().keys() == {"texts", "labels", "probabilities"}


@pytest.mark.parametrize(
    ("task", "row"), [(1, COPA), (2, {"text": "the dog hears"})], ids=["choices", "label sets"]
)
def test_folders_of_these_answer_as_the_catalog_does(typed, tmp_path, task, row):
    adapterlab.export(typed.sources[task], tmp_path / "out")
    (told,) = adapterlab.predict(typed.sources[task], [row])
    (read,) = adapterlab.predict(tmp_path / "out", [row], backbone=str(typed.backbone))
    assert (read.label, read.labels, read.texts) == (told.label, told.labels, told.texts)
    assert read.probabilities == pytest.approx(told.probabilities, abs=1e-5)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"text": "a"}, "row 1: expected premise_joined, choice1, choice2, or text and choices, a list"),
        ({"text": "a", "choices": ["b"]}, "row 1: 1 choices, expected 2"),
        ({"text": "a", "choices": ["b", " "]}, "row 1: choice 2 is ' ', expected text"),
        ({**COPA, "question": "why"}, "row 1: expected premise_joined"),
    ],
)
def test_malformed_choices_are_refused(typed, row, complaint):
    with pytest.raises(DataError, match=complaint):
        adapterlab.predict(typed.sources[1], [row])


def test_a_plain_adapterhub_folder_of_label_sets_answers_with_label_sets(typed, tmp_path):
    adapterlab.export(typed.sources[2], tmp_path / "out")
    head = json.loads((tmp_path / "out" / "head_config.json").read_text())
    assert head["config"]["head_type"] == "multilabel_classification"
    (wanted,) = adapterlab.predict(tmp_path / "out", [{"text": "a cat"}], backbone=str(typed.backbone))
    for name in ("adapterlab.json", "self_test.json"):
        (tmp_path / "out" / name).unlink()
    assert adapterlab.predict(tmp_path / "out", [{"text": "a cat"}], backbone=str(typed.backbone)) == [wanted]
    assert wanted.labels is not None


@pytest.mark.parametrize(
    ("label2id", "names"),
    [
        (None, ["choice 0", "choice 1", "choice 2"]),
        ({"first": 0, "second": 1, "third": 2}, ["first", "second", "third"]),
    ],
)
def test_a_plain_adapterhub_folder_of_choices_chooses(world, tmp_path, label2id, names):
    """The library's head of one output, read by its config: the same numbers as a regression's, a softmax over them."""
    adapterlab.export(world.transfers["stsb"], tmp_path / "out")
    for name in ("adapterlab.json", "self_test.json"):
        (tmp_path / "out" / name).unlink()
    texts = ["the dog hears", "never", "today ?"]
    rows = [{"text": "a cat sees", "text_pair": one} for one in texts]
    numbers = [one.value for one in adapterlab.predict(tmp_path / "out", rows, backbone=str(world.backbone))]
    path = tmp_path / "out" / "head_config.json"
    config = json.loads(path.read_text())
    del config["config"]["num_labels"], config["config"]["bias"]
    config["config"] |= {"head_type": "multiple_choice", "num_choices": 3, "label2id": label2id}
    path.write_text(json.dumps(config))
    row = {"text": "a cat sees", "choices": texts}
    (one,) = adapterlab.predict(tmp_path / "out", [row], backbone=str(world.backbone))
    chances = np.exp(numbers) / np.exp(numbers).sum()
    assert list(one.probabilities) == names
    np.testing.assert_allclose(list(one.probabilities.values()), chances, rtol=1e-6)
    assert one.label == names[int(chances.argmax())]
    with pytest.raises(DataError, match="2 choices, expected 3"):
        adapterlab.predict(tmp_path / "out", [{**row, "choices": texts[:2]}], backbone=str(world.backbone))
