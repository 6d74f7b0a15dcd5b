"""A hub backbone: fetched once, only what is wanted, every refusal told clearly."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from adapterlab_encoder.config import encoder_shape


def test_a_fetch_gives_the_digest_of_the_weights_and_a_local_folder(hub, ask_hub):
    facts = ask_hub().facts
    assert facts["weights_digest"] == hashlib.sha256(hub.files["model.safetensors"]).hexdigest()
    assert facts["architecture"] == "bert"
    assert facts["shape"] == json.loads(json.dumps(asdict(encoder_shape(2, 8, 16, 11 + 64 + 2))))
    assert Path(facts["folder"], "tokenizer.json").is_file()


def test_only_wanted_files_are_fetched_never_a_pickle(hub, ask_hub):
    facts = ask_hub().facts
    assert not any("pytorch_model.bin" in request or "README" in request for request in hub.requests)
    assert sorted(path.name for path in Path(facts["folder"]).iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_a_second_call_asks_the_hub_for_nothing(hub, ask_hub):
    first = ask_hub().facts
    hub.requests.clear()
    assert ask_hub().facts == first
    assert ask_hub(download=False).facts == first
    assert hub.requests == []


def test_a_plan_touches_no_network_and_says_what_is_pending(hub, ask_hub):
    facts = ask_hub(download=False, expect={"architecture": "bert", "layers": 2, "hidden_size": 8}).facts
    assert hub.requests == []
    assert facts["weights_digest"] is None
    assert "tiny/bert" in facts["pending_reason"]
    assert (facts["shape"]["layers"], facts["shape"]["hidden_size"]) == (2, 8)
    assert ask_hub(download=False).facts["shape"] is None


def test_numbers_without_an_architecture_tell_no_shape(ask_hub):
    """What they mean is the family's to say; what is counted from them waits for the download."""
    assert ask_hub(download=False, expect={"layers": 2, "hidden_size": 8}).facts["shape"] is None


def test_a_cache_filled_elsewhere_serves_offline(hub, ask_hub):
    """``HF_HOME`` prepared by any other means, without the client's own list of files."""
    facts = ask_hub().facts
    store = Path(facts["folder"]).parents[1]
    for tree in (store / "trees").glob("*.json"):
        tree.unlink()
    hub.requests.clear()
    hub.fault = "500"
    assert ask_hub(HF_HUB_OFFLINE="1").facts == facts
    assert hub.requests == []


def test_an_interrupted_fetch_is_not_taken_for_a_whole_one(hub, ask_hub):
    """Without its ``tokenizer.json`` the snapshot would tokenise otherwise, under another key."""
    folder = Path(ask_hub().facts["folder"])
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n")
    assert ask_hub(download=False).facts["weights_digest"] is None
    assert ask_hub().facts["tokenizer_digest"] is not None
    assert (folder / "tokenizer.json").is_file()


def test_processes_that_start_together_fetch_once(hub, ask_hub):
    with ThreadPoolExecutor(4) as together:
        facts = [one.facts for one in together.map(lambda _: ask_hub(), range(4))]
    assert facts == [facts[0]] * 4
    assert hub.requests.count("GET /cdn/model.safetensors") == 1


@pytest.mark.parametrize(
    ("fault", "kind", "exit_code", "says"),
    [
        ("401", "NotFoundError", 4, "private or gated"),
        ("404", "NotFoundError", 4, "does not exist"),
        ("404 revision", "NotFoundError", 4, "no revision 0123456789abcdef"),
        ("403 gated", "NotFoundError", 4, "HF_TOKEN"),
        ("429", "UnavailableError", 5, "17 s"),
        ("500", "UnavailableError", 5, "HTTP 500"),
        ("half", "UnavailableError", 5, "part of a file"),
    ],
)
def test_each_refusal_is_told_with_a_remedy_and_keeps_nothing(
    hub, ask_hub, tmp_path, fault, kind, exit_code, says
):
    hub.fault = fault
    error = ask_hub(HF_TOKEN="hf_canaryCANARYcanary").error
    assert (error["error"], error["exit_code"]) == (kind, exit_code)
    assert says in error["message"] + error["remedy"]
    assert not list(tmp_path.rglob("model.safetensors"))


def test_a_token_is_sent_but_never_shown(hub, ask_hub):
    hub.fault = "401"
    asked = ask_hub(HF_TOKEN="hf_canaryCANARYcanary")
    assert "Bearer hf_canaryCANARYcanary" in hub.tokens
    assert "canary" not in asked.output
    assert "canary" not in json.dumps(asked.error)


def test_credentials_in_the_endpoint_are_never_shown(hub, ask_hub):
    hub.fault = "500"
    asked = ask_hub(HF_ENDPOINT=hub.url.replace("http://", "http://user:secretcanary@"))
    assert "127.0.0.1" in asked.error["message"]
    assert "secretcanary" not in json.dumps(asked.error)


def test_after_a_half_file_the_next_fetch_is_whole(hub, ask_hub):
    hub.fault = "half"
    assert ask_hub().error is not None
    hub.fault = None
    assert ask_hub().facts["weights_digest"] == hashlib.sha256(hub.files["model.safetensors"]).hexdigest()


def test_offline_without_a_cache_is_told_as_such(hub, ask_hub):
    error = ask_hub(HF_HUB_OFFLINE="1").error
    assert error["error"] == "UnavailableError"
    assert "HF_HUB_OFFLINE" in error["message"]
    assert hub.requests == []


def test_a_hub_that_is_not_there_is_told_as_such(ask_hub):
    error = ask_hub(HF_ENDPOINT="http://127.0.0.1:9").error
    assert error["error"] == "UnavailableError"
    assert "HF_ENDPOINT" in error["remedy"]


def test_a_cache_that_cannot_be_written_is_told_as_such(ask_hub, tmp_path):
    (tmp_path / "file").write_text("")
    error = ask_hub(HF_HOME=str(tmp_path / "file")).error
    assert error["error"] == "UnavailableError"
    assert f"cache {tmp_path}/file" in error["message"]
    assert "HF_HOME" in error["remedy"]


def test_a_repository_of_pickles_is_refused_before_anything_is_fetched(hub, ask_hub):
    del hub.files["model.safetensors"]
    error = ask_hub().error
    assert error["error"] == "BackboneError"
    assert "pytorch_model.bin" in error["message"]
    assert not any("resolve" in request for request in hub.requests)


def test_a_damaged_blob_is_found_by_the_name_it_is_filed_under(hub, ask_hub):
    weights = Path(ask_hub().facts["folder"], "model.safetensors").resolve()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)
    error = ask_hub(download=False).error
    assert error["error"] == "BackboneError"
    assert "filed under" in error["message"]
    assert str(weights) in error["remedy"]


def test_a_config_that_wants_remote_code_runs_none(hub, ask_hub, tmp_path):
    """``auto_map`` and the code it names are neither fetched nor run."""
    config = json.loads(hub.files["config.json"]) | {"auto_map": {"AutoModel": "evil.Model"}}
    hub.files["config.json"] = json.dumps(config).encode()
    hub.files["evil.py"] = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    assert ask_hub().facts["architecture"] == "bert"
    assert not any("evil" in request for request in hub.requests)
    assert not (tmp_path / "ran").exists()
