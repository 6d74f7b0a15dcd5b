"""Content keys: canonical JSON in, sha256 out.

A key names a piece of work by everything that decides its result. Canonical means: keys sorted,
no white space, UTF-8, floats in Python's shortest round-trip form, ``-0.0`` as ``0.0``; NaN and
infinities are refused because they compare unequal to themselves.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
"""Anything JSON can say."""

FORMAT_VERSION = 1
"""Part of every key: raise it only when the canonical form itself changes."""

_CHUNK_BYTES = 1 << 20


def canonical_json(value: Json) -> str:
    """Return the one text that stands for ``value``.

    Raises:
        ValueError: ``value`` holds NaN, an infinity, or something JSON cannot say.
    """
    return json.dumps(
        _normalise(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def key_of(kind: str, version: int, inputs: Mapping[str, Json]) -> str:
    """Return the key of one step: 64 hexadecimal digits.

    Args:
        kind: What is done, for example ``"source"``.
        version: The version of the code that does it; raise it when results change.
        inputs: Everything that decides the result, and nothing else.
    """
    document: dict[str, Json] = {"format": FORMAT_VERSION, "kind": kind, "version": version, "inputs": inputs}
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def digest_of(value: Json) -> str:
    """Return the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_stream(stream: BinaryIO) -> str:
    """Return the sha256 of a binary stream, read in chunks of 1 MiB."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def digest_file(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return digest_stream(stream)


def _normalise(value: Json) -> Json:
    if isinstance(value, bool) or value is None or isinstance(value, int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a key cannot hold {value!r}: only finite numbers have an identity")
        return 0.0 if value == 0 else value
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise ValueError(f"a key's mapping needs text names, got {name!r}")  # noqa: TRY004  as documented
        return {name: _normalise(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_normalise(item) for item in value]
    raise ValueError(f"a key cannot hold a {type(value).__name__}: {value!r}")
