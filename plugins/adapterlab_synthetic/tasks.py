"""The eight tasks: a large and a small one for each of four skills.

Rows are drawn with their label first, so that classes are balanced, and a text that was drawn
before is drawn again, so that no row is in two splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapterlab.records import ProblemType
from adapterlab.registry.protocols import TaskDefinition
from adapterlab_synthetic import grammar, matching, opinion, reasoning
from adapterlab_synthetic.draw import Draw
from adapterlab_synthetic.world import FARM, TOWN, World

Row = dict[str, Any]
_SENTENCE = ("sentence",)
_PAIR = ("sentence1", "sentence2")


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
        while (text := tuple(row[column] for column in task.definition.text)) in seen:
            row = task.make(task.world, draw, number)
        seen.add(text)
        if (number < task.train_rows) == (split == "train"):
            yield row


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
)
TASKS: Mapping[str, Task] = {task.definition.name: task for task in _ALL}
"""Every task by name: first the large ones, then the small."""
