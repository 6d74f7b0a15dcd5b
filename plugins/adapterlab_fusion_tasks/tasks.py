"""How AdapterFusion's own tasks are read and scored; its others are in ``glue`` and ``superglue``.

All are scored by accuracy. Where the public test labels are hidden, the public validation split is the
test split, as elsewhere. Licences are those of the original data as generally stated; check them
before use.

Source: Pfeiffer et al. 2021, AdapterFusion (arXiv 2005.00247), for the choice of tasks; the hub's
columns and label ids.
"""

from __future__ import annotations

from adapterlab.plugin import FolderLocation, HubLocation, ProblemType, Splits, TaskDefinition
from adapterlab_fusion_tasks import rows

_CLASSES = ProblemType.CLASSIFICATION
_CHOICE = ProblemType.MULTIPLE_CHOICE
_SIZES = {"xs": 160, "s": 640, "m": 2558, "l": 10_234}
"""Train rows of the smaller WinoGrandes."""


def _winogrande(size: str, name: str, others: tuple[str, ...]) -> TaskDefinition:
    whole = name == "winogrande"
    return TaskDefinition(
        name=name,
        text=("before",),
        choices=("ending1", "ending2"),
        label="label",
        problem_type=_CHOICE,
        labels=("1", "2"),
        metrics=("accuracy",),
        prepare=rows.winogrande,
        description=f"Which option fills the blank? Train rows of size {size.upper()}.",
        citation="Sakaguchi et al. 2020, WinoGrande",
        licence="CC BY",
        hub=HubLocation("allenai/winogrande", f"winogrande_{size}"),
        place=FolderLocation("winogrande", train="train" if whole else f"train_{size}"),
        overlaps=tuple(f"adapterfusion/{one}" for one in others if one != name),
        published_rows=(_SIZES.get(size, 40_398), 1267),
    )


_WINOGRANDES = ("winogrande", *(f"winogrande_{size}" for size in _SIZES))

ADAPTERFUSION = (
    TaskDefinition(
        name="sick",
        text=("sentence_A", "sentence_B"),
        label="label",
        problem_type=_CLASSES,
        labels=("entailment", "neutral", "contradiction"),
        metrics=("accuracy",),
        description="Does the first sentence entail or contradict the second?",
        citation="Marelli et al. 2014, A SICK Cure for the Evaluation of Compositional Distributional Models",
        licence="CC BY-NC-SA 3.0",
        hub=HubLocation("RobZamp/sick"),
        published_rows=(4439, 495),
    ),
    TaskDefinition(
        name="scitail",
        text=("premise", "hypothesis"),
        label="label",
        problem_type=_CLASSES,
        labels=("neutral", "entails"),
        metrics=("accuracy",),
        splits=Splits.OWN,
        description="Does a sentence of the web entail the answer to a science question? Its own splits.",
        citation="Khot et al. 2018, SciTail",
        licence="Apache-2.0",
        hub=HubLocation("allenai/scitail", "tsv_format"),
        published_rows=(23_097, 1304, 2126),
    ),
    TaskDefinition(
        name="imdb",
        text=("text",),
        label="label",
        problem_type=_CLASSES,
        labels=("neg", "pos"),
        metrics=("accuracy",),
        description="Is the film review positive? Its public test split is the test split.",
        citation="Maas et al. 2011, Learning Word Vectors for Sentiment Analysis",
        licence="no formal licence; research use",
        hub=HubLocation("stanfordnlp/imdb", "plain_text", validation="test"),
        place=FolderLocation("imdb", validation="test"),
        published_rows=(25_000, 25_000),
    ),
    TaskDefinition(
        name="argument",
        text=("topic", "sentence"),
        label="annotation",
        problem_type=_CLASSES,
        labels=("NoArgument", "Argument_for", "Argument_against"),
        metrics=("accuracy", "f1_macro"),
        splits=Splits.OWN,
        description="Does the sentence argue for or against the topic? The splits of the corpus's column set.",
        citation="Stab et al. 2018, Cross-topic Argument Mining from Heterogeneous Sources",
        licence="annotations CC BY-NC; sentences under their own terms; from UKP Lab on request",
        published_rows=(18_341, 2042, 5109),
    ),
    TaskDefinition(
        name="commonsense_qa",
        text=("question",),
        choices=("choice0", "choice1", "choice2", "choice3", "choice4"),
        label="label",
        problem_type=_CHOICE,
        labels=("A", "B", "C", "D", "E"),
        metrics=("accuracy",),
        prepare=rows.commonsense_qa,
        description="Which of five words or phrases answers the question?",
        citation="Talmor et al. 2019, CommonsenseQA",
        licence="MIT",
        hub=HubLocation("tau/commonsense_qa"),
        published_rows=(9741, 1221),
    ),
    TaskDefinition(
        name="cosmos_qa",
        text=("context",),
        choices=tuple(f"{{question}} {{answer{number}}}" for number in range(4)),
        label="label",
        problem_type=_CHOICE,
        labels=("answer0", "answer1", "answer2", "answer3"),
        metrics=("accuracy",),
        description="Which of four answers follows from the story?",
        citation="Huang et al. 2019, Cosmos QA",
        licence="CC BY 4.0",
        hub=HubLocation("allenai/cosmos_qa"),
        published_rows=(25_262, 2985),
    ),
    TaskDefinition(
        name="hellaswag",
        text=("ctx",),
        choices=("ending0", "ending1", "ending2", "ending3"),
        label="label",
        problem_type=_CHOICE,
        labels=("0", "1", "2", "3"),
        metrics=("accuracy",),
        prepare=rows.hellaswag,
        description="Which of four endings continues the text?",
        citation="Zellers et al. 2019, HellaSwag",
        licence="MIT",
        hub=HubLocation("Rowan/hellaswag"),
        published_rows=(39_905, 10_042),
    ),
    TaskDefinition(
        name="social_iqa",
        text=("context",),
        choices=("{question} {answerA}", "{question} {answerB}", "{question} {answerC}"),
        label="label",
        problem_type=_CHOICE,
        labels=("1", "2", "3"),
        metrics=("accuracy",),
        description="Which of three answers about people and their reasons is likely?",
        citation="Sap et al. 2019, Social IQa",
        licence="CC BY 4.0",
        hub=HubLocation("allenai/social_i_qa"),
        published_rows=(33_410, 1954),
    ),
    _winogrande("xl", "winogrande", _WINOGRANDES),
    *(_winogrande(size, f"winogrande_{size}", _WINOGRANDES) for size in _SIZES),
)
