"""The plug-in object behind the entry point ``glue``."""

from __future__ import annotations

from adapterlab.plugin import FolderSuite
from adapterlab_glue import tasks

GLUE = FolderSuite("glue", 1, tasks.GLUE)
