"""Runs in an environment of its own: loads exports with ``adapters`` or PEFT and prints their logits.

Standard input: ``{"backbone": …, "rows": [{"input_ids", "attention_mask", "token_type_ids"}],
"jobs": [{"folder", "arguments", "precision", "again", "setup"}]}``; a setup is a fusion with its adapters, and
``library`` is ``"peft"`` for a folder of PEFT. Standard output: one JSON list, an entry a job.
"""

from __future__ import annotations

import json
import logging
import sys

logging.disable(logging.CRITICAL)

import torch  # noqa: E402
from adapters import AutoAdapterModel, __version__  # type: ignore[import-not-found]  # noqa: E402


def main() -> None:
    """Do all jobs, each on the same model, so that adapters meet those loaded before."""
    torch.set_num_threads(1)
    work = json.load(sys.stdin)
    peft_alone = all(job.get("library") == "peft" for job in work["jobs"])  # which knows more models
    model = None if peft_alone else AutoAdapterModel.from_pretrained(work["backbone"]).eval()
    batch = {name: torch.tensor(values) for name, values in work["rows"].items()}
    answers = [
        run_peft(work["backbone"], batch, job) if job.get("library") == "peft" else run(model, batch, job)
        for job in work["jobs"]
    ]
    json.dump({"version": __version__, "answers": answers}, sys.stdout)


def run(model, batch, job):
    """Load one export and return what it says."""
    model.float()
    if job["setup"]:
        return run_setup(model, batch, job)
    info: dict[str, list[str]] = {}
    name = model.load_adapter(job["folder"], set_active=True, loading_info=info, **job["arguments"])
    if job["again"]:
        model.set_active_adapters(name)  # a name that is there already is overwritten, but not activated
    getattr(model, job["precision"])()
    with torch.no_grad():
        logits = model(**batch).logits
    adapter = model.get_adapter(name)
    modules = [adapter[layer].get("output_adapter") for layer in sorted(adapter)]
    widths = [one.adapter_down[0].out_features for one in modules if one is not None]
    return {"name": name, "logits": logits.double().tolist(), "widths": widths, **info}


def run_peft(backbone, batch, job):
    """Load a folder of PEFT into a model of its own, and return what it says."""
    import peft  # type: ignore[import-not-found]
    from safetensors.torch import load_file
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)  # what the folder forgets would differ from run to run
    held = load_file(f"{job['folder']}/adapter_model.safetensors")
    (outputs,) = (len(one) for key, one in held.items() if key.endswith(("classifier.bias", "out_proj.bias")))
    model = AutoModelForSequenceClassification.from_pretrained(backbone, num_labels=outputs)
    model = peft.PeftModel.from_pretrained(model, job["folder"]).eval()
    with torch.no_grad():
        logits = model(**batch).logits
    return {"name": job["folder"], "logits": logits.double().tolist()}


def run_setup(model, batch, job):
    """Load a fusion with its adapters and head, and return what it says."""
    setup, head = model.load_adapter_setup(job["folder"], set_active=True, **job["arguments"])
    getattr(model, job["precision"])()
    with torch.no_grad():
        logits = model(**batch).logits
    return {"name": head, "logits": logits.double().tolist(), "adapters": list(setup.children)}


main()
