"""``platform validate``: check a spec without doing anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Annotated

import typer

from adapterlab.cli.options import JsonOption, SetOption, SpecArgument
from adapterlab.cli.output import emit, emit_json, is_interactive, note, stderr
from adapterlab.driver.input_checks import Unseen, check_inputs
from adapterlab.importing.pool import existing_pool
from adapterlab.planning.baselines import baseline_rows, pool_recipes
from adapterlab.planning.combiners import trials_of
from adapterlab.spec.load import LoadedSpec, load_spec
from adapterlab.spec.model import Spec
from adapterlab.spec.studies import study_plans


def command(
    spec: SpecArgument,
    overrides: SetOption = None,
    data: Annotated[bool, typer.Option("--data", help="Also read every row of its tasks.")] = False,
    json: JsonOption = False,
) -> None:
    """Check a spec; show every fault with its file, line, column and what to write instead.

    The files of its own tasks must be there. A backbone that is on this machine is looked at too: whether its config,
    weights and tokenizer fit together, and whether it takes rows of data.max_length. With --data all rows that are on
    this machine are read: every fault of every file is told. What was not looked at is named.

    With --json, a valid spec is printed with all its defaults spelled out, an invalid one as a list
    of faults.
    """
    loaded = load_spec(spec, overrides or ())
    with _reading() as tell:
        inputs = check_inputs(loaded, rows=data, tell=tell)
    pool = existing_pool(loaded)
    unseen = list(dict.fromkeys((*inputs.unseen, *(Unseen("the pool", one) for one in pool.unseen))))
    if json:
        emit_json(
            {
                "valid": True,
                "path": loaded.path,
                "extends": [one.name for one in loaded.texts[1:]],
                "summary": _summary(loaded),
                "faults": [],
                "warnings": loaded.warnings,
                "looked_at": inputs.seen,
                "not_looked_at": unseen,
                "spec": loaded.spec,
            }
        )
        return
    name = "standard input" if loaded.path == "-" else loaded.path
    emit(f"{name} is valid: {_summary(loaded)}")
    for warning in loaded.warnings:
        note(f"warning: {warning}")
    for line in dict.fromkeys(f"{one.what}; {one.why}" for one in unseen):
        note(f"not looked at: {line}")


@contextmanager
def _reading() -> Iterator[Callable[[str], None]]:
    """Show a terminal which task is read."""
    if not is_interactive(sys.stderr):
        yield lambda _: None
        return
    with stderr().status("") as status:
        yield lambda task: status.update(f"{task}: reading")


def _summary(loaded: LoadedSpec) -> str:
    spec = loaded.spec
    sources, targets, plans = (
        len(spec.pool.tasks) + len(spec.pool.adapter),
        len(spec.targets.tasks),
        study_plans(spec),
    )
    dimensions = {"numbers of rows": spec.data.few_rows, "source seeds": spec.source.seeds}
    several = [f"{len(values)} {words}" for words, values in dimensions.items() if len(values) > 1]
    many = prod(len(values) for values in dimensions.values())
    of = ("combiner", "combiners")
    if len(plans) != len(spec.combiner.kinds):
        of = ("setting of combiners", "settings of combiners")
    trials = max((trials_of(spec, plan) for plan in plans), default=0)
    searched = sum(row.study is not None for row in baseline_rows(spec))
    also = f"; {_count(searched, 'baseline study', 'baseline studies')}" if searched else ""
    if any(pool_recipes(spec, task)[0].spaces for task in spec.pool.tasks):
        also += "; the pool's settings searched once a source"
    joint = f"{_count(len(spec.joint.run), 'joint run')}, " if spec.joint.run else ""
    if not plans:
        baselines = _count(len(spec.baseline), "baseline")
        return f"{_count(sources, 'source')}, {joint}{baselines}, no combiner{also}"
    return (
        f"{_count(sources, 'source')}, {joint}"
        f"{' x '.join((_count(targets, 'target'), _count(len(plans), *of), *several))} = "
        f"{_count(targets * len(plans) * many, 'study', 'studies')} of {_count(trials, 'trial')}, "
        f"{_seeds(spec)} each{also}"
    )


def _seeds(spec: Spec) -> str:
    counts = sorted({len(spec.of_task(target).final.seeds) for target in spec.targets.tasks})
    return _count(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
