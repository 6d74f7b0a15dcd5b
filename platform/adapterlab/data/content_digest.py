"""The content digest of a task: sha256 over its canonical rows, whatever file they came from."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator

from adapterlab.data.row_reading import Row, canonical_line
from adapterlab.data.splits import split_rule
from adapterlab.fingerprint import Json, canonical_json
from adapterlab.registry.protocols import TaskDefinition

DIGEST_VERSION = 1
"""Part of every content digest: raise it when the canonical rows change."""
_IN_MEMORY = 1 << 24
_CHUNK = 1 << 20


class ContentDigest:
    """Notes rows while they pass by, split after split, and gives the digest at the end.

    The digest begins with the number of rows, which are known last; so the lines wait in a temporary
    file, and memory does not grow with them.
    """

    def __init__(self, definition: TaskDefinition) -> None:
        self._definition = definition
        self._lines = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed with the digest
        self.counts: list[int] = []
        """Rows of each split so far."""

    def noting(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows of the next split, each noted."""
        self.counts.append(0)
        for row in rows:
            self.counts[-1] += 1
            self._lines.write(b"\n" + canonical_line(row).encode())
            yield row

    def hexdigest(self) -> str:
        """Return the digest, 64 hexadecimal digits; nothing can be noted afterwards."""
        definition = self._definition
        head: dict[str, Json] = {
            "format": DIGEST_VERSION,
            "labels": list(definition.labels),
            "split": split_rule(definition.stratify, definition.splits),
            "rows": list(self.counts),
        }
        if definition.truncate != "longest_first":  # it decides what is left of the rows
            head["truncate"] = definition.truncate
        digest = hashlib.sha256(canonical_json(head).encode())
        self._lines.seek(0)
        while chunk := self._lines.read(_CHUNK):
            digest.update(chunk)
        self._lines.close()
        return digest.hexdigest()
