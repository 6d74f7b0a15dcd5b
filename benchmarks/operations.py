"""Operations dispatched and bytes written by a training step of K lanes: no clock, no GPU needed.

    python benchmarks/operations.py [--lanes 1 16] [--kind scalearn lora …] [--shape tiny] [--rows 16]
                                    [--tokens 32] [--dropout | --no-dropout] [--ragged] [--json FILE]

A step is the forward and backward pass, clipping and AdamW. Whatever torch's dispatcher is given counts as
one operation; ``launches`` leaves out those that only make another view of memory that is there. An
operation writes what it returns and what it changes in place. Columns ``x`` are the last number of lanes
over the first, of bytes those a lane. Bars for 16 lanes over one: 2 x the operations, 1.1 x the bytes a lane.
What would make the host wait for a GPU is named below the table; nothing should.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from adapterlab.train.gpu_path import as_on_a_gpu
from adapterlab.train.lane import Lane
from adapterlab.train.loop import take_together, train_step
from adapterlab.train.step import Steps
from measure import print_table, surroundings, write_json
from waits import waits
from world import CONSTRAINED, KINDS, METHODS, World

ALL = (*KINDS, *CONSTRAINED, *METHODS)
_WARMUPS = 3
"""Steps before the one that counts: what the engine keeps of rows, and moments of AdamW, it has by then."""


@dataclass
class Counts(TorchDispatchMode):  # type: ignore[misc]
    """What torch's dispatcher was given while it was entered."""

    by_name: Counter[str] = field(default_factory=Counter)
    """How often each operation ran."""
    launches: int = 0
    """Operations that wrote anything."""
    bytes_written: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and count it."""
        del types
        result = func(*args, **(kwargs or {}))
        written = list(_written(func, args, kwargs or {}, result))
        self.by_name[str(func)] += 1
        self.launches += bool(written)
        self.bytes_written += sum(one.numel() * one.element_size() for one in written)
        return result

    @property
    def operations(self) -> int:
        """How many ran in all."""
        return self.by_name.total()


def _written(func: Any, args: Any, kwargs: Any, result: Any) -> Iterator[Tensor]:
    """Yield what an operation changed in place and what it made; nothing of mere views."""
    given = {}
    for position, argument in enumerate(func._schema.arguments):
        value = kwargs.get(argument.name, args[position] if position < len(args) else None)
        for one in tree_leaves(value):
            if isinstance(one, Tensor):
                given[one.untyped_storage().data_ptr()] = True
                if argument.alias_info is not None and argument.alias_info.is_write:
                    yield one
    for one in tree_leaves(result):
        if isinstance(one, Tensor) and one.untyped_storage().data_ptr() not in given:
            yield one


def count(world: World, lanes: Sequence[Lane]) -> Counts:
    """Return what one step of the lanes dispatches and writes."""
    with as_on_a_gpu():  # as on a GPU
        for _ in range(_WARMUPS):
            train_step(world.backbone, lanes)
        with Counts() as counts:
            train_step(world.backbone, lanes)
    return counts


def waiting(world: World, lanes: Sequence[Lane]) -> Counter[str]:
    """Return what in one step of the lanes, their batches being there, would make the host wait for a GPU."""
    with as_on_a_gpu():  # as on a GPU
        steps: Steps[Lane] = Steps(world.backbone)
        for _ in range(_WARMUPS):
            take_together(steps, lanes)
        batches = steps.prepared(lanes)
        with waits() as found:
            flight = steps.given(lanes, batches)
        steps.settle()
    del flight
    return found


def main() -> None:
    """Count, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", default="tiny")
    parser.add_argument("--kind", nargs="*", default=ALL, choices=ALL)
    parser.add_argument("--sources", type=int, default=4)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--lanes", type=int, nargs="*", default=[1, 16])
    parser.add_argument("--dropout", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--ragged", action="store_true", help="rows of 1 to --tokens tokens")
    parser.add_argument("--names", action="store_true", help="how often each operation ran, too")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    world = World(
        shape=options.shape,
        sources=options.sources,
        batch=options.rows,
        tokens=options.tokens,
        ragged=options.ragged,
        backbone_dropout=options.dropout,
    )
    rows, results = [], {}
    for kind in options.kind:
        counts = [count(world, [world.lane(kind, seed) for seed in range(lanes)]) for lanes in options.lanes]
        each = [one.bytes_written / lanes for one, lanes in zip(counts, options.lanes, strict=True)]
        rows.append(
            [
                kind,
                *(str(one.operations) for one in counts),
                f"{counts[-1].operations / counts[0].operations:.2f}",
                *(str(one.launches) for one in counts),
                f"{counts[-1].launches / counts[0].launches:.2f}",
                *(f"{one / 1e6:.2f}" for one in each),
                f"{each[-1] / each[0]:.2f}",
            ]
        )
        results[kind] = [
            {
                "lanes": lanes,
                "operations": one.operations,
                "launches": one.launches,
                "bytes": one.bytes_written,
                "by_name": one.by_name,
            }
            for one, lanes in zip(counts, options.lanes, strict=True)
        ]
    header = ["kind"]
    for what in ("operations", "launches", "MB a lane"):
        header += [f"{what} K={lanes}" for lanes in options.lanes] + ["x"]
    print_table(header, rows)
    for kind in options.kind:
        if asked := waiting(world, [world.lane(kind, seed) for seed in range(options.lanes[-1])]):
            print(f"{kind}: a GPU would be waited for: {dict(asked)}")
    if options.names:
        for kind, found in results.items():
            for name in found[-1]["by_name"]:
                print(kind, name, *(one["by_name"][name] for one in found))
    write_json(options.json, {"facts": {**surroundings("torch"), **vars(options)}, "results": results})


if __name__ == "__main__":
    main()
