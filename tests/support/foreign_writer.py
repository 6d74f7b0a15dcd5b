"""Runs in an environment of its own: writes folders with real ``adapters`` and real PEFT, and prints their numbers.

Standard input: ``{"backbone": …, "to": …, "rows": {"input_ids", "attention_mask", "token_type_ids"},
"jobs": {name: {"library", "config", "settings", "heads"}}}``. The backbone gets what a classifier stands on, and is
written to ``to/backbone``. Standard output: a JSON mapping, by name ``{"logits", "states"}``.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path

logging.disable(logging.CRITICAL)

import adapters  # type: ignore[import-not-found]  # noqa: E402
import peft  # type: ignore[import-not-found]  # noqa: E402
import torch  # noqa: E402
from peft.utils import (  # type: ignore[import-not-found]  # noqa: E402
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
)
from transformers import AutoModelForSequenceClassification  # noqa: E402

CLASSES = 3


def main() -> None:
    """Write one folder a job."""
    torch.set_num_threads(1)
    work = json.load(sys.stdin)
    to, batch = Path(work["to"]), {name: torch.tensor(values) for name, values in work["rows"].items()}
    torch.manual_seed(0)
    whole = AutoModelForSequenceClassification.from_pretrained(work["backbone"], num_labels=CLASSES)
    for parameter in whole.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    backbone = to / "backbone"
    whole.save_pretrained(backbone)
    shutil.copy(Path(work["backbone"]) / "tokenizer.json", backbone)
    write = {"adapters": with_adapters, "peft": with_peft}
    found = {}
    for number, (name, job) in enumerate(work["jobs"].items()):
        torch.manual_seed(number)
        found[name] = write[job["library"]](backbone, to / name, job, batch)
    json.dump({"versions": [adapters.__version__, peft.__version__], "found": found}, sys.stdout)


def with_adapters(backbone, folder, job, batch):
    """Write what ``adapters`` trains: an adapter and, where one is wanted, its head."""
    model = adapters.AutoAdapterModel.from_pretrained(backbone)
    name = folder.name
    config = getattr(adapters, job["config"])(**job["settings"])
    model.add_adapter(name, config=config)
    model.add_classification_head(name, num_labels=CLASSES, layers=2)
    model.set_active_adapters(name)
    disturb(model, lambda place: f".{name}." in f".{place}.")
    model.eval()
    model.save_adapter(folder, name, use_safetensors=job.get("safetensors", True))
    return numbers(model, model.base_model, batch)


def with_peft(backbone, folder, job, batch):
    """Write what PEFT trains: an adapter and the classifier."""
    model = AutoModelForSequenceClassification.from_pretrained(backbone, num_labels=CLASSES)
    settings = dict(job["settings"])
    if job["config"] == "IA3Config" and not settings and model.config.model_type == "xlm-roberta":
        # PEFT has no defaults for it: those of RoBERTa, whose modules have the same names.
        settings["target_modules"] = TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING["roberta"]
        settings["feedforward_modules"] = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING["roberta"]
    config = getattr(peft, job["config"])(task_type="SEQ_CLS", **settings)
    wrapped = peft.get_peft_model(model, config)
    disturb(wrapped, lambda place: any(word in place for word in ("lora_", "ia3_l", "modules_to_save")))
    wrapped.eval()
    wrapped.save_pretrained(folder)
    return numbers(wrapped, wrapped.base_model.model.base_model, batch)


def disturb(model, chosen):
    """Move parameters far from their starts, at which many an adapter does nothing."""
    for place, parameter in model.named_parameters():
        if chosen(place):
            parameter.data += 0.2 * torch.randn_like(parameter)


def numbers(model, base, batch):
    """Return logits, and the last hidden states."""
    with torch.no_grad():
        logits = model(**batch).logits
        states = base(**batch).last_hidden_state
    return {"logits": logits.double().tolist(), "states": states.double().tolist()}


main()
