"""A tiny world in which one source is related to the target: it has the target's words and asks what that asks."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from tiny_world import WORDS, write_backbone

RELATED = "world/middle"
TARGET = "world/goal"
OTHERS = ("world/first", "world/other", "world/young")
SOURCES = (OTHERS[0], RELATED, *OTHERS[1:])
_NEAR, _FAR = WORDS[: len(WORDS) // 2], WORDS[len(WORDS) // 2 :]
_ASKED = {
    TARGET: (_NEAR, _NEAR[0], _NEAR[1]),
    RELATED: (_NEAR, _NEAR[0], _NEAR[1]),
    OTHERS[0]: (_FAR, _FAR[0], _FAR[1]),
    OTHERS[1]: (_FAR, _FAR[3], _FAR[2]),
    OTHERS[2]: (_FAR, _FAR[4], _FAR[5]),
}
"""By task: its words, and the two of which each row has one, which is its label."""
SPEC = """\
name = "selecting"

[backbone]
source = "folder:backbone"

[data]
max_length = 24

{tasks}
[pool]
tasks = {pool}
{selection}

[targets]
tasks = ["{target}"]

[adapter]
settings = {{ reduction_factor = 4 }}

[source]
max_epochs = {epochs}
lr = 1e-2
batch_size = 16
backbone_dropout = false

[combiner]
kind = {kinds}

[search]
trials = 1
lr = 2e-2
dropout = 0.0

[transfer]
max_epochs = 3
batch_size = 16
backbone_dropout = false

[final]
seeds = [0]

[cluster]
launcher = "in_process"
lease_s = 10
"""


def write_selection_world(
    folder: Path,
    selection: str,
    *,
    pool: Sequence[str] = (*SOURCES, TARGET),
    kinds: Sequence[str] = ("scalearn_uniform",),
    epochs: int = 8,
) -> Path:
    """Write backbone, five tasks and a spec; return its path.

    Args:
        folder: Where.
        selection: Further lines of ``[pool]``.
        pool: Its tasks.
        kinds: The combiners.
        epochs: Of every source.
    """
    if not (folder / "backbone").is_dir():
        write_backbone(folder / "backbone", spread=0.2)
    for name, (words, one, other) in _ASKED.items():
        _write_rows(folder / f"{name.partition('/')[2]}.jsonl", words, (one, other), seed=name)
    tables = "".join(
        f'[[task]]\nname = "{name}"\ntrain = "{name.partition("/")[2]}.jsonl"\ntext = ["text"]\nlabel = "label"\n\n'
        for name in _ASKED
    )
    spec = folder / "selecting.toml"
    spec.write_text(
        SPEC.format(
            tasks=tables,
            pool=json.dumps(list(pool)),
            selection=selection,
            target=TARGET,
            kinds=json.dumps(list(kinds)),
            epochs=epochs,
        ),
        encoding="utf-8",
    )
    return spec


def _write_rows(path: Path, words: Sequence[str], asked: tuple[str, str], *, seed: str) -> None:
    draw = random.Random(seed)
    rest = [word for word in words if word not in asked]
    with path.open("w", encoding="utf-8") as file:
        for number in range(200):
            label = number % 2
            text = [draw.choice(rest) for _ in range(draw.randint(3, 7))]
            text.insert(draw.randrange(len(text) + 1), asked[label])
            file.write(json.dumps({"text": " ".join(text), "label": label}) + "\n")
