"""Canonical rows in an Arrow file: written once as a stream, then mapped, read at any row.

One file a split; every batch but the last has :data:`BATCH_ROWS` rows, so that a division finds a row.
Columns: the row's texts one after another (``choices`` sequences of as many texts each), its label,
its group and its extras as JSON where the task has them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from adapterlab.data.row_reading import Row
from adapterlab.fingerprint import Json
from adapterlab.records import ProblemType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_ROWS = 2048


def write_rows(path: Path, rows: Iterable[Row], problem_type: ProblemType) -> int:
    """Write rows to a new file as they come; return how many there were.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    import pyarrow as pa

    label = {
        ProblemType.REGRESSION: pa.float64(),
        ProblemType.MULTI_LABEL: pa.list_(pa.int64()),
    }.get(problem_type, pa.int64())
    fields = [
        ("texts", pa.list_(pa.string())), ("label", label), ("group", pa.int64()), ("extras", pa.string())
    ]  # fmt: skip
    written, stream = 0, iter(rows)
    batch = list(islice(stream, BATCH_ROWS))
    sequences = batch[0].sequences if batch else ((),)
    shape = {"choices": str(len(sequences)), "texts": str(len(sequences[0]))}
    schema = pa.schema(fields, metadata=shape)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        while batch:
            columns = [
                [[text for sequence in row.sequences for text in sequence] for row in batch],
                [row.label if not isinstance(row.label, tuple) else list(row.label) for row in batch],
                [row.group for row in batch],
                [None if row.extras is None else json.dumps(row.extras, ensure_ascii=False) for row in batch],
            ]
            arrays = [pa.array(values, kind) for values, (_, kind) in zip(columns, fields, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            written += len(batch)
            batch = list(islice(stream, BATCH_ROWS))
    return written


class ArrowRows:
    """One split's rows, mapped from a file of :func:`write_rows`.

    Raises:
        ValueError: The file is no such file, or cut off.
        OSError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
            self._batches = [
                self._reader.get_batch(index) for index in range(self._reader.num_record_batches)
            ]
        except pa.ArrowException as error:
            raise ValueError(f"{path}: {error}") from None
        shape = self._reader.schema.metadata or {}
        self.choices = int(shape[b"choices"])
        """Sequences of a row."""
        self.texts = int(shape[b"texts"])
        """Texts of a sequence, 1 or 2."""
        # the texts of a whole batch as one flat array: a row's are a slice of it
        self._flat = [batch.column("texts").flatten() for batch in self._batches]

    def __len__(self) -> int:
        return sum(batch.num_rows for batch in self._batches)

    def sequences(self, rows: Iterable[int]) -> Iterator[tuple[str, ...]]:
        """Yield the sequences of some rows, in their order."""
        for row in rows:
            batch, inside = divmod(row, BATCH_ROWS)
            flat, start = self._flat[batch], inside * self.choices * self.texts
            for choice in range(self.choices):
                first = start + choice * self.texts
                yield tuple(flat[first + text].as_py() for text in range(self.texts))

    def labels(self, problem_type: ProblemType, n_labels: int) -> NDArray[Any]:
        """Return all labels: (N,) int64 or float32; (N, n_labels) float32 of 0 and 1 for multi-label."""
        import numpy as np

        if problem_type is ProblemType.MULTI_LABEL:
            hot = np.zeros((len(self), n_labels), dtype=np.float32)
            for number, batch in enumerate(self._batches):
                for inside, ids in enumerate(batch.column("label").to_pylist()):
                    hot[number * BATCH_ROWS + inside, ids] = 1.0
            return hot
        kind = np.float32 if problem_type is ProblemType.REGRESSION else np.int64
        parts = [batch.column("label").to_numpy(zero_copy_only=False) for batch in self._batches]
        return np.concatenate(parts).astype(kind)

    def groups(self) -> NDArray[np.int64] | None:
        """Return the number of each row's group, (N,); ``None`` if the task has none."""
        import numpy as np

        columns = [batch.column("group") for batch in self._batches]
        if any(column.null_count for column in columns):
            return None
        return np.concatenate([column.to_numpy(zero_copy_only=False) for column in columns]).astype(np.int64)

    def has_extras(self) -> bool:
        """Return whether rows carry more for metrics."""
        return not any(batch.column("extras").null_count for batch in self._batches)

    def extras(self, rows: Iterable[int]) -> Iterator[str]:
        """Yield the extras of some rows as JSON."""
        for row in rows:
            batch, inside = divmod(row, BATCH_ROWS)
            yield self._batches[batch].column("extras")[inside].as_py()


def write_texts(path: Path, texts: Iterable[str]) -> None:
    """Write texts to a new file that :class:`ArrowExtras` reads."""
    import pyarrow as pa

    schema = pa.schema([("text", pa.string())])
    stream = iter(texts)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        while batch := list(islice(stream, BATCH_ROWS)):
            writer.write_batch(pa.record_batch([pa.array(batch, pa.string())], schema=schema))


class ArrowExtras(Sequence[Mapping[str, Json]]):
    """What metrics need of each example, parsed when it is asked for.

    Raises:
        ValueError: The file is not of :func:`write_texts`, or cut off.
    """

    def __init__(self, path: Path, rows: range | None = None) -> None:
        import pyarrow as pa

        self._path = path
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            self._batches = [reader.get_batch(index).column(0) for index in range(reader.num_record_batches)]
        except pa.ArrowException as error:
            raise ValueError(f"{path}: {error}") from None
        self._rows = range(sum(len(batch) for batch in self._batches)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Json]: ...

    @overload
    def __getitem__(self, index: slice) -> ArrowExtras: ...

    def __getitem__(self, index: int | slice) -> Mapping[str, Json] | ArrowExtras:
        if isinstance(index, slice):
            return ArrowExtras(self._path, self._rows[index])
        batch, inside = divmod(self._rows[index], BATCH_ROWS)
        extras: Mapping[str, Json] = json.loads(self._batches[batch][inside].as_py())
        return extras
