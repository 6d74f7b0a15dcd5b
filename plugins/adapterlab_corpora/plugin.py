"""The plug-in objects behind the entry points ``other`` and ``multilabel``."""

from __future__ import annotations

from adapterlab.plugin import FolderSuite
from adapterlab_corpora import tasks

OTHER = FolderSuite("other", 1, tasks.OTHER)
MULTILABEL = FolderSuite("multilabel", 1, tasks.MULTILABEL)
