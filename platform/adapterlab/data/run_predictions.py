"""What a final run's head gave for every test row, as it is kept beside the run's weights.

It lies in the same safetensors file, under names of its own: so it is found, checked, copied and collected as the weights are.
Shapes: ``N`` test rows, ``C`` outputs of the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from adapterlab.data.metrics import METRICS, GroupedPredictions, predictions_of
from adapterlab.errors import CorruptBlobError
from adapterlab.records import ProblemType

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adapterlab.records import Examples

PREFIX = "test_predictions."
"""Beginning of the names of its tensors."""
_OUTPUTS, _LABELS, _GROUPS = (PREFIX + name for name in ("outputs", "labels", "groups"))
_OF_GROUPS = PREFIX + "of_groups."
"""Beginning of the names of what each group has of a metric."""
_KINDS = tuple(ProblemType)
"""A file says what kind of task it is of by the place in here, which must stay."""
_KIND = PREFIX + "problem_type"


@dataclass(frozen=True)
class KeptPredictions:
    """One run's outputs on its task's test rows, with what they are scored by."""

    problem_type: ProblemType
    outputs: NDArray[Any]
    """(N, C), float16 or float32; (N, 1) for a regression, (N, choices) for multiple choice."""
    labels: NDArray[Any]
    """Class ids or numbers, (N,); 0 or 1 a label for several labels at once, (N, C)."""
    groups: NDArray[np.int64] | None = None
    """Which rows are scored together, (N,); ``None``: each alone."""
    of_groups: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Of metrics that read the rows' texts, which are not kept: each group's value, (G,) in the order of first rows."""

    @property
    def predictions(self) -> NDArray[Any]:
        """Classes, labels or numbers, as metrics take them."""
        return predictions_of(self.outputs, self.problem_type)

    @property
    def right(self) -> NDArray[np.bool_] | None:
        """Which rows are answered right altogether, (N,); ``None`` for a regression."""
        if self.problem_type is ProblemType.REGRESSION:
            return None
        same = np.asarray(np.equal(self.predictions, self.labels), dtype=np.bool_)
        right: NDArray[np.bool_] = np.logical_and.reduce(same.reshape(len(self.labels), -1), axis=1)
        return right

    def group_values(self, metric: str) -> NDArray[np.float64] | None:
        """Return a metric's value of each group, (G,) in the order of their first rows; ``None`` where it has none.

        That is: it is of single rows, or of the rows' texts and was not kept.
        """
        known = METRICS.get(metric)
        if known is None or known.of_groups is None:
            return None
        if known.reads_extras:
            values = self.of_groups.get(metric)
            return None if values is None else np.asarray(values, dtype=np.float64)
        return np.asarray(known.of_groups(self._grouped))

    @property
    def first_rows(self) -> NDArray[np.int64]:
        """The first row of each group, (G,), in this order."""
        return np.array([rows[0] for rows in self._grouped.members()])

    @property
    def _grouped(self) -> GroupedPredictions:
        return GroupedPredictions(self.predictions, self.labels, self.outputs, self.groups)

    def same_rows(self, other: KeptPredictions) -> bool:
        """Tell whether both are of the same test rows, as far as labels and groups say it."""
        groups = (self.groups is None) == (other.groups is None) and (
            self.groups is None or np.array_equal(self.groups, np.asarray(other.groups))
        )
        return groups and np.array_equal(self.labels, other.labels)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return it as named arrays, for an ``.npz`` or safetensors file."""
        groups = {} if self.groups is None else {_GROUPS: self.groups}
        kind = np.array([_KINDS.index(self.problem_type)], dtype=np.uint8)
        values = {_OF_GROUPS + name: found for name, found in self.of_groups.items()}
        return {_OUTPUTS: self.outputs, _LABELS: self.labels, _KIND: kind, **groups, **values}


def kept(outputs: NDArray[Any], examples: Examples, problem_type: ProblemType) -> KeptPredictions:
    """Return outputs in the least precision that leaves every answer as it is.

    Half precision where no class or label changes by it; single for numbers, which are ranked.

    Args:
        outputs: (N, C).
        examples: The N test examples.
        problem_type: What the outputs are.
    """
    single = np.asarray(outputs, dtype=np.float32)
    with np.errstate(over="ignore"):
        half = np.asarray(outputs, dtype=np.float16)
    keeps = (
        problem_type is not ProblemType.REGRESSION
        and bool(np.isfinite(half).all())
        and np.array_equal(predictions_of(half, problem_type), predictions_of(outputs, problem_type))
    )
    labels = np.asarray(examples.labels)
    if problem_type is not ProblemType.REGRESSION:
        labels = labels.astype(np.uint8 if labels.size == 0 or labels.max() < 256 else np.int64)
    return KeptPredictions(
        problem_type,
        half if keeps else single,
        labels,
        examples.groups,
        _values(outputs, examples, problem_type),
    )


def _values(
    outputs: NDArray[Any], examples: Examples, problem_type: ProblemType
) -> dict[str, NDArray[np.float32]]:
    """Return what each group has of the metrics that read its texts, where the rows have such texts."""
    first = examples.extras[0] if examples.extras else {}
    readable = problem_type is ProblemType.CLASSIFICATION and bool(np.isfinite(outputs).all())
    if not readable or not {"entity", "answers"} <= set(first):
        return {}
    predictions = predictions_of(outputs, problem_type)
    grouped = GroupedPredictions(predictions, examples.labels, outputs, examples.groups, examples.extras)
    return {
        name: np.asarray(one.of_groups(grouped), dtype=np.float32)
        for name, one in METRICS.items()
        if one.reads_extras and one.of_groups is not None
    }


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> KeptPredictions | None:
    """Return what :meth:`KeptPredictions.arrays` wrote; ``None`` where a version before kept nothing.

    Raises:
        CorruptBlobError: It is not whole.
    """
    if _OUTPUTS not in arrays:
        return None
    try:
        kind = _KINDS[int(arrays[_KIND].reshape(-1)[0])]
        values = {
            name.removeprefix(_OF_GROUPS): one for name, one in arrays.items() if name.startswith(_OF_GROUPS)
        }
        found = KeptPredictions(kind, arrays[_OUTPUTS], arrays[_LABELS], arrays.get(_GROUPS), values)
    except (KeyError, IndexError) as error:
        raise CorruptBlobError(f"test predictions are not whole: {error}") from error
    if found.outputs.ndim != 2 or len(found.outputs) != len(found.labels):
        raise CorruptBlobError(
            f"test predictions are not whole: outputs {found.outputs.shape}, labels {found.labels.shape}"
        )
    return found


def from_weights(data: bytes) -> KeptPredictions | None:
    """Return the test predictions in a run's stored weights; ``None`` where a version before kept none.

    Raises:
        CorruptBlobError: The bytes are no valid safetensors file, or what they hold is not whole.
    """
    from safetensors import SafetensorError, deserialize

    try:
        read = deserialize(data)  # type: ignore[no-untyped-call]
        found = {name: info for name, info in read if name.startswith(PREFIX)}
        arrays = {
            name: np.frombuffer(info["data"], dtype=_DTYPES[info["dtype"]]).reshape(info["shape"])
            for name, info in found.items()
        }
    except (SafetensorError, ValueError, KeyError) as error:
        raise CorruptBlobError(f"not a safetensors file: {error}") from error
    return from_arrays(arrays)


_DTYPES: Mapping[str, Any] = {
    "F16": np.float16, "F32": np.float32, "F64": np.float64, "U8": np.uint8, "I64": np.int64,
}  # fmt: skip
