"""The plug-in object behind the task suite ``adapterfusion``."""

from __future__ import annotations

from adapterlab.plugin import FolderSuite
from adapterlab_fusion_tasks import tasks

ADAPTERFUSION = FolderSuite("adapterfusion", 1, tasks.ADAPTERFUSION)
