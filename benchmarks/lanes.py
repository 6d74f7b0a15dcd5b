"""K lanes in one pass against K runs one after another, and against the usual recipe.

    python benchmarks/lanes.py [--shape minilm] [--kind scalearn] [--batch 16] [--tokens 32]
                               [--lanes 1 2 4 …] [--precision float32] [--dropout on|off] [--json FILE]
    python benchmarks/lanes.py --device cuda --shape roberta-base --batch 32 --tokens 128 --precision bfloat16

Every figure is one step of all K lanes, the mean of ``--steps`` in a row: together, and alone K times; their ratio is the
gain.
``x recipe`` is a step of the stacked reference, one trial a process and every row padded to
``--padded`` tokens, over a lane's step: as many times the trials an hour. ``of peak`` is the share of
the machine's own matrix product, measured here in the same precision, that the step's products reach.
``found`` is the number of lanes the engine settles on by itself. Bars: never slower than one lane; on a
GPU at roberta-base 2 x one lane and 8 x the recipe.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from adapterlab.train.capacity import Capacity
from adapterlab.train.lane import Lane
from adapterlab.train.loop import take_together, train_step
from adapterlab.train.step import Steps
from measure import alternate, print_table, spread, surroundings, write_json
from recipe import recipe
from world import World

_PEAK_SIDE = {"cpu": 2048, "cuda": 8192}
"""Side of the square matrices whose product is taken for the machine's peak."""


def together(world: World, lanes: list[Lane], steps: int) -> None:
    """Advance all lanes by some steps, as training does: what comes of them is read when it is there."""
    with Steps[Lane](world.backbone) as taken:
        for _ in range(steps):
            take_together(taken, lanes)


def apart(world: World, lanes: list[Lane], steps: int) -> None:
    """Advance each lane in passes of its own."""
    for lane in lanes:
        together(world, [lane], steps)


def repeated(step: Callable[[], Any], steps: int) -> None:
    """Do something several times."""
    for _ in range(steps):
        step()


def peak_flops(world: World) -> float:
    """Return the operations a second of a square matrix product in the world's precision."""
    side = _PEAK_SIDE[torch.device(world.device).type]
    left, right = (torch.randn(side, side, device=world.device).to(world.dtype) for _ in range(2))
    times = alternate({"product": world.to_its_end(lambda: torch.matmul(left, right))}, rounds=5, warmups=3)
    return 2 * side**3 / min(times["product"].seconds)


def flops_of(world: World, lanes: list[Lane]) -> int:
    """Return the operations in the matrix products of one step of all lanes."""
    with FlopCounterMode(display=False) as counter:
        train_step(world.backbone, lanes)
    return int(counter.get_total_flops())


def settled(world: World, kind: str, most: int) -> int:
    """Return how many lanes the engine chooses here."""
    capacity = Capacity(limit=most)
    lanes = [world.transfer(kind, seed) for seed in range(most)]
    with Steps[Lane](world.backbone, capacity) as steps:
        while not capacity.settled:
            take_together(steps, lanes[: capacity.lanes])
    return capacity.lanes


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", default="minilm")
    parser.add_argument("--kind", default="scalearn", choices=("scalearn", "adapterfusion"))
    parser.add_argument("--sources", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--padded", type=int, default=128, help="tokens of the recipe's rows")
    parser.add_argument("--lanes", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--dropout", choices=("on", "off"), default="on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, help="in a row; absent: 1 on a CPU, 8 on a GPU, which is ahead of itself"
    )
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
    if options.device != "cpu":
        facts["card"] = torch.cuda.get_device_name()
    peak = peak_flops(world)
    usual = recipe(world, options.kind, padded=options.padded)
    in_a_row = options.steps or (1 if options.device == "cpu" else 8)
    rows, results = [], {}
    for count in options.lanes:
        lanes = [world.transfer(options.kind, seed) for seed in range(count)]
        times = alternate(
            {
                "together": world.to_its_end(partial(together, world, lanes, in_a_row)),
                "apart": world.to_its_end(partial(apart, world, lanes, in_a_row)),
                "recipe": world.to_its_end(partial(repeated, usual, in_a_row)),
            },
            rounds=options.rounds,
        )
        step_s = times["together"].median_s / in_a_row
        gains = times["apart"].ratios(times["together"])
        each = step_s / count
        over_recipe = [count * ratio for ratio in times["recipe"].ratios(times["together"])]
        share = flops_of(world, lanes) / step_s / peak
        rows.append(
            [
                str(count),
                f"{1000 * each:.1f}",
                f"{count / step_s:.1f}",
                spread(gains),
                spread(over_recipe),
                f"{share:.0%}",
            ]
        )
        results[count] = {f"{name}_s": one.seconds for name, one in times.items()} | {"of_peak": share}
    start = time.perf_counter()
    found = settled(world, options.kind, max(options.lanes))
    print_table(["lanes", "ms a lane's step", "steps a second", "gain", "x recipe", "of peak"], rows)
    print(f"peak: {peak / 1e12:.2f} TFLOP/s in {options.precision}")
    print(f"found by the engine: {found} lanes, in {time.perf_counter() - start:.0f} s")
    facts |= {"peak_flops": peak, "steps": in_a_row}
    write_json(options.json, {"facts": facts, "results": results, "found": found})


if __name__ == "__main__":
    main()
