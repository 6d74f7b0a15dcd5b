"""What makes a host wait for a GPU, found on a CPU: whatever asks a tensor for its numbers, or brings some over unprepared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_READS = frozenset({"tolist", "cpu"})
"""Calls of Python that read a tensor, and that torch's dispatcher does not see on a CPU."""
_ASKS = frozenset(
    f"aten.{name}"
    for name in (
        "_local_scalar_dense",  # item(), float(), a condition
        "nonzero",
        "masked_select",
        "is_nonzero",
        "equal",
        "allclose",
        "_unique2",
        "unique_dim",
        "unique_consecutive",
        "bincount",
        "lift_fresh",  # numbers of the host that become a tensor: a copy from memory that is not pinned
    )
)


@contextmanager
def waits() -> Iterator[Counter[str]]:
    """Count, by name, what would make the host wait for a GPU in the block."""
    found: Counter[str] = Counter()
    with _Calls(found), _Dispatched(found):
        yield found


class _Calls(TorchFunctionMode):
    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self._found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one call, and count it if it waits."""
        del types
        given = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _READS or (name == "to" and _moves(args[1:], given)):
            self._found[name] += 1
        return func(*args, **given)


class _Dispatched(TorchDispatchMode):  # type: ignore[misc]
    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self._found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation, and count it if it waits."""
        del types
        given = kwargs or {}
        name = str(func).rsplit(".", 1)[0]
        if name in _ASKS or _counts_for_itself(str(func), args, given):
            self._found[name] += 1
        return func(*args, **given)


def _moves(args: Any, kwargs: Any) -> bool:
    """Return whether a tensor is moved to a device, and without being told not to wait."""
    named = [one for one in (*args, kwargs.get("device")) if isinstance(one, torch.device | str)]
    return bool(named) and "non_blocking" not in kwargs


def _counts_for_itself(name: str, args: Any, kwargs: Any) -> bool:
    """Return whether the size of a result depends on numbers of the tensors given."""
    if name == "aten.repeat_interleave.Tensor":
        return kwargs.get("output_size") is None
    if name.startswith(("aten.index.", "aten.index_put", "aten._index_put")):
        return any(isinstance(one, Tensor) and one.dtype is torch.bool for one in tree_leaves(args[1]))
    return False
