"""The plug-in object behind the entry point ``superglue``."""

from __future__ import annotations

from adapterlab.plugin import FolderSuite
from adapterlab_superglue import tasks

SUPERGLUE = FolderSuite("superglue", 1, tasks.SUPERGLUE)
