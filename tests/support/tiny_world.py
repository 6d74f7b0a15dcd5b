"""A world small enough to sweep in seconds: a random two-layer BERT and two tasks in a folder."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

_TEXT = """
    the a cat dog bird fish sees hears likes chases big small red green quick slow
    not never always and or today tomorrow here there
"""
WORDS = _TEXT.split()
SPEC = """\
name = "tiny"

[backbone]
source = "folder:backbone"

[data]
root = "data"
max_length = 24

[pool]
tasks = ["glue/rte", "superglue/cb"]

[targets]
tasks = ["glue/rte"]

[adapter]
settings = {{ reduction_factor = 8 }}

[source]
max_epochs = {epochs}
lr = 5e-3

[combiner]
kind = ["scalearn", "scalearn_uniform"]

[search]
trials = {trials}
dropout = {{ choices = [0.0, 0.3] }}

[transfer]
max_epochs = {epochs}

[final]
seeds = [0, 1]

[cluster]
workers = 2
lease_s = {lease_s}
"""


def write_backbone(folder: Path, *, layers: int = 2, hidden: int = 32, spread: float = 0.02) -> None:
    """Write config, weights and tokenizer of a random BERT; the greater its weights' spread, the more tokens mix."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: index for index, word in enumerate([*special, *WORDS, ".", "?"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * hidden,
        max_position_embeddings=64,
        initializer_range=spread,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)


def write_tasks(root: Path, *, rows: int = 60, seed: int = 0) -> None:
    """Write ``glue/rte`` (two classes) and ``superglue/cb`` (three) with learnable labels."""
    draw = random.Random(seed)

    def sentence() -> str:
        return " ".join(draw.choice(WORDS) for _ in range(draw.randint(3, 8)))

    for task, columns, classes in (
        ("glue/rte", ("sentence1", "sentence2"), 2),
        ("superglue/cb", ("premise", "hypothesis"), 3),
    ):
        folder = root / task
        folder.mkdir(parents=True, exist_ok=True)
        for split, count in (("train", rows), ("validation", rows // 2)):
            with (folder / f"{split}.jsonl").open("w") as file:
                for index in range(count):
                    label = index % classes
                    first = f"{WORDS[label]} {sentence()}"
                    row = {columns[0]: first, columns[1]: sentence(), "label": label, "idx": index}
                    file.write(json.dumps(row) + "\n")


def write_world(
    folder: Path, *, trials: int = 3, epochs: int = 2, rows: int = 60, lease_s: float = 10.0
) -> Path:
    """Write backbone, tasks and spec; return the spec's path."""
    write_backbone(folder / "backbone")
    write_tasks(folder / "data", rows=rows)
    spec = folder / "tiny.toml"
    spec.write_text(SPEC.format(trials=trials, epochs=epochs, lease_s=lease_s))
    return spec


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a command whose state lives in ``home``, apart from the user's own."""
    private = ("ADAPTERLAB_", "MLFLOW_", "RAY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    return {**kept, "ADAPTERLAB_HOME": str(home), "HF_HUB_OFFLINE": "1"}


def platform(home: Path, *arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    """Run ``platform`` to its end in a process of its own."""
    return subprocess.run(
        command(*arguments),
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def start_platform(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``platform`` in a process group of its own."""
    return subprocess.Popen(
        command(*arguments),
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def command(*arguments: str) -> list[str]:
    """Return the command line of ``platform`` in this Python."""
    return [sys.executable, "-m", "adapterlab.cli", *arguments]
