"""The plug-in object behind the entry point ``adapterfusion``."""

from __future__ import annotations

from adapterlab.registry.suites import FolderSuite
from adapterlab_adapterfusion import tasks

ADAPTERFUSION = FolderSuite("adapterfusion", 1, tasks.ADAPTERFUSION)
