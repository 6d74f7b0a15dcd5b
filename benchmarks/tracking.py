"""What MLflow with 10,000 runs in one experiment costs: its pages, a sweep's own calls, and what people wait for.

    python benchmarks/tracking.py [--runs 10000] [--folder NEW] [--json FILE]

A small sweep (two sources, two studies of four trials, four final runs) is submitted into an empty store; then
finished sweeps of some 200 runs each are written into the same experiment through ``Tracker``, as sweeps write
theirs, until it has so many runs; then the small sweep is submitted with another seed, so that it trains all anew.
Both times each of MLflow's calls that the sweep makes is counted and timed, and ``status``, ``report`` and submitting
again are asked as commands. At last the pages of ``platform ui`` ask over HTTP what a browser asks: the comparison
that an experiment opens with, the tree of runs, their second hundred, a run's histories. Nothing of it may
grow with the runs that others have left, but for what lists or sorts all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import print_table, surroundings, write_json

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

NAME = "large"
SPEC = """\
name = "large"
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
seed = {seed}
[combiner]
kind = ["scalearn", "scalearn_uniform"]
[search]
trials = 4
[transfer]
max_epochs = 3
[final]
seeds = [0, 1]
[cluster]
launcher = "in_process"
"""
SOURCES = ("mnli", "qqp", "sst2", "qnli", "cola", "stsb")
TARGETS = ("rte", "mrpc")
METHODS = ("scalearn", "scalearn_uniform", "adapterfusion", "uniform_average")
TRIALS, SEEDS, EPOCHS = 20, 3, 3
REPEATS = 3


class Calls:
    """How often each of MLflow's calls was made by this process, and how long each took."""

    def __init__(self) -> None:
        from mlflow.tracking import MlflowClient

        self.seconds: dict[str, list[float]] = defaultdict(list)
        for name in ("create_run", "log_batch", "set_terminated", "get_run", "search_runs", "log_inputs"):
            original = getattr(MlflowClient, name)
            setattr(MlflowClient, name, self._timed(name, original))

    def _timed(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return original(*given, **named)
            finally:
                self.seconds[name].append(time.perf_counter() - start)

        return timed

    def take(self) -> dict[str, tuple[int, float]]:
        """Return calls and their median in ms, and begin anew."""
        found = {
            name: (len(each), 1000 * statistics.median(each)) for name, each in sorted(self.seconds.items())
        }
        self.seconds.clear()
        return found


def submitted(folder: Path, seed: int, calls: Calls) -> dict[str, Any]:
    """Submit the small sweep; return what it took."""
    from adapterlab import api

    spec = folder / f"{NAME}{seed}.toml"
    spec.write_text(SPEC.format(seed=seed), encoding="utf-8")
    calls.take()
    start = time.perf_counter()
    outcome = api.submit(spec)
    wall_s = time.perf_counter() - start
    key = outcome.sweep_key
    asked = {
        "platform status KEY": ("status", key),
        "platform report KEY": ("report", key),
        "platform submit, again": ("submit", str(spec)),
    }
    return {
        "submit_s": wall_s,
        "calls": calls.take(),
        "commands": {title: program(folder, *words) for title, words in asked.items()},
    }


def program(folder: Path, *arguments: str) -> float:
    """Return the seconds of a command, the median of a few."""
    words = [sys.executable, "-m", "adapterlab.cli", *arguments]
    return _median(lambda: subprocess.run(words, check=True, capture_output=True, cwd=folder))


def _median(ask: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


# -- other people's sweeps ----------------------------------------------------------------------------


def fill(count: int) -> int:
    """Write finished sweeps until so many runs are written; return how many are."""
    from adapterlab.home import stores
    from adapterlab.tracking.tracker import Tracker

    places = stores()
    written = 0
    with Tracker.open(
        uri=places.tracking, artifacts=places.artifacts, experiment=f"adapterlab/{NAME}", spool=places.spool
    ) as tracker:
        while written < count:
            written += _one_sweep(tracker, f"{written:064x}")
            tracker.flush(600)
            print(f"\r{written:,} runs written", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        if tracker.problems:
            sys.exit(f"MLflow refused: {tracker.problems[0]}")
    return written


def _one_sweep(tracker: Any, sweep: str) -> int:
    """Write one finished sweep; return its runs."""
    from adapterlab.records import State
    from adapterlab.tracking import run_names, vocabulary
    from adapterlab.tracking.entities import KIND_TAG

    count = 0

    def begin(node: str, parent: str | None, kind: str, name: str, **params: Any) -> Any:
        nonlocal count
        count += 1
        common = {} if kind == "sweep" else {vocabulary.BACKBONE: "hub:models/encoder", **params}
        return tracker.run(node, name=name, parent=parent, tags={KIND_TAG: kind}, params=common, new=True)

    def learn(run: Any, score: float) -> None:
        for epoch in range(1, EPOCHS + 1):
            run.metrics({"train/loss": 1 / epoch, "validation/accuracy": score - 0.1 / epoch}, step=epoch)
        numbers = {vocabulary.VALIDATION_SCORE: score, vocabulary.PARAMETERS: 13_824.0}
        run.metrics({**numbers, vocabulary.SECONDS: 12.5}, step=0)

    top = begin(sweep, None, "sweep", run_names.sweep_name(NAME, sweep))
    for source in SOURCES:
        run = begin(f"{sweep}/s/{source}", sweep, "source", run_names.source_name(source, 0), target=source)
        learn(run, 0.8)
        run.end(State.COMPLETE)
    for place, (target, method) in enumerate((t, m) for t in TARGETS for m in METHODS):
        node = f"{sweep}/{target}/{method}"
        named = {vocabulary.TARGET: target, vocabulary.METHOD: method}
        study = begin(node, sweep, "study", run_names.study_name(target, method), **named)
        for number in range(TRIALS):
            settings = {"lr": 1e-3 * (1 + number), "dropout": 0.1 * (number % 4)}
            name = run_names.trial_name(target, method, settings)
            trial = begin(f"{node}/trial/{number}", node, "trial", name, **named, **settings)
            learn(trial, 0.7 + 0.005 * number)
            trial.end(State.PRUNED if number % 3 else State.COMPLETE)
        shares = {vocabulary.contribution(one): 1 / len(SOURCES) for one in SOURCES}
        shares |= {vocabulary.coefficient(one): 0.5 for one in SOURCES}
        for seed in range(SEEDS):
            final = begin(f"{node}/final/{seed}", node, "final", run_names.final_name(target, method, seed), **named)  # fmt: skip
            learn(final, 0.75)
            final.metrics({vocabulary.TEST_SCORE: 0.74 + 0.01 * seed, **shares}, step=0)
            final.end(State.COMPLETE)
        score = {vocabulary.TEST_SCORE: 0.7 + 0.01 * place, vocabulary.TEST_SCORE_STD: 0.012}
        study.metrics({**score, **shares, vocabulary.SEEDS: float(SEEDS)}, step=0)
        study.tags({vocabulary.ROW_TAG: "true"})
        study.end(State.COMPLETE)
    top.metrics({vocabulary.TEST_SCORE: 0.77, vocabulary.TEST_SCORE_STD: 0.01}, step=0)
    top.end(State.COMPLETE)
    return count


# -- what a browser asks ------------------------------------------------------------------------------


@contextmanager
def served() -> Iterator[Callable[..., Any]]:
    """Run ``platform ui``'s server; give what asks it."""
    from adapterlab.home import stores
    from adapterlab.tracking.server import serve

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = stores()
    log = Path(places.home) / "ui.log"
    with serve(places.tracking, places.artifacts, host="127.0.0.1", port=port, log=log) as server:

        def ask(path: str, body: Mapping[str, Any] | None = None) -> Any:
            request = urllib.request.Request(  # noqa: S310 - our own http address
                f"{server.url}/ajax-api/2.0/mlflow/{path}",
                data=None if body is None else json.dumps(body).encode(),
                headers={"Content-Type": "application/json", "Authorization": f"Bearer {server.token}"},
            )
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
                return json.load(answer)

        yield ask


def pages() -> dict[str, float]:
    """Return seconds of what the pages of an experiment ask for."""
    from adapterlab.home import stores
    from adapterlab.tracking import views, vocabulary

    with served() as ask:
        found = ask("experiments/search", {"max_results": 1000, "filter": f"name = 'adapterlab/{NAME}'"})
        experiment = found["experiments"][0]
        number = experiment["experiment_id"]
        tags = {one["key"]: one["value"] for one in experiment["tags"]}

        def runs(state: Mapping[str, Any], pages: int = 1) -> Any:
            direction = "ASC" if state["orderByAsc"] else "DESC"
            body = {
                "experiment_ids": [number],
                "filter": state["searchFilter"],
                "run_view_type": "ACTIVE_ONLY",
                "max_results": 100,
                "order_by": [f"{state['orderByKey']} {direction}"],
            }
            answer: Any = {}
            for _ in range(pages):
                answer = ask("runs/search", {**body, "page_token": answer.get("next_page_token")})
            return answer

        view = {
            name: json.loads(json.loads(tags[views.VIEW_PREFIX + name])["state"])
            for name in (views.ROWS_VIEW, views.LATEST_VIEW, views.TREE_VIEW)
        }
        newest = runs(view[views.TREE_VIEW])["runs"]
        assert len(newest) == 100
        best = runs(view[views.ROWS_VIEW])["runs"]
        scores = [next(m["value"] for m in one["data"]["metrics"] if m["key"] == vocabulary.TEST_SCORE) for one in best]  # fmt: skip
        assert scores == sorted(scores, reverse=True), "the comparison is not in order of its scores"
        ids = "&".join(f"run_ids={one['info']['run_id']}" for one in newest[:20])
        history = f"metrics/get-history-bulk-interval?{ids}&metric_key=train/loss&max_results=320"
        trials = {**view[views.TREE_VIEW], "searchFilter": "params.lr != '' AND metrics.`train/loss` < 0.9"}
        asked: dict[str, Callable[[], Any]] = {
            "the experiments": lambda: ask("experiments/search", {"max_results": 25}),
            "the experiment": lambda: ask(f"experiments/get?experiment_id={number}"),
            "targets × methods, best 100": lambda: runs(view[views.ROWS_VIEW]),
            "those of the latest sweep": lambda: runs(view[views.LATEST_VIEW]),
            "the tree, newest 100": lambda: runs(view[views.TREE_VIEW]),
            "the tree, first to fifth hundred": lambda: runs(view[views.TREE_VIEW], 5),
            "a filter on a parameter and a metric": lambda: runs(trials),
            "a chart of 20 runs' losses": lambda: ask(history),
        }
        waits = {title: _median(each) for title, each in asked.items()}
    size = Path(str(stores().tracking).removeprefix("sqlite:///")).stat().st_size
    return {**waits, "size of the store, MB": size / 1e6}


def main() -> None:
    """Measure, print the tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="work there and leave the store, for a browser")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    facts: dict[str, Any] = surroundings("mlflow", "sqlalchemy")
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    with tempfile.TemporaryDirectory(prefix="adapterlab-bench-") as name:
        folder = Path(name) if options.folder is None else options.folder.absolute()
        folder.mkdir(parents=True, exist_ok=options.folder is None)
        os.environ["ADAPTERLAB_HOME"] = str(folder / "home")
        from tiny_world import write_backbone, write_tasks

        write_backbone(folder / "backbone", layers=1, hidden=16)
        write_tasks(folder / "data", rows=40)
        calls = Calls()
        submitted(folder, 0, calls)  # what loads libraries counts for neither
        few = submitted(folder, 1, calls)
        start = time.perf_counter()
        runs = fill(options.runs)
        fill_s = time.perf_counter() - start
        many = submitted(folder, 2, calls)
        waits = pages()
    print(f"{runs:,} runs of others written, {1000 * fill_s / runs:.0f} ms each")
    print_table(
        ("MLflow's calls of a sweep", "calls", "of a full store", "ms each", "of a full store", "x"),
        [
            (name, f"{count}", f"{many['calls'][name][0]}", f"{ms:.1f}", f"{(late := many['calls'][name][1]):.1f}", f"{late / ms:.2f}")
            for name, (count, ms) in few["calls"].items()
            if name in many["calls"]
        ],
    )  # fmt: skip
    commands = {"submit": (few["submit_s"], many["submit_s"])}
    commands |= {name: (seconds, many["commands"][name]) for name, seconds in few["commands"].items()}
    print_table(
        ("", "s", "of a full store", "x"),
        [(name, f"{a:.2f}", f"{b:.2f}", f"{b / a:.2f}") for name, (a, b) in commands.items()],
    )
    print_table(("MLflow's pages", "s"), [(title, f"{seconds:.2f}") for title, seconds in waits.items()])
    facts["load_at_the_end"] = os.getloadavg()[0]
    print(f"load at the end {facts['load_at_the_end']:.1f}")
    found = {"runs": runs, "fill_s": fill_s, "few": few, "many": many, "pages": waits}
    write_json(options.json, {**facts, **found})


if __name__ == "__main__":
    main()
