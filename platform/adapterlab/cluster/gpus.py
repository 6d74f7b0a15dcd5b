"""Which GPUs this machine has for training, and why one that is there is not used.

``nvidia-smi`` is asked, which comes with NVIDIA's driver: torch takes seconds to import, and opens the card.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from adapterlab.spec.model import ClusterSpec

_FIELDS = ("index", "uuid", "name", "memory.total", "memory.free", "compute_cap")
_TIMEOUT_S = 20.0
_OLDEST = (7, 5)
"""Compute capability that torch's builds begin with."""
_BFLOAT16 = (8, 0)
"""Compute capability of the first cards that multiply bfloat16."""
_LEAST_FREE_GIB = 2.0
"""Less holds no backbone with a lane beside it."""
_OTHER_VENDORS = {"/dev/kfd": "an AMD GPU", "/dev/accel": "an accelerator"}
"""What is there without NVIDIA's driver, by its device file."""


@dataclass(frozen=True)
class Gpu:
    """One card that processes of this machine may use."""

    name: str
    memory_gib: float
    """0: not known."""
    free_gib: float
    """What other processes leave of it."""
    capability: tuple[int, int]

    def __str__(self) -> str:
        if not self.memory_gib:
            return self.name
        much = "" if self.free_gib > self.memory_gib / 2 else f", {self.free_gib:.0f} GiB of them free"
        return f"{self.name} ({self.memory_gib:.0f} GiB{much})"


@dataclass(frozen=True)
class GpusFound:
    """What was found."""

    cards: tuple[Gpu, ...] = ()
    """Every card that processes may use."""
    obstacle: str | None = None
    """Why none of them trains; ``None``: they do, or there is none."""

    @property
    def usable(self) -> tuple[Gpu, ...]:
        """The cards that train."""
        return () if self.obstacle else self.cards


@dataclass(frozen=True)
class WorkerDevice:
    """What workers train on, as far as it is known before they start."""

    gpus: float | None
    """GPUs of a worker, perhaps a fraction; 0: the CPU; ``None``: one where the cluster has any."""
    words: str
    """It in words."""
    cards: int = 0
    """GPUs of this machine that workers share, where it is they that train."""


def find_gpus(precision: str = "float32") -> GpusFound:
    """Look for cards, and for what keeps them from training.

    Args:
        precision: Of the frozen backbone, ``"float32"`` or ``"bfloat16"``.
    """
    answer = _ask_driver()
    if answer is None:
        return GpusFound(obstacle=_without_driver())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    listed = [_card(line) for line in answer.splitlines() if line.strip()]
    cards = tuple(card for names, card in listed if visible is None or _is_visible(names, visible))
    if not cards:
        hidden = bool(listed) and visible is not None
        return GpusFound(obstacle=f"CUDA_VISIBLE_DEVICES={visible!r} hides the GPUs" if hidden else None)
    return GpusFound(cards, _obstacle(cards, precision))


def worker_device(cluster: ClusterSpec, precision: str = "float32") -> WorkerDevice:
    """Return what a spec's workers train on.

    A whole card for each worker, where nothing else is said: one worker trains many lanes on it in one pass.

    Args:
        cluster: The spec's section.
        precision: Of the frozen backbone.
    """
    given = cluster.gpus_per_worker
    if given is not None:
        said = "CPU, as cluster.gpus_per_worker = 0 says" if given == 0 else f"{given:g} GPU a worker"
        return WorkerDevice(given, said)
    if cluster.address is not None:
        return WorkerDevice(None, "a GPU for each worker if the cluster has any, else its CPUs")
    found = find_gpus(precision)
    if not found.usable:
        return WorkerDevice(0.0, f"CPU ({found.obstacle})" if found.obstacle else "CPU (no GPU found)")
    if len(found.usable) == 1 or cluster.launcher == "in_process":
        return WorkerDevice(1.0, str(found.usable[0]), cards=1)
    kinds, cards = ", ".join(dict.fromkeys(map(str, found.usable))), len(found.usable)
    return WorkerDevice(1.0, f"{cards} GPUs, one for each worker: {kinds}", cards)


def _ask_driver() -> str | None:
    """Return a line a card; ``None`` where there is no driver that answers."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    query = [command, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        reply = subprocess.run(query, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return reply.stdout if reply.returncode == 0 else None


def _without_driver() -> str | None:
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return "an NVIDIA GPU is there, but nvidia-smi does not answer; cluster.gpus_per_worker = 1 uses it"
    other = next((name for path, name in _OTHER_VENDORS.items() if Path(path).exists()), None)
    return (
        f"{other} is there, which is not looked for; cluster.gpus_per_worker = 1 uses it" if other else None
    )


def _card(line: str) -> tuple[tuple[str, str], Gpu]:
    """Return what CUDA_VISIBLE_DEVICES may call a card, and the card."""
    index, uuid, name, total, free, capability = (part.strip() for part in line.split(",", len(_FIELDS) - 1))
    major, _, minor = capability.partition(".")
    known = (int(major), int(minor or 0)) if major.isdecimal() else (0, 0)
    return (index, uuid), Gpu(name, _gib(total), _gib(free), known)


def _gib(mib: str) -> float:
    return float(mib) / 1024 if mib.replace(".", "", 1).isdecimal() else 0.0


def _is_visible(names: tuple[str, str], visible: str) -> bool:
    index, uuid = names
    listed = [part.strip() for part in visible.split(",")]
    return any(one == index or (one and uuid.startswith(one)) for one in listed)


def _obstacle(cards: tuple[Gpu, ...], precision: str) -> str | None:
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    if torch.endswith("+cpu"):
        return f"{cards[0].name} is there, but torch {torch} is built for the CPU alone"
    for card in cards:
        if (0, 0) < card.capability < _OLDEST:
            return f"{card.name} is too old for torch's builds"
        if precision == "bfloat16" and (0, 0) < card.capability < _BFLOAT16:
            return f"{card.name} cannot multiply bfloat16, which backbone.precision says"
        if card.memory_gib and card.free_gib < _LEAST_FREE_GIB:
            return f"{card.name} has {card.free_gib:.1f} of {card.memory_gib:.0f} GiB free"
    return None
