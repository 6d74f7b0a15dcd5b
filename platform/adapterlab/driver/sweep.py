"""The driver: do what is missing, follow what others do, start no cluster for nothing.

claim the sweep, or follow the process that has it
until nothing is missing:
    claim every missing step that nobody holds
    train the sources and joint runs that are ours, then the studies whose sources are there and whose search is ours:
        studies that differ in their budget only share one search, and take turns
    nothing of ours to do, but something missing: wait for its owner
close the tree of runs: what was reused is shown, nothing stays RUNNING
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from adapterlab.caching.leftovers import remove_abandoned
from adapterlab.catalog.derived_rows import are_described
from adapterlab.catalog.records import Claim, SweepStep
from adapterlab.catalog.store import Catalog, open_catalog
from adapterlab.cluster.outcomes import WorkerOutcome
from adapterlab.cluster.placement import WorkersNow
from adapterlab.cluster.stop_signals import StopSignals
from adapterlab.data.task_library import TaskLibrary
from adapterlab.driver import schedule
from adapterlab.driver.budget import HOUR_S, DeviceTime
from adapterlab.driver.claims import HeldClaims
from adapterlab.driver.endings import ended_as, reason_of
from adapterlab.driver.launchers import Launcher, open_launcher
from adapterlab.driver.leftovers import found_at_once
from adapterlab.driver.prefetch import prefetch
from adapterlab.driver.progress import SweepView, view_sweep
from adapterlab.driver.results import set_damaged_aside, show_failed, show_reused
from adapterlab.errors import (
    AwayError,
    CancelledError,
    ClaimLostError,
    NotFoundError,
    PartialFailureError,
    UnavailableError,
    UsageError,
    exit_code_of,
)
from adapterlab.home import Stores, is_writable
from adapterlab.passwords import hide_passwords
from adapterlab.patience import NO_PATIENCE, Patience
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import AnyStudy, Job, Step, StepId, each_once
from adapterlab.private_files import private_umask
from adapterlab.records import State, StepKind
from adapterlab.spec.model import Spec
from adapterlab.tracking.schema import follow_home
from adapterlab.tracking.store import ended_in_database, is_server
from adapterlab.worker.orders import BackboneFiles, Context, TrialsOrder, WorkOrder
from adapterlab.worker.run_recorder import RunRecorder
from adapterlab.worker.run_tree import SweepTree
from adapterlab.worker.shipment import Shipment, ship

Watch = Callable[[SweepView], None]
"""Shown how far the sweep is, about twice a second, from another thread."""

Began = Callable[[str, bool], None]
"""Told, once, the sweep's key, and whether this process does it now; ``False``: it waits for the one that does."""
Compare = Callable[[SweepTree, RunRecorder, Catalog, State], None]
"""Told when a sweep has ended, in which state, to show in its tree of runs what it came to; raises nothing."""

_FOLLOW_POLL_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """What a submit did."""

    sweep_key: str
    name: str
    trained: Mapping[StepKind, int]
    """Steps done by this submit."""
    reused: Mapping[StepKind, int]
    """Steps that were complete before."""
    followed: Mapping[StepKind, int]
    """Steps another process did meanwhile."""
    seconds: float
    repaired: tuple[str, ...] = ()
    """Titles of steps whose stored weights were damaged and that were done again."""
    tracking: str | None = None
    """Tracking URI that MLflow's runs were written to; ``None`` where nothing was written."""
    experiment_id: str | None = None
    """MLflow's id of their experiment; ``None`` likewise."""

    @property
    def nothing_to_do(self) -> bool:
        """Whether everything was complete before."""
        return not any(self.trained.values()) and not any(self.followed.values())


def run_sweep(
    plan: Plan,
    spec: Spec,
    *,
    stores: Stores,
    spec_toml: str,
    library: TaskLibrary,
    watch: Watch | None = None,
    began: Began | None = None,
    compare: Compare | None = None,
) -> Outcome:
    """Do a plan.

    Args:
        plan: Every step must have a key.
        spec: The resolved spec it was made from.
        stores: Where state is kept.
        spec_toml: The spec as written, kept in MLflow.
        library: Where the rows of its tasks are.
        watch: Shown progress; ``None``: nobody looks.
        began: Told once it is decided that there is something to do, and nothing stands in its way.
        compare: Shows in MLflow what it came to; ``None``: nothing does.

    Raises:
        NotFoundError: Data or a backbone is not at hand, so the plan cannot run.
        BudgetSpentError: Its budget is spent; what is done is kept.
        CancelledError: It was cancelled, or stopped by a signal (``details["signal"]``); submitting again continues it.
        PartialFailureError: Some steps failed; the rest is done and kept.
        UnavailableError: A store or the cluster cannot be reached.
    """
    if plan.key is None:
        raise NotFoundError(
            f"{plan.name}: cannot run yet: {'; '.join(plan.pending)}",
            remedy="`platform plan` shows what is missing.",
        )
    if not is_writable(Path(stores.home)):
        raise UnavailableError(
            f"the home folder {stores.home} can be read, but not written",
            remedy="Set ADAPTERLAB_HOME to a folder of your own (store.catalog and store.blobs may stay where they "
            "are, if those can be written), or ask its owner to let you write.",
        )
    signals = StopSignals()
    with (
        private_umask(),
        signals.heard(),
        signals.explained(),
        open_catalog(stores.catalog, stores.blobs, locks=stores.locks) as opened,
    ):
        # Patient from here on only: an address that is wrong is said within seconds.
        catalog = opened.with_patience(Patience(spec.cluster.lease_s, check=signals.check))
        driver = _Driver(
            plan, spec, stores, spec_toml, library, watch, catalog, signals, tell_began=began, compare=compare
        )
        return driver.run(plan.key)


@dataclass
class _Driver:
    plan: Plan
    spec: Spec
    stores: Stores
    spec_toml: str
    library: TaskLibrary
    watch: Watch | None
    catalog: Catalog
    signals: StopSignals
    """Only noted, but for where work can be left at once; then everything open is closed in order."""
    tell_began: Began | None = None
    compare: Compare | None = None
    started: float = field(default_factory=time.monotonic)
    failed: dict[str, str] = field(default_factory=dict)
    """Steps that failed under this driver, with the reason."""
    searched: set[str] = field(default_factory=set)
    """Studies whose trials several workers have shared already."""
    hidden: bool = False
    """Whether everything is complete, but MLflow, or what it had of the sweep, is gone."""
    phase: str = "preparing the stores"
    """What the driver does while no step is in work."""
    events: list[str] = field(default_factory=list)
    """What has befallen this submit without stopping it."""
    shown: SweepView | None = None
    """What was last shown of it."""
    device_time: DeviceTime | None = None
    """What its workers take; ``None`` until the sweep is this process's."""
    began: bool = False
    """Whether any worker began, so that this sweep was not refused."""
    experiment_id: str | None = None
    """MLflow's id of the experiment, once this driver has written to it."""

    # -- the whole --------------------------------------------------------------------------------

    def run(self, key: str) -> Outcome:
        self.keys = [str(step.key) for step in self.plan.steps]
        self.hasty = self.catalog.with_patience(NO_PATIENCE)
        with self.signals.interrupting():
            repaired = self._set_damaged_aside(self.plan.steps)
        self.before = set(self.keys) - self._missing()
        self.done_here: set[str] = set()
        if len(self.before) == len(self.keys) and self._is_recorded_complete(key):
            follow_home(self.stores.tracking, self.stores.artifacts, self.stores.locks)
            self._write_what_waits(key)
            if self._is_shown(key):
                return self._outcome(key, repaired)
            self.hidden = True
        with HeldClaims(self.catalog, self.spec.cluster.lease_s, self._tick) as holding:
            if not self._claim_sweep(holding, key):
                return self._outcome(key, repaired)
            self._own(holding, key)
        return self._outcome(key, repaired)

    def _write_what_waits(self, key: str) -> None:
        """Hand MLflow what it missed while it was away, though nothing new is trained."""
        from adapterlab.tracking.spool import something_waits

        if something_waits(self.stores.spool):
            with suppress(UnavailableError), SweepTree.open(self._context(key), self.catalog) as tree:
                tree.tracker.flush()

    def _claim_sweep(self, holding: HeldClaims, key: str) -> bool:
        """Claim the sweep itself; ``False`` when another process has brought it to its end."""
        while not holding.claim([key]):
            self._tell_began(owns=False)
            self._check_stopped()
            time.sleep(_FOLLOW_POLL_S)
        return self.hidden or bool(self._missing()) or not self._is_recorded_complete(key)

    def _tell_began(self, *, owns: bool) -> None:
        tell, self.tell_began = self.tell_began, None
        if tell is not None:
            tell(str(self.plan.key), owns)

    def _is_shown(self, key: str) -> bool:
        """Return whether MLflow has every step as ended; where it does not say, nothing of a sweep depends on it."""
        stores = self.stores
        wanted = {key, *(f"{key}/{step}" for step in self.keys)}
        with suppress(UnavailableError):
            ended = ended_in_database(stores.tracking, key)
            if ended is None and is_server(stores.tracking):
                with SweepTree.open(self._context(key), self.catalog) as tree:
                    ended = tree.ended_steps()
            return ended is not None and wanted <= ended
        return True

    def _own(self, holding: HeldClaims, key: str) -> None:
        from adapterlab.search import storage as studies
        from adapterlab.tracking import schema as tracking

        stores = self.stores
        studies.initialise(stores.studies, stores.locks)
        tracking.initialise(stores.tracking, stores.artifacts, stores.locks)
        resolved = self.spec.model_dump(mode="json")
        opened = self.catalog.open_sweep(key, self.plan.name, json.dumps(resolved), _recorded(self.plan))
        self.device_time = DeviceTime.of_hours(
            lambda seconds: self.hasty.spend(key, seconds),
            self.spec.cluster.max_hours,
            opened.device_seconds or 0.0,
        )
        self.catalog.record_backbone(self.plan.facts.backbone)
        for task in self.plan.facts.tasks.values():
            self.catalog.record_task(task)
        context = self._context(key)
        with SweepTree.open(context, self.catalog) as tree:
            run = tree.sweep(self.spec_toml, resolved, _description(self.plan))
            try:
                with self.signals.explained(), self.signals.interrupting():
                    try:
                        self._work(holding, context)
                    finally:
                        with suppress(UnavailableError):
                            self.device_time.write()
                    self.phase = "closing the run tree"
                    tree.tracker.begin_again()  # whoever worked for this process has ended
                    show_reused(tree, self.catalog, self.plan)
                    show_failed(tree, self.catalog, self.plan, self.failed)
            except BaseException as error:
                state = ended_as(error, began=self.began)
                reason = reason_of(error)
                # MLflow first: the catalog may be what is out of reach.
                tree.tracker.reap(run.node, reason=f"the sweep was stopped: {reason}", state=state)
                run.end(state, reason)
                with suppress(UnavailableError):
                    self.hasty.link_runs(key, self.keys)
                    holding.end_all_but(key, error)
                self.catalog.set_sweep_state(key, state, reason, exit_code=exit_code_of(error))
                raise
            tree.tracker.adopt(run.node)
            tree.tracker.reap(run.node)
            # Steps of earlier submits too: one that was killed may have published before their runs were known.
            self.catalog.link_runs(key, self.keys)
            state = State.FAILED if self.failed else State.COMPLETE
            unfinished = f"{len(self.failed)} of {len(self.keys)} steps failed" if self.failed else None
            if self.compare is not None:
                self.phase = "comparing"
                self.compare(tree, run, self.catalog, state)
            self.experiment_id = tree.tracker.experiment_id
            run.end(state, unfinished)
            code = PartialFailureError.exit_code if self.failed else 0
            self.catalog.set_sweep_state(key, state, unfinished, exit_code=code)
        if self.failed:
            raise self._partial_failure()

    # -- the loop ---------------------------------------------------------------------------------

    def _work(self, holding: HeldClaims, context: Context) -> None:
        if not self._missing():
            return
        cluster = self.spec.cluster
        if cluster.address is None:
            prefetch(self.plan, self._missing(), context, self._tell)
        else:
            context = replace(context, shipment=self._ship(context))
        remove_abandoned(found_at_once(self.stores))
        self._tell_began(owns=True)
        self.phase = "starting Ray" if cluster.launcher == "ray" else "starting"
        precision, home = self.spec.backbone.precision, Path(self.stores.home)
        with open_launcher(cluster, precision, home, self.signals) as launcher:
            context = replace(context, gpu=launcher.gpus > 0)
            self.phase = f"starting workers on {'GPUs' if launcher.gpus else 'CPUs'}"
            while missing := self._open_steps():
                self._check_budget()
                holding.claim(missing)
                idle = schedule.idle_searches(self.plan, holding.get)
                holding.release(idle | schedule.parted_joints(self.plan, missing, holding.get))
                orders = self._next_orders(holding, missing, launcher, context)
                if orders:
                    self._dispatch(orders, holding, launcher)
                elif orders is not None:
                    self.phase = "waiting for steps another process has"
                    self._check_cancelled()
                    time.sleep(_FOLLOW_POLL_S)

    def _ship(self, context: Context) -> Shipment:
        """Hand the cluster's machines what they may not have."""
        return ship(
            Path(context.backbone.folder),
            self.library,
            self.plan.facts.tasks.values(),
            blobs=self.stores.blobs,
            tell=self._tell,
        )

    def _next_orders(
        self, holding: HeldClaims, missing: set[str], launcher: Launcher, context: Context
    ) -> Sequence[WorkOrder] | None:
        """Return what can start now; empty: nothing of ours; ``None``: look again, something changed."""
        sources = schedule.runnable_sources(self.plan, missing, holding.get)
        joints = schedule.runnable_joints(self.plan, missing, holding.get)
        selections = schedule.runnable_selections(self.plan, missing, holding.get)
        sharing = self.spec.cluster.workers_per_study
        # Where studies queue behind their sources in one run, processes that have their libraries
        # loaded go on.
        begun: list[Step[Job]] = [
            *sources,
            *joints,
            *(share for run in joints for share in self.plan.shares_of(run.id)),
        ]
        coming = {str(step.key) for step in begun} if launcher.keeps_order and sharing == 1 else set()
        studies = []
        if coming or not (sources or joints):
            studies = schedule.runnable_studies(self.plan, missing, holding.get, coming=coming)
            studies = self._with_their_search(studies, missing, holding)
        readers: list[Step[Job]] = [*selections, *studies]
        needed = {need for reader in readers for need in reader.needs}
        if self._set_damaged_aside(step for step in self.plan.steps if step.id in needed):
            return None  # sources were damaged since; they are trained again first
        if sharing > 1 and (searched := [one for one in studies if one.key in missing - self.searched]):
            from adapterlab.search.trials import free_trials

            self.searched |= {str(one.key) for one in searched}
            for study in searched:  # a round waits for its trials, whoever left them
                search = str(study.job.search_key)
                free = partial(free_trials, self.stores.studies, search, self.stores.locks)
                self._patience().retry(free)
            return schedule.trial_orders(searched, holding.get, context, workers=sharing)
        return [
            *schedule.source_orders(sources, holding.get, context, groups=launcher.groups),
            *schedule.joint_orders(self.plan, joints, missing, holding.get, context, groups=launcher.groups),
            *schedule.selection_orders(selections, holding.get, context),
            *schedule.study_orders(self.plan, studies, missing, holding.get, context),
        ]

    def _with_their_search(
        self, studies: Sequence[Step[AnyStudy]], missing: set[str], holding: HeldClaims
    ) -> list[Step[AnyStudy]]:
        """Return the studies that may search now: their search is ours, and no other of them is in it."""
        ready = []
        taken: set[str] = set()
        for study in studies:
            search = str(study.job.search_key)
            if study.key in missing:
                holding.claim([search])
                if search in taken or holding.get(search) is None:
                    continue
                taken.add(search)
            ready.append(study)
        return ready

    def _dispatch(self, orders: Sequence[WorkOrder], holding: HeldClaims, launcher: Launcher) -> None:
        """Do orders to their end and note what failed."""
        before, self.began = self.began, True

        def placed(now: WorkersNow) -> None:
            if now.running or now.waiting_for:
                self.phase = now.waiting_for or "training"
            if now.departed:
                self.events.append(now.departed)
            if self.device_time is not None:
                self.device_time.work(now.running * (launcher.gpus or 1.0))

        try:
            with self.signals.noting():
                launcher.run(
                    orders,
                    name=f"{self.plan.name}-{str(self.plan.key)[:8]}",
                    on_outcome=lambda order, outcome: self._note(order, outcome, holding),
                    should_stop=self._must_stop,
                    on_workers=placed,
                )
        except UsageError:
            self.began = before  # no worker could be started for them
            raise
        finally:
            placed(WorkersNow(0))
        self._check_cancelled()
        self._check_budget()
        self.failed |= schedule.blocked(self.plan, self.failed)
        holding.release(self.failed)  # another sweep may try them, without waiting for the end of this one

    def _note(self, order: WorkOrder, outcome: WorkerOutcome, holding: HeldClaims) -> None:
        """Note how an order's steps ended, at once: studies may be waiting for them."""
        statuses = self.catalog.status(order.keys)
        guilty = set() if outcome.error is None else set(outcome.error.details.get("steps", ()))
        lost: set[str] = set()
        if isinstance(outcome.error, ClaimLostError):
            lost.add(str(outcome.error.details.get("key")))
        for key in order.keys:
            status, claim = statuses[key], holding.get(key)
            if status.state is State.COMPLETE:
                self.done_here |= {key} - self.before
            elif status.state is State.FAILED:
                self.failed[key] = status.reason or "no reason given"
            elif outcome.state is State.KILLED or (outcome.error is None and isinstance(order, TrialsOrder)):
                continue  # stopped on request, or a share of a study that goes on
            elif guilty and key not in guilty:
                continue  # another step of the order hangs; this one is done without it
            elif isinstance(outcome.error, ClaimLostError):
                continue  # another process has a step of the order; the others are done without it
            elif isinstance(outcome.error, AwayError):
                raise outcome.error  # a server was away for too long: no fault of the step
            elif claim is not None and not self._fail(claim, outcome.error):
                lost.add(key)  # then it is somebody else's to report
        ended = {key for key in order.keys if statuses[key].state is not State.RUNNING or key in self.failed}
        holding.drop(ended | lost)
        holding.release(schedule.idle_searches(self.plan, holding.get))

    def _fail(self, claim: Claim, error: Exception | None) -> bool:
        """Record that a step failed; ``False``: it is not ours any more."""
        reason = hide_passwords(str(error or "its worker ended without a result"))
        try:
            self.catalog.fail(claim, reason)
        except ClaimLostError:
            return False
        self.failed[claim.key] = reason
        return True

    def _set_damaged_aside(self, steps: Iterable[Step[Job]]) -> tuple[StepId, ...]:
        return set_damaged_aside(self.catalog, steps)

    def _open_steps(self) -> set[str]:
        return self._missing() - self.failed.keys()

    def _missing(self) -> set[str]:
        statuses = self.catalog.status(self.keys)
        return {key for key in self.keys if statuses[key].state is not State.COMPLETE}

    # -- progress and cancelling ------------------------------------------------------------------

    def _tick(self) -> None:
        if self.device_time is not None:
            with suppress(UnavailableError):
                self.device_time.tick()
        if self.watch is None:
            return
        key = str(self.plan.key)
        with suppress(UnavailableError, NotFoundError, OSError):  # the terminal may be gone
            try:
                view = view_sweep(self.hasty, self.hasty.sweep(key))
                self.shown = view = replace(view, phase=self.phase, events=tuple(self.events))
            except AwayError:
                shown = self.shown or SweepView(self.plan.name, key, State.RUNNING, ())
                view = replace(shown, waiting=f"{self.catalog.database.name} does not answer, waiting")
            self.watch(view)

    def _patience(self) -> Patience:
        """Return the patience of a sweep with a server that is not the catalog's."""
        return Patience(self.spec.cluster.lease_s, check=self.signals.check)

    def _tell(self, phase: str) -> None:
        self.phase = phase
        self._check_cancelled()

    def _cancel_requested(self) -> bool:
        """Return whether somebody asked the sweep to stop; while the catalog is away, nobody could."""
        try:
            return self.hasty.cancel_requested(str(self.plan.key))
        except AwayError:
            return False

    def _must_stop(self) -> bool:
        if self.device_time is not None and self.device_time.spent:
            with suppress(UnavailableError):  # workers look there for why they are to stop
                self.device_time.write()
            return True
        return self._cancel_requested()

    def _check_budget(self) -> None:
        """Check that something may still be done; what is complete by then is no reason to stop."""
        if self.device_time is not None and self._open_steps():
            self.device_time.check(self.plan.name, str(self.plan.key))

    def _check_stopped(self) -> None:
        self.signals.check()
        self._check_cancelled()

    def _check_cancelled(self) -> None:
        if self._cancel_requested():
            raise CancelledError(f"{self.plan.name} was cancelled", remedy="Submit it again to continue.")

    # -- values -----------------------------------------------------------------------------------

    def _is_recorded_complete(self, key: str) -> bool:
        """Return whether the catalog has this sweep as complete, with its steps, backbone and tasks."""
        try:
            recorded = self.catalog.sweep(key)
        except NotFoundError:
            return False
        return (
            recorded.state is State.COMPLETE
            and [step.key for step in recorded.steps] == self.keys
            and are_described(self.catalog.database, self.plan.facts.backbone, self.plan.facts.tasks.values())
        )

    def _context(self, key: str) -> Context:
        facts, cluster = self.plan.facts.backbone, self.spec.cluster
        return Context(
            sweep_key=key,
            name=self.plan.name,
            stores=self.stores,
            experiment=self.spec.tracking.experiment or f"adapterlab/{self.plan.name}",
            backbone=BackboneFiles(
                folder=str(facts.folder),
                architecture=str(facts.architecture),
                digest=str(facts.weights_digest),
                precision=self.spec.backbone.precision,
                source=facts.source,
            ),
            library=self.library,
            max_length=self.spec.data.max_length,
            max_train_rows=self.spec.data.max_train_rows,
            lanes=cluster.lanes,
            threads=max(1, int(cluster.cpus_per_worker)),
            gpu=False,  # the launcher knows, once it is open
            patience_s=cluster.lease_s,
            max_device_s=None if cluster.max_hours is None else cluster.max_hours * HOUR_S,
        )

    def _outcome(self, key: str, repaired: tuple[StepId, ...]) -> Outcome:
        missing = self._missing()
        groups = {
            "trained": self.done_here,
            "reused": self.before,
            "followed": set(self.keys) - self.before - self.done_here - missing,
        }
        counts = {
            name: {
                kind: sum(step.key in keys for step in each_once(self.plan.of_kind(kind)))
                for kind in StepKind
            }
            for name, keys in groups.items()
        }
        if missing:
            self.failed |= {
                step_key: status.reason or str(status.state)
                for step_key, status in self.catalog.status(missing).items()
            }
            raise self._partial_failure()
        return Outcome(
            sweep_key=key,
            name=self.plan.name,
            seconds=time.monotonic() - self.started,
            repaired=tuple(step.title for step in self.plan.steps if step.id in repaired),
            tracking=None if self.experiment_id is None else self.stores.tracking,
            experiment_id=self.experiment_id,
            **counts,
        )

    def _partial_failure(self) -> PartialFailureError:
        failed = [(step, self.failed[step.key]) for step in self.plan.steps if step.key in self.failed]
        listed = "\n".join(f"  {step.title}: {reason}" for step, reason in failed)
        return PartialFailureError(
            f"{self.plan.name}: {len(failed)} of {len(self.plan.steps)} steps did not complete:\n{listed}",
            remedy="The rest is kept. Mend the cause and submit the same spec again.",
            failed={str(step.id): reason for step, reason in failed},
        )


def _recorded(plan: Plan) -> list[SweepStep]:
    """Return a plan's steps as the catalog keeps them."""
    return [
        SweepStep(
            position,
            step.key,
            step.kind,
            step.title,
            tuple(map(str, step.needs)),
            str(step.id),
            step.train_rows,
        )
        for position, step in enumerate(plan.steps)
    ]


def _description(plan: Plan) -> str:
    counts = {kind: len(each_once(plan.of_kind(kind))) for kind in StepKind}
    return (
        f"**{plan.name}**: {counts[StepKind.SOURCE]} source adapters, {counts[StepKind.STUDY]} studies, "
        f"{counts[StepKind.TRANSFER]} final runs on `{plan.facts.backbone.source}`."
    )
