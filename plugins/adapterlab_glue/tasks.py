"""How each task is read and scored: columns and label ids of the public hubs, metrics of the papers.

The metric that leads is the papers' headline. Licences are those of the original data as generally
stated; check them before use.

Source: ScaLearn (arXiv 2310.01217) and CPJKU/ScaLearn@81d77ea8 for columns, splits and metrics.
"""

from __future__ import annotations

from adapterlab.plugin import HubLocation, ProblemType, TaskDefinition
from adapterlab_glue import original

_CLASSES = ProblemType.CLASSIFICATION
_ENTAILED = ("entailment", "not_entailment")


def _hub(config: str, validation: str = "validation") -> HubLocation:
    return HubLocation("nyu-mll/glue", config, validation=validation)


GLUE = (
    TaskDefinition(
        name="cola",
        text=("sentence",),
        label="label",
        problem_type=_CLASSES,
        labels=("unacceptable", "acceptable"),
        metrics=("matthews", "accuracy"),
        description="Is the sentence acceptable English?",
        citation="Warstadt et al. 2019, Neural Network Acceptability Judgments",
        licence="no formal licence; research use",
        hub=_hub("cola"),
        original=original.COLA,
        published_rows=(8551, 1043),
    ),
    TaskDefinition(
        name="sst2",
        text=("sentence",),
        label="label",
        problem_type=_CLASSES,
        labels=("negative", "positive"),
        metrics=("accuracy",),
        description="Is the film review's sentence positive?",
        citation="Socher et al. 2013, Recursive Deep Models for Semantic Compositionality",
        licence="no formal licence; research use",
        hub=_hub("sst2"),
        overlaps=("other/mr", "other/sst2_sentence"),
        published_rows=(67_349, 872),
    ),
    TaskDefinition(
        name="mrpc",
        text=("sentence1", "sentence2"),
        label="label",
        problem_type=_CLASSES,
        labels=("not_equivalent", "equivalent"),
        metrics=("accuracy", "f1"),
        description="Do two sentences of news say the same?",
        citation="Dolan and Brockett 2005, Automatically Constructing a Corpus of Sentential Paraphrases",
        licence="Microsoft Research Paraphrase Corpus data licence",
        hub=_hub("mrpc"),
        original=original.MRPC,
        overlaps=("glue/stsb",),
        published_rows=(3668, 408),
    ),
    TaskDefinition(
        name="qqp",
        text=("question1", "question2"),
        label="label",
        problem_type=_CLASSES,
        labels=("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1"),
        description="Do two questions on Quora ask the same?",
        citation="Iyer et al. 2017, First Quora Dataset Release: Question Pairs",
        licence="Quora's terms; non-commercial",
        hub=_hub("qqp"),
        original=original.QQP,
        allow_empty=True,
        published_rows=(363_846, 40_430),
    ),
    TaskDefinition(
        name="stsb",
        text=("sentence1", "sentence2"),
        label="label",
        problem_type=ProblemType.REGRESSION,
        labels=(),
        metrics=("pearson", "spearman"),
        stratify=False,
        description="How alike are two sentences, from 0 to 5?",
        citation="Cer et al. 2017, SemEval-2017 Task 1",
        licence="CC BY-SA 4.0 and terms of each source",
        hub=_hub("stsb"),
        original=original.STSB,
        overlaps=("glue/mrpc",),
        published_rows=(5749, 1500),
    ),
    TaskDefinition(
        name="mnli",
        text=("premise", "hypothesis"),
        label="label",
        problem_type=_CLASSES,
        labels=("entailment", "neutral", "contradiction"),
        metrics=("accuracy",),
        description="Does the premise entail or contradict the hypothesis? Tested on the matched genres.",
        citation="Williams et al. 2018, A Broad-Coverage Challenge Corpus for Sentence Understanding",
        licence="OANC, CC BY-SA 3.0, CC BY 3.0 by genre",
        hub=_hub("mnli", "validation_matched"),
        original=original.MNLI,
        published_rows=(392_702, 9815),
    ),
    TaskDefinition(
        name="qnli",
        text=("question", "sentence"),
        label="label",
        problem_type=_CLASSES,
        labels=_ENTAILED,
        metrics=("accuracy",),
        description="Does the sentence answer the question?",
        citation="Rajpurkar et al. 2016, SQuAD; recast by Wang et al. 2018, GLUE",
        licence="CC BY-SA 4.0",
        hub=_hub("qnli"),
        original=original.INDEXED,
        published_rows=(104_743, 5463),
    ),
    TaskDefinition(
        name="rte",
        text=("sentence1", "sentence2"),
        label="label",
        problem_type=_CLASSES,
        labels=_ENTAILED,
        metrics=("accuracy",),
        description="Does the first text entail the second?",
        citation="Dagan et al. 2006; Bar Haim et al. 2006; Giampiccolo et al. 2007; Bentivogli et al. 2009",
        licence="no formal licence; research use",
        hub=_hub("rte"),
        original=original.INDEXED,
        overlaps=("superglue/rte",),
        published_rows=(2490, 277),
    ),
    TaskDefinition(
        name="wnli",
        text=("sentence1", "sentence2"),
        label="label",
        problem_type=_CLASSES,
        labels=("not_entailment", "entailment"),
        metrics=("accuracy",),
        description="Does the sentence with its pronoun resolved follow? Not in the papers' tables.",
        citation="Levesque et al. 2012, The Winograd Schema Challenge; recast by Wang et al. 2018, GLUE",
        licence="CC BY 4.0",
        hub=_hub("wnli"),
        original=original.INDEXED,
        overlaps=("superglue/wsc",),
        published_rows=(635, 71),
    ),
)
