"""Inputs that were read wrong once, as they were found; skipped where they are not at hand."""

from __future__ import annotations

import json
import shutil

import pytest

from adapterlab.cli.main import main


@pytest.fixture
def run(misread_cases, tmp_path, monkeypatch, capsys):
    """Run a command in a copy of a case's folder, with the backbones beside it."""
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))

    def running(case, *words):
        folder = tmp_path / "cases" / "data" / case
        if not folder.exists():
            shutil.copytree(misread_cases / "data" / case, folder)
            shutil.copytree(misread_cases / "backbones", tmp_path / "cases" / "backbones", dirs_exist_ok=True)
        monkeypatch.chdir(folder)
        capsys.readouterr()
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out + err

    return running


def shown(run, case):
    code, out = run(case, "tasks", "show", "mine/t", "--spec", "spec.toml", "--json")
    assert code == 0, out
    return json.loads(out)


def test_zeros_and_ones_are_the_labels_they_stand_for(run, misread_cases):
    task = shown(run, "multihot_labels")
    assert task["labels"] == ["food", "water", "shelter", "health"]
    rows = (misread_cases / "data" / "multihot_labels" / "train.jsonl").read_text().splitlines()
    flags = [json.loads(row)["labels"] for row in rows]
    for number, label in enumerate(task["labels"]):
        told = sum(split["labels"][label] for split in task["splits"])
        assert told == sum(row[number] for row in flags), label


def test_zeros_and_ones_without_names_ask_for_them(run):
    code, said = run("multihot_nolabels", "tasks", "show", "mine/t", "--spec", "spec.toml")
    assert code == 3
    assert "name every label in order" in said


def test_a_label_1_is_the_class_1_0(run):
    task = shown(run, "stars_float_vs_int")
    assert task["labels"] == ["1.0", "2.0", "3.0", "4.0", "5.0"]
    test = next(split for split in task["splits"] if split["name"] == "test")
    assert test["labels"]["1.0"] == 5
    assert test["labels"]["5.0"] == 0


def test_two_opening_quotes_lose_no_row(run):
    assert sum(split["rows"] for split in shown(run, "tsv_two_openers")["splits"]) == 40


@pytest.mark.parametrize(
    "words", [("plan", "spec.toml"), ("tasks", "check", "mine/t", "--spec", "spec.toml")]
)
def test_rows_longer_than_the_positions_are_told_at_once(run, words):
    code, said = run("max_length_beyond_positions", *words)
    assert code == 3
    assert "takes at most 64" in said


@pytest.mark.parametrize(
    ("backbone", "code", "words"),
    [
        ("added_tokens", 3, "but the backbone has embeddings for ids below 312"),
        ("roberta", 0, ""),
        ("bert", 0, ""),
    ],
)
def test_a_plan_says_whether_a_backbone_can_be_read(run, tmp_path, backbone, code, words):
    run("stars_float_vs_int", "--version")
    spec = tmp_path / "cases" / "data" / "stars_float_vs_int" / "spec.toml"
    spec.write_text(spec.read_text().replace("backbones/bert", f"backbones/{backbone}"))
    found, said = run("stars_float_vs_int", "plan", "spec.toml")
    assert (found, words in said) == (code, True), said


def test_a_tensor_that_is_not_finite_is_named(run, misread_cases):
    run("stars_float_vs_int", "--version")
    code, said = run("stars_float_vs_int", "predict", str(misread_cases / "peft" / "plain_classifier"), "--backbone",
                     "folder:../../backbones/nan", "--text", "the film was good")  # fmt: skip
    assert code == 3
    assert "values that are not finite in encoder.layer.1.output.dense.bias" in said
