"""The Python API: everything the command line does, as functions.

import adapterlab

spec = adapterlab.load_spec("specs/quickstart.toml", ["search.trials=4"])
print(adapterlab.plan(spec).counts)
outcome = adapterlab.submit(spec)
print(adapterlab.report(outcome.name).to_json())
with adapterlab.open_catalog() as catalog:
    for adapter in catalog.adapters(task="synthetic/nli"):
        print(adapter.key, adapter.metric_value)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab import home
from adapterlab.data.task_library import TaskLibrary
from adapterlab.driver.preview import PlannedSweep, compile_spec, plan_spec
from adapterlab.errors import NotFoundError, UsageError
from adapterlab.given_files import given_path
from adapterlab.spec.load import LoadedSpec, load_spec

if TYPE_CHECKING:
    from adapterlab.catalog.records import Annotation
    from adapterlab.catalog.store import Catalog
    from adapterlab.data.run_predictions import KeptPredictions
    from adapterlab.driver.progress import SweepView
    from adapterlab.driver.sweep import Outcome
    from adapterlab.exporting.ablation import Contributions, Split
    from adapterlab.exporting.composition import AdapterReference
    from adapterlab.exporting.draft import Exported
    from adapterlab.exporting.evaluation import Evaluated
    from adapterlab.exporting.prediction import AnsweringModel, Prediction
    from adapterlab.importing.catalog_import import Imported
    from adapterlab.records import State
    from adapterlab.reporting.intervals import Resampled
    from adapterlab.reporting.summary import Summary
    from adapterlab.train.compose import Composition
    from adapterlab.worker.run_recorder import RunRecorder
    from adapterlab.worker.run_tree import SweepTree

__all__ = [
    "PlannedSweep",
    "annotate_sweep",
    "archive",
    "cancel",
    "compose",
    "contributions",
    "evaluate",
    "export",
    "import_adapters",
    "kept_predictions",
    "load_spec",
    "open_catalog",
    "plan",
    "predict",
    "publish",
    "report",
    "resampled",
    "status",
    "submit",
]


def open_catalog(url: str | None = None, *, blobs: str | None = None) -> Catalog:
    """Open the catalog, creating or upgrading its schema when needed.

    Args:
        url: Database URL; absent: the environment's or the home folder's.
        blobs: Folder or fsspec URL of the weights; absent likewise.

    Raises:
        UnavailableError: The database cannot be reached.
        ConflictError: Its schema is newer than this code.
    """
    from adapterlab.catalog.store import open_catalog as open_at

    stores = home.stores(catalog=url, blobs=blobs)
    return open_at(url or stores.catalog, blobs or stores.blobs, locks=stores.locks)


def plan(
    spec: LoadedSpec | str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    measure: bool | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> PlannedSweep:
    """Say what a spec would do: what is done, in flight, to train; parameters; an estimate of time.

    Nothing is trained, downloaded or written but this machine's cache of digests and speeds.

    Args:
        spec: A loaded spec, its path, or its keys as plain values.
        overrides: ``key=value`` pairs, when ``spec`` is not loaded.
        measure: Whether to time a few training steps, once for a device and a backbone, where no past step says how
            long they take; ``None``: on a GPU.
        tell: Told, in words, what takes long.
    """
    from adapterlab.importing.pool import existing_pool

    loaded = _loaded(spec, overrides)
    return plan_spec(loaded, existing_pool(loaded).adapters, measure=measure, tell=tell)


def submit(
    spec: LoadedSpec | str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    watch: Callable[[SweepView], None] | None = None,
    began: Callable[[str, bool], None] | None = None,
) -> Outcome:
    """Run a spec to its end. Run it again to resume it, or to reuse what is there.

    Args:
        spec: A loaded spec, its path, or its keys as plain values.
        overrides: ``key=value`` pairs, when ``spec`` is not loaded.
        watch: Shown how far the sweep is about twice a second, from another thread.
        began: Told, once, when there is something to do and nothing stands in its way: the sweep's key, and
            ``True``; ``False`` where another process does this sweep and this one waits for it.

    Raises:
        SpecError: The spec is invalid.
        NotFoundError: Its data or backbone is not at hand.
        PartialFailureError: Some steps failed; the rest is kept.
        CancelledError: It was cancelled.
        UnavailableError: A store or the cluster cannot be reached.
    """
    from adapterlab.driver.sweep import run_sweep
    from adapterlab.importing.pool import existing_pool, import_missing, with_keys

    loaded = _loaded(spec, overrides)
    pool = import_missing(loaded, existing_pool(loaded, download=True))
    planned, stores = compile_spec(loaded, download=True, existing=pool.adapters), loaded.stores()

    def compare(tree: SweepTree, run: RunRecorder, catalog: Catalog, state: State) -> None:
        from adapterlab.reporting.comparison import show_comparison

        show_comparison(tree, run, catalog, planned, state, cache=Path(stores.cache))

    return run_sweep(
        planned,
        with_keys(loaded.resolved(), pool.adapters),
        stores=stores,
        spec_toml=loaded.complete_text,
        library=TaskLibrary.of_loaded(loaded),
        watch=watch,
        began=began,
        compare=compare,
    )


def status(sweep: str | None = None, *, archived: bool = False) -> list[SweepView]:
    """Return how far a sweep is, or all sweeps, the latest first.

    Args:
        sweep: Name, key, or the first digits of a key; of a name the latest is meant. Absent: all.
        archived: Whether all are to include those that were put away.

    Raises:
        NotFoundError: There is no sweep of that name or key, or several keys begin so.
    """
    from adapterlab.driver.progress import view_sweep, with_namesakes

    with open_catalog() as catalog:
        if sweep:
            one = catalog.sweep(sweep)
            return [with_namesakes(catalog, view_sweep(catalog, one), one)]
        found = [catalog.sweep(one.key) for one in catalog.sweeps(archived=archived)]
        return [view_sweep(catalog, one) for one in found]


def cancel(sweep: str) -> bool:
    """Ask a sweep to stop so that it can be resumed; return whether it was running.

    Args:
        sweep: Name, key, or the first digits of a key; of a name the one that runs is meant.

    Raises:
        NotFoundError: There is no sweep of that name or key, or several are meant.
    """
    with open_catalog() as catalog:
        return catalog.request_cancel(sweep)


def archive(sweep: str, *, away: bool = True) -> bool:
    """Put a sweep away, so that it is listed only on request; return whether that changed anything.

    Args:
        sweep: Name, key, or the first digits of a key.
        away: ``False`` takes it out again.

    Raises:
        NotFoundError: There is no sweep of that name or key, or several are meant.
        ConflictError: It runs.
    """
    with open_catalog() as catalog:
        return catalog.archive(sweep, away=away)


def annotate_sweep(
    sweep: str, *, note: str | None = None, add: Iterable[str] = (), remove: Iterable[str] = ()
) -> Annotation:
    """Change what is noted of a sweep; what is not given stays.

    Args:
        sweep: Name, key, or the first digits of a key.
        note: Its note; empty takes it away.
        add: Tags it gets.
        remove: Tags it loses.

    Raises:
        NotFoundError: There is no sweep of that name or key, or several are meant.
    """
    with open_catalog() as catalog:
        return catalog.annotate(catalog.only_sweep(sweep).key, note=note, add=add, remove=remove)


def report(*sweeps: str, stores: home.Stores | None = None) -> Summary:
    """Return a sweep's results, or those of several as one, with rows named ``SWEEP: ROW``.

    Args:
        sweeps: Names or keys.
        stores: Where state is kept, ``LoadedSpec.stores()`` for a spec's own; absent: the
            environment's or the home folder's.

    Raises:
        NotFoundError: There is no such sweep.
        UsageError: No sweep is named, or one is named twice.
    """
    from adapterlab.reporting.collect import summarise
    from adapterlab.reporting.summary import together

    chosen = stores or home.stores()
    with open_catalog(chosen.catalog, blobs=chosen.blobs) as catalog:
        found = [catalog.sweep(sweep) for sweep in sweeps]
        if not found or len({one.key for one in found}) < len(found):
            raise UsageError(
                "a report needs at least one sweep, and none of them twice",
                remedy="`platform status` lists the sweeps.",
            )
        return together(
            [summarise(catalog, one, cache=chosen.cache, studies=chosen.studies) for one in found]
        )


def kept_predictions(key: str, *, stores: home.Stores | None = None) -> KeptPredictions | None:
    """Return what a source adapter, a baseline or a transfer answered on its task's test rows.

    Args:
        key: Its key, or a unique beginning of it; a summary's cells have their runs' ``keys``.
        stores: Where state is kept; absent: the environment's or the home folder's.

    Returns:
        Outputs and labels of every test row, in order; ``None`` where the run keeps none: it was
        imported, or made by a version that did not keep them.

    Raises:
        NotFoundError: There is no such record.
        UsageError: It is the key of a study.
        CorruptBlobError: Its weights, which hold them, are damaged or missing.
    """
    from adapterlab.reporting.predictions import predictions_of_run

    chosen = stores or home.stores()
    with open_catalog(chosen.catalog, blobs=chosen.blobs) as catalog:
        return predictions_of_run(catalog, key)


def resampled(
    summary: Summary, *, resamples: int = 1000, against: str | None = None, stores: home.Stores | None = None
) -> Resampled:
    """Return 95 % intervals over test rows and seeds of a report's scores, from the predictions that runs keep.

    Args:
        summary: Of :func:`report`.
        resamples: Bootstrap samples.
        against: Name of a row: intervals of the differences to it, and McNemar's tests, are added.
        stores: As for :func:`report`.

    Raises:
        NotFoundError: There is no such row.
    """
    from adapterlab.reporting.intervals import resample
    from adapterlab.reporting.predictions import reader

    chosen = stores or home.stores()
    with open_catalog(chosen.catalog, blobs=chosen.blobs) as catalog:
        return resample(summary, reader(catalog), resamples=resamples, against=against)


def export(
    key: str,
    to: str | Path,
    *,
    tolerance: float = 0.0,
    backbone: str | None = None,
    name: str | None = None,
    license: str = "unknown",  # noqa: A002 - the model card's own word
    base_model: str | None = None,
    pickles: bool = False,
) -> Exported:
    """Write an adapter or a transfer as one plain adapter that AdapterHub's ``adapters`` loads.

    Args:
        key: Its key, or a unique beginning of it.
        to: The folder to make; may exist if it is empty.
        tolerance: Sources none of whose coefficients in a layer is greater are left out of that layer;
            0 leaves out zeros only and stays exact.
        backbone: Where the backbone is; absent: where it was when it was trained.
        name: The adapter's name inside AdapterHub; absent: made of task, combiner and key.
        license: Licence of the model card, as the hub writes it.
        base_model: The backbone's name in the model card; absent: its repository, package or folder.
        pickles: Also write ``.bin`` files, for ``load_adapter`` without ``use_safetensors=True``.

    Raises:
        ConflictError: The folder exists and is not empty.
        NotFoundError: There is no such record, or its backbone is not at hand.
        BackboneError: The backbone is not the one it was trained on.
        UsageError: It cannot be exported, or a name cannot be used.
        TrainingError: What was written does not compute what was trained; nothing is left behind.
        UnavailableError: The folder cannot be written.
    """
    from adapterlab.exporting.draft import Wishes
    from adapterlab.exporting.export import export as write

    wishes = Wishes(tolerance, name, license, base_model, pickles)
    with _filled_catalog() as catalog:
        return write(catalog, key, Path(to), backbone=backbone, cache=home.stores().cache, wishes=wishes)


def publish(
    key: str,
    to: str | Path,
    *,
    license: str,  # noqa: A002 - the model card's own word
    base_model: str | None = None,
    backbone: str | None = None,
    name: str | None = None,
) -> Exported:
    """Write one adapter or transfer as a folder ready for the hub; nothing is uploaded.

    Args:
        key: Its key, or a unique beginning of it.
        to: The folder to make; may exist if it is empty.
        license: Licence of the model card, as the hub writes it.
        base_model: The backbone's name on the hub; absent: the repository it is from, else what the card of an
            imported adapter says.
        backbone: Where the backbone is; absent: where it was when it was trained.
        name: The adapter's name inside AdapterHub; absent: made of task, combiner and key.

    Raises:
        UsageError: No name of the base model is known that others could load.
        AdapterlabError: As :func:`export`.
    """
    from adapterlab.importing.publication import base_model_name

    with _filled_catalog() as catalog:
        named = base_model or base_model_name(catalog, key, backbone)
    return export(key, to, license=license, base_model=named, backbone=backbone, name=name)


def import_adapters(
    source: str | Path, *, backbone: str | None = None, task: str | None = None
) -> list[Imported]:
    """Put an adapter that exists already into the catalog, or each one of a folder of folders.

    Args:
        source: A folder in AdapterHub's or PEFT's format, ``folder:<path>``, ``hub:<owner/name>@<commit>``, or a
            folder of such folders.
        backbone: The backbone it was trained on; absent: what it says itself, where that can be found.
        task: Full name of its task; absent: what it says itself, else its folder's name.

    Returns:
        One result a folder; a fault of one keeps no other from being imported.

    Raises:
        NotFoundError: There is no such source, no adapter in it, or no such backbone.
        UnavailableError: The hub or the catalog cannot be reached.
        UsageError: The source is of no known form.
    """
    from adapterlab.importing.catalog_import import import_adapters as run

    with open_catalog() as catalog:
        return run(catalog, str(source), stores=home.stores(), backbone=backbone, task=task)


def contributions(
    transfer: str,
    *,
    split: Split = "validation",
    backbone: str | None = None,
    data_root: str | Path | None = None,
) -> Contributions:
    """Evaluate a transfer without each of its sources: what each of them contributes.

    Args:
        transfer: Its key, or a unique beginning of it.
        split: ``"validation"``, or ``"test"`` where that is really wanted.
        backbone: Where the backbone is; absent: where it was when it was trained.
        data_root: Folder of real tasks; absent: where it was.

    Raises:
        NotFoundError: There is no such transfer, or its backbone or data is not at hand.
        UsageError: The key is no transfer's.
        BackboneError: The backbone is not the one it was trained on.
        DataError: The task's data has changed.
    """
    from adapterlab.exporting.ablation import contributions as evaluate

    root = None if data_root is None else given_path(data_root, "--data-root").absolute()
    with _filled_catalog() as catalog:
        return evaluate(
            catalog, transfer, split=split, backbone=backbone, data_root=root, cache=home.stores().cache
        )


def predict(
    what: str | Path, rows: Iterable[Mapping[str, Any]], *, backbone: str | None = None
) -> list[Prediction]:
    """Return what a catalogued adapter or transfer, or an exported folder, says of texts.

    Args:
        what: A key of the catalog, or a unique beginning of it, or a folder.
        rows: Each with the task's own columns, or ``text`` and perhaps ``text_pair``, or, for multiple
            choice, ``text`` and ``choices``.
        backbone: Where the backbone is; absent: where the catalog or the folder says.

    Raises:
        NotFoundError: There is no such thing, or no backbone for it.
        DataError: A row or the folder is malformed.
        BackboneError: The backbone is not the one it was trained on.
    """
    from adapterlab.exporting.prediction import numbered

    given = list(rows)
    if not given:
        return []
    answered = answering_model(what, backbone=backbone).answer(numbered(given))
    return [prediction for some in answered for prediction in some.predictions]


def evaluate(
    what: str | Path,
    rows: Iterable[Mapping[str, Any]],
    *,
    label: str | None = None,
    delimiter: str | None = None,
    metrics: Sequence[str] = (),
    backbone: str | None = None,
) -> Evaluated:
    """Say how good a catalogued adapter or transfer, or an exported folder, is on labelled rows.

    Args:
        what: A key of the catalog, or a unique beginning of it, or a folder.
        rows: As for :func:`predict`, each with the right answer.
        label: Column of the right answer; absent: the task's own.
        delimiter: What stands between the labels of a multi-label cell of text.
        metrics: Names; absent: the task's own, and the usual ones of its kind.
        backbone: Where the backbone is; absent: where the catalog or the folder says.

    Raises:
        NotFoundError: There is no such thing, or no backbone for it.
        DataError: A row or the folder is malformed, or there is no row.
        UsageError: A metric is not defined for such a task.
        BackboneError: The backbone is not the one it was trained on.
    """
    from adapterlab.exporting.evaluation import evaluate as compare
    from adapterlab.exporting.prediction import numbered

    model = answering_model(what, backbone=backbone)
    return compare(model, numbered(rows), label=label, delimiter=delimiter, wanted=metrics)


def answering_model(what: str | Path, *, backbone: str | None = None) -> AnsweringModel:
    """Load what answers: :func:`predict` and :func:`evaluate` for rows that come one after another.

    Args:
        what: A key of the catalog, or a unique beginning of it, or a folder.
        backbone: Where the backbone is; absent: where the catalog or the folder says.

    Raises:
        NotFoundError: There is no such thing, or no backbone or head for it.
        DataError: The folder is malformed.
        BackboneError: The backbone is not the one it was trained on.
    """
    from adapterlab.exporting.prediction import open_model

    return open_model(what, backbone=backbone, open_catalog=_filled_catalog, cache=home.stores().cache)


def compose(
    backbone: Any,
    adapters: AdapterReference | Sequence[AdapterReference] | Mapping[str, AdapterReference],
    combiner: str | None = None,
    coefficients: Any = None,
    dtype: Any = None,
) -> Composition:
    """Return a frozen backbone with combined frozen adapters as a torch module, without any sweep.

    Its ``forward(input_ids, attention_mask=None, token_type_ids=None)`` gives the usual Hugging Face
    output with ``last_hidden_state``. Its only parameters are the coefficients.

    Args:
        backbone: A folder, ``package:<pip name>``, ``hub:<owner/name>[@revision]``, ``<owner/name>``, or
            a loaded ``PreTrainedModel`` (BERT, RoBERTa, XLM-R), of which a frozen copy is taken.
        adapters: T adapters in coefficient order, or by name: keys of the catalog (a transfer counts as
            the one adapter it folds into), folders of AdapterHub, of PEFT (LoRA) or of ``platform export``, or
            tensors ``layer.<l>.{down,up}.{weight,bias}`` (relu). All of one method. Or the folder of a fusion,
            which has its adapters, its combiner and its tensors.
        combiner: ``"scalearn"``, ``"scalearn_uniform"``, ``"scalearn_pp"``, ``"scalearn_uniform_pp"``, the
            constrained ``"scalearn_mean"`` and ``"scalearn_softmax"``, ``"adapterfusion"``; with fixed
            coefficients ``"uniform_average"``, ``"single"`` (the last adapter alone), ``"probe"`` and
            ``"adaptersoup"`` (a mean of parameters), ``"task_arithmetic"``, ``"ties"`` and other merges, with the
            settings and dimensions that they have by themselves; or any other installed. Absent: ``"scalearn"``, or what
            the folder says.
        coefficients: (L, T, d), (L, T, 1), (1, T, d) or (1, T, 1) for the first four; (1, T, 1) for fixed
            ones, where probe and adaptersoup need it; of ``"adapterfusion"`` its tensors by name,
            ``layer.<l>.{query,key}.{weight,bias}`` and ``layer.<l>.value.weight``. A tensor that requires
            a gradient is used itself; anything else becomes the module's parameter, or its buffer where
            coefficients are fixed. Absent: what a training run of seed 0 starts from, N(2 / T, 0.001).
        dtype: A torch dtype; absent: the loaded model's own, or float32.

    Raises:
        NotFoundError: A backbone, adapter or combiner does not exist.
        BackboneError: An adapter was made for another backbone.
        DataError: Tensors or coefficients are of the wrong shape, not finite, or no adapter's.
        UsageError: An argument is of no known form.
    """
    from adapterlab.exporting.composition import compose as resolve

    return resolve(
        backbone,
        adapters,
        combiner,
        coefficients,
        dtype,
        open_catalog=_filled_catalog,
        cache=home.stores().cache,
    )


def _filled_catalog() -> Catalog:
    """Open the catalog to look something up; looking creates none.

    Raises:
        NotFoundError: There is none yet.
    """
    from adapterlab.catalog.store import open_existing

    stores = home.stores()
    catalog = open_existing(stores.catalog, stores.blobs, locks=stores.locks)
    if catalog is None:
        raise NotFoundError("the catalog is empty", remedy="`platform submit SPEC` fills it.")
    return catalog


def _loaded(spec: LoadedSpec | str | Path | Mapping[str, Any], overrides: Sequence[str]) -> LoadedSpec:
    return spec if isinstance(spec, LoadedSpec) else load_spec(spec, overrides)
