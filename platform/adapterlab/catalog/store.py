"""The catalog: what is already known, who is doing what, and how results get in.

``open_catalog`` gives a :class:`Catalog`; everything goes in and comes out as the frozen values of
``records.py``. Each method is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from adapterlab.catalog import (
    claims,
    garbage,
    integrity,
    publish,
    queries,
    remarks,
    removal,
    step_status,
    sweeps,
    tenants,
)
from adapterlab.catalog.blobs import Blobs, open_blobs
from adapterlab.catalog.database import Database
from adapterlab.catalog.migrate import ensure_current, schema_status
from adapterlab.catalog.reading import ReadableCatalog, Stored
from adapterlab.catalog.records import (
    SHORT_KEY,
    AdapterRecord,
    Annotation,
    BlobReport,
    Claim,
    CoefficientRecord,
    GarbageReport,
    Holder,
    JointRecord,
    SelectionRecord,
    StepStatus,
    StudyRecord,
    SweepRecord,
    SweepStep,
    TransferRecord,
)
from adapterlab.errors import ClaimLostError, ConflictError, NotFoundError
from adapterlab.owners import current_owner
from adapterlab.patience import NO_PATIENCE, Patience
from adapterlab.records import BackboneFacts, State, TaskFacts

__all__ = ["Catalog", "current_owner", "open_catalog", "open_existing"]


def open_catalog(
    url: str, blobs: str, *, locks: Path, migrate: bool = True, patience: Patience = NO_PATIENCE
) -> Catalog:
    """Open the catalog; create or upgrade its schema first if needed, once, under a lock.

    Args:
        url: ``sqlite:///<file>`` or ``postgresql+psycopg://…``.
        blobs: Folder or fsspec URL of the weights.
        locks: Folder of this machine's lock files.
        migrate: Create or upgrade the schema; ``False`` refuses an old one instead.
        patience: How long to wait, now and later, for a database that is away.

    Raises:
        ConflictError: The schema is newer than the code, or old and ``migrate`` is off.
        UnavailableError: The database cannot be reached, or a package for it is missing.
        UsageError: The database URL is malformed or of an unsupported kind.
    """
    store = open_blobs(blobs)
    database = Database(url).with_patience(patience)
    try:
        ensure_current(database, locks, migrate=migrate)
    except BaseException:
        database.close()
        raise
    return Catalog(database, store)


def open_existing(url: str, blobs: str, *, locks: Path) -> Catalog | None:
    """Open the catalog for looking; ``None`` where there is none yet, and none is created.

    Raises:
        ConflictError: The schema is newer than the code.
        UnavailableError: The database cannot be reached.
        UsageError: The database URL is malformed or of an unsupported kind.
    """
    database = Database(url)
    try:
        if schema_status(database).current is not None:
            ensure_current(database, locks, migrate=True)
            return Catalog(database, open_blobs(blobs))
    except BaseException:
        database.close()
        raise
    database.close()
    return None


class Catalog(ReadableCatalog):
    """The open catalog. Safe to share between threads; use :func:`open_catalog` to make one.

    Every method raises ``UnavailableError`` when the database or the blob store cannot be reached.
    """

    def __init__(self, database: Database, blobs: Blobs) -> None:
        super().__init__(database, blobs)
        self._announced: Blobs | None = None

    def with_patience(self, patience: Patience) -> Catalog:
        """Return this catalog, same connections, for a user who waits otherwise for a database that is away."""
        return Catalog(self.database.with_patience(patience), self.blobs)

    # --- Claims -------------------------------------------------------------------------------

    def claim_many(self, keys: Iterable[str], *, owner: str, lease_s: float) -> dict[str, Claim]:
        """Claim, in one transaction, every step that is neither complete nor held by somebody.

        Args:
            keys: Step keys.
            owner: This process, from :func:`current_owner`.
            lease_s: Seconds until a claim that is not renewed can be taken over.

        Returns:
            The claims won; the other steps are complete or held. A claimed step's state is running.
        """
        wanted, lease_s = step_status.valid_keys(keys), claims.valid_lease(lease_s)
        tokens: dict[str, int] = {}  # of a try whose COMMIT may have been done though its answer was lost
        return self.database.write(
            lambda connection: claims.claim_many(connection, wanted, owner, lease_s, tried=tokens)
        )

    def renew(self, held: Iterable[Claim], lease_s: float) -> set[str]:
        """Extend leases to ``lease_s`` seconds from now; return the keys that are lost."""
        mine, lease_s = list(held), claims.valid_lease(lease_s)
        return self.database.write(lambda connection: claims.renew(connection, mine, lease_s))

    def release(
        self, held: Iterable[Claim], *, state: State = State.PENDING, reason: str | None = None
    ) -> None:
        """Give steps back without a result; their next owner starts anew. Lost claims are ignored.

        Args:
            held: The claims.
            state: ``pending``, or ``killed`` when work was stopped on request.
            reason: Why, for ``platform status``.
        """
        mine = list(held)
        if mine:
            self.database.write(lambda connection: claims.release(connection, mine, state, reason))

    def fail(self, claim: Claim, reason: str) -> None:
        """Record that a step failed, and give it back; it can be claimed again.

        Raises:
            ClaimLostError: Somebody else has the step.
        """
        tried = False

        def work(connection: Connection) -> None:
            nonlocal tried
            if tried and claims.is_finished(connection, claim, State.FAILED):
                return  # the first try was committed, only its answer was lost
            tried = True
            claims.verify(connection, claim)
            claims.finish(connection, claim, State.FAILED, reason)

        self.database.write(work)

    def check(self, claim: Claim) -> None:
        """Check that a claim still holds.

        Raises:
            ClaimLostError: Somebody else has the step, or it was published or released.
        """
        self.database.read(lambda connection: claims.verify(connection, claim, lock=False))

    def holder(self, key: str) -> Holder | None:
        """Return who holds a step now; ``None`` if nobody alive does."""
        known = step_status.valid_keys([key])
        return self.database.read(lambda connection: claims.holders(connection, known).get(key))

    # --- Progress -----------------------------------------------------------------------------

    def progress(
        self,
        key: str,
        *,
        state: State = State.RUNNING,
        done: int = 0,
        total: int | None = None,
        detail: str | None = None,
        claim: Claim | None = None,
    ) -> None:
        """Write how far a step is.

        Args:
            key: The step.
            state: Its state; ``complete`` is written by publishing only.
            done: Units done, for example epochs or trials.
            total: Units in all, if known.
            detail: What it does now.
            claim: Checked first, if given.

        Raises:
            ClaimLostError: The claim no longer holds; nothing was written.
        """
        known = step_status.valid_keys([key])
        if state is State.COMPLETE:
            raise ValueError("a step becomes complete by publishing its result")

        def work(connection: Connection) -> None:
            if claim is not None:
                claims.verify(connection, claim)
            step_status.write_progress(connection, known, state=state, done=done, total=total, detail=detail)

        self.database.write(work)

    def status(self, keys: Iterable[str]) -> dict[str, StepStatus]:
        """Return how far each step is; steps nobody has touched are pending."""
        known = step_status.valid_keys(keys)
        return self.database.read(
            lambda connection: step_status.statuses(connection, known, claims.holders(connection, known))
        )

    # --- Publishing ---------------------------------------------------------------------------

    def publish_adapter(self, record: AdapterRecord, weights: bytes, claim: Claim) -> AdapterRecord:
        """Store an adapter's weights, then its row, metrics and state, and give the claim back.

        Nothing is visible before the last step. Publishing again with the same claim returns what
        is stored.

        Args:
            record: ``blob``, ``blob_bytes``, ``created_at`` and ``state`` are filled in.
            weights: A safetensors file.
            claim: The step's claim.

        Raises:
            ClaimLostError: Somebody else has the step, or has published it.
        """

        def put(connection: Connection, blob: str) -> AdapterRecord:
            stored = replace(record, blob=blob, blob_bytes=len(weights))
            return publish.put_adapter(connection, stored, claim)

        return self._publish(record, weights, claim, put)

    def publish_joint(
        self,
        record: JointRecord,
        weights: bytes,
        shares: Sequence[tuple[AdapterRecord, bytes, Claim | None]],
        claim: Claim,
    ) -> JointRecord:
        """Store a joint run and what each of its tasks has of it, all or nothing.

        Args:
            record: ``blob``, ``blob_bytes``, ``created_at`` and ``state`` are filled in.
            weights: Everything it trained, a safetensors file.
            shares: Each task's adapter with its weights and claim, in the order of the record's; without a claim one
                that is complete, which stays as it is.
            claim: The run's; given back with the others.

        Raises:
            ClaimLostError: Somebody else has one of the steps, or has published it.
        """
        stored = [self.blobs.write(own) for _, own, _ in shares] if self._is_open(claim) else []

        def put(connection: Connection, blob: str) -> JointRecord:
            done = publish.put_joint(
                connection,
                replace(record, blob=blob, blob_bytes=len(weights)),
                [
                    (replace(share, blob=digest, blob_bytes=len(own)), held)
                    for (share, own, held), digest in zip(shares, stored, strict=True)
                ],
                claim,
            )
            for (_, own, _), digest in zip(shares, stored, strict=True):
                garbage.keep_stored(self.blobs, digest, own)
            return done

        return self._publish(record, weights, claim, put)

    def publish_selection(self, record: SelectionRecord, claim: Claim) -> SelectionRecord:
        """Store a selection of sources with its lineage, and give the claim back.

        Raises:
            ClaimLostError: Somebody else has the step, or has published it.
            NotFoundError: An adapter that it ranks is not in the catalog.
        """

        def put(connection: Connection, blob: str) -> SelectionRecord:  # noqa: ARG001 - it has no weights
            return publish.put_selection(connection, record, claim)

        return self._publish(record, None, claim, put)

    def publish_study(self, record: StudyRecord, claim: Claim) -> StudyRecord:
        """Store a finished study with its lineage, and give the claim back.

        Raises:
            ClaimLostError: Somebody else has the step, or has published it.
            NotFoundError: An adapter of its pool is not in the catalog.
        """

        def put(connection: Connection, blob: str) -> StudyRecord:  # noqa: ARG001 - it has no weights
            return publish.put_study(connection, record, claim)

        return self._publish(record, None, claim, put)

    def publish_transfer(
        self,
        record: TransferRecord,
        weights: bytes,
        coefficients: Sequence[CoefficientRecord],
        claim: Claim,
    ) -> TransferRecord:
        """Store a transfer's weights, then its row, metrics, coefficients and lineage.

        Args:
            record: ``blob``, ``blob_bytes``, ``created_at`` and ``state`` are filled in.
            weights: A safetensors file.
            coefficients: One summary per layer and source adapter.
            claim: The step's claim; given back.

        Raises:
            ClaimLostError: Somebody else has the step, or has published it.
            NotFoundError: Its study is not in the catalog.
        """

        def put(connection: Connection, blob: str) -> TransferRecord:
            stored = replace(record, blob=blob, blob_bytes=len(weights))
            return publish.put_transfer(connection, stored, coefficients, claim)

        return self._publish(record, weights, claim, put)

    def _publish(
        self,
        record: Stored,
        weights: bytes | None,
        claim: Claim,
        put: Callable[[Connection, str], Stored],
    ) -> Stored:
        if claim.key != record.key:
            raise ValueError(f"the claim is for step {claim.key}, the record for {record.key}")
        step_status.valid_keys([record.key])

        if not self._is_open(claim):
            return self._get(type(record), record.key)
        blob = ""
        if weights is not None:
            blob = self.blobs.write(weights)
            self._announce()

        def work(connection: Connection) -> Stored:
            stored = put(connection, blob)
            if weights is not None:
                garbage.keep_stored(self.blobs, blob, weights)
            return stored

        try:
            return self.database.write(work)
        except ClaimLostError:
            if self.database.read(lambda connection: publish.is_published(connection, claim)):
                # Another thread of this owner was faster, or the answer to an earlier COMMIT was lost.
                return self._get(type(record), record.key)
            raise

    def _is_open(self, claim: Claim) -> bool:
        """Return whether a claim has not published yet.

        Asked before weights are written, so that a late owner does not leave a blob behind.

        Raises:
            ClaimLostError: Somebody else has the step.
        """

        def work(connection: Connection) -> bool:
            if publish.is_published(connection, claim):
                return False
            claims.verify(connection, claim, lock=False)
            return True

        return self.database.read(work)

    def _announce(self) -> None:
        """Tell the store, once, that this catalog keeps weights in it."""
        if self._announced is not self.blobs:
            tenants.announce(self.database, self.blobs)
            self._announced = self.blobs

    def record_backbone(self, facts: BackboneFacts) -> None:
        """Store what is known of a backbone, so that people can find it by name."""
        self.database.write(lambda connection: publish.put_backbone(connection, facts))

    def record_task(self, facts: TaskFacts) -> None:
        """Store what is known of a task."""
        self.database.write(lambda connection: publish.put_task(connection, facts))

    def annotate(
        self,
        key: str,
        *,
        name: str | None = None,
        note: str | None = None,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
    ) -> Annotation:
        """Change what people call a record and note of it; what is not given stays.

        Args:
            key: Whole key of an adapter, study, transfer or sweep.
            name: Its name for display; empty takes it away.
            note: Its note; empty takes it away.
            add: Tags it gets.
            remove: Tags it loses.
        """
        more, less = set(add), set(remove)

        def work(connection: Connection) -> Annotation:
            before = remarks.annotations_of(connection, [key]).get(key, Annotation(key))
            after = Annotation(
                key,
                before.name if name is None else name or None,
                before.note if note is None else note or None,
                tuple(sorted((set(before.tags) | more) - less)),
            )
            remarks.annotate(connection, after)
            return after

        return self.database.write(work)

    def remove(self, key: str) -> queries.StepRecord:
        """Take a record out, unless something that is kept was made from it; return what it was.

        Args:
            key: Its key, or a unique beginning of it.

        Raises:
            NotFoundError: There is none, or several.
            ConflictError: Something was made from it, or somebody is at work on it.
        """

        def work(connection: Connection) -> queries.StepRecord:
            record = queries.resolve(connection, key)
            removal.remove(connection, record)
            return record

        return self.database.write(work)

    # --- Weights ------------------------------------------------------------------------------

    def read_weights(self, blob: str | AdapterRecord | JointRecord | TransferRecord) -> bytes:
        """Return weights, checked against their sha256.

        Raises:
            CorruptBlobError: They are damaged or missing. The file was moved to ``quarantine/`` and
                the records marked ``corrupt``: their steps count as not done.
            ConflictError: The store holds no weights at all; nothing was marked.
        """
        digest = blob if isinstance(blob, str) else blob.blob
        return integrity.read_or_set_aside(self.database, self.blobs, digest)

    def verify(self, *, deep: bool = False) -> BlobReport:
        """Compare records and blobs without changing anything; ``deep`` reads every blob."""
        return integrity.verify(self.database, self.blobs, deep=deep)

    def repair(self, report: BlobReport) -> list[str]:
        """Set aside what a report found, mark its records corrupt; return the steps to do again."""
        return integrity.repair(self.database, self.blobs, report)

    def collect_garbage(
        self,
        *,
        grace_s: float = garbage.GRACE_S,
        dry_run: bool = False,
        quarantine: bool = False,
        force: bool = False,
        tell: garbage.Tell | None = None,
    ) -> GarbageReport:
        """Remove weights that no record refers to, and what killed processes left in the blob store.

        It may run at any time, beside any number of sweeps, and may be killed: see
        :mod:`adapterlab.catalog.garbage`.

        Args:
            grace_s: Seconds since its last writing in which no blob is removed; 0 or more.
            dry_run: Change nothing; the report says what would be removed.
            quarantine: Also remove damaged weights that were set aside for somebody to look at.
            force: Also where the store seems to hold another catalog's weights.
            tell: Told how many of how many blobs were looked at, a few times a second.

        Raises:
            ConflictError: The store seems to belong to another catalog; nothing was removed.
            UnavailableError: The store or the database cannot be reached.
            ValueError: The grace is negative or not a number.
        """
        wanted = garbage.Wanted(grace_s=grace_s, dry_run=dry_run, quarantine=quarantine, force=force)
        return garbage.collect(self.database, self.blobs, wanted, tell)

    def lost_rows(self) -> dict[str, str]:
        """Return the records some of whose rows are gone, by key, with what is lost."""
        return integrity.lost_rows(self.database)

    def do_again(self, lost: Mapping[str, str]) -> None:
        """Make the steps that :meth:`lost_rows` found count as not done."""
        self.database.write(lambda connection: integrity.do_again(connection, lost))

    # --- Sweeps -------------------------------------------------------------------------------

    def open_sweep(
        self,
        sweep_key: str,
        name: str,
        resolved_spec_json: str,
        steps_of_plan: Sequence[SweepStep],
        *,
        owner: str | None = None,
    ) -> SweepRecord:
        """Record a submitted sweep, or open it again; its state becomes running.

        Submitting again forgets an earlier request to cancel.

        Args:
            sweep_key: Key of the whole spec, 64 hexadecimal digits.
            name: The spec's name; later sweeps may have the same.
            resolved_spec_json: The spec with all defaults filled in.
            steps_of_plan: In the order of the plan; a step's key may still be unknown.
            owner: The submitting process; ``None``: this one.
        """
        step_status.valid_keys([sweep_key, *(step.key for step in steps_of_plan if step.key is not None)])
        who = owner or current_owner()

        def work(connection: Connection) -> SweepRecord:
            sweeps.open_sweep(connection, sweep_key, name, resolved_spec_json, steps_of_plan, who)
            return sweeps.find_sweep(connection, sweep_key)

        return self.database.write(work)

    def set_sweep_state(
        self, sweep_key: str, state: State, reason: str | None = None, *, exit_code: int | None = None
    ) -> None:
        """Write a sweep's state.

        Args:
            sweep_key: Its whole key.
            state: The new state.
            reason: Why it ended, where it is not complete.
            exit_code: What the submit that ended it returns.

        Raises:
            NotFoundError: There is no such sweep.
        """
        if not self.database.write(
            lambda connection: sweeps.set_state(connection, sweep_key, state, reason, exit_code)
        ):
            raise NotFoundError(f"no sweep with key {sweep_key[:80]!r}")

    def request_cancel(self, sweep: str) -> bool:
        """Ask a sweep to stop, from any machine.

        Args:
            sweep: Key, beginning of a key, or name; of a name that several have, the one that runs.

        Returns:
            Whether it was running; asking a finished sweep does nothing.

        Raises:
            NotFoundError: There is no such sweep, or several are meant.
        """

        def work(connection: Connection) -> bool:
            found = sweeps.find_only_sweep(connection, sweep, running=True)
            return found.state in (State.RUNNING, State.PENDING) and sweeps.request_cancel(
                connection, found.key
            )

        return self.database.write(work)

    def archive(self, sweep: str, *, away: bool = True) -> bool:
        """Put a sweep away, so that it is listed only on request, or take it out again; nothing is deleted.

        Args:
            sweep: Key, beginning of a key, or name.
            away: ``False`` takes it out again.

        Returns:
            Whether that changed anything.

        Raises:
            NotFoundError: There is no such sweep, or several are meant.
            ConflictError: It runs.
        """

        def work(connection: Connection) -> bool:
            found = sweeps.find_only_sweep(connection, sweep)
            if away and found.state is State.RUNNING:
                raise ConflictError(
                    f"{found.name} {found.key[:SHORT_KEY]} is running",
                    remedy=f"Wait for its end, or `platform cancel {found.key[:SHORT_KEY]}` first.",
                )
            return sweeps.put_away(connection, found, away=away)

        return self.database.write(work)

    def spend(self, sweep_key: str, device_seconds: float) -> None:
        """Count workers × seconds for a sweep."""
        self.database.write(lambda connection: sweeps.spend(connection, sweep_key, device_seconds))

    def link_runs(self, sweep_key: str, keys: Iterable[str]) -> int:
        """Let results that name no MLflow run name the one that a sweep has of them, and return how many.

        A result that is there before MLflow has given its run an id names none.

        Args:
            sweep_key: The sweep that made them.
            keys: Of the results.
        """
        return self.database.write(lambda connection: sweeps.link_runs(connection, sweep_key, keys))

    def record_run(self, node: str, run_id: str, *, replace: bool = False) -> str:
        """Keep the MLflow run of a node (a sweep, step or trial), so that a resumed sweep adds to it.

        Returns:
            The run that is kept: of two processes that record the same node the first one wins,
            unless ``replace`` is set.
        """
        return self.database.write(
            lambda connection: sweeps.record_run(connection, node, run_id, replace=replace)
        )
