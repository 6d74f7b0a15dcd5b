"""K lanes in one pass against K runs one after another.

    python benchmarks/lanes.py [--shape minilm] [--kind scalearn] [--batch 16] [--tokens 32]
                               [--lanes 1 2 4 …] [--precision float32] [--dropout on|off] [--json FILE]

Every figure is one step of all K lanes: together, and alone K times; their ratio is the gain. ``found``
is the number of lanes the engine settles on by itself in this run. Bar: never slower than one lane.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from adapterlab.train.capacity import Capacity
from adapterlab.train.lane import Lane
from adapterlab.train.step import train_step
from measure import alternate, print_table, spread, surroundings, write_json
from world import World


def synchronise(world: World) -> None:
    """Wait for the card, if there is one."""
    if world.device != "cpu":
        torch.cuda.synchronize()


def together(world: World, lanes: list[Lane]) -> None:
    """Advance all lanes in one pass."""
    train_step(world.backbone, lanes)
    synchronise(world)


def apart(world: World, lanes: list[Lane]) -> None:
    """Advance each lane in a pass of its own."""
    for lane in lanes:
        train_step(world.backbone, [lane])
    synchronise(world)


def settled(world: World, kind: str, most: int) -> int:
    """Return how many lanes the engine chooses here."""
    capacity = Capacity(limit=most)
    lanes = [world.transfer(kind, seed) for seed in range(most)]
    for _ in range(8 * most.bit_length()):
        train_step(world.backbone, lanes[: capacity.lanes], capacity)
    return capacity.lanes


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", default="minilm")
    parser.add_argument("--kind", default="scalearn")
    parser.add_argument("--sources", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--lanes", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--dropout", choices=("on", "off"), default="on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    world = World(
        shape=options.shape,
        sources=options.sources,
        batch=options.batch,
        tokens=options.tokens,
        backbone_dropout=options.dropout == "on",
        device=options.device,
        dtype=getattr(torch, options.precision),
    )
    facts: dict[str, Any] = {**surroundings("torch"), **vars(options), "threads": torch.get_num_threads()}
    print(json.dumps({name: value for name, value in facts.items() if value is not None}, default=str))
    rows, results = [], {}
    for count in options.lanes:
        lanes = [world.transfer(options.kind, seed) for seed in range(count)]
        times = alternate(
            {
                "together": lambda some=lanes: together(world, some),
                "apart": lambda some=lanes: apart(world, some),
            },
            rounds=options.rounds,
        )
        gains = times["apart"].ratios(times["together"])
        each = times["together"].median_s / count
        rows.append(
            [str(count), f"{1000 * each:.1f}", f"{count / times['together'].median_s:.1f}", spread(gains)]
        )
        results[count] = {"together_s": times["together"].seconds, "apart_s": times["apart"].seconds}
    start = time.perf_counter()
    found = settled(world, options.kind, max(options.lanes))
    print_table(["lanes", "ms a lane's step", "steps a second", "gain"], rows)
    print(f"found by the engine: {found} lanes, in {time.perf_counter() - start:.0f} s")
    write_json(options.json, {"facts": facts, "results": results, "found": found})


if __name__ == "__main__":
    main()
