"""Tasks a spec declares: read from its own files, keyed by content, refused with file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterlab.data.task_data import load_task
from adapterlab.data.task_facts import source_and_facts, task_facts
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import DataError, NotFoundError
from adapterlab.records import TaskFacts
from adapterlab.spec.tasks import TaskSpec


def library(folder: Path, root: Path | None = None, /, **task: object) -> TaskLibrary:
    """Return the tasks of a spec in ``folder`` that declares one, ``mine/own``."""
    spec = TaskSpec.model_validate({"name": "mine/own", "text": ["text"], **task})
    return TaskLibrary(folder / "cache", root, own_tasks={spec.name: spec}, own_folder=folder)


def facts(folder: Path, root: Path | None = None, /, **task: object) -> TaskFacts:
    return task_facts(library(folder, root, **task), "mine/own")


def table(path: Path, rows: int = 40, *, stars: tuple[str, ...] = ("bad", "good")) -> Path:
    lines = ["text,label", *(f"review {n},{stars[n % len(stars)]}" for n in range(rows))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("files", "sizes"),
    [
        ({"train": "a.csv"}, (32, 4, 4)),
        ({"train": "a.csv", "test": "b.csv"}, (36, 4, 20)),
        ({"train": "a.csv", "validation": "b.csv"}, (36, 4, 20)),
        ({"train": "a.csv", "validation": "b.csv", "test": "c.csv"}, (40, 20, 10)),
        ({"train": "a.csv", "test": "b.csv", "splits": "shared"}, (40, 20, 20)),
    ],
)
def test_what_is_not_given_is_cut_from_train(tmp_path, files, sizes):
    for name, rows in (("a.csv", 40), ("b.csv", 20), ("c.csv", 10)):
        table(tmp_path / name, rows)
    found = facts(tmp_path, **files)
    assert (found.n_train, found.n_validation, found.n_test) == sizes
    assert found.labels == ("bad", "good")
    assert found.metrics == ("accuracy",)


def test_the_splits_that_are_cut_share_no_row(tmp_path, model_folder):
    table(tmp_path / "a.csv", 60)
    data = load_task(
        library(tmp_path, train="a.csv"), "mine/own", backbone_folder=model_folder, max_length=16
    )
    assert [len(part) for part in (data.train, data.validation, data.test)] == [48, 6, 6]
    assert sum(int((part.labels == 0).sum()) for part in (data.train, data.validation, data.test)) == 30
    assert {int((part.labels == 0).sum()) for part in (data.validation, data.test)} == {3}


@pytest.mark.parametrize(
    ("stars", "labels"),
    [(("b", "a"), ("a", "b")), (("10", "9", "2"), ("2", "9", "10")), (("1", "x"), ("1", "x"))],
)
def test_labels_are_those_of_train_in_an_order_that_rows_do_not_change(tmp_path, stars, labels):
    table(tmp_path / "a.csv", stars=stars)
    first = facts(tmp_path, train="a.csv")
    assert first.labels == labels
    assert first.n_labels == len(labels)
    table(tmp_path / "a.csv", stars=stars[::-1])
    assert facts(tmp_path, train="a.csv").labels == labels


def test_a_number_is_the_name_of_a_class_in_every_format(tmp_path):
    """Stars from 1 to 3: 1 is the class called 1, in a table and in JSON, not the class with id 1."""
    table(tmp_path / "a.csv", stars=("1", "2", "3"))
    lines = [json.dumps({"text": f"review {n}", "label": n % 3 + 1}) for n in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    one, two = facts(tmp_path, train="a.csv"), facts(tmp_path, train="a.jsonl")
    assert one.labels == two.labels == ("1", "2", "3")
    assert one.content_digest == two.content_digest


def test_ids_stand_for_labels_that_are_given(tmp_path):
    table(tmp_path / "a.csv", stars=("0", "1"))
    table(tmp_path / "b.csv", stars=("no", "yes"))
    by_id = facts(tmp_path, train="a.csv", labels=["no", "yes"])
    assert by_id.content_digest == facts(tmp_path, train="b.csv", labels=["no", "yes"]).content_digest


def test_what_is_read_decides_the_key_and_what_a_task_is_called_does_not(tmp_path):
    table(tmp_path / "a.csv")
    before = facts(tmp_path, train="a.csv").content_digest
    assert facts(tmp_path, train="a.csv", description="Mine.").content_digest == before
    assert facts(tmp_path, train="a.csv", text=["review: {text}"]).content_digest != before
    assert facts(tmp_path, train="a.csv", labels=["good", "bad"]).content_digest != before
    assert facts(tmp_path, train="a.csv", stratify=False).content_digest != before
    assert facts(tmp_path, train="a.csv", truncate="only_first").content_digest != before


def test_regression_reads_numbers_from_a_table(tmp_path):
    table(tmp_path / "a.csv", stars=("1.5", "2", "-3e-1"))
    found = facts(tmp_path, train="a.csv", type="regression")
    assert (found.n_labels, found.metrics) == (1, ("pearson",))
    table(tmp_path / "a.csv", stars=("1.5", "two"))
    with pytest.raises(DataError, match=r"a\.csv:3: column 'label' is text, expected a number.*'two'"):
        facts(tmp_path, train="a.csv", type="regression")


def test_label_sets_are_read_from_cells_and_from_lists(tmp_path):
    sets = [["water", "food"], [], ["food"], ["water", "shelter"]]
    cells = ["text\tlabel", *(f"m {n}\t{'; '.join(sets[n % 4])}" for n in range(40))]
    (tmp_path / "a.tsv").write_text("\n".join(cells) + "\n")
    lines = [json.dumps({"text": f"m {n}", "label": sets[n % 4][::-1]}) for n in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    one = facts(tmp_path, train="a.tsv", type="multi_label", delimiter=";")
    two = facts(tmp_path, train="a.jsonl", type="multi_label")
    assert one.labels == ("food", "shelter", "water")
    assert one.metrics == ("f1_macro",)
    assert one.content_digest == two.content_digest
    with pytest.raises(DataError, match="say which delimiter"):
        facts(tmp_path, train="a.tsv", type="multi_label", labels=["food", "shelter", "water"])


def test_choices_become_sequences_of_one_example(tmp_path, model_folder):
    rows = [{"q": f"the cat {n}", "a": "sat", "b": "ran", "right": "ab"[n % 2]} for n in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "train": "a.jsonl", "type": "multiple_choice", "text": ["q"], "choices": ["a", "b"],
        "label": "right", "labels": ["a", "b"],
    }  # fmt: skip
    data = load_task(library(tmp_path, **task), "mine/own", backbone_folder=model_folder, max_length=16)
    assert (data.facts.n_labels, data.facts.choices) == (1, 2)
    assert len(data.train) == 32
    assert len(data.train.lengths) == 64
    assert sorted(set(data.train.labels.tolist())) == [0, 1]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text,stars\na,1\n", "holds 0 different labels|no column 'label'"),
        ("text,label\n" + "a,yes\n" * 20, "every row has the label 'yes'"),
        ("text,label\n" + "".join(f"a,{n}\n" for n in range(1500)), "holds 1500 different labels"),
        ("text,label\na,yes\nb\n", r"a\.csv:3: 1 cells, expected 2"),
        ("text,label\n" + "a,yes\n,no\n" * 20, r"a\.csv:3: column 'text' is empty"),
    ],
)
def test_what_cannot_be_a_task_is_told(tmp_path, content, says):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=says):
        facts(tmp_path, train="a.csv")


def test_a_label_of_the_test_file_that_train_never_shows_is_told(tmp_path):
    table(tmp_path / "a.csv")
    table(tmp_path / "b.csv", stars=("bad", "ugly"))
    with pytest.raises(DataError, match=r"b\.csv:3: unknown label 'ugly'.*0 \(bad\), 1 \(good\)"):
        facts(tmp_path, train="a.csv", test="b.csv")
    with pytest.raises(DataError, match=r"no row has the label 'ugly'"):
        facts(tmp_path, train="a.csv", labels=["bad", "good", "ugly"])


def test_a_missing_file_is_pending_and_then_an_error(tmp_path):
    found = facts(tmp_path, train="a.csv")
    assert str(tmp_path / "a.csv") in str(found.pending_reason)
    assert found.n_labels == 0  # train is to say them
    with pytest.raises(NotFoundError, match=r"a\.csv does not exist") as caught:
        library(tmp_path, train="a.csv").row_source("mine/own")
    assert "train" in str(caught.value.remedy)


def test_paths_stay_inside_the_specs_folder_or_the_root(tmp_path):
    spec_folder, root = tmp_path / "spec", tmp_path / "root"
    spec_folder.mkdir()
    root.mkdir()
    table(root / "a.csv")
    with pytest.raises(DataError, match="leads outside"):
        facts(spec_folder, train="../root/a.csv")
    assert facts(spec_folder, root, train="../root/a.csv").content_digest
    assert facts(spec_folder, root, train=str(root / "a.csv")).content_digest
    assert facts(spec_folder, train=str(root / "a.csv")).content_digest  # written out, it is what is meant
    (spec_folder / "link.csv").symlink_to(root / "a.csv")
    with pytest.raises(DataError, match="leads outside"):
        facts(spec_folder, train="link.csv")
    (spec_folder / "link").symlink_to(root)
    with pytest.raises(DataError, match="leads outside") as caught:
        facts(spec_folder, folder="link")
    assert "absolute path" in str(caught.value.remedy)


def test_a_folder_written_out_is_read_and_what_is_linked_into_it_is_not(tmp_path):
    spec_folder, mine, other = (tmp_path / name for name in ("spec", "mine", "other"))
    for folder in (spec_folder, mine, other):
        folder.mkdir()
    table(mine / "train.csv")
    table(mine / "dev.csv", 20)
    assert facts(spec_folder, folder=str(mine)).n_test == 20
    table(other / "test.csv", 10)
    (mine / "test.csv").symlink_to(other / "test.csv")
    with pytest.raises(DataError, match="leads outside"):
        facts(spec_folder, folder=str(mine), splits="own")


def test_a_folder_is_read_by_the_names_of_its_files(tmp_path):
    (tmp_path / "f").mkdir()
    for name, rows in (("train", 40), ("dev", 20), ("test", 10)):
        table(tmp_path / "f" / f"{name}.csv", rows)
    assert facts(tmp_path, folder="f").n_test == 20
    assert facts(tmp_path, folder="f", splits="own").n_test == 10


@pytest.mark.parametrize("root", [None, Path("/data")])
def test_a_library_travels_to_workers_as_json(tmp_path, root):
    there = library(tmp_path, root, train="a.csv", type="multi_label", delimiter=";", labels=["x", "y"])
    assert TaskLibrary.from_json(json.loads(json.dumps(there.to_json()))) == there
    hub = TaskLibrary(tmp_path, root, hub=True, revisions={"nyu-mll/glue": "0" * 40})
    assert TaskLibrary.from_json(json.loads(json.dumps(hub.to_json()))) == hub


def test_a_changed_file_is_told_while_it_is_read(tmp_path, model_folder, monkeypatch):
    """The plan's key names one content: other rows must not be trained on under it."""
    from adapterlab.data import task_data

    table(tmp_path / "a.csv")
    tasks = library(tmp_path, train="a.csv")
    known = source_and_facts(tasks, "mine/own")
    table(tmp_path / "a.csv", rows=44)
    monkeypatch.setattr(task_data, "source_and_facts", lambda *_, **__: known)
    with pytest.raises(DataError, match="changed while they were read"):
        load_task(tasks, "mine/own", backbone_folder=model_folder, max_length=16)
    kept = [path for kind in ("rows", "tokens") for path in (tmp_path / "cache" / kind).iterdir()]
    assert all(path.suffix == ".lock" for path in kept)


def test_f1_of_more_than_two_classes_is_refused_with_what_to_say_instead(tmp_path):
    """It would be the score of one class, whichever has the id 1."""
    table(tmp_path / "a.csv", 60, stars=("bad", "fair", "good"))
    with pytest.raises(DataError, match=r"mine/own: the metric f1 .* but it has 3") as caught:
        facts(tmp_path, train="a.csv", metrics=["f1"])
    assert "f1_macro" in str(caught.value.remedy)
    assert facts(tmp_path, train="a.csv", metrics=["f1_macro"]).metrics == ("f1_macro",)
    table(tmp_path / "b.csv", 60)
    assert facts(tmp_path, train="b.csv", metrics=["f1"]).metrics == ("f1",)
