"""The ten tasks: a large and a small one for each of four skills, one multi-label, one multiple-choice.

Rows are drawn with their label first, so that classes are balanced, and a text that was drawn
before is drawn again, so that no row is in two splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapterlab.plugin import ProblemType, TaskDefinition
from adapterlab_synthetic import grammar, matching, mentions, opinion, reasoning
from adapterlab_synthetic.draw import Draw
from adapterlab_synthetic.world import FARM, TOWN, World

Row = dict[str, Any]
_SENTENCE = ("sentence",)
_PAIR = ("sentence1", "sentence2")
_CHOICES = ("choice1", "choice2", "choice3")


@dataclass(frozen=True)
class Task:
    """One generated task."""

    definition: TaskDefinition
    world: World
    train_rows: int
    test_rows: int
    make: Callable[[World, Draw, int], Row]
    """Makes the row of a number, which decides the label."""


def rows(name: str, split: str) -> Iterator[Row]:
    """Yield the rows of a task; ``split`` is ``"train"`` or ``"validation"``."""
    task = TASKS[name]
    draw = Draw("adapterlab", "synthetic", name)
    seen: set[tuple[str, ...]] = set()
    for number in range(task.train_rows + task.test_rows):
        row = task.make(task.world, draw, number)
        while (text := _texts(task.definition, row)) in seen:
            row = task.make(task.world, draw, number)
        seen.add(text)
        if (number < task.train_rows) == (split == "train"):
            yield row


def _texts(definition: TaskDefinition, row: Row) -> tuple[str, ...]:
    return tuple(row[column] for column in (*definition.text, *definition.choices))


def _nli(world: World, draw: Draw, number: int) -> Row:
    label = number % 3
    premise, hypothesis = reasoning.inference(world, draw, reasoning.RELATIONS[label])
    return {"premise": premise, "hypothesis": hypothesis, "label": label}


def _entailment(world: World, draw: Draw, number: int) -> Row:
    label = number % 2
    relation = draw.pick(reasoning.RELATIONS[1:]) if label else reasoning.RELATIONS[0]
    return {**dict(zip(_PAIR, reasoning.inference(world, draw, relation), strict=True)), "label": label}


def _paraphrase(world: World, draw: Draw, number: int) -> Row:
    label = number % 2
    return {**_two_tellings(world, draw, 1 - label), "label": label}


def _similarity(world: World, draw: Draw, number: int) -> Row:
    equal = number % (len(matching.PARTS) + 1)
    return {**_two_tellings(world, draw, len(matching.PARTS) - equal), "label": float(equal)}


def _mentions(world: World, draw: Draw, number: int) -> Row:
    """Make a report; what it mentions is drawn, so that one drawn again may mention something else."""
    del number
    text, mentioned = mentions.report(world, draw)
    return {"report": text, "mentions": mentioned}


def _retelling(world: World, draw: Draw, number: int) -> Row:
    """Tell an event in one style; of three other tellings only one is of the same event."""
    right = number % len(_CHOICES)
    event = matching.event(world, draw)
    first, other = matching.two_styles(draw)
    row: Row = {"told": matching.told(event, first), "label": right}
    for choice, column in enumerate(_CHOICES):
        # the wrong ones differ in one or two of five parts
        parts = 0 if choice == right else 1 + (choice + number) % 2
        row[column] = matching.told(matching.changed(event, world, draw, parts), other)
    return row


def _two_tellings(world: World, draw: Draw, different_parts: int) -> Row:
    event = matching.event(world, draw)
    other = matching.changed(event, world, draw, different_parts)
    styles = matching.two_styles(draw)
    return {"sentence1": matching.told(event, styles[0]), "sentence2": matching.told(other, styles[1])}


def _good_or_not(make: Callable[[World, Draw, bool], str]) -> Callable[[World, Draw, int], Row]:
    def row(world: World, draw: Draw, number: int) -> Row:
        label = number % 2
        return {"sentence": make(world, draw, bool(label)), "label": label}

    return row


def _classes(name: str, text: tuple[str, ...], labels: str, metrics: str, description: str) -> TaskDefinition:
    return TaskDefinition(
        name=name,
        text=text,
        label="label",
        problem_type=ProblemType.CLASSIFICATION,
        labels=tuple(labels.split()),
        metrics=tuple(metrics.split()),
        description=description,
        citation="generated; see docs/reference/synthetic.md",
        licence="Apache-2.0",
    )


_SIMILARITY = TaskDefinition(
    name="similarity",
    text=_PAIR,
    label="label",
    problem_type=ProblemType.REGRESSION,
    labels=(),
    metrics=("pearson", "spearman"),
    stratify=False,
    description="How many of five parts of an event are the same, from 0 to 5? Small, on a farm.",
    citation="generated; see docs/reference/synthetic.md",
    licence="Apache-2.0",
)

_MENTIONS = TaskDefinition(
    name="mentions",
    text=("report",),
    label="mentions",
    problem_type=ProblemType.MULTI_LABEL,
    labels=mentions.LABELS,
    metrics=("f1_macro", "precision_macro", "recall_macro", "subset_accuracy"),
    stratify=False,
    description="What does the report mention: any of six things, or none? In town.",
    citation="generated; see docs/reference/synthetic.md",
    licence="Apache-2.0",
)
_RETELLING = TaskDefinition(
    name="retelling",
    text=("told",),
    choices=_CHOICES,
    label="label",
    problem_type=ProblemType.MULTIPLE_CHOICE,
    labels=_CHOICES,
    metrics=("accuracy",),
    description="Which of three sentences tells the same event in other words? On a farm.",
    citation="generated; see docs/reference/synthetic.md",
    licence="Apache-2.0",
)

_ALL = (
    Task(
        _classes(
            "nli",
            ("premise", "hypothesis"),
            "entailment neutral contradiction",
            "accuracy",
            "Does the premise entail or contradict the hypothesis? Large, in town.",
        ),
        *(TOWN, 2000, 600, _nli),
    ),
    Task(
        _classes(
            "paraphrase",
            _PAIR,
            "different same",
            "accuracy f1",
            "Do two sentences tell the same event? Large, in town.",
        ),
        *(TOWN, 2000, 600, _paraphrase),
    ),
    Task(
        _classes(
            "acceptability",
            _SENTENCE,
            "unacceptable acceptable",
            "matthews accuracy",
            "Is the sentence well-formed? Large, in town.",
        ),
        *(TOWN, 2000, 600, _good_or_not(grammar.sentence)),
    ),
    Task(
        _classes(
            "sentiment",
            _SENTENCE,
            "negative positive",
            "accuracy",
            "Is the opinion of a film or play favourable? Large, in town.",
        ),
        *(TOWN, 2000, 600, _good_or_not(opinion.opinion)),
    ),
    Task(
        _classes(
            "entailment",
            _PAIR,
            "entailment not_entailment",
            "accuracy",
            "Does the first sentence entail the second? Small, on a farm.",
        ),
        *(FARM, 200, 600, _entailment),
    ),
    Task(_SIMILARITY, FARM, 120, 600, _similarity),
    Task(
        _classes(
            "usage",
            _SENTENCE,
            "unacceptable acceptable",
            "matthews accuracy",
            "Is the sentence well-formed? Small, on a farm.",
        ),
        *(FARM, 200, 600, _good_or_not(grammar.sentence)),
    ),
    Task(
        _classes(
            "reviews",
            _SENTENCE,
            "negative positive",
            "accuracy",
            "Is the opinion of a meal or an inn favourable? Small, on a farm.",
        ),
        *(FARM, 200, 600, _good_or_not(opinion.opinion)),
    ),
    Task(_MENTIONS, TOWN, 400, 300, _mentions),
    Task(_RETELLING, FARM, 300, 300, _retelling),
)
TASKS: Mapping[str, Task] = {task.definition.name: task for task in _ALL}
"""Every task by name: the large ones, the small ones, then one for each further problem type."""
