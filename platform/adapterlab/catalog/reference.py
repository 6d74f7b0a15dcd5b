"""The reference page of the catalog: ``python -m adapterlab.catalog.reference docs/reference/catalog.md``.

Columns, types and keys come from ``schema``, and so does what a column means where its docstring says it;
columns that mean the same in several tables are said once, here. The example queries are part of the page
and run by a test on both databases.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table

from adapterlab.catalog import schema
from adapterlab.catalog.database import POSTGRES_SCHEMA
from adapterlab.catalog.tables import Base
from adapterlab.given_files import write_page

SHARED_MEANINGS = {
    "adapterlab_version": "Version of adapterlab that made it; null where it was made before this was kept.",
    "python_version": "Python that made it.",
    "torch_version": "torch that made it.",
    "transformers_version": "transformers that made it; null where none was loaded.",
    "key": "The step key.",
    "state": "`complete`, or `corrupt` where the weights were found damaged: such a step counts as not done.",
    "backbone_digest": "Digest of the backbone it was trained on.",
    "task": "Full name, `<benchmark>/<task>`.",
    "task_digest": "Digest of the task's content.",
    "method": "Name of the adapter method.",
    "combiner": "Name of the combiner.",
    "settings": "An adapter's method and training settings; a transfer's chosen trial.",
    "seed": "Seed of training.",
    "metric": "Name of the leading metric.",
    "epochs": "Epochs trained.",
    "best_epoch": "The epoch whose weights were kept, from 1.",
    "blob": "sha256 of the weights file.",
    "blob_bytes": "Size of the weights file.",
    "coefficient_shape": "`[layers or 1, sources, hidden size or 1]`.",
    "n_parameters": "Trained parameters, without the head.",
    "head_parameters": "Parameters of the head.",
    "seconds": "Training time, divided by the lanes that shared the pass.",
    "train_rows": "Rows trained on, over all epochs.",
    "device": "Where it was trained, for example `cpu`.",
    "run_id": "Its MLflow run.",
    "created_at": "When the row was written.",
    "updated_at": "When the row was last written, in seconds since 1970.",
    "value": "The metric's value.",
    "name": "Its name.",
    "owner": "JSON text of the process.",
}
"""What a column without a docstring of its own means, in whatever table it stands."""

MEANINGS = {
    ("backbones", "architecture"): "`model_type` of its configuration, for example `bert`.",
    ("backbones", "layers"): "Number of layers.",
    ("backbones", "hidden_size"): "Width of the hidden states.",
    ("backbones", "tokenizer_digest"): "sha256 of the tokenizer's files.",
    ("backbones", "config_digest"): "sha256 of the configuration.",
    ("tasks", "problem_type"): "`classification`, `regression`, `multi_label` or `multiple_choice`.",
    ("tasks", "n_labels"): "Outputs of the head: classes or labels; 1 for regression and multiple choice.",
    ("tasks", "n_train"): "Rows of the train split.",
    ("tasks", "n_validation"): "Rows of the validation split.",
    ("tasks", "n_test"): "Rows of the test split.",
    ("studies", "best_trial"): "Number of the chosen trial in the Optuna study.",
    ("studies", "seconds"): "Computing of all trials' training, divided by the lanes that shared a pass. Old "
    "studies hold the sum of their trials' times by the clock, which overlap.",
    ("studies", "train_rows"): "Rows trained on, over all epochs of all trials.",
    ("transfers", "study_key"): "The study whose chosen setting it was trained with.",
    ("metrics", "name"): "Name of the metric, for example `accuracy`.",
    ("coefficients", "transfer_key"): "The transfer's step key.",
    ("coefficients", "adapter_key"): "The source adapter's step key.",
    ("coefficients", "source_task"): "The task the source adapter was trained on.",
    ("coefficients", "mean"): "Mean over the dimensions.",
    ("coefficients", "std"): "Standard deviation over the dimensions.",
    ("coefficients", "minimum"): "Smallest coefficient.",
    ("coefficients", "maximum"): "Largest coefficient.",
    ("lineage", "child"): "Step key of what was made.",
    ("lineage", "parent"): "Step key of what it was made from.",
    ("lineage", "child_kind"): "`source`, `selection`, `study` or `transfer`.",
    ("claims", "step_key"): "The step, or the sweep, that is claimed.",
    ("claims", "acquired_at"): "When the claim was made, in seconds since 1970 by the database's clock.",
    ("claims", "expires_at"): "When the lease ends, in seconds since 1970 by the database's clock.",
    ("progress", "step_key"): "The step.",
    ("progress", "state"): "`pending`, `running`, `complete`, `failed`, `cancelled`, `stopped` or `killed`.",
    ("progress", "done"): "Epochs or trials done.",
    ("progress", "total"): "Epochs or trials in all, where known.",
    ("progress", "detail"): "What it is doing, for example `epoch 3/30`.",
    ("sweeps", "key"): "Key of the plan.",
    ("sweeps", "name"): "`name` of the spec.",
    (
        "sweeps",
        "state",
    ): "`running`, `complete`, `failed`, `cancelled` (by `platform cancel`), `stopped` (by its budget), "
    "`refused` (it never began) or `killed` (by a signal).",
    ("sweeps", "created_at"): "When it was first submitted, in seconds since 1970.",
    ("sweeps", "cancel_requested_at"): "When somebody asked it to stop, in seconds since 1970.",
    ("sweep_steps", "sweep_key"): "The sweep.",
    ("sweep_steps", "position"): "Place of the step in the plan, from 0.",
    ("sweep_steps", "step_key"): "The step's key.",
    ("sweep_steps", "kind"): "`joint`, `source`, `selection`, `study` or `transfer`.",
    ("sweep_steps", "title"): "What the step is called in tables and progress bars.",
    ("tracking_runs", "node"): "A sweep, step or trial, as a path.",
    ("tracking_runs", "run_id"): "The MLflow run.",
}
"""What a column without a docstring means in one table."""


@dataclass(frozen=True)
class Query:
    """A question, and the SQL that answers it on SQLite and PostgreSQL alike."""

    question: str
    sql: str


QUERIES = (
    Query(
        "Which adapter is the best for each task and backbone?",
        """\
SELECT task, source, method, metric, metric_value, key
FROM (
    SELECT a.task, b.source, a.method, a.metric, a.metric_value, a.key,
           ROW_NUMBER() OVER (
               PARTITION BY a.task, a.backbone_digest, a.metric ORDER BY a.metric_value DESC, a.key
           ) AS place
    FROM adapters a
    JOIN backbones b ON b.digest = a.backbone_digest
    WHERE a.state = 'complete' AND a.metric_value IS NOT NULL
) AS ranked
WHERE place = 1
ORDER BY task, source""",
    ),
    Query(
        "How good is each combiner on each target, over its seeds?",
        """\
SELECT task, combiner, metric, COUNT(*) AS seeds, AVG(test_value) AS mean,
       MIN(test_value) AS worst, MAX(test_value) AS best
FROM transfers
WHERE state = 'complete'
GROUP BY study_key, task, combiner, metric
ORDER BY task, mean DESC""",
    ),
    Query(
        "Which transfers use the adapters of a task, here `glue/rte`?",
        """\
SELECT t.key, t.task, t.combiner, t.seed, t.test_value
FROM adapters a
JOIN lineage pool ON pool.parent = a.key AND pool.child_kind = 'study'
JOIN transfers t ON t.study_key = pool.child
WHERE a.task = 'glue/rte'
GROUP BY t.key, t.task, t.combiner, t.seed, t.test_value
ORDER BY t.task, t.combiner, t.seed""",
    ),
    Query(
        "How much weight does each source get, by target and combiner?",
        """\
SELECT t.task AS target, t.combiner, c.source_task, AVG(c.mean) AS coefficient,
       MIN(c.minimum) AS smallest, MAX(c.maximum) AS largest
FROM coefficients c
JOIN transfers t ON t.key = c.transfer_key
WHERE t.state = 'complete'
GROUP BY t.task, t.combiner, c.source_task
ORDER BY t.task, t.combiner, coefficient DESC""",
    ),
    Query(
        "Which steps failed, in which sweep, and why?",
        """\
SELECT s.name AS sweep, steps.title, p.reason
FROM sweep_steps steps
JOIN sweeps s ON s.key = steps.sweep_key
JOIN progress p ON p.step_key = steps.step_key
WHERE p.state = 'failed'
ORDER BY s.name, steps.position""",
    ),
    Query(
        "What did each sweep train itself, and what did it reuse from before?",
        """\
SELECT s.name AS sweep, steps.kind,
       SUM(CASE WHEN earlier.step_key IS NULL THEN 1 ELSE 0 END) AS first_here,
       SUM(CASE WHEN earlier.step_key IS NULL THEN 0 ELSE 1 END) AS shared_with_an_earlier_sweep
FROM sweep_steps steps
JOIN sweeps s ON s.key = steps.sweep_key
LEFT JOIN (
    SELECT DISTINCT later.sweep_key, later.step_key
    FROM sweep_steps later
    JOIN sweeps sl ON sl.key = later.sweep_key
    JOIN sweep_steps before ON before.step_key = later.step_key
    JOIN sweeps sb ON sb.key = before.sweep_key
    WHERE sb.created_at < sl.created_at
) AS earlier ON earlier.sweep_key = steps.sweep_key AND earlier.step_key = steps.step_key
GROUP BY s.key, s.name, steps.kind
ORDER BY s.name, steps.kind""",
    ),
    Query(
        "Where has the time gone, by backbone and method?",
        """\
SELECT b.source, a.method, COUNT(*) AS adapters, SUM(a.seconds) AS seconds
FROM adapters a
JOIN backbones b ON b.digest = a.backbone_digest
GROUP BY b.source, a.method
ORDER BY seconds DESC""",
    ),
    Query(
        "Which steps are claimed right now, and by whom?",
        """\
SELECT steps.title, c.owner, c.token, c.expires_at
FROM claims c
JOIN sweep_steps steps ON steps.step_key = c.step_key
WHERE c.owner IS NOT NULL
GROUP BY steps.title, c.owner, c.token, c.expires_at
ORDER BY steps.title""",
    ),
)

_HEAD = f"""\
# The catalog's tables

The catalog is plain SQL, to be read with any client: `$ADAPTERLAB_HOME/catalog.db` for SQLite, or the
PostgreSQL database that `ADAPTERLAB_CATALOG` names, where the tables are in the schema `{POSTGRES_SCHEMA}`:

```console
$ sqlite3 -readonly "$ADAPTERLAB_HOME/catalog.db"
$ PGOPTIONS="-c search_path={POSTGRES_SCHEMA}" psql -h db adapterlab
```

Read, do not write: what publishes a row checks a claim in the same transaction. An open *writing*
transaction in a database browser blocks every sweep on SQLite.

A *step key* is 64 hexadecimal digits, the same in every table. Times are UTC. A metric that is not a
number is NULL. JSON columns are `jsonb` on PostgreSQL and text on SQLite; `->>` reads both. This page is
generated from `platform/adapterlab/catalog/schema.py` by
`python -m adapterlab.catalog.reference docs/reference/catalog.md`; a migration that changes a table changes it.

## How the tables belong together

A `sweeps` row has its steps in `sweep_steps`; `step_key` there is `key` in `adapters`, `studies` or
`transfers`, whichever its `kind` says (`source`, `study`, `transfer`). Steps are shared: one adapter
appears in as many sweeps as use it. `claims` and `progress` say who works on a step that is not there
yet, and how far it is. `metrics` holds every metric of an adapter or a transfer; the leading one is
repeated in their own rows. `lineage` leads from a transfer to its study and from a study to its adapters, and to the selection
that chose them.

"""


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD.rstrip() + "\n", *_tables(), *_queries()])


def meanings() -> dict[tuple[str, str], str]:
    """Return what each column means, by table and column; a column that nobody explains is absent."""
    own = _column_docstrings()
    return {
        (table.name, column.name): text
        for table in Base.metadata.tables.values()
        for column in table.columns
        if (
            text := own.get((table.name, column.name))
            or MEANINGS.get((table.name, column.name))
            or SHARED_MEANINGS.get(column.name)
        )
    }


def _tables() -> Iterator[str]:
    said = meanings()
    for model in Base.__subclasses__():
        table = model.__table__
        yield f"## `{table.name}`\n"
        yield f"{_markup(inspect.getdoc(model) or '')}\n"
        yield "| column | type | meaning |\n|---|---|---|"
        for column in table.columns:
            yield f"| `{column.name}` | {_type(column)} | {_meaning(table, column, said)} |"
        yield ""


def _queries() -> Iterator[str]:
    yield "## Questions and their queries\n"
    yield "Each runs unchanged on both databases; a test does so.\n"
    for query in QUERIES:
        yield f"### {query.question}\n"
        yield f"```sql\n{query.sql};\n```\n"


def _type(column: Column[Any]) -> str:
    name = {"UtcTime": "timestamp", "JsonValue": "json", "Float": "float", "Integer": "integer"}.get(
        type(column.type).__name__
    )
    if name is None:
        name = "bigint" if type(column.type).__name__ == "BigInteger" else "text"
    return f"{name} or NULL" if column.nullable else name


def _meaning(table: Table, column: Column[Any], said: dict[tuple[str, str], str]) -> str:
    parts = [said.get((table.name, column.name), "")]
    if column.primary_key:
        parts.append("Primary key." if len(table.primary_key.columns) == 1 else "Part of the primary key.")
    parts += [f"References `{key.target_fullname}`." for key in column.foreign_keys]
    return _markup(" ".join(part for part in parts if part)).replace("|", "\\|")


def _markup(text: str) -> str:
    """Turn a docstring's double backticks into Markdown's."""
    return text.replace("``", "`")


def _column_docstrings() -> dict[tuple[str, str], str]:
    """Read the strings below the columns of ``schema``, which Python itself does not keep."""
    found: dict[tuple[str, str], str] = {}
    for node in ast.parse(inspect.getsource(schema)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        table = getattr(schema, node.name).__tablename__
        for statement, after in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                found[table, statement.target.id] = inspect.cleandoc(str(after.value.value)).replace(
                    "\n", " "
                )
    return found


if __name__ == "__main__":
    write_page(page, "adapterlab.catalog.reference")
