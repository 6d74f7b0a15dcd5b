"""``platform export`` and ``platform predict`` as a person and as a program sees them."""

from __future__ import annotations

import io
import json
import sys

import pytest

from adapterlab.cli.main import main
from tiny_trained import write_trained


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return write_trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture(autouse=True)
def _home(trained, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(trained.home))


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_an_export_says_where_it_is_and_what_to_do_next(trained, tmp_path, capsys):
    code, out, _ = run(capsys, "export", trained.transfers["scalearn"][:12], "--to", tmp_path / "out")
    assert code == 0
    assert "folded from  glue/mrpc, superglue/cb, glue/rte" in out
    assert "bottleneck 12" in out
    assert "use_safetensors=True" in out
    assert f"platform predict {tmp_path / 'out'} --backbone SOURCE" in out


def test_an_export_in_json_says_the_same(trained, tmp_path, capsys):
    code, out, _ = run(capsys, "export", trained.sources[0], "--to", tmp_path / "out", "--bin", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["folder"] == str(tmp_path / "out")
    assert document["kind"] == "adapter"
    assert "pytorch_adapter.bin" in document["files"]


def test_a_fusion_says_that_its_sources_stay_apart(trained, tmp_path, capsys):
    code, out, _ = run(capsys, "export", trained.transfers["adapterfusion"], "--to", tmp_path / "out")
    assert code == 0
    assert "attends to   glue/mrpc, superglue/cb, glue/rte" in out
    assert "load_adapter_setup" in out


def test_errors_have_their_exit_codes(trained, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    key = trained.sources[0]
    assert run(capsys, "export", key, "--to", tmp_path / "full")[0] == 5
    assert run(capsys, "export", "0" * 64, "--to", tmp_path / "out")[0] == 4
    assert run(capsys, "export", trained.study, "--to", tmp_path / "out")[0] == 2
    assert run(capsys, "export", key)[0] == 2
    assert run(capsys, "export", key, "--to", tmp_path / "out", "--tolerance", "-1")[0] == 2
    assert run(capsys, "export", key, "--to", tmp_path / "out", "--tolerance", "nan")[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_prediction_of_one_text(trained, capsys):
    code, out, _ = run(
        capsys, "predict", trained.transfers["scalearn"], "--text", "a cat", "--text-pair", "the dog"
    )
    assert code == 0
    heading, row = out.strip().splitlines()
    assert heading.split() == ["text", "label", "entailment", "not_entailment"]
    assert sum(float(number) for number in row.split()[-2:]) == pytest.approx(1, abs=1e-3)


def test_a_file_of_rows_and_standard_input(trained, tmp_path, capsys, monkeypatch):
    rows = [{"sentence1": "a cat", "sentence2": "the dog"}, {"text": "a bird", "text_pair": "no fish"}]
    text = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    (tmp_path / "rows.jsonl").write_text("\ufeff" + text)
    key = trained.transfers["scalearn"]
    code, out, _ = run(capsys, "predict", key, "--file", tmp_path / "rows.jsonl", "--json")
    assert code == 0
    predictions = json.loads(out)["predictions"]
    assert [one["texts"] for one in predictions] == [["a cat", "the dog"], ["a bird", "no fish"]]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    _, again, _ = run(capsys, "predict", key, "--file", "-", "--json")
    assert json.loads(again)["predictions"] == predictions


def test_a_regression_shows_its_value(trained, capsys):
    _, out, _ = run(capsys, "predict", trained.transfers["stsb"], "--text", "a cat", "--text-pair", "the dog")
    assert out.splitlines()[0].split() == ["text", "value"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "rows.jsonl:1: broken JSON"),
        ('{"text": "a"}\n[1]\n', "rows.jsonl:2: expected an object, got list"),
        ("\n \n", "rows.jsonl: no rows"),
        ('{"label": 1}\n', "rows.jsonl:1: expected sentence1, sentence2"),
    ],
)
def test_broken_rows_are_named(trained, tmp_path, capsys, content, complaint):
    (tmp_path / "rows.jsonl").write_text(content)
    code, _, err = run(capsys, "predict", trained.transfers["scalearn"], "--file", tmp_path / "rows.jsonl")
    assert code == 3
    assert complaint in err


def test_a_file_that_cannot_be_read(trained, tmp_path, capsys):
    key = trained.transfers["scalearn"]
    assert run(capsys, "predict", key, "--file", tmp_path / "none")[0] == 4
    code, _, err = run(capsys, "predict", key, "--file", tmp_path)
    assert (code, "a folder, expected a file" in err) == (3, True)
    (tmp_path / "rows").write_bytes(b'{"text": "\xff"}')
    code, _, err = run(capsys, "predict", key, "--file", tmp_path / "rows")
    assert (code, "not UTF-8" in err) == (3, True)


def test_what_to_predict_on_must_be_said_once(trained, capsys):
    key = trained.sources[0]
    assert run(capsys, "predict", key)[0] == 2
    assert run(capsys, "predict", key, "--text", "a", "--file", "b")[0] == 2
    assert run(capsys, "predict", key, "--file", "b", "--text-pair", "a")[0] == 2
