"""``platform init``: starters that validate, and files that are never overwritten."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from adapterlab.cli import init
from adapterlab.cli.main import main
from adapterlab.spec.load import load_spec


@pytest.mark.parametrize("name", ["mine.toml", "My sweep!.toml", "é.toml", "-.toml"])
def test_the_starter_validates_as_it_is(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    assert main(["init", str(path)]) == 0
    assert load_spec(path).spec.pool.tasks


def test_a_file_that_exists_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious")
    assert main(["init", str(path)]) == 5
    assert path.read_text() == "precious"
    assert "never overwrites" in capsys.readouterr().err


def test_a_dash_writes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "-"]) == 0
    assert "[backbone]" in capsys.readouterr().out


def test_folders_and_unwritable_places_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 2
    assert main(["init", str(tmp_path / "no" / "where.toml")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_packaged_specs_are_listed_copied_and_suggested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "quickstart.toml"
    packaged.write_text("# quickstart: a first sweep\nname = 'x'\n")
    monkeypatch.setattr(init, "_packaged", lambda: {"quickstart": packaged})
    assert main(["init", "--list"]) == 0
    assert capsys.readouterr().out.split(maxsplit=1) == ["quickstart", "quickstart: a first sweep\n"]
    assert main(["init", str(tmp_path / "copy.toml"), "--from", "quickstart"]) == 0
    assert (tmp_path / "copy.toml").read_text() == packaged.read_text()
    assert main(["init", str(tmp_path / "other.toml"), "--from", "quikstart"]) == 4
    assert "quickstart" in capsys.readouterr().err
    assert not (tmp_path / "other.toml").exists()


def test_every_spec_in_the_checkout_is_offered_and_validates() -> None:
    folder = Path(__file__).parents[3] / "specs"
    named = {path.relative_to(folder).as_posix().removesuffix(".toml") for path in folder.rglob("*.toml")}
    assert set(init._packaged()) == named
    assert "scalearn/table2_glue" in named
    for path in init._packaged().values():
        load_spec(path)


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "My reviews.csv"
    path.parent.mkdir()
    path.write_text(
        "id,review,sentiment\n" + "".join(f"{n},it is {n},{'good' if n % 2 else 'bad'}\n" for n in range(80))
    )
    return path


def test_options_say_what_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert main(["init", str(path), "--backbone", "hub:FacebookAI/roberta-base", "--revision", "a" * 40,
                 "--sources", "glue/rte,glue/mrpc", "--targets", "glue/rte", "--combiner", "scalearn",
                 "--combiner", "adapterfusion"]) == 0  # fmt: skip
    spec = load_spec(path).spec
    assert spec.backbone.revision == "a" * 40
    assert spec.pool.tasks == ("glue/rte", "glue/mrpc")
    assert spec.combiner.kinds == ("scalearn", "adapterfusion")


def test_a_file_becomes_a_task_that_validates_with_its_rows(
    reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["init", "mine.toml", "--task-file", "data/My reviews.csv", "--sources", "synthetic/nli"]) == 0
    )
    spec = load_spec("mine.toml").spec
    (task,) = spec.task
    assert (task.name, task.train, task.text, task.label) == (
        "mine/my_reviews", "data/My reviews.csv", ("review",), "sentiment",
    )  # fmt: skip
    assert spec.targets.tasks == ("mine/my_reviews",)
    assert main(["validate", "mine.toml", "--data"]) == 0
    assert "rows of" not in capsys.readouterr().err.replace("read its rows", "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--targets", "glue/rtee"], 3, "rte"),
        (["--combiner", "scaleern"], 3, "scalearn"),
        (["--backbone", "hub:a/b"], 3, "revision"),
        (["--task-file", "nope.csv"], 4, "does not exist"),
        (["--task-file", "data/My reviews.csv", "--label", "nope"], 3, "it has"),
        (["--label", "sentiment"], 2, "--task-file"),
        (["--from", "quickstart", "--targets", "glue/rte"], 2, "--from"),
        (["--task-file", "data/My reviews.csv", "--test-file", "a", "--test-file", "b"], 2, "--test-file"),
    ],
)
def test_answers_that_make_no_valid_spec_write_nothing(
    reviews: Path, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "mine.toml", *arguments]) == code
    assert words.lower() in capsys.readouterr().err.lower()
    assert not Path("mine.toml").exists()


def on_a_terminal(folder: Path, typed: str, *arguments: str) -> str:
    """Run init on a terminal of its own, type into it, and return what it showed."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ, "TERM": "xterm", "ADAPTERLAB_HOME": str(folder / "home"),
        "PYTHONPATH": str(Path(init.__file__).parents[2]),
    }  # fmt: skip
    environment.pop("CI", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "adapterlab.cli", "init", *arguments], cwd=folder, env=environment,
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # its end is closed
        pass
    os.close(ours)
    process.wait()
    return shown.decode()


def test_on_a_terminal_it_asks(reviews: Path, tmp_path: Path) -> None:
    shown = on_a_terminal(tmp_path, "\ndata/My reviews.csv\n\n\n\nsynthetic/nli\nscalearn_pp\n", "asked.toml")
    assert "text review, label sentiment" in shown
    spec = load_spec(tmp_path / "asked.toml").spec
    assert spec.targets.tasks == ("mine/my_reviews",)
    assert spec.pool.tasks == ("synthetic/nli",)
    assert spec.combiner.kinds == ("scalearn_pp",)


def test_on_a_terminal_yes_asks_nothing_and_a_file_that_exists_is_told_before(tmp_path: Path) -> None:
    assert "Backbone" not in on_a_terminal(tmp_path, "", "quiet.toml", "--yes")
    assert load_spec(tmp_path / "quiet.toml").spec.pool.tasks
    shown = on_a_terminal(tmp_path, "", "quiet.toml")
    assert "exists already" in shown
    assert "Backbone" not in shown
