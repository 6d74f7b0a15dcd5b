"""How each task of SuperGLUE is read and scored; the hub's columns and label ids.

The metric that leads is ScaLearn's headline. Licences are those of the original data as generally
stated; check them before use.

Source: ScaLearn (arXiv 2310.01217) and CPJKU/ScaLearn@81d77ea8 for templates, lengths and metrics.
"""

from __future__ import annotations

from adapterlab.plugin import HubLocation, Join, Original, ProblemType, Splits, TaskDefinition
from adapterlab_superglue import rows

_CLASSES = ProblemType.CLASSIFICATION
_BINARY = ("no", "yes")


def _hub(config: str) -> HubLocation:
    return HubLocation("aps/super_glue", config)


_TRUTH = Original(applies=rows.is_told_true, convert=rows.flat_truth)

SUPERGLUE = (
    TaskDefinition(
        name="boolq",
        text=("question", "passage"),
        label="label",
        problem_type=_CLASSES,
        labels=_BINARY,
        metrics=("accuracy",),
        description="Does the passage answer the question with yes?",
        citation="Clark et al. 2019, BoolQ",
        licence="CC BY-SA 3.0",
        hub=_hub("boolq"),
        original=_TRUTH,
        published_rows=(9427, 3270),
    ),
    TaskDefinition(
        name="cb",
        text=("premise", "hypothesis"),
        label="label",
        problem_type=_CLASSES,
        labels=("entailment", "contradiction", "neutral"),
        metrics=("accuracy", "f1_macro"),
        stratify=False,
        description="How far is the writer committed to an embedded clause?",
        citation="de Marneffe et al. 2019, The CommitmentBank",
        licence="no formal licence; research use",
        hub=_hub("cb"),
        published_rows=(250, 56),
    ),
    TaskDefinition(
        name="copa",
        text=("premise_joined",),
        choices=("choice1", "choice2"),
        label="label",
        problem_type=ProblemType.MULTIPLE_CHOICE,
        labels=("choice1", "choice2"),
        metrics=("accuracy",),
        prepare=rows.copa,
        description="Which of two sentences is the premise's cause, or its effect?",
        citation="Roemmele et al. 2011, Choice of Plausible Alternatives",
        licence="BSD 2-clause",
        hub=_hub("copa"),
        published_rows=(400, 100),
    ),
    TaskDefinition(
        name="multirc",
        text=("paragraph", "{question} {answer}"),
        label="label",
        problem_type=_CLASSES,
        labels=_BINARY,
        metrics=("f1", "group_accuracy"),
        groups="asked",
        max_length=324,
        prepare=rows.multirc,
        joins=(Join("paragraphs", on="idx.paragraph", key="idx"),),
        description="Is it a right answer? F1 over answers leads; group_accuracy is exact match a question.",
        citation="Khashabi et al. 2018, Looking Beyond the Surface",
        licence="research use",
        hub=_hub("multirc"),
        original=Original(applies=rows.is_nested, convert=rows.flat_multirc),
        published_rows=(27_243, 4848),
    ),
    TaskDefinition(
        name="record",
        text=("passage", "query"),
        label="label",
        problem_type=_CLASSES,
        labels=_BINARY,
        metrics=("entity_f1", "entity_em"),
        groups="asked",
        extras=("entity", "answers"),
        splits=Splits.SHARED,
        max_length=256,
        truncate="only_first",
        prepare=rows.record,
        description="Which entity of the passage fills the blank? The public validation split also validates.",
        citation="Zhang et al. 2018, ReCoRD",
        licence="Apache-2.0; news texts under their own terms",
        hub=_hub("record"),
        original=Original(applies=rows.is_nested, convert=rows.flat_record),
        # 100,730 and 10,000 questions, with a row for each of about 12 entities.
        published_rows=(1_200_000, 120_000),
    ),
    TaskDefinition(
        name="rte",
        text=("premise", "hypothesis"),
        label="label",
        problem_type=_CLASSES,
        labels=("entailment", "not_entailment"),
        metrics=("accuracy",),
        description="Does the premise entail the hypothesis? The same rows as glue/rte.",
        citation="Dagan et al. 2006; Bar Haim et al. 2006; Giampiccolo et al. 2007; Bentivogli et al. 2009",
        licence="no formal licence; research use",
        hub=_hub("rte"),
        overlaps=("glue/rte",),
        published_rows=(2490, 277),
    ),
    TaskDefinition(
        name="wic",
        text=("{word}: {sentence1}", "{word}: {sentence2}"),
        label="label",
        problem_type=_CLASSES,
        labels=_BINARY,
        metrics=("accuracy",),
        description="Is the word meant in the same sense in both sentences?",
        citation="Pilehvar and Camacho-Collados 2019, WiC",
        licence="CC BY-NC 4.0",
        hub=_hub("wic"),
        original=_TRUTH,
        published_rows=(5428, 638),
    ),
    TaskDefinition(
        name="wsc",
        text=("text_marked", "span1_text"),
        label="label",
        problem_type=_CLASSES,
        labels=_BINARY,
        metrics=("accuracy",),
        prepare=rows.wsc,
        description="Does the pronoun between stars mean the name that follows?",
        citation="Levesque et al. 2012, The Winograd Schema Challenge",
        licence="CC BY 4.0",
        hub=_hub("wsc"),
        original=_TRUTH,
        overlaps=("glue/wnli",),
        published_rows=(554, 104),
    ),
)
