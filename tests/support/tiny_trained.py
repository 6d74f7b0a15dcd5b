"""A catalog with trained things in it, made without training: random weights large enough to matter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adapterlab.backbones.facts import backbone_facts
from adapterlab.catalog.records import AdapterRecord, PoolEntry, StudyRecord, SweepStep, TransferRecord
from adapterlab.catalog.store import Catalog, current_owner, open_catalog
from adapterlab.records import PoolShape, StepKind
from adapterlab.registry.entry_points import adapter_method, combiner
from adapterlab.spec.model import BackboneSpec
from adapterlab.train import weights
from adapterlab.train.combination import combiner_layer
from adapterlab.train.layers import MEAN_COEFFICIENTS
from adapterlab_encoder.config import encoder_shape
from catalogs import key
from tiny_world import WORDS

HIDDEN, LAYERS = 32, 2
COMBINERS = ("scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp")
MAX_LENGTH = 24
LIKE_ROBERTA = ("roberta", "xlm-roberta", "camembert")
"""Architectures that start positions behind the padding token's id, and have one kind of segment."""
SHAPE = encoder_shape(LAYERS, HIDDEN, 2 * HIDDEN)


@dataclass(frozen=True)
class Trained:
    """A home folder whose catalog holds source adapters and transfers on one backbone."""

    home: Path
    backbone: Path
    sources: tuple[str, ...]
    """Keys of the source adapters, in coefficient order."""
    transfers: dict[str, str]
    """Keys of the transfers to glue/rte by combiner; ``"stsb"`` and ``"cola"`` are other tasks."""
    study: str

    def open(self) -> Catalog:
        """Open the catalog."""
        return open_at(self.home)


def open_at(home: Path) -> Catalog:
    """Open the catalog of a home folder."""
    return open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks")


def write_backbone(folder: Path, architecture: str = "bert", *, layers: int = LAYERS, seed: int = 0) -> None:
    """Write config, weights and tokenizer of a random encoder with large weights."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    roberta = architecture in LIKE_ROBERTA
    special = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    unknown = "<unk>" if roberta else "[UNK]"
    vocabulary = {word: index for index, word in enumerate([*special, *WORDS, ".", "?"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = (
        processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False, add_prefix_space=False)
        if roberta
        else processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    own = {
        "electra": {"embedding_size": HIDDEN // 2},
        "albert": {"embedding_size": HIDDEN // 2},
        "distilbert": {"hidden_dim": 2 * HIDDEN},
        "deberta-v2": {
            "type_vocab_size": 0, "relative_attention": True, "pos_att_type": "p2c|c2p", "share_att_key": True,
            "norm_rel_ebd": "layer_norm", "position_buckets": 8, "position_biased_input": False,
        },
    }.get(architecture, {})  # fmt: skip
    sizes = {
        "vocab_size": len(vocabulary),
        "hidden_size": HIDDEN,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 2 * HIDDEN,
        "max_position_embeddings": 64,
        "type_vocab_size": 1 if roberta else 2,
        "pad_token_id": 1 if roberta else 0,
    }
    config = transformers.AutoConfig.for_model(architecture, **{**sizes, **own})
    torch.manual_seed(seed)
    pooled = {} if architecture in ("electra", "deberta-v2", "distilbert") else {"add_pooling_layer": False}
    model = transformers.AutoModel.from_config(config, **pooled)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder)


def adapter_tensors(seed: int, width: int = 4, *, layers: int = LAYERS, d: int = HIDDEN):
    """Return one adapter's tensors under our names, every one of them random."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(layers):
        for part, shape in {
            "down.weight": (width, d),
            "down.bias": (width,),
            "up.weight": (d, width),
            "up.bias": (d,),
        }.items():
            tensors[f"layer.{layer}.{part}"] = 0.2 * torch.randn(shape, generator=generator)
    return tensors


def head_tensors(seed: int, outputs: int, *, d: int = HIDDEN):
    """Return one head's tensors under our names."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"dense.weight": (d, d), "dense.bias": (d,), "out.weight": (outputs, d), "out.bias": (outputs,)}
    return {f"head.{name}": 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def write_trained(
    folder: Path,
    architecture: str = "bert",
    *,
    tasks: Sequence[str] = ("glue/mrpc", "superglue/cb", "glue/rte"),
    non_linearity: str = "relu",
    method: str = "pfeiffer",
    settings: Mapping[str, Any] | None = None,
) -> Trained:
    """Write a backbone and a catalog with one adapter a task, and transfers to glue/rte and others.

    Args:
        folder: Where.
        architecture: Of the backbone.
        tasks: Source tasks.
        non_linearity: Of Pfeiffer adapters.
        method: Adapter method of the sources.
        settings: Its settings; ``None``: those of narrow Pfeiffer adapters.
    """
    backbone, home = folder / "backbone", folder / "home"
    write_backbone(backbone, architecture)
    facts = backbone_facts(
        BackboneSpec(source=f"folder:{backbone}"), folder=folder, cache=home / "cache", download=False
    )
    common = {"backbone_digest": str(facts.weights_digest), "seed": 0}
    if settings is None:
        settings = {"reduction_factor": HIDDEN // 4, "non_linearity": non_linearity}
    chosen = adapter_method(method).settings.model_validate(settings)
    shape = adapter_method(method).pool(chosen, SHAPE, len(tasks))
    with open_at(home) as catalog:
        catalog.record_backbone(facts)
        sources = tuple(
            _publish_adapter(catalog, task, number, method, chosen, common)
            for number, task in enumerate(tasks)
        )
        pool = tuple(PoolEntry(*entry) for entry in zip(sources, tasks, strict=True))
        transfers = {
            kind: _publish_transfer(catalog, kind, "glue/rte", 2, pool, common, shape)
            for kind in (*COMBINERS, "adapterfusion")
            if adapter_method(method).combinable
        }
        study = ""
        if transfers:
            transfers["stsb"] = _publish_transfer(catalog, "scalearn_pp", "glue/stsb", 1, pool, common, shape)
            transfers["cola"] = _publish_transfer(catalog, "scalearn", "glue/cola", 2, pool, common, shape)
            study = catalog.get_transfer(transfers["scalearn"]).study_key
        spec = {
            "backbone": {"source": f"folder:{backbone}", "revision": None},
            "data": {"max_length": MAX_LENGTH},
        }
        kinds = dict.fromkeys(sources, StepKind.SOURCE) | dict.fromkeys(transfers.values(), StepKind.TRANSFER)
        steps = [SweepStep(number, one, kind, str(kind)) for number, (one, kind) in enumerate(kinds.items())]
        catalog.open_sweep(key("sweep"), "tiny", json.dumps(spec), steps)
    return Trained(home, backbone, sources, transfers, study)


def method_tensors(method: str, settings, seed: int):
    """Return one adapter of any method, every tensor of it random."""
    layer = adapter_method(method).layer(settings, SHAPE)
    fresh = layer.initial(torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.2 * torch.randn(one.shape, generator=generator) for name, one in fresh.items()}


def _publish_adapter(catalog: Catalog, task: str, number: int, method: str, settings, common) -> str:
    name = key(f"adapter {task}")
    record = AdapterRecord(
        key=name,
        task=task,
        task_digest=key(task),
        method=method,
        settings={"adapter": settings.model_dump(mode="json"), "training": {}},
        metric="accuracy",
        metric_value=0.7,
        metrics={"accuracy": 0.7},
        test={"accuracy": 0.65},
        **common,
    )
    outputs = {"superglue/cb": 3, "superglue/copa": 1, "synthetic/mentions": 6}.get(task, 2)
    own = adapter_tensors(number) if method == "pfeiffer" else method_tensors(method, settings, number)
    tensors = {**own, **head_tensors(number, outputs)}
    catalog.publish_adapter(record, weights.to_bytes(tensors), _claim(catalog, name))
    return name


def _publish_transfer(
    catalog: Catalog, kind: str, task: str, outputs: int, pool, common, shape: PoolShape
) -> str:
    study, name = key(f"study {task} {kind}"), key(f"transfer {task} {kind}")
    plugin, generator = combiner(kind), torch.Generator().manual_seed(len(kind))
    layer = combiner_layer(plugin, plugin.settings(), shape)
    if kind == "adapterfusion":
        learned = _fusion_tensors(layer, generator)
    else:
        fresh = layer.initial(torch.Generator())
        learned = {
            name: 0.6 + 0.5 * torch.randn(one.shape, generator=generator) for name, one in fresh.items()
        }
    shared = {"task": task, "task_digest": key(task), "combiner": kind, "metric": "accuracy"}
    catalog.publish_study(
        StudyRecord(
            key=study,
            pool=pool,
            best_trial=0,
            best_value=0.7,
            best_settings={"lr": 6e-3, "init_scale": 2.0, "dropout": 0.3},
            backbone_digest=common["backbone_digest"],
            **shared,
        ),
        _claim(catalog, study),
    )
    record = TransferRecord(
        key=name,
        study_key=study,
        settings={"lr": 6e-3, "init_scale": 2.0, "dropout": 0.3},
        validation={"accuracy": 0.8},
        test={"accuracy": 0.75},
        coefficient_shape=layer.coefficients(learned).shape,
        **shared,
        **common,
    )
    tensors = {**learned, **head_tensors(len(kind), outputs)}
    catalog.publish_transfer(record, weights.to_bytes(tensors), [], _claim(catalog, name))
    return name


def _fusion_tensors(layer, generator):
    size = (len(layer.pool.points), layer.pool.sources, 1)
    fresh = layer.initial(generator)
    random = {name: one + 0.1 * torch.randn(one.shape, generator=generator) for name, one in fresh.items()}
    return {**random, MEAN_COEFFICIENTS: torch.softmax(torch.randn(size, generator=generator), dim=1)}


def _claim(catalog: Catalog, name: str):
    return catalog.claim_many([name], owner=current_owner(), lease_s=60)[name]
