"""Importing: what is in the catalog afterwards, by content; what is refused, by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from adapterlab import api
from adapterlab.cli.main import main
from adapterlab.errors import BackboneError, DataError, NotFoundError, UsageError
from adapterlab.importing.catalog_import import import_adapters
from adapterlab.train import weights
from hub_server import REVISION, serve


def imported(source, **words):
    (result,) = api.import_adapters(source, **words)
    if result.fault is not None:
        raise result.fault
    return result


def tensors_of(trained, key):
    with trained.open() as catalog:
        return weights.from_bytes(catalog.read_weights(catalog.get_adapter(key)))


@pytest.mark.parametrize("kind", ["made", "loras"])
def test_an_imported_adapter_is_the_one_that_was_exported(request, kind, export_to, stores):
    trained = request.getfixturevalue(kind)
    folder = export_to(trained, trained.sources[0], "one", license="mit")
    result = imported(folder, backbone=str(trained.backbone))
    assert result.new
    with api.open_catalog() as catalog:
        record = catalog.get_adapter(result.record.key)
        got = weights.from_bytes(catalog.read_weights(record))
    wanted = tensors_of(trained, trained.sources[0])
    assert set(got) == set(wanted)
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)
    assert record.task == "glue/mrpc"
    assert (record.metric_value, record.test) == (0.7, {"accuracy": 0.65})
    assert record.origin.source == f"folder:{folder}"
    assert (record.origin.licence, record.origin.key) == ("mit", trained.sources[0])


def test_importing_twice_from_anywhere_is_importing_once(made, export_to, stores, tmp_path):
    folder = export_to(made, made.sources[0], "one")
    shutil.copytree(folder, tmp_path / "moved")
    first = imported(folder, backbone=str(made.backbone))
    again = imported(tmp_path / "moved", backbone=str(made.backbone), task="mine/other")
    assert (first.new, again.new) == (True, False)
    assert again.record == first.record
    with made.open() as catalog:  # the same where it was trained: its row there is the one
        here = import_adapters(catalog, str(folder), stores=stores, backbone=str(made.backbone), task=None)
        assert [(one.new, one.record.key) for one in here] == [(False, made.sources[0])]
    other = export_to(made, made.sources[1], "two")
    assert imported(other, backbone=str(made.backbone)).record.key != first.record.key


def test_the_backbone_is_found_by_its_digest_once_the_catalog_knows_it(made, export_to, stores):
    one, two = (export_to(made, key, f"at-{number}") for number, key in enumerate(made.sources[:2]))
    with pytest.raises(BackboneError, match="its backbone is not at hand") as caught:
        imported(one)
    assert "--backbone" in caught.value.remedy
    imported(one, backbone=str(made.backbone))
    assert imported(two).new


def test_a_folder_of_folders_tells_each_fault_and_keeps_the_rest(made, export_to, stores, tmp_path, capsys):
    for number, key in enumerate(made.sources[:2]):
        export_to(made, key, f"all/{number}")
    shutil.copytree(tmp_path / "all/0", tmp_path / "all/code")
    config = tmp_path / "all/code/adapter_config.json"
    config.write_text(config.read_text().replace('"use_gating": false', '"use_gating": true'))
    words = ["catalog", "import", str(tmp_path / "all"), "--backbone", str(made.backbone)]
    assert main([*words, "--json"]) == 6
    found = json.loads(capsys.readouterr().out)["adapters"]
    assert [one["state"] for one in found] == ["imported", "imported", "refused"]
    assert "use_gating" in found[2]["fault"]["message"]
    assert main(words) == 6
    told = capsys.readouterr()
    assert told.out.count("already there") == 2
    assert "1 of 3 folders could not be imported" in told.err


def test_what_does_not_fit_is_refused(made, loras, export_to, stores, tmp_path):
    folder = export_to(made, made.sources[0], "one")
    with pytest.raises(UsageError, match="no name of a task"):
        imported(folder, backbone=str(made.backbone), task="RTE")
    import tiny_trained

    tiny_trained.write_backbone(tmp_path / "other", seed=1)
    with pytest.raises(BackboneError, match="sha256"):
        imported(folder, backbone=str(tmp_path / "other"))
    (folder / "adapterlab.json").unlink()
    tiny_trained.write_backbone(tmp_path / "deep", layers=3)
    with pytest.raises(BackboneError, match="2 layers, the backbone has 3"):
        imported(folder, backbone=str(tmp_path / "deep"))
    tiny_trained.write_backbone(tmp_path / "roberta", "roberta")
    with pytest.raises(BackboneError, match="made for a bert model"):
        imported(folder, backbone=str(tmp_path / "roberta"))
    with pytest.raises(NotFoundError, match="no folder"):
        imported(tmp_path / "nowhere", backbone=str(made.backbone))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=r"no adapter_config\.json"):
        imported(tmp_path / "empty", backbone=str(made.backbone))


def test_a_folder_that_is_no_export_of_ours_has_reported_metrics_only(made, export_to, stores, capsys):
    folder = export_to(made, made.sources[0], "sst-2")
    (folder / "adapterlab.json").unlink()
    (folder / "README.md").write_text(
        "---\nlicense: apache-2.0\nbase_model: bert-base\ntags:\n- adapterhub:sentiment/sst_2\nmodel-index:\n"
        "- results:\n  - metrics:\n    - type: accuracy\n      value: 0.91\n---\n"
    )
    record = imported(folder, backbone=str(made.backbone)).record
    assert record.task == "sentiment/sst_2"
    assert record.metrics == {}
    assert record.origin.metrics == {"accuracy": 0.91}
    assert (record.origin.licence, record.origin.base_model) == ("apache-2.0", "bert-base")
    (folder / "README.md").write_text("---\n- [not: {a card\n---\n")
    other = imported(folder, backbone=str(made.backbone))
    assert not other.new  # the card is no part of its content
    for words in (["list"], ["list", "--metric", "accuracy"], ["show", record.key], ["lineage", record.key]):
        assert main(["catalog", *words]) == 0
        assert main(["catalog", *words, "--json"]) == 0
    capsys.readouterr()
    asked = ["catalog", "list", "--metric", "accuracy", "--min", "0.9"]
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["adapters"] == []
    assert main([*asked, "--reported", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["adapters"]
    assert (found["key"], found["metrics"]) == (record.key, {})
    assert main([*asked, "--reported"]) == 0
    assert "reported" in capsys.readouterr().out
    assert main(["catalog", "list", "--reported"]) == 2
    # Nobody measured it, which is no damage.
    assert main(["doctor", "--json"]) in (0, 1)
    assert "its metrics" not in capsys.readouterr().out


def ask(hub, home, *words):
    """Run ``platform`` in a process that knows no hub but this one."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    clean |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "adapterlab.cli", *words, "--json"]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout or done.stderr)


@pytest.mark.slow
def test_a_repository_of_the_hub_is_fetched_at_its_commit(made, export_to, stores, tmp_path):
    folder = export_to(made, made.sources[0], "one")
    files = {path.name: path.read_bytes() for path in folder.iterdir()} | {"evil.py": b"raise SystemExit"}
    source = f"hub:tiny/adapter@{REVISION}"
    words = ["catalog", "import", source, "--backbone", str(made.backbone)]
    with serve(files, repository="tiny/adapter") as hub:
        code, found = ask(hub, tmp_path, *words)
        assert (code, found["adapters"][0]["state"]) == (0, "imported")
        assert not any("evil" in request for request in hub.requests)
        asked = len(hub.requests)
        assert ask(hub, tmp_path, *words)[1]["adapters"][0]["state"] == "already there"
        assert len(hub.requests) == asked
    with api.open_catalog() as catalog:
        (record,) = catalog.adapters()
    assert (record.origin.source, record.origin.commit) == (source, REVISION)
    with pytest.raises(UsageError, match="no pinned repository"):
        imported("hub:tiny/adapter@main", backbone=str(made.backbone))


def test_a_repository_without_an_adapter_is_refused_before_it_is_fetched(made, stores, tmp_path):
    with serve({"config.json": b"{}"}, repository="tiny/model") as hub:
        code, found = ask(
            hub, tmp_path, "catalog", "import", f"hub:tiny/model@{REVISION}", "--backbone", str(made.backbone)
        )
    assert code == DataError.exit_code
    assert "holds no adapter" in found["message"]
