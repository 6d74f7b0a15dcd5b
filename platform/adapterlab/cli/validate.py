"""``platform validate``: check a spec without doing anything."""

from __future__ import annotations

from adapterlab.cli.options import JsonOption, SetOption, SpecArgument
from adapterlab.cli.output import emit, emit_json, note
from adapterlab.driver.preview import check_inputs
from adapterlab.importing.pool import existing_pool
from adapterlab.planning.combiners import trials_of
from adapterlab.spec.load import LoadedSpec, load_spec
from adapterlab.spec.model import Spec
from adapterlab.spec.studies import study_plans


def command(spec: SpecArgument, overrides: SetOption = None, json: JsonOption = False) -> None:
    """Check a spec; show every fault with its file, line, column and what to write instead.

    The files of its own tasks must be there. A backbone that is on this machine is looked at too: whether its config,
    weights and tokenizer fit together, and whether it takes rows of data.max_length. `platform plan` reads the tasks
    as well.

    With --json, a valid spec is printed with all its defaults spelled out, an invalid one as a list
    of faults.
    """
    loaded = load_spec(spec, overrides or ())
    unseen = check_inputs(loaded)
    pool = existing_pool(loaded)
    if json:
        emit_json(
            {
                "valid": True,
                "path": loaded.path,
                "faults": [],
                "warnings": loaded.warnings,
                "spec": loaded.spec,
            }
        )
        return
    emit(f"{loaded.path} is valid: {_summary(loaded)}")
    for warning in loaded.warnings:
        note(f"warning: {warning}")
    for one in dict.fromkeys(filter(None, (unseen, *pool.unseen))):
        note(f"not checked: {one}")


def _summary(loaded: LoadedSpec) -> str:
    spec = loaded.spec
    sources, targets, plans = (
        len(spec.pool.tasks) + len(spec.pool.adapter),
        len(spec.targets.tasks),
        study_plans(spec),
    )
    of = "combiner" if len(plans) == len(spec.combiner.kinds) else "setting of combiners"
    trials = max((trials_of(spec, plan) for plan in plans), default=0)
    if not plans:
        return f"{_count(sources, 'source')}, {_count(len(spec.baseline), 'baseline')}, no combiner"
    return (
        f"{_count(sources, 'source')}, {_count(targets, 'target')} x {_count(len(plans), of)} = "
        f"{_count(targets * len(plans), 'study', 'studies')} of {_count(trials, 'trial')}, "
        f"{_seeds(spec)} each"
    )


def _seeds(spec: Spec) -> str:
    counts = sorted({len(spec.of_task(target).final.seeds) for target in spec.targets.tasks})
    return _count(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
