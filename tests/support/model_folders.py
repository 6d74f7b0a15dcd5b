"""Folders of small models, and a hub that answers as the real one does, as fixtures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import pytest

from adapterlab_encoder.config import config_of
from adapterlab_encoder.tensors import tensor_shapes
from hub_server import REVISION, Hub, serve

TINY = {
    "model_type": "bert",
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 11,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}


def safetensors_bytes(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """Return a safetensors file of float32 zeros, as the format's specification lays it out."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def weights_bytes() -> bytes:
    """Return the ``model.safetensors`` of the tiny model."""
    shapes = tensor_shapes(config_of(TINY))
    return safetensors_bytes(
        {
            name: tuple(TINY["vocab_size"] if one is None else one for one in shape)
            for name, shape in shapes.items()
        }
    )


def tokenizer_bytes() -> bytes:
    """Return the ``tokenizer.json`` of a small BERT tokenizer, with its author's padding left in."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "dog", "sat", "ran", "##s", "not"]
    tokenizer = Tokenizer(
        models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.enable_padding(length=32)
    tokenizer.enable_truncation(32)
    return tokenizer.to_str().encode()


def model_files(**config: Any) -> dict[str, bytes]:
    """Return the files of a tiny model by name."""
    return {
        "config.json": json.dumps(TINY | config).encode(),
        "model.safetensors": weights_bytes(),
        "tokenizer.json": tokenizer_bytes(),
    }


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A folder with a tiny BERT: config, weights, tokenizer."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in model_files().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """An empty folder for caches."""
    return tmp_path / "cache"


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub on loopback that holds ``tiny/bert``."""
    with serve(model_files() | {"pytorch_model.bin": b"never read", "README.md": b"# tiny"}) as state:
        yield state


@dataclass(frozen=True)
class Asked:
    """What a process that resolved a backbone said."""

    facts: dict[str, Any] | None
    error: dict[str, Any] | None
    output: str
    """Everything it printed."""


def ask(
    hub: Hub,
    home: Path,
    *,
    download: bool = True,
    expect: Mapping[str, Any] | None = None,
    **environment: str,
) -> Asked:
    """Resolve ``hub:tiny/bert`` in a process of its own: the client reads its environment once."""
    program = f"""
import json, pathlib, sys
from dataclasses import asdict
from adapterlab.errors import AdapterlabError
from adapterlab.backbones.facts import backbone_facts
from adapterlab.spec.model import BackboneSpec
spec = BackboneSpec.model_validate(json.loads(sys.argv[1]))
try:
    facts = backbone_facts(
        spec, folder=pathlib.Path("."), cache=pathlib.Path(sys.argv[2]), download={download}
    )
    print("ANSWER" + json.dumps({{"facts": asdict(facts)}}))
except AdapterlabError as error:
    print("ANSWER" + json.dumps({{"error": error.to_json(), "text": str(error)}}))
"""
    spec: dict[str, Any] = {"source": "hub:tiny/bert", "revision": REVISION}
    if expect:
        spec["expect"] = expect
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    clean |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1"}
    result = subprocess.run(
        [sys.executable, "-c", program, json.dumps(spec), str(home / "cache")],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    printed = result.stdout + result.stderr
    assert "ANSWER" in result.stdout, printed
    answer = json.loads(result.stdout.partition("ANSWER")[2])
    return Asked(answer.get("facts"), answer.get("error"), printed)


@pytest.fixture
def ask_hub(hub: Hub, tmp_path: Path) -> Any:
    """Resolve ``hub:tiny/bert`` in a fresh process; keyword arguments as of :func:`ask`."""

    def asking(**options: Any) -> Asked:
        return ask(hub, tmp_path, **options)

    return asking
