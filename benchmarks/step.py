"""One training step: this engine against the bare backbone and the stacked reference.

    python benchmarks/step.py [--shape minilm] [--sources 8] [--batch 32] [--tokens 128]
                              [--dropout on|off] [--rounds 7] [--device cpu] [--threads N] [--json FILE]

``bare`` is the same frozen backbone with one trainable vector a layer: forward, backward through all
activations, AdamW, the last layer whole as models compute it (or only for the tokens the head
reads, as this engine does). ``reference …`` is the usual way, T adapter outputs stacked on
transformers' own model (benchmarks/reference.py), on a GPU under autocast to fp16. Memory is the peak
above the loaded model and pool, measured in a process of its own. Bars (CPU, MiniLM's shape): the
ScaLearn family ≤ 1.05 × bare, AdapterFusion ≤ 1.5 × bare; with dropout on, ScaLearn ≤ 0.65 ×
reference; memory ≤ 0.8 GB. Times are those from the second epoch on. Needs only torch, transformers,
safetensors, numpy and pydantic.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from adapterlab.train.loop import train_step
from measure import Times, alternate, print_table, spread, surroundings, write_json
from recipe import recipe
from world import KINDS, World

HALF = ", 16 bits"
"""Contenders of this ending run on a backbone of 16 bits."""
WARMUPS = 3
"""One more than the batches of an epoch here: what an engine keeps of its rows, it has by then."""
BARE = ("bare", "bare, head's tokens")
REFERENCES = {
    "reference scalearn": "scalearn",
    "reference adapterfusion": "adapterfusion",
    "reference adapter": "adapter",
}
_LIKE = {
    "scalearn": "reference scalearn",
    "adapterfusion": "reference adapterfusion",
    "adapter": "reference adapter",
}


def ours(world: World, name: str) -> Callable[[], None]:
    """Return a step of this engine: ``bare``, ``adapter`` or a combiner."""
    if name in BARE:
        lane = world.bare(whole=name == "bare")
    else:
        lane = world.adapter() if name == "adapter" else world.transfer(name)
    return lambda: train_step(world.backbone, [lane])


def contender(world: World, name: str) -> Callable[[], None]:
    """Return one contender's step by its name; on a GPU it ends when the card has ended."""
    if name.endswith(HALF):
        return contender(replace(world, dtype=torch.bfloat16), name.removesuffix(HALF))
    step = recipe(world, REFERENCES[name]) if name in REFERENCES else ours(world, name)
    return world.to_its_end(step)


def peak_memory_gb(arguments: list[str], name: str) -> float:
    """Return a contender's peak above the loaded model and pool, in a process of its own."""
    program = [sys.executable, __file__, *arguments, "--memory-of", name]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def measure_memory(world: World, name: str) -> float:
    """Return the peak of two steps above what was there before, GB."""
    if world.device != "cpu":
        step = contender(world, name)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 1e9
    assert world.pool.sources  # loaded, as the backbone is
    step = contender(world, name)
    before = peak_kib()
    step()
    step()
    return (peak_kib() - before) * 1024 / 1e9


def peak_kib() -> int:
    """Return this process's greatest resident memory so far.

    From Linux's own account where there is one: getrusage's begins with the parent's.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def report(times: dict[str, Times], memory: dict[str, float]) -> list[list[str]]:
    """Return the table's rows."""
    rows = []
    for name, one in times.items():
        like = _LIKE.get(name, "reference scalearn" if name.startswith("scalearn") else "")
        rows.append(
            [
                name,
                f"{one.median_s:.3f}",
                spread(one.ratios(times["bare"])),
                spread(one.ratios(times[like])) if like in times else "",
                f"{memory[name]:.2f}" if name in memory else "",
            ]
        )
    return rows


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", default="minilm")
    parser.add_argument("--sources", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--dropout", choices=("on", "off"), default="on")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
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
    )
    if options.memory_of:
        print(measure_memory(world, options.memory_of))
        return
    others = (*BARE[1:], "adapter", *KINDS, f"scalearn{HALF}", f"adapterfusion{HALF}", *REFERENCES)
    wanted = ["bare", *(name for name in others if not options.only or name in options.only)]
    times = alternate(
        {name: contender(world, name) for name in wanted}, rounds=options.rounds, warmups=WARMUPS
    )
    given = [one for one in sys.argv[1:] if one != "--json" and one != str(options.json)]
    memory = {} if options.no_memory else {name: peak_memory_gb(given, name) for name in wanted}
    facts: dict[str, Any] = {**surroundings("torch", "transformers"), **vars(options)}
    facts["threads"] = torch.get_num_threads()
    print(json.dumps({name: value for name, value in facts.items() if value is not None}, default=str))
    print_table(["step", "median s", "x bare", "x reference", "GB above"], report(times, memory))
    write_json(
        options.json,
        {"facts": facts, "seconds": {name: one.seconds for name, one in times.items()}, "memory_gb": memory},
    )


if __name__ == "__main__":
    main()
