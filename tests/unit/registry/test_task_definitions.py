"""What a task reads of a row: columns and templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.records import ProblemType
from adapterlab.registry.task_definitions import TaskDefinition, fill_template, template_columns

texts = st.text()


@given(texts, texts)
def test_a_template_puts_values_in_as_they_are(word, sentence):
    """Braces and percent signs of a value are text, never a template again."""
    row = {"word": word, "sentence": sentence}
    assert fill_template("{word}: {sentence}", row) == f"{word}: {sentence}"
    assert fill_template("{{{word}}}", row) == f"{{{word}}}"


@given(st.one_of(texts, st.integers(), st.none()))
def test_a_plain_name_gives_the_value_itself(value):
    assert fill_template("any column", {"any column": value}) is value


def test_the_columns_of_a_template_are_found_in_order():
    assert template_columns("{b} and {a}, {b}") == ("b", "a", "b")
    assert template_columns("plain name") == ("plain name",)
    assert template_columns("{{no}} column") == ()


@pytest.mark.parametrize(
    "template",
    ["{a", "a}", "{}", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a:>5}", "{a.__class__}", "{a b}", "{a{b}}"],
)
def test_a_template_reads_columns_and_nothing_else(template):
    with pytest.raises(ValueError, match=r"template|brace|'}'|'{'"):
        template_columns(template)


def test_a_missing_column_is_named():
    with pytest.raises(KeyError, match="word"):
        fill_template("{word}: {sentence}", {"sentence": "s"})


def test_a_definition_knows_every_column_it_reads():
    definition = TaskDefinition(
        name="x",
        text=("{context} {context}",),
        choices=("{question} {a}", "{question} {b}"),
        label="answer",
        problem_type=ProblemType.MULTIPLE_CHOICE,
        labels=("a", "b"),
        metrics=("accuracy",),
        groups="{page}/{line}",
        extras=("a", "more"),
    )
    assert definition.columns == ("context", "question", "a", "b", "page", "line", "more", "answer")
