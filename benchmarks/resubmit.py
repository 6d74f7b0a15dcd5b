"""How long submitting a finished spec again takes, from a cold process to its last word.

    python benchmarks/resubmit.py [--spec FILE] [--repeats 11] [--json FILE]

The spec is first run to its end in a home of its own; by default one of 50 steps (2 sources, 8 studies,
40 final runs) on a random encoder. Then it is submitted again, each time in a new process, in turn with
Python doing nothing. Nothing is trained, and none of Ray, torch, MLflow and Optuna is imported. The bar
is 3 s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cold_start import imported
from measure import alternate, print_table, spread, surroundings, write_json

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

BAR_S = 3.0
SPEC = """\
name = "resubmit"
[backbone]
source = "folder:backbone"
[data]
root = "data"
max_length = 24
[pool]
tasks = ["glue/rte", "superglue/cb"]
[targets]
tasks = ["glue/rte", "superglue/cb"]
[source]
max_epochs = 1
[combiner]
kind = ["scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp"]
[search]
trials = 1
[transfer]
max_epochs = 1
[final]
seeds = [0, 1, 2, 3, 4]
"""


def made_up(folder: Path) -> Path:
    """Write a small world and its spec."""
    from tiny_world import write_backbone, write_tasks

    write_backbone(folder / "backbone", layers=1, hidden=16)
    write_tasks(folder / "data", rows=40)
    spec = folder / "resubmit.toml"
    spec.write_text(SPEC)
    return spec


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--spec", type=Path)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    facts: dict[str, Any] = surroundings("sqlalchemy", "pydantic", "typer")
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    with tempfile.TemporaryDirectory(prefix="adapterlab-bench-") as name:
        folder = Path(name)
        environment = {**os.environ, "ADAPTERLAB_HOME": str(folder / "home")}
        program = [sys.executable, "-m", "adapterlab.cli", "submit", str(options.spec or made_up(folder))]

        def run(*arguments: str) -> str:
            done = subprocess.run(arguments, env=environment, check=True, capture_output=True, text=True)
            return done.stdout + done.stderr

        start = time.perf_counter()
        run(*program)
        first_s = time.perf_counter() - start
        said = run(*program)
        contenders = {
            "bare": lambda: run(sys.executable, "-c", "pass"),
            "submit again": lambda: run(*program),
        }
        times = alternate(contenders, rounds=options.repeats)
        modules, heavy = imported(program, environment)
    print(f"first submit {first_s:.1f} s; again it says:\n{said.rstrip()}")
    rows = [(one.name, spread(one.seconds), spread(one.ratios(times["bare"]))) for one in times.values()]
    print_table(("", "s", "x bare"), rows)
    late = times["submit again"].median_s > BAR_S
    print(f"{modules} modules, heavy ones: {', '.join(heavy) or 'none'}; {'over' if late else 'within'} the bar of {BAR_S:g} s")  # fmt: skip
    seconds = {name: one.seconds for name, one in times.items()}
    write_json(
        options.json, {**facts, "first_s": first_s, "seconds": seconds, "modules": modules, "heavy": heavy}
    )


if __name__ == "__main__":
    main()
