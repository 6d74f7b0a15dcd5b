"""Which code and which machine made a result. None of it is part of a key: it explains, it does not identify."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from adapterlab import __version__
from adapterlab.fingerprint import Json

VERSION = __version__
"""Version of this code, whatever else is installed."""

DIRTY = "+dirty"
"""Ends a commit whose checkout had changes that were not committed."""

_GIT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Provenance:
    """The versions and the device behind one result."""

    adapterlab_version: str
    """For example ``"0.1.0"``."""
    git_commit: str | None
    """40 hexadecimal digits, ending in ``+dirty`` where files had changed since; ``None`` where the code does not
    run from a git checkout."""
    python_version: str
    """For example ``"3.12.4"``."""
    torch_version: str | None
    """For example ``"2.9.0+cpu"``; ``None`` where torch was not loaded."""
    transformers_version: str | None
    """``None`` where transformers was not loaded."""
    device_name: str | None
    """Model of the GPU or the CPU; ``None`` where nothing was computed, or it has no name."""

    @property
    def code(self) -> str:
        """The code in one phrase: ``"adapterlab 0.1.0, commit 1a2b3c4d5e6f"``."""
        if self.git_commit is None:
            return f"adapterlab {self.adapterlab_version}"
        commit = self.git_commit.removesuffix(DIRTY)
        return f"adapterlab {self.adapterlab_version}, commit {commit[:12]}{self.git_commit[len(commit) :]}"

    @property
    def libraries(self) -> str:
        """The libraries in one phrase: ``"torch 2.9.0+cpu, Python 3.12.4"``."""
        named = {
            "torch": self.torch_version,
            "transformers": self.transformers_version,
            "Python": self.python_version,
        }
        return ", ".join(f"{name} {number}" for name, number in named.items() if number is not None)

    def to_json(self) -> dict[str, Json]:
        """Return every field by its name."""
        return asdict(self)


def provenance_of(device: str | None = None) -> Provenance:
    """Return what this process runs on; cheap, and imports nothing heavy.

    Args:
        device: Where it computes, as torch says it (``"cpu"``, ``"cuda:0"``); ``None``: where torch computes in
            this process, nowhere if it was not loaded.
    """
    return Provenance(
        adapterlab_version=VERSION,
        git_commit=_git_commit(),
        python_version=platform.python_version(),
        torch_version=_version_if_loaded("torch"),
        transformers_version=_version_if_loaded("transformers"),
        device_name=_device_name(device or _device_in_use()),
    )


def _version_if_loaded(library: str) -> str | None:
    # A library that is installed but was not loaded had no part in a result.
    if library not in sys.modules:
        return None
    try:
        return version(library)
    except PackageNotFoundError:  # on the path without being installed
        return None


def _device_in_use() -> str | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return "cuda" if torch.cuda.is_initialized() else "cpu"


@cache
def _device_name(device: str | None) -> str | None:
    if device is None:
        return None
    if device.startswith("cuda"):
        name: str = sys.modules["torch"].cuda.get_device_name(device)
        return name
    return _cpu_model()


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or None


@cache
def _git_commit() -> str | None:
    """Return the commit of the checkout this package lies in; of no other repository around it."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists() or not (checkout / "pyproject.toml").exists():
        return None
    command = [
        "git",
        "-c",
        f"safe.directory={checkout}",
        "-C",
        str(checkout),
    ]  # workers may run as another user
    command += ["describe", "--always", f"--dirty={DIRTY}", "--abbrev=40", "--exclude=*"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        found = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
            env={**variables, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
