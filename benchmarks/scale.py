"""What grows with a study of 10,000 trials, a sweep of 500 studies, and 64 workers.

    python benchmarks/scale.py search  [--trials 10000] [--sampler tpe|random|grid] [--studies sqlite|postgresql]
    python benchmarks/scale.py study   [--trials 10000] [--sampler tpe|random|grid] [--studies sqlite|postgresql]
    python benchmarks/scale.py sweep   [--targets 125]           # times four combiners
    python benchmarks/scale.py workers [--workers 1 64] [--trials 1280] [--studies sqlite|postgresql]
                                       [--json FILE] (each)

``search`` is a study's trials alone: asked for, three epochs reported, told. ``study`` and ``sweep`` are a real
``submit`` with all that a trial and a study leave in the catalog, the studies' database and MLflow, in this process
(``launcher = "in_process"``), so that its memory is that of driver and worker together. Trials train nothing: their
lanes are made and their epochs closed, but what an epoch is worth is computed from its settings. ``workers``
gives the driver's orders to so many processes, each the door of a worker, without Ray, which has no room for
64 on few cores. ``search`` and ``study`` begin another study after the large one, for the ratio: the machine
may have become faster or slower meanwhile. ``study`` and ``sweep`` end with what people wait for: MLflow's pages,
``status``, ``report``, submitting again.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure import print_table, surroundings, write_json
from orchestration import studies_in

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

EPOCHS = 3
AGAIN = 150
"""Trials of the study that begins after the large one."""
SPACES = {
    "tpe": "lr = { low = 1e-4, high = 1e-2, log = true }\ninit_scale = { low = 0.5, high = 4.0 }\n",
    "grid": f"lr = {{ choices = {[number / 1e4 for number in range(1, 129)]} }}\n"
    f"init_scale = {{ choices = {[0.5 + number / 64 for number in range(128)]} }}\n",
}
SPACES["random"] = SPACES["tpe"]
SPEC = """\
name = "{name}"
[backbone]
source = "folder:backbone"
[data]
root = "data"
max_length = 24
{tasks}
[pool]
tasks = ["glue/rte", "superglue/cb"]
[targets]
tasks = [{targets}]
[source]
max_epochs = 1
lr = 1e-3
[combiner]
kind = [{kinds}]
[search]
trials = {trials}
sampler = "{sampler}"
seed = {seed}
{spaces}dropout = {{ choices = [0.0, 0.3] }}
[transfer]
max_epochs = {epochs}
patience = {epochs}
batch_size = 64
[final]
seeds = [0]
[cluster]
launcher = "in_process"
lanes = 1
workers_per_study = {workers}
"""


def rss_mb() -> float:
    """Return this process's memory that is in use, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass
class Growth:
    """When each of a study's trials, or of a sweep's studies, ended, and what was used until then."""

    wall: list[float] = field(default_factory=lambda: [time.perf_counter()])
    cpu: list[float] = field(default_factory=lambda: [time.thread_time()])
    process_cpu: list[float] = field(default_factory=lambda: [time.process_time()])
    rss: list[float] = field(default_factory=lambda: [rss_mb()])
    backlog: list[int] = field(default_factory=lambda: [0])
    sampling: list[float] = field(default_factory=lambda: [0.0])
    """Seconds of this thread within Optuna's sampler until then."""

    def note(self, *, backlog: int = 0, sampling: float = 0.0) -> None:
        """One more has ended."""
        self.wall.append(time.perf_counter())
        self.cpu.append(time.thread_time())
        self.process_cpu.append(time.process_time())
        self.rss.append(rss_mb())
        self.backlog.append(backlog)
        self.sampling.append(sampling)

    def at(self, size: int) -> dict[str, float]:
        """Return ms for each of the last before ``size`` (a tenth of it, 50 at least), and MB at it."""
        first = max(0, size - max(50, size // 10))
        count = size - first
        return {
            "wall_ms": 1000 * (self.wall[size] - self.wall[first]) / count,
            "thread_cpu_ms": 1000 * (self.cpu[size] - self.cpu[first]) / count,
            "process_cpu_ms": 1000 * (self.process_cpu[size] - self.process_cpu[first]) / count,
            "optuna_ms": 1000 * (self.sampling[size] - self.sampling[first]) / count,
            "rss_mb": self.rss[size],
            "backlog": self.backlog[size],
        }

    def table(self, sizes: Sequence[int], again: Growth | None) -> dict[str, dict[str, float]]:
        """Return the figures at each size that was reached, and of the study begun afterwards."""
        found = {f"{size:,}": self.at(size) for size in sizes if size < len(self.wall)}
        if again is not None:
            found["100, begun afterwards"] = again.at(100)
        return found


class Sampling:
    """CPU time of this thread within Optuna's sampler."""

    def __init__(self) -> None:
        from adapterlab.search.samplers import _Mirror

        self.seconds = 0.0
        for name in ("sample", "choose"):
            original = getattr(_Mirror, name)

            def timed(*arguments: Any, original: Callable[..., Any] = original) -> Any:
                start = time.thread_time()
                try:
                    return original(*arguments)
                finally:
                    self.seconds += time.thread_time() - start

            setattr(_Mirror, name, timed)


def worth(settings: Mapping[str, Any], epoch: int) -> float:
    """Return what an epoch with these settings is worth: smooth, with noise of its own, the same everywhere."""
    text = repr(sorted(settings.items()))
    noise = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
    return 0.5 + 0.2 * noise + 0.05 * epoch - abs(float(settings.get("init_scale", 1.7)) - 1.7) / 10


# -- the search alone -------------------------------------------------------------------------------


def search(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Let one study grow, its trials alone."""
    from adapterlab.search import storage
    from adapterlab.search.study import SearchRecipe, StudySearch
    from adapterlab.spec.load import load_spec
    from adapterlab.spec.studies import study_plans

    url = os.environ.get("ADAPTERLAB_STUDIES", f"sqlite:///{folder / 'studies.db'}")
    storage.initialise(url, folder / "locks")
    (planned,) = study_plans(load_spec(str(written(folder, options, "search"))).resolved())
    spaces = planned.choices[0].spaces
    sampling = Sampling()

    def grow(name: str, trials: int) -> Growth:
        recipe = SearchRecipe(spaces=spaces, trials=trials, sampler=options.sampler)
        before = sampling.seconds
        with StudySearch.open(url, name, recipe, locks=folder / "locks") as study:
            growth = Growth()
            while (proposal := study.ask("one")) is not None:
                stopped = False
                for epoch in range(1, EPOCHS + 1):
                    stopped = proposal.report(value := worth(proposal.settings, epoch), epoch)
                    if stopped:
                        study.tell_pruned(proposal.number)
                        break
                if not stopped:
                    study.tell_complete(proposal.number, value)
                growth.note(sampling=sampling.seconds - before)
            assert study.finished
        return growth

    growth = grow("large", options.trials)
    return {"growth": growth.table(options.sizes, grow("afterwards", AGAIN))}


# -- a whole submit ---------------------------------------------------------------------------------


def written(  # noqa: PLR0913
    folder: Path,
    options: argparse.Namespace,
    name: str,
    *,
    trials: int | None = None,
    seed: int = 0,
    targets: Sequence[str] = ("glue/rte",),
    tasks: str = "",
    kinds: Sequence[str] = ("scalearn_uniform",),
    workers: int = 1,
) -> Path:
    """Write a small world, if it is not there, and a spec."""
    from tiny_world import write_backbone, write_tasks

    if not (folder / "backbone").exists():
        write_backbone(folder / "backbone", layers=1, hidden=16)
        write_tasks(folder / "data", rows=40)
    spec = folder / f"{name}.toml"
    spec.write_text(
        SPEC.format(
            name=name,
            tasks=tasks,
            targets=", ".join(f'"{one}"' for one in targets),
            kinds=", ".join(f'"{one}"' for one in kinds),
            trials=options.trials if trials is None else trials,
            sampler=options.sampler,
            spaces=SPACES[options.sampler],
            seed=seed,
            epochs=EPOCHS if len(targets) == 1 else 1,
            workers=workers,
        ),
        encoding="utf-8",
    )
    return spec


def train_nothing() -> None:
    """Let trials train nothing from now on in this process; sources and final runs train as ever."""
    from adapterlab.records import State
    from adapterlab.train.loop import train_lanes
    from adapterlab.worker import training

    def lanes(
        backbone: Any, next_lane: Callable[[], Any], *, capacity: Any, on_epoch: Any, on_pass: Any
    ) -> Iterator[Any]:
        while (lane := next_lane()) is not None:
            on_pass()
            if lane.sees_test:
                waiting = [lane]
                yield from train_lanes(
                    backbone,
                    lambda waiting=waiting: waiting.pop() if waiting else next_lane(),  # type: ignore[misc]
                    capacity=capacity,
                    on_epoch=on_epoch,
                    on_pass=on_pass,
                )
                return
            goes_on = True
            while goes_on and not lane.finished:
                value = worth({"lr": lane.settings.lr, "name": lane.name}, len(lane.epochs) + 1)
                metrics = dict.fromkeys(lane.task.facts.metrics, value)
                goes_on = on_epoch(lane, lane.close_epoch(1.0 - value, metrics, 0.0)) or lane.finished
            yield lane.result(State.COMPLETE if goes_on else State.PRUNED)

    training.train_lanes = lanes  # type: ignore[assignment]


def study(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Submit one large study, then a small one."""
    from adapterlab import api
    from adapterlab.worker import study_runs, trial_runs

    train_nothing()
    sampling = Sampling()
    growth = Growth()
    end = trial_runs._TrialRun.end

    def noted(self: trial_runs._TrialRun, result: Any) -> None:
        end(self, result)
        growth.note(backlog=self.trials.study.worker.tree.tracker.backlog, sampling=sampling.seconds)

    trial_runs._TrialRun.end = noted  # type: ignore[method-assign]
    train_trials = study_runs.train_trials

    def begun(*arguments: Any) -> dict[str, int]:
        growth.__init__()  # type: ignore[misc]  # sources have been trained meanwhile
        sampling.seconds = 0.0
        return train_trials(*arguments)

    study_runs.train_trials = begun
    start = time.perf_counter()
    api.submit(written(folder, options, "large"))
    wall_s = time.perf_counter() - start
    large, growth = growth, Growth()
    api.submit(written(folder, options, "afterwards", trials=AGAIN, seed=1))
    found = {"wall_s": wall_s, "growth": large.table(options.sizes, growth)}
    return {**found, "rss_at_the_end_mb": rss_mb(), "waits": waits(folder, "large")}


def sweep(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Submit one sweep of many studies."""
    from adapterlab import api
    from adapterlab.driver import launchers

    train_nothing()
    tables, targets = [], []
    for number in range(options.targets):
        draw = random.Random(number)  # noqa: S311
        rows = [f"{draw.choice('abcdefgh')} {draw.random():.6f},{index % 2}" for index in range(24)]
        (folder / f"rows{number}.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
        targets.append(f"mine/rows{number}")
        tables.append(
            f'[[task]]\nname = "mine/rows{number}"\ntrain = "rows{number}.csv"\ntest = "rows{number}.csv"\n'
            'text = ["text"]\nlabel = "label"\nmetrics = ["accuracy"]\n'
        )
    kinds = ("scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp")
    spec = written(folder, options, "large", trials=2, targets=targets, tasks="\n".join(tables), kinds=kinds)
    start = time.perf_counter()
    planned = api.plan(spec)
    plan_s = time.perf_counter() - start
    growth = Growth()
    attempt = launchers._attempt

    def noted(order: Any, *rest: Any) -> str:
        told = attempt(order, *rest)
        if hasattr(order, "finals"):  # a study's
            growth.note()
        else:
            growth.__init__()  # type: ignore[misc]  # of the sources
        return told

    launchers._attempt = noted
    start = time.perf_counter()
    outcome = api.submit(spec)
    wall_s = time.perf_counter() - start
    count = len(growth.wall) - 1
    assert count == len(targets) * len(kinds) == outcome.trained["study"], outcome  # type: ignore[index]
    found = {"steps": len(planned.plan.steps), "plan_s": plan_s, "wall_s": wall_s}
    found |= {"studies": count, "growth": growth.table(sorted({50, 100, 250, count}), None)}
    return {**found, "rss_at_the_end_mb": rss_mb(), "waits": waits(folder, "large", spec)}


# -- many workers -----------------------------------------------------------------------------------


def _do(text: str) -> str:
    """Do one order in a worker's process."""
    from adapterlab.cluster.outcomes import attempt
    from adapterlab.worker.entry import work

    train_nothing()
    return attempt(text, work, lambda: False)


@dataclass
class Processes:
    """A launcher whose workers are processes of this machine, side by side."""

    workers: int
    groups: int = 1
    gpus: float = 0.0
    keeps_order: bool = False
    seconds: float = 0.0
    """Of the trials' orders."""

    def run(
        self,
        orders: Sequence[Any],
        *,
        name: str,  # noqa: ARG002
        on_outcome: Callable[..., None],
        should_stop: Callable[[], bool],  # noqa: ARG002
        on_workers: Callable[..., None],  # noqa: ARG002
    ) -> None:
        """See ``adapterlab.driver.launchers.Launcher``."""
        from adapterlab.cluster.outcomes import outcome_of
        from adapterlab.worker.orders import to_json

        # A server that has no threads forks them, with all libraries loaded: memory and start are shared.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["adapterlab.worker.entry", "adapterlab.train.loop", "optuna", "mlflow.tracking", "transformers"]
        )
        start = time.perf_counter()
        with ProcessPoolExecutor(min(self.workers, len(orders)), mp_context=context) as pool:
            waiting = {
                pool.submit(_do, json.dumps(to_json(order))): index for index, order in enumerate(orders)
            }
            for future in as_completed(waiting):
                index = waiting[future]
                on_outcome(orders[index], outcome_of(index, future.result(), 1))
        if len(orders) == self.workers:
            self.seconds = time.perf_counter() - start


def workers(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Let so many workers share one study."""
    from adapterlab import api
    from adapterlab.driver import sweep as driver
    from adapterlab.home import stores
    from adapterlab.search.trials import read_trials

    found: dict[str, Any] = {}
    # The first one trains the sources, and loads what all need.
    for seed, count in enumerate([1, *options.workers]):
        processes = Processes(count)

        @contextmanager
        def opened(*_: Any, launcher: Processes = processes) -> Iterator[Processes]:
            yield launcher

        driver.open_launcher = opened  # type: ignore[assignment]
        trials = options.trials if seed else 4
        spec = written(folder, options, f"by{count}", trials=trials, seed=seed, workers=count)
        planned = api.plan(spec).plan
        start = time.perf_counter()
        api.submit(spec)
        wall_s = time.perf_counter() - start
        (job,) = (one.job for one in planned.studies)
        kept = read_trials(stores().studies, str(job.search_key))
        assert sorted(one.number for one in kept) == list(range(trials)), "trials are missing, or there twice"
        assert all(str(one.state) in {"complete", "pruned"} for one in kept)
        if seed:
            each_s = [one.seconds for one in kept if one.seconds is not None]
            found[str(count)] = {
                "wall_s": wall_s,
                "trials_s": processes.seconds if count > 1 else None,
                "trial_s": statistics.median(each_s),
                "workers_seen": len({one.worker for one in kept}),
                "driver_rss_mb": rss_mb(),
            }
    return {"workers": found}


# -- what people wait for ---------------------------------------------------------------------------


def waits(folder: Path, name: str, spec: Path | None = None) -> dict[str, float]:
    """Return seconds of what is asked of a finished sweep."""
    from mlflow.tracking import MlflowClient

    from adapterlab import api
    from adapterlab.home import stores

    client = MlflowClient(tracking_uri=stores().tracking)
    experiment = client.get_experiment_by_name(f"adapterlab/{name}")
    (top,) = client.search_runs([experiment.experiment_id], "tags.`adapterlab.kind` = 'sweep'")
    newest = {"max_results": 100, "order_by": ["attributes.start_time DESC"]}

    def page(number: int) -> Any:
        found, token = None, None
        for _ in range(number):
            found = client.search_runs([experiment.experiment_id], **newest, page_token=token)
            token = found.token
        return found

    def program(*arguments: str) -> Callable[[], Any]:
        return lambda: subprocess.run(
            [sys.executable, "-m", "adapterlab.cli", *arguments],
            check=True,
            capture_output=True,
            cwd=folder,
        )

    below = f"tags.`mlflow.parentRunId` = '{top.info.run_id}'"
    questions: dict[str, Callable[[], Any]] = {
        "MLflow, first page of 100 runs": lambda: page(1),
        "MLflow, first to fifth page": lambda: page(5),
        "MLflow, runs below the sweep": lambda: client.search_runs(
            [experiment.experiment_id], below, **newest
        ),
        "MLflow, best 100 by a metric": lambda: client.search_runs(
            [experiment.experiment_id], max_results=100, order_by=["metrics.`best/accuracy` DESC"]
        ),
        "api.status": lambda: api.status(name),
        "api.report": lambda: api.report(name),
        "platform status": program("status", name),
        "platform report": program("report", name),
    }
    if spec is not None:
        questions["platform plan"] = program("plan", str(spec))
        questions["platform submit, again"] = program("submit", str(spec))
    found = {}
    for title, ask in questions.items():
        seconds = []
        for _ in range(3):
            gc.collect()
            start = time.perf_counter()
            ask()
            seconds.append(time.perf_counter() - start)
        found[title] = statistics.median(seconds)
    return found


def show(found: Mapping[str, Any]) -> None:
    """Print what was found."""
    for name, value in found.items():
        if name == "growth":
            base = value.get("100, begun afterwards") or next(iter(value.values()))
            print_table(
                ("at", "wall ms", "x", "CPU ms", "x", "Optuna ms", "process CPU ms", "MB", "backlog"),
                [
                    (
                        size,
                        f"{one['wall_ms']:.1f}",
                        f"{one['wall_ms'] / base['wall_ms']:.2f}",
                        f"{one['thread_cpu_ms']:.1f}",
                        f"{one['thread_cpu_ms'] / base['thread_cpu_ms']:.2f}",
                        f"{one['optuna_ms']:.1f}",
                        f"{one['process_cpu_ms']:.1f}",
                        f"{one['rss_mb']:.0f}",
                        f"{one['backlog']:.0f}",
                    )
                    for size, one in value.items()
                ],
            )
        elif name == "waits":
            print_table(("", "s"), [(title, f"{seconds:.2f}") for title, seconds in value.items()])
        elif name == "workers":
            for count, one in value.items():
                print(f"{count} workers: {one}")
        else:
            print(f"{name}: {value:.1f}" if isinstance(value, float) else f"{name}: {value}")


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("search", "study", "sweep", "workers"))
    parser.add_argument("--trials", type=int)
    parser.add_argument("--targets", type=int, default=125)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--studies", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--sampler", choices=("tpe", "random", "grid"), default="tpe")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.trials = options.trials or (1280 if options.what == "workers" else 10_000)
    options.sizes = sorted({100, 1000, options.trials})
    facts = surroundings("optuna", "mlflow", "sqlalchemy")
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    print(f"{options.what}: {options.trials} trials, {options.sampler}, studies on {options.studies}")
    with tempfile.TemporaryDirectory(prefix="adapterlab-bench-") as name, studies_in(options.studies):
        os.environ["ADAPTERLAB_HOME"] = str(Path(name) / "home")
        what: Callable[..., dict[str, Any]] = globals()[options.what]
        found = what(Path(name), options)
    found["load_at_the_end"] = os.getloadavg()[0]
    show(found)
    write_json(options.json, {**facts, "options": {k: str(v) for k, v in vars(options).items()}, **found})


if __name__ == "__main__":
    main()
