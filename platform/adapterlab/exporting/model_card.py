"""The model card: a README that says what an exported adapter is, how it was made, and how to load it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapterlab.catalog.records import AdapterRecord, Origin
from adapterlab.errors import NotFoundError
from adapterlab.exporting.stored_models import Trained
from adapterlab.provenance import Provenance
from adapterlab.registry.entry_points import task_definition, task_suite

LIBRARY = "adapter-transformers"
"""What the hub calls AdapterHub's library. Source: huggingface.js, model-libraries."""
_LIBRARIES = {"peft": "peft", "peft-ia3": "peft"}
"""The library of a format, where it is not AdapterHub's."""
_HUB_METRICS = {
    "matthews": "matthews_correlation",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "f1_macro": "f1",
}
"""Our metrics' names on the hub, where they differ."""


@dataclass(frozen=True)
class CardFacts:
    """What the card says besides what the catalog knows."""

    name: str
    base_model: str
    architecture: str
    licence: str
    widths: Sequence[int]
    parameters: int
    tolerance: float
    largest_dropped: float
    left_out: Sequence[str]
    """Source tasks that are in no layer."""
    folding_difference: float
    """Greatest difference of a logit between the export and what was trained."""
    has_head: bool
    exported_with: Provenance
    """Of the process that exports."""
    format: str = "adapterhub"
    """``"adapterhub"``, ``"adapterhub-fusion"``, ``"adapterhub-ia3"``, ``"peft"`` or ``"peft-ia3"``."""
    mean_coefficients: tuple[float, ...] = ()
    """Of each source, over points and dimensions; empty for an adapter."""
    merged: bool = False
    """Whether it is one adapter made of the sources' parameters, which coefficients then weigh."""


def card(trained: Trained, facts: CardFacts) -> str:
    """Return README.md."""
    parts = [
        _front_matter(trained, facts),
        f"# {facts.name}\n\n{_what(trained, facts)}",
        f"## Use\n\n{_use(facts)}",
        f"## Results\n\n{_results(trained)}",
    ]
    if trained.combiner is not None:
        parts.append(f"## Contributions\n\n{_contributions(trained, facts)}")
    parts.append(f"## How it was made\n\n{_origin(trained, facts)}")
    parts.append(f"## Made with\n\n{_made_with(trained, facts)}")
    return "\n\n".join(parts) + "\n"


def _front_matter(trained: Trained, facts: CardFacts) -> str:
    metrics = [_HUB_METRICS.get(name, name) for name in _metrics(trained)]
    library = _LIBRARIES.get(facts.format, LIBRARY)
    fields: dict[str, Any] = {
        "library_name": library,
        "base_model": facts.base_model,
        "license": facts.licence,
        "datasets": _datasets(trained),
        "metrics": list(dict.fromkeys(metrics)),
        "tags": [library, facts.architecture, "adapterlab", f"adapterhub:{trained.record.task}"],
        "model-index": _model_index(trained, facts),
    }
    lines = []
    for key, value in fields.items():
        if isinstance(value, list):
            lines += [f"{key}:", *(f"- {json.dumps(one)}" for one in value)] if value else []
        else:
            lines.append(f"{key}: {json.dumps(value)}")  # JSON's strings are YAML's
    return "\n".join(["---", *lines, "---"])


def _model_index(trained: Trained, facts: CardFacts) -> list[dict[str, Any]]:
    """Return the test metrics as the hub shows them beside a model; nothing where there are none."""
    task = trained.record.task
    measured = [
        {"type": _HUB_METRICS.get(name, name), "name": name, "value": value}
        for name, value in trained.record.test.items()
        if math.isfinite(value)
    ]
    if not measured:
        return []
    result = {
        "task": {"type": "text-classification"},
        "dataset": {"type": task.partition("/")[0], "name": task, "split": "test"},
        "metrics": measured,
    }
    return [{"name": facts.name, "results": [result]}]


def _datasets(trained: Trained) -> list[str]:
    """Return the benchmarks whose rows were trained on; generated suites are no data sets."""
    found = []
    for task in (trained.record.task, *(source.task for source in trained.sources)):
        benchmark = task.partition("/")[0]
        try:
            generated = task_suite(benchmark).generates()
        except NotFoundError:
            generated = False
        if not generated:
            found.append(benchmark)
    return list(dict.fromkeys(found))


def _metrics(trained: Trained) -> dict[str, float]:
    return dict(trained.record.test) or dict(trained.validation)


def _what(trained: Trained, facts: CardFacts) -> str:
    task = trained.record.task
    count = len(trained.sources)
    if facts.format == "adapterhub-fusion":
        text = (
            f"An AdapterFusion for **{task}** on `{facts.base_model}`: {count} frozen source adapters, weighed for "
            "every token anew. They stay apart, each in a folder of its own; together"
        )
    else:
        text = f"An adapter ({_kind(trained, facts)}) for **{task}** on `{facts.base_model}`."
        if facts.merged:
            text += (
                f" It was merged ({trained.combiner}) from the parameters of {count} frozen source adapters; only its "
                "head was trained."
            )
        elif trained.combiner is not None:
            text += (
                f" It is a learned combination ({trained.combiner}) of {count} frozen source adapters, folded into "
                "one: scaled last factors side by side compute the same as the sources and their coefficients."
            )
    head = "It comes with its classification head." if facts.has_head else "It comes without a head."
    return f"{text} {facts.parameters:,} parameters. {head}"


def _kind(trained: Trained, facts: CardFacts) -> str:
    """Return what the adapter is, in a few words."""
    if facts.format in ("adapterhub-ia3", "peft-ia3"):
        return f"(IA)³, which scales {', '.join(trained.method_settings.targets)}"
    widths = sorted(set(facts.widths))
    width = str(widths[0]) if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
    if facts.format == "peft":
        return f"LoRA, rank {width}"
    houlsby = (trained.folds_into or ("", None))[0] == "houlsby"
    return f"`{'double_seq_bn' if houlsby else 'seq_bn'}`, bottleneck {width}"


def _use(facts: CardFacts) -> str:
    library = _LIBRARIES.get(facts.format, LIBRARY)
    how = (
        _USE_FUSION
        if facts.format == "adapterhub-fusion"
        else _USE_PEFT
        if library == "peft"
        else _USE_ADAPTER
    )
    ours = '`platform predict <this folder> --backbone … --text "…"`'
    if facts.format == "adapterhub":
        ours += ', or `adapterlab.compose(backbone, ["<this folder>"])`'
    code = how.format(base_model=facts.base_model)
    return (
        f"```python\n{code}\n```\n\n`self_test.json` holds token ids and the logits they must give. "
        f"With adapterlab:\n{ours}."
    )


_USE_ADAPTER = """from adapters import AutoAdapterModel  # pip install adapters

model = AutoAdapterModel.from_pretrained("{base_model}")
model.load_adapter("<this folder>", use_safetensors=True, set_active=True)"""
_USE_FUSION = """from adapters import AutoAdapterModel  # pip install adapters

model = AutoAdapterModel.from_pretrained("{base_model}")
model.load_adapter_setup("<this folder>", use_safetensors=True, set_active=True)"""
_USE_PEFT = """from peft import PeftModel  # pip install peft
from transformers import AutoModelForSequenceClassification

model = AutoModelForSequenceClassification.from_pretrained("{base_model}", num_labels=…)
model = PeftModel.from_pretrained(model, "<this folder>")"""


def _results(trained: Trained) -> str:
    validation = trained.validation
    test = trained.record.test
    rows = [
        f"| {name} | {_number(validation.get(name))} | {_number(test.get(name))} |"
        for name in dict.fromkeys((*validation, *test))
    ]
    return "\n".join(["| metric | validation | test |", "|---|---|---|", *rows])


def _contributions(trained: Trained, facts: CardFacts) -> str:
    if facts.merged:
        what = "Weight of each source's parameters"
    elif trained.is_token_dependent:
        what = "Mean attention weight over layers and tokens"
    else:
        what = "Mean scaling coefficient over layers and dimensions"
    lines = [
        f"{what}; all of them are in `coefficients.safetensors`.",
        "",
    ]
    lines += ["| source | mean |", "|---|---|"]
    lines += [
        f"| {source.label} | {mean:.4f} |"
        for source, mean in zip(trained.sources, facts.mean_coefficients, strict=True)
    ]
    return "\n".join(lines)


def _origin(trained: Trained, facts: CardFacts) -> str:
    record = trained.record
    origin = record.origin if isinstance(record, AdapterRecord) else None
    lines = [
        f"- made by adapterlab: {trained.kind} `{record.key}`, seed {record.seed}"
        if origin is None
        else f"- imported from {_shown_source(origin)}: adapter `{record.key}`",
        f"- backbone weights: sha256 `{record.backbone_digest}`",
        f"- difference of the self-test's logits to what was trained: {facts.folding_difference:.1e}",
    ]
    if trained.combiner is not None:
        lines += [f"- source {source.label}: adapter `{source.key}`" for source in trained.sources]
        settings = ", ".join(f"{name} {value}" for name, value in record.settings.items())
        lines.append(f"- settings: {settings}")
    if facts.tolerance > 0:
        left = ", ".join(facts.left_out) or "none in every layer"
        lines.append(
            f"- coefficients up to {facts.tolerance:g} were left out (greatest: {facts.largest_dropped:.3g}); "
            f"sources left out altogether: {left}"
        )
    return "\n".join([*lines, *_licences(trained)])


def _shown_source(origin: Origin) -> str:
    """Return where an adapter came from; a folder's path means nothing elsewhere."""
    if origin.commit is not None:
        return f"`{origin.source}`"
    return f"a folder{f' by {origin.made_with}' if origin.made_with else ''}"


def _made_with(trained: Trained, facts: CardFacts) -> str:
    record = trained.record
    if isinstance(record, AdapterRecord) and record.origin is not None:
        lines = [f"- trained with {record.origin.made_with or 'what its card does not say'}"]
    elif record.provenance is None:
        lines = ["- trained with: unknown, the catalog did not record it yet"]
    else:
        device = " ".join(filter(None, (record.device, f"({record.provenance.device_name or 'unknown'})")))
        lines = [f"- trained with {record.provenance.code}; {record.provenance.libraries}; on {device}"]
    return "\n".join([*lines, f"- exported with {facts.exported_with.code}"])


def _licences(trained: Trained) -> list[str]:
    """Name what the data's own pages say of licences; which one the adapter has is for its owner to say."""
    found = []
    for task in dict.fromkeys((trained.record.task, *(source.task for source in trained.sources))):
        try:
            licence = task_definition(task).licence
        except NotFoundError:
            continue
        if licence:
            found.append(f"- licence of the data {task}: {licence}")
    return found


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4f}"
