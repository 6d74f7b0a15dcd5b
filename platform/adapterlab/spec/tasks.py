"""``[data]`` and ``[[task]]``: where tasks come from, and tasks of the user's own without any Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from adapterlab.records import DEFAULT_HEAD, DEFAULT_MAX_LENGTH, ProblemType, Splits
from adapterlab.registry.task_definitions import HubLocation, TaskDefinition, template_columns
from adapterlab.spec.search_space import Frozen
from adapterlab.spec.training import no_duplicates

METRICS: Mapping[ProblemType, tuple[str, ...]] = {
    ProblemType.CLASSIFICATION: (
        "accuracy", "f1", "f1_macro", "f1_micro", "precision_macro", "recall_macro", "matthews",
    ),
    ProblemType.REGRESSION: ("pearson", "spearman"),
    ProblemType.MULTI_LABEL: (
        "f1_macro", "f1_micro", "precision_macro", "recall_macro", "subset_accuracy",
    ),
    ProblemType.MULTIPLE_CHOICE: ("accuracy",),
}  # fmt: skip
"""Metrics of ``data.metrics`` that a task may name, by problem type; the first is the default."""
ENDINGS = (".jsonl", ".csv", ".tsv", ".parquet")

Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
FewRows = Annotated[int, Field(ge=2)] | Literal["all"]
Texts = Annotated[tuple[str, ...], Field(strict=False, max_length=64)]


class DataSpec(Frozen):
    """Where tasks come from and how they are tokenised."""

    root: str | None = None
    """Folder of real tasks, ``<root>/<benchmark>/<task>/{train,validation}.jsonl``; relative to the spec."""
    max_length: Annotated[int, Field(ge=8, le=8192)] = DEFAULT_MAX_LENGTH
    """Longest row in tokens, special tokens included; longer rows are cut, longest part first. At 128,
    tasks for which the papers take more (MultiRC 324, ReCoRD 256) have their own."""
    max_train_rows: Annotated[int, Field(ge=8)] | None = None
    """Train on the first so many rows of each task's shuffled train split; absent: on all of them."""
    max_validation_rows: Annotated[int, Field(ge=8)] | None = None
    """Validate on the first so many rows of each validation split; absent: on all of them. With
    ``few_shot`` only where few rows train; the papers take 5000 there."""
    few_shot: FewRows | Annotated[tuple[FewRows, ...], Field(strict=False, min_length=1)] | None = None
    """Train on so many rows of each target; its own adapter in the pool is trained on the same rows. Other
    sources keep all theirs. A list makes every combiner and baseline a row for each number; ``"all"`` among them
    is a sweep without few rows: ``few_shot = [4, 16, 32, 100, "all"]``."""
    few_shot_draw: Literal["fixed", "per_seed"] = "fixed"
    """Which rows: ``fixed``, the first of the shuffled train split, the same for every seed, as in the
    papers; ``per_seed``: another draw for every final seed, with a source adapter of its own."""
    hub: bool = False
    """Read tasks that ``root`` has not from the data sets on the hub that their suites name."""
    revisions: dict[str, Revision] = Field(default_factory=dict)
    """Commit of each data set on the hub: ``{ "nyu-mll/glue" = "<40 hexadecimal digits>" }``."""

    @field_validator("few_shot")
    @classmethod
    def _check_few_shot(
        cls, few_shot: int | str | tuple[int | str, ...] | None
    ) -> int | str | tuple[int | str, ...] | None:
        return no_duplicates(few_shot) if isinstance(few_shot, tuple) else few_shot

    @model_validator(mode="after")
    def _check_draw(self) -> DataSpec:
        if not self.trains_few_rows and self.few_shot_draw != "fixed":
            raise ValueError('few_shot_draw = "per_seed" needs few_shot, the number of rows')
        return self

    @property
    def few_rows(self) -> tuple[int | None, ...]:
        """Every number of rows of a target, in the order written; ``None``: all there are."""
        written = self.few_shot if isinstance(self.few_shot, tuple) else (self.few_shot,)
        return tuple(one if isinstance(one, int) else None for one in written)

    @property
    def trains_few_rows(self) -> bool:
        """Whether any target trains on few rows."""
        return any(one is not None for one in self.few_rows)


class TaskSpec(Frozen):
    """A task of your own; its name can stand in ``pool.tasks`` and ``targets.tasks``."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+/[a-z0-9_]+$")]
    """Full name, ``<yours>/<task>``: small letters, digits and ``_``, for example ``"mine/reviews"``."""
    train: str | None = None
    """File to train on, relative to the spec: ``.jsonl``, ``.csv``, ``.tsv`` (each may be packed: ``.gz``)
    or ``.parquet``. For ``hub``: the name of the split there, ``"train"`` if absent."""
    validation: str | None = None
    """File that validates. With ``test`` too, the three are used as they are; alone, it is the test split
    and a tenth of train validates, as in the papers."""
    test: str | None = None
    """File to test on. Without it and ``validation``, a tenth of train tests and a tenth of the rest validates."""
    folder: str | None = None
    """Folder with ``train`` and ``validation`` (or ``dev``, ``val``, ``test``) files, in place of naming them."""
    hub: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None = None
    """Data set on the hub, ``<owner>/<name>``; only its Parquet files are read."""
    config: str | None = None
    """Configuration (subset) of the data set on the hub."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit on the hub, 40 hexadecimal digits; required for ``hub``."""
    splits: Literal["holdout", "own", "shared", "cut"] | None = None
    """Where the splits come from; absent: as the files say. ``holdout``: validation is cut from train;
    ``own``: three files; ``shared``: one file validates and tests; ``cut``: all are cut from train."""
    type: Literal["classification", "regression", "multi_label", "multiple_choice"] = "classification"
    """What the labels are."""
    text: Texts = ()
    """One or two columns, or templates with columns in braces: ``"{title}: {body}"``."""
    choices: Texts = ()
    """For multiple choice: the column or template of each choice; it follows the text. One column alone holds
    the choices of a row as a list; a dot leads into an object: ``["choices.text"]``."""
    first_choice: Literal[0, 1] = 0
    """The number that the label column has for the first choice."""
    label: str | Annotated[tuple[str, ...], Field(strict=False, min_length=2, max_length=1000)] = "label"
    """Column of the label; for ``multi_label`` also a list: columns that hold a 0 or a 1 for one label each."""
    labels: Texts = ()
    """Names of the classes in the order of their ids; absent: those of the Parquet file's ``ClassLabel``, or
    those that train shows, sorted."""
    delimiter: Annotated[str, Field(min_length=1, max_length=8)] | None = None
    """What stands between the labels of a multi-label cell, for example ``";"``."""
    metrics: Texts = ()
    """Metrics, the first leads; absent: the usual one of the type."""
    stratify: bool | None = None
    """Cut validation in proportion to the classes; absent: for classification."""
    id: str | None = None
    """Column of an id that no two rows of a file may share."""
    quotes: Literal["auto", "csv", "none"] = "auto"
    """Whether a TSV file quotes cells as CSV does; ``auto``: as the file looks."""
    allow_empty: bool = False
    """Take rows of which one text is empty."""
    max_length: Annotated[int, Field(ge=8, le=8192)] | None = None
    """Longest row in tokens, while ``data.max_length`` is at its default."""
    truncate: Literal["longest_first", "only_first", "only_second"] = "longest_first"
    """Which text is cut when a row is too long."""
    head: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")] = DEFAULT_HEAD
    """Head that reads the backbone's states: ``classification`` the first token's, ``last_token``,
    ``mean_token``, or one of a plug-in's."""
    description: str = ""
    """One sentence, for reports."""
    licence: str = ""
    """Licence of the data, for the cards of exported adapters."""

    @field_validator("train", "validation", "test")
    @classmethod
    def _check_name(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("is empty, expected a file")
        return value

    @property
    def problem_type(self) -> ProblemType:
        """``type`` as the engine knows it."""
        return ProblemType(self.type)

    @property
    def files(self) -> dict[str, str]:
        """The named files by split."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: name for split, name in named.items() if name is not None}

    @property
    def split_kind(self) -> Splits:
        """``splits``, or what the files say."""
        if self.splits is not None:
            return Splits(self.splits)
        if self.folder is not None or self.hub is not None or len(self.files) == 2:
            return Splits.HOLDOUT
        return Splits.OWN if len(self.files) == 3 else Splits.CUT

    @model_validator(mode="after")
    def _check(self) -> TaskSpec:
        for complaint in (
            self._place(),
            self._texts(),
            self._labels(),
            self._label_columns(),
            self._scores(),
        ):
            if complaint:
                raise ValueError(complaint)
        return self

    def _place(self) -> str | None:  # noqa: PLR0911 - one rule a line
        if self.hub is None:
            if self.config is not None or self.revision is not None:
                return f"{'config' if self.config is not None else 'revision'} is for tasks from the hub only"
            if self.folder is None and self.train is None:
                return "needs train (a file), folder or hub: where its rows are"
            if self.folder is not None and self.files:
                return f"folder and {next(iter(self.files))} exclude each other"
            wrong = [key for key, name in self.files.items() if not _is_known(name)]
            if wrong:
                return f"{wrong[0]} must end in {', '.join(ENDINGS)} (or .gz after one), got {self.files[wrong[0]]!r}"
        elif self.folder is not None:
            return "folder and hub exclude each other"
        elif self.revision is None:
            return 'a task from the hub needs revision = "<commit>", so that a key means one thing'
        if self.splits is None or self.folder is not None or self.hub is not None:
            return None
        needed = {"own": 3, "cut": 1, "holdout": 2, "shared": 2}[self.splits]
        if len(self.files) != needed:
            return (
                f'splits = "{self.splits}" goes with {needed} file{"s" * (needed > 1)}, got {len(self.files)}'
            )
        return None

    def _texts(self) -> str | None:
        choice = self.type == "multiple_choice"
        if not choice and not 1 <= len(self.text) <= 2:
            return f"text needs one or two columns or templates, got {len(self.text)}"
        if choice and len(self.text) > 1:
            return "text of a multiple-choice task is one column or template, or none"
        if choice and not self.choices:
            return "choices needs a column that holds lists, or two columns or templates at least"
        if self.choices and not choice:
            return 'choices are for type = "multiple_choice"'
        several = self.choices if len(self.choices) > 1 else ()
        for key, templates in (("text", self.text), ("choices", several)):
            for template in templates:
                try:
                    template_columns(template)
                except ValueError as error:
                    return f"{key}: {error}"
        return None

    def _labels(self) -> str | None:
        if self.labels and self.type == "regression":
            return "labels are for classes; a regression has numbers"
        if len(set(self.labels)) != len(self.labels):
            return "labels lists a name twice"
        several = self.type == "multiple_choice" and len(self.choices) > 1
        if self.labels and several and len(self.labels) != len(self.choices):
            return f"labels must name {len(self.choices)} choices, got {len(self.labels)}"
        if len(self.labels) == 1:
            return "labels needs two classes at least"
        if self.first_choice and (self.type != "multiple_choice" or self.labels):
            return 'first_choice is for type = "multiple_choice" without labels'
        return None

    def _label_columns(self) -> str | None:  # noqa: PLR0911 - one rule a line
        if self.delimiter is not None and self.type != "multi_label":
            return 'delimiter is for type = "multi_label"'
        if isinstance(self.label, str):
            return None
        if self.type != "multi_label":
            return f'label names {len(self.label)} columns, which is for type = "multi_label"'
        if self.delimiter is not None:
            return "delimiter is for one column of labels; label names several"
        if len(set(self.label)) != len(self.label):
            return "label lists a column twice"
        if self.labels and len(self.labels) != len(self.label):
            return f"labels must name the {len(self.label)} columns of label, got {len(self.labels)}"
        return None

    def _scores(self) -> str | None:
        if self.stratify and self.type != "classification":
            return "stratify is for classification"
        known = METRICS[self.problem_type]
        unknown = [name for name in self.metrics if name not in known]
        if unknown:
            return f'metrics: "{unknown[0]}" is no metric of a {self.type} task, expected {", ".join(known)}'
        if len(set(self.metrics)) != len(self.metrics):
            return "metrics lists a name twice"
        if "f1" in self.metrics and len(self.labels) > 2:
            return f"metrics: f1 is the second of two classes', labels names {len(self.labels)}; say f1_macro"
        return None


def definition_from(spec: TaskSpec) -> TaskDefinition:
    """Return how a declared task is read and scored; its labels are empty if train is to say them."""
    kind = spec.problem_type
    labels, columns = spec.labels, () if isinstance(spec.label, str) else spec.label
    if kind is ProblemType.MULTIPLE_CHOICE and not labels and len(spec.choices) > 1:
        labels = choice_names(len(spec.choices), spec.first_choice)
    classes = kind is ProblemType.CLASSIFICATION
    return TaskDefinition(
        name=spec.name.partition("/")[2],
        text=spec.text,
        label=spec.label if isinstance(spec.label, str) else ", ".join(columns),
        label_columns=columns,
        problem_type=kind,
        labels=labels or columns,
        metrics=spec.metrics or METRICS[kind][:1],
        stratify=classes if spec.stratify is None else spec.stratify,
        description=spec.description,
        licence=spec.licence,
        choices=spec.choices,
        splits=spec.split_kind,
        max_length=spec.max_length,
        truncate=spec.truncate,
        allow_empty=spec.allow_empty,
        head=spec.head,
        hub=None if spec.hub is None else _location(spec, spec.hub),
    )


def choice_names(count: int, first: int) -> tuple[str, ...]:
    """Return what choices without names are called: their numbers, in the label column's way of counting."""
    return tuple(str(number) for number in range(first, first + count))


def _location(spec: TaskSpec, repository: str) -> HubLocation:
    validation = spec.validation or "validation"
    if (
        spec.split_kind in (Splits.HOLDOUT, Splits.SHARED)
        and spec.validation is None
        and spec.test is not None
    ):
        validation = spec.test  # what is not cut from train is tested on, whatever it is called
    return HubLocation(
        repo=repository,
        config=spec.config,
        train=spec.train or "train",
        validation=validation,
        test=spec.test or "test",
        revision=spec.revision,
    )


def _is_known(name: str) -> bool:
    plain = name.lower().removesuffix(".gz")
    return PurePath(plain).suffix in ENDINGS and not name.lower().endswith(".parquet.gz")
