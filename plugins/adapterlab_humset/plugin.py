"""The plug-in object behind the entry point ``humset``."""

from __future__ import annotations

from adapterlab.plugin import FolderSuite
from adapterlab_humset import tasks

HUMSET = FolderSuite("humset", 1, tasks.HUMSET)
