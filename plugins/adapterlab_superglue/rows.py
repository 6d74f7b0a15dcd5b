"""Columns the tasks read, derived from the hub's; and the hub's, from SuperGLUE's own files.

Source: CPJKU/ScaLearn@81d77ea8, superglue/dataset.py, for what each task shows the model; ReCoRD and
MultiRC as in Wang et al. 2019, SuperGLUE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapterlab.plugin import Row

Made = Iterator[dict[str, Any]]


def copa(row: Row) -> Made:
    """Join the premise with what is asked: its cause (``because``) or its effect (``so``)."""
    question = row["question"]
    if question not in ("cause", "effect"):
        raise ValueError(f"question is {question!r}, expected 'cause' or 'effect'")
    yield {**row, "premise_joined": f"{row['premise']} {'because' if question == 'cause' else 'so'}"}


def wsc(row: Row) -> Made:
    """Mark the pronoun with stars: the word at ``span2_index`` of those between white space."""
    words = str(row["text"]).split()
    index = row["span2_index"]
    if not isinstance(index, int) or not 0 <= index < len(words):
        raise ValueError(f"span2_index is {index!r}, expected a word's number from 0 to {len(words) - 1}")
    words[index] = f"*{words[index]}*"
    yield {**row, "text_marked": " ".join(words)}


def multirc(row: Row) -> Made:
    """Name the question an answer belongs to, by its numbers or, without them, by its text."""
    index = row.get("idx")
    if isinstance(index, Mapping) and {"paragraph", "question"} <= index.keys():
        asked = f"{index['paragraph']}.{index['question']}"
    else:
        asked = f"{row['paragraph']}\n{row['question']}"
    yield {**row, "asked": asked}


def record(row: Row) -> Made:
    """Fill every entity of the passage into the query: one row each, right if it is an answer.

    Entities and answers are taken once each and in order, so that the hub's lists and the original
    spans give the same rows.
    """
    answers = sorted(set(row["answers"]))
    index = row.get("idx")
    if isinstance(index, Mapping) and {"passage", "query"} <= index.keys():
        asked = f"{index['passage']}.{index['query']}"
    else:
        asked = f"{row['passage']}\n{row['query']}"
    passage = str(row["passage"]).replace("@highlight\n", "- ")
    for entity in sorted(set(row["entities"])):
        yield {
            "passage": passage,
            "query": str(row["query"]).replace("@placeholder", entity),
            "asked": asked,
            "entity": entity,
            "answers": answers,
            "label": int(entity in answers),
        }


def is_nested(row: Row) -> bool:
    """Tell SuperGLUE's own MultiRC and ReCoRD files from the hub's flat rows."""
    return isinstance(row.get("passage"), Mapping)


def is_told_true(row: Row) -> bool:
    """Tell SuperGLUE's own files, whose labels are truth values, from the hub's numbers."""
    return isinstance(row.get("label"), bool)


def flat_truth(row: Row) -> Made:
    """Give BoolQ, WiC and WSC the hub's numbers for truth values, and WSC its flat spans."""
    target = row.get("target")
    spans = dict(target) if isinstance(target, Mapping) else {}
    yield {**row, **spans, "label": int(row["label"])}


def flat_multirc(row: Row) -> Made:
    """Yield one row an answer of a nested passage, with the hub's columns."""
    passage = row["passage"]
    for number, question in enumerate(passage["questions"]):
        for count, answer in enumerate(question["answers"]):
            yield {
                "paragraph": passage["text"],
                "question": question["question"],
                "answer": answer["text"],
                "idx": {
                    "paragraph": row.get("idx"),
                    "question": question.get("idx", number),
                    "answer": answer.get("idx", count),
                },
                **({"label": int(answer["label"])} if "label" in answer else {}),
            }


def flat_record(row: Row) -> Made:
    """Yield one row a query of a nested passage, with the hub's columns; ends of spans are included."""
    passage = row["passage"]
    text = passage["text"]
    entities = [text[one["start"] : one["end"] + 1] for one in passage["entities"]]
    for number, query in enumerate(row["qas"]):
        yield {
            "passage": text,
            "query": query["query"],
            "entities": entities,
            "answers": [one["text"] for one in query.get("answers", ())],
            "idx": {"passage": row.get("idx"), "query": query.get("idx", number)},
        }
