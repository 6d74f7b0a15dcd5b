"""How the further corpora are read and scored; all have a train, a validation and a labelled test file."""

from __future__ import annotations

from adapterlab.plugin import ProblemType, Splits, TaskDefinition

_SENTIMENT = ("negative", "positive")

OTHER = (
    TaskDefinition(
        name="mr",
        text=("sentence",),
        label="label",
        problem_type=ProblemType.CLASSIFICATION,
        labels=_SENTIMENT,
        metrics=("accuracy",),
        splits=Splits.OWN,
        description="Is the film review's sentence positive? SST took its sentences from here.",
        citation="Pang and Lee 2005, Seeing Stars",
        licence="no formal licence; research use",
        overlaps=("glue/sst2", "other/sst2_sentence"),
    ),
    TaskDefinition(
        name="sst2_sentence",
        text=("sentence",),
        label="label",
        problem_type=ProblemType.CLASSIFICATION,
        labels=_SENTIMENT,
        metrics=("accuracy",),
        splits=Splits.OWN,
        description="SST-2 by whole sentences, with its test labels; glue/sst2 trains on phrases of them.",
        citation="Socher et al. 2013, Recursive Deep Models for Semantic Compositionality",
        licence="no formal licence; research use",
        overlaps=("glue/sst2", "other/mr"),
    ),
    TaskDefinition(
        name="snli_cad",
        text=("premise", "hypothesis"),
        label="label",
        problem_type=ProblemType.CLASSIFICATION,
        labels=("entailment", "neutral", "contradiction"),
        metrics=("accuracy",),
        splits=Splits.OWN,
        description="SNLI pairs, each with four minimal revisions that change the label.",
        citation="Kaushik et al. 2020, Learning the Difference that Makes a Difference",
        licence="CC BY-SA 4.0 (SNLI); revisions Apache-2.0",
    ),
)

MULTILABEL = (
    TaskDefinition(
        name="disaster_response",
        text=("text",),
        label="labels",
        problem_type=ProblemType.MULTI_LABEL,
        labels=(
            *("request", "offer", "aid_related", "medical_help", "medical_products", "search_and_rescue"),
            *("security", "military", "child_alone", "water", "food", "shelter", "clothing", "money"),
            *("missing_people", "refugees", "death", "other_aid", "infrastructure_related", "transport"),
            *("buildings", "electricity", "tools", "hospitals", "shops", "aid_centers"),
            *("other_infrastructure", "weather_related", "floods", "storm", "fire", "earthquake", "cold"),
            "other_weather",
        ),
        metrics=("f1_macro", "f1_micro", "precision_macro", "recall_macro", "subset_accuracy"),
        stratify=False,
        splits=Splits.OWN,
        description="What does a message sent after a disaster ask for or tell of? Any number of labels.",
        citation="Munro 2020, Multilingual Disaster Response Messages",
        licence="CC BY 4.0",
    ),
)
