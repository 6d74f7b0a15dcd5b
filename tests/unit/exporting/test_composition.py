"""``adapterlab.compose`` gives the official code's numbers, and refuses what does not fit."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

import adapterlab
from adapterlab.errors import BackboneError, DataError, NotFoundError, UsageError
from tiny_trained import SHAPE, adapter_tensors, write_backbone

VARIANTS = {
    "scalearn": ("vector", True),
    "scalearn_uniform": ("scalar", True),
    "scalearn_pp": ("vector", False),
    "scalearn_uniform_pp": ("scalar", False),
}
CLOSE = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(scope="module")
def official(reference_fixtures):
    """The official weights in a transformers model, and the official numbers."""
    base = {
        name: torch.from_numpy(np.asarray(one))
        for name, one in np.load(reference_fixtures / "tiny_base.npz").items()
    }
    numbers = json.loads((reference_fixtures / "tiny_base.json").read_text())
    names = numbers.pop("adapter_names")
    config = transformers.RobertaConfig(
        **{k: v for k, v in numbers.items() if k not in ("n_adapters", "reduction_factor")}
    )
    model = transformers.RobertaModel(config, add_pooling_layer=False).eval()
    own = {name: base[name] for name in model.state_dict()}
    model.load_state_dict(own)
    adapters = [
        {
            name.removeprefix(f"adapter.{one}."): base[name]
            for name in base
            if name.startswith(f"adapter.{one}.")
        }
        for one in names
    ]
    outputs = np.load(reference_fixtures / "official_outputs.npz")
    return SimpleNamespace(
        model=model, base=base, adapters=adapters, outputs=outputs, folder=reference_fixtures
    )


def omega_of(official, variant):
    kind, per_layer = VARIANTS[variant]
    if not per_layer:
        return official.base[f"omega.{kind}.shared"].double()[None]
    return torch.stack([official.base[f"omega.{kind}.layer.{layer}"].double() for layer in range(2)])


def expect(official, name):
    return torch.from_numpy(official.outputs[name]).double()


def run(official, module):
    return module(
        official.base["input_ids"], attention_mask=official.base["attention_mask"]
    ).last_hidden_state


@pytest.mark.parametrize("variant", VARIANTS)
def test_states_and_gradients_are_the_official_ones(official, variant):
    omega = omega_of(official, variant).requires_grad_()
    module = adapterlab.compose(
        official.model, official.adapters, combiner=variant, coefficients=omega, dtype=torch.float64
    )
    states = run(official, module)
    torch.testing.assert_close(states, expect(official, f"{variant}/last_hidden_state"), **CLOSE)
    (states * official.base["grad_seed"].double()).mean().backward()
    for layer, gradient in enumerate(omega.grad):
        torch.testing.assert_close(
            gradient, expect(official, f"{variant}/grad_hidden/omega.{layer}"), **CLOSE
        )


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_adapter_under_coefficients_of_one_is_that_adapter(official, index):
    module = adapterlab.compose(
        official.model.double(), [official.adapters[index]], "scalearn_uniform_pp", torch.ones(1, 1, 1)
    )
    states = run(official, module)
    torch.testing.assert_close(states, expect(official, f"single_a{index}/last_hidden_state"), **CLOSE)


@pytest.mark.parametrize("sample", ["a0", "a0_safetensors"])
def test_adapterhub_folders_are_read(official, sample):
    """As ``adapters`` 1.3.0 wrote them, pickled or not."""
    folder = official.folder / "adapterhub_saved" / sample
    module = adapterlab.compose(
        official.model, [folder], "scalearn_uniform_pp", torch.ones(1, 1, 1), torch.float64
    )
    torch.testing.assert_close(
        run(official, module), expect(official, "single_a0/last_hidden_state"), **CLOSE
    )


def test_folders_state_dicts_and_named_tensors_mix(official):
    theirs = {
        f"roberta.encoder.layer.{layer}.output.adapters.a1.{place}.{kind}": official.adapters[1][
            f"layer.{layer}.{part}.{kind}"
        ]
        for layer in range(2)
        for part, place in (("down", "adapter_down.0"), ("up", "adapter_up"))
        for kind in ("weight", "bias")
    }
    adapters = {
        "first": str(official.folder / "adapterhub_saved" / "a0_safetensors"),
        "second": theirs,
        "third": {name: tensor.numpy() for name, tensor in official.adapters[2].items()},
    }
    module = adapterlab.compose(
        official.model, adapters, "scalearn", omega_of(official, "scalearn").numpy(), torch.float64
    )
    torch.testing.assert_close(run(official, module), expect(official, "scalearn/last_hidden_state"), **CLOSE)


def test_a_model_with_a_head_gives_its_encoder(official):
    headed = transformers.RobertaForSequenceClassification(official.model.config)
    headed.roberta.load_state_dict(official.model.state_dict())
    module = adapterlab.compose(
        headed, official.adapters, coefficients=omega_of(official, "scalearn"), dtype=torch.float64
    )
    torch.testing.assert_close(run(official, module), expect(official, "scalearn/last_hidden_state"), **CLOSE)


def test_without_coefficients_it_starts_where_training_does(official):
    module = adapterlab.compose(official.model, official.adapters)
    assert module.coefficients.shape == (2, 3, 32)
    assert module.coefficients.mean().item() == pytest.approx(2 / 3, abs=1e-3)
    assert module.coefficients.requires_grad
    again = adapterlab.compose(official.model, official.adapters)
    assert torch.equal(module.coefficients, again.coefficients)


# -- the catalog ------------------------------------------------------------------------------------


def ids(seed=0):
    return torch.randint(4, 25, (3, 8), generator=torch.Generator().manual_seed(seed))


def test_keys_and_backbones_of_the_catalog_compose_as_they_were_trained(world):
    with world.open() as catalog:
        from adapterlab.exporting.stored_models import open_trained

        trained = open_trained(catalog, world.transfers["scalearn"])
    module = adapterlab.compose(
        f"folder:{world.backbone}",
        [one[:10] for one in world.sources],
        coefficients=torch.stack(trained.coefficients(SHAPE).rows),
    )
    folded = adapterlab.compose(
        world.backbone, [world.transfers["scalearn"]], "scalearn_uniform_pp", torch.ones(1, 1, 1)
    )
    states = module(ids()).last_hidden_state
    torch.testing.assert_close(folded(ids()).last_hidden_state, states, rtol=0, atol=1e-5)
    plain = adapterlab.compose(world.backbone, world.sources, coefficients=torch.zeros(2, 3, 32))
    assert not torch.allclose(plain(ids()).last_hidden_state, states, atol=1e-2)


def test_a_backbone_needs_no_tokenizer_for_token_ids(world, tmp_path):
    shutil.copytree(world.backbone, tmp_path / "bare")
    for path in (tmp_path / "bare").iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    how = ([world.sources[0]], "scalearn_uniform_pp", torch.ones(1, 1, 1))
    bare = adapterlab.compose(tmp_path / "bare", *how)(ids()).last_hidden_state
    assert torch.equal(bare, adapterlab.compose(world.backbone, *how)(ids()).last_hidden_state)
    with pytest.raises(BackboneError, match="no tokenizer"):  # texts are another matter
        adapterlab.predict(
            world.sources[0], [{"text": "a", "text_pair": "b"}], backbone=str(tmp_path / "bare")
        )


def test_an_export_is_a_source_like_any_other(world, tmp_path):
    adapterlab.export(world.transfers["scalearn_pp"], tmp_path / "out")
    settings = ("scalearn_uniform_pp", torch.tensor([[[1.0], [0.0]]]))
    one = adapterlab.compose(world.backbone, [tmp_path / "out", world.sources[0]], *settings)
    two = adapterlab.compose(world.backbone, [world.transfers["scalearn_pp"], world.sources[1]], *settings)
    torch.testing.assert_close(one(ids()).last_hidden_state, two(ids()).last_hidden_state, rtol=0, atol=1e-6)


def test_an_adapter_of_another_backbone_is_refused(world, tmp_path):
    write_backbone(tmp_path / "other", seed=9)
    with pytest.raises(BackboneError, match="was trained on a backbone with sha256"):
        adapterlab.compose(tmp_path / "other", [world.sources[0]])
    adapterlab.export(world.sources[0], tmp_path / "out")
    with pytest.raises(BackboneError, match="was trained on a backbone with sha256"):
        adapterlab.compose(tmp_path / "other", [tmp_path / "out"])


# -- refusals ---------------------------------------------------------------------------------------


@pytest.fixture
def bert():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    return transformers.BertModel(transformers.BertConfig(vocab_size=60, **sizes))


def test_an_adapter_of_another_architecture_is_refused(official, bert):
    with pytest.raises(BackboneError, match="made for a roberta model, but BertModel is bert"):
        adapterlab.compose(bert, [official.folder / "adapterhub_saved" / "a0"])


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        (adapter_tensors(0, layers=3), r"adapter of 2 layers; not of it: layer\.2\.down\.bias"),
        (adapter_tensors(0, layers=1), r"missing layer\.1\.down\.bias"),
        (adapter_tensors(0, d=16), r"layer\.0\.down\.weight: expected shape \(4, 32\), got \(4, 16\)"),
        ({**adapter_tensors(0), "layer.0.up.bias": torch.zeros(31)}, r"expected shape \(32,\), got \(31,\)"),
        ({**adapter_tensors(0), "layer.0.down.weight": torch.zeros(0, 32)}, r"expected \(width, 32\)"),
        (
            {**adapter_tensors(0), "layer.1.up.bias": torch.full((32,), float("nan"))},
            "not finite in layer.1.up.bias",
        ),
        (
            {**adapter_tensors(0), "layer.1.up.bias": torch.zeros(32, dtype=torch.long)},
            "no floating-point tensor",
        ),
        ({**adapter_tensors(0), "head.out.bias": torch.zeros(2)}, "not of it: head.out.bias"),
        ({}, "expected named tensors"),
        ({"layer.0.down.weight": "text"}, "no floating-point tensor"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_tensors_that_are_no_adapter_of_this_backbone_are_refused(bert, tensors, complaint):
    with pytest.raises(DataError, match=complaint):
        adapterlab.compose(bert, [adapter_tensors(1), tensors])


@pytest.mark.parametrize(
    ("variant", "size", "wanted"),
    [
        ("scalearn", (1, 2, 32), r"\(2, 2, 32\)"),
        ("scalearn_uniform", (2, 2, 32), r"\(2, 2, 1\)"),
        ("scalearn_pp", (2, 2, 32), r"\(1, 2, 32\)"),
        ("scalearn_uniform_pp", (1, 3, 1), r"\(1, 2, 1\)"),
    ],
)
def test_coefficients_of_another_variant_are_refused_with_the_expected_shape(bert, variant, size, wanted):
    with pytest.raises(DataError, match=f"expected shape {wanted}"):
        adapterlab.compose(bert, [adapter_tensors(0), adapter_tensors(1)], variant, torch.ones(size))


@pytest.mark.parametrize("reference", ["", "nowhere", "abc", "/no/such/folder", "0123456789"])
def test_a_reference_to_nothing_is_refused(bert, reference, tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path))
    with pytest.raises(NotFoundError):
        adapterlab.compose(bert, [reference])


def test_arguments_of_no_known_form_are_refused(bert):
    one = adapter_tensors(0)
    with pytest.raises(UsageError, match="pool is empty"):
        adapterlab.compose(bert, [])
    with pytest.raises(UsageError, match="expected a list"):
        adapterlab.compose(bert, "abcd")
    with pytest.raises(UsageError, match="tensors of one adapter"):
        adapterlab.compose(bert, one)
    with pytest.raises(UsageError, match="expected a folder, a source or a loaded PreTrainedModel"):
        adapterlab.compose(object(), [one])
    with pytest.raises(NotFoundError, match="no combiner named 'scalern'"):
        adapterlab.compose(bert, [one], "scalern")
    with pytest.raises(NotFoundError, match="no backbone family runs 'gpt2'"):
        adapterlab.compose(
            transformers.GPT2Model(transformers.GPT2Config(n_layer=1, n_embd=8, n_head=1)), [one]
        )


def test_one_pool_has_one_non_linearity(official, bert, tmp_path):
    folder = tmp_path / "gelu"
    shutil.copytree(official.folder / "adapterhub_saved" / "a0_safetensors", folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["config"]["non_linearity"] = "gelu"
    (folder / "adapter_config.json").write_text(json.dumps(config))
    gelu = adapterlab.compose(
        official.model, [folder], "scalearn_uniform_pp", torch.ones(1, 1, 1), torch.float64
    )
    relu = expect(official, "single_a0/last_hidden_state")
    assert not torch.allclose(run(official, gelu), relu, atol=1e-3)
    with pytest.raises(DataError, match="share their non_linearity: gelu and relu"):
        adapterlab.compose(official.model, [folder, official.adapters[1]])


def test_names_that_contain_each_other_are_two_adapters(official, tmp_path):
    """``an4`` and ``an4_v2``: each folder gives its own, and a file that mixes them is refused."""
    from safetensors.torch import load_file, save_file

    folders = []
    for name, tensors in (("an4", official.adapters[0]), ("an4_v2", official.adapters[1])):
        folder = tmp_path / name
        shutil.copytree(official.folder / "adapterhub_saved" / "a0_safetensors", folder)
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, "name": name}))
        old = load_file(folder / "adapter.safetensors")
        (folder / "adapter.safetensors").unlink()
        named = {key.replace("adapters.a0.", f"adapters.{name}."): old[key] for key in old}
        for key in named:
            layer, part = key.split(".")[2], "down" if "down" in key else "up"
            named[key] = tensors[f"layer.{layer}.{part}.{key.rsplit('.', 1)[-1]}"].contiguous()
        save_file(named, folder / "adapter.safetensors")
        folders.append(folder)
    module = adapterlab.compose(
        official.model, folders, "scalearn_uniform_pp", torch.tensor([[[0.0], [1.0]]]), torch.float64
    )
    torch.testing.assert_close(
        run(official, module), expect(official, "single_a1/last_hidden_state"), **CLOSE
    )
    both = load_file(folders[0] / "adapter.safetensors") | load_file(folders[1] / "adapter.safetensors")
    save_file(both, folders[0] / "adapter.safetensors")
    with pytest.raises(DataError, match=r"do not belong to a pfeiffer adapter named 'an4'.*an4_v2"):
        adapterlab.compose(official.model, [folders[0]])


# -- other combiners ----------------------------------------------------------------------------------


def states_of(official, combiner, coefficients=None, adapters=None):
    module = adapterlab.compose(
        official.model, adapters or official.adapters, combiner, coefficients, dtype=torch.float64
    )
    return module, module(official.base["input_ids"], official.base["attention_mask"]).last_hidden_state


def official_states(official, name):
    return torch.from_numpy(official.outputs[f"{name}/last_hidden_state"])


def test_fusion_is_composed_of_its_tensors(official):
    tensors = {
        name.removeprefix("fusion."): one.double()
        for name, one in official.base.items()
        if name.startswith("fusion.")
    }
    module, states = states_of(official, "adapterfusion", tensors)
    torch.testing.assert_close(states, official_states(official, "fusion"), **CLOSE)
    assert sum(one.numel() for one in module.parameters()) == sum(one.numel() for one in tensors.values())
    with pytest.raises(DataError, match="expected tensors named"):
        states_of(official, "adapterfusion", {"layer.0.query.weight": tensors["layer.0.query.weight"]})


@pytest.mark.parametrize("variant", ["scalearn_mean", "scalearn_softmax"])
def test_constraints_are_composed(official, variant):
    values = torch.stack([official.base[f"omega.vector.layer.{layer}"].double() for layer in range(2)])
    _, states = states_of(official, variant, values)
    torch.testing.assert_close(states, official_states(official, variant), **CLOSE)


@pytest.mark.parametrize(
    ("combiner", "weights", "name"),
    [
        ("probe", [0.3, 0.0, 0.0], "probe_single_a0_0.3"),
        ("probe", [0.0, 0.7, 0.5], "probe_pair_a1_0.7_a2_0.5"),
        ("adaptersoup", None, "soup_0.5_0.3_0.2"),
    ],
)
def test_fixed_coefficients_are_composed(official, combiner, weights, name):
    weights = official.base["soup.weights"] if weights is None else torch.tensor(weights, dtype=torch.float64)
    given = weights.double().reshape(1, 3, 1)
    module, states = states_of(official, combiner, given)
    torch.testing.assert_close(states, official_states(official, name), **CLOSE)
    assert not list(module.parameters())
    torch.testing.assert_close(module.coefficients, given)


def test_single_and_uniform_average_need_no_coefficients(official):
    _, states = states_of(official, "single")
    torch.testing.assert_close(states, official_states(official, "single_a2"), **CLOSE)
    _, states = states_of(official, "uniform_average")
    _, wanted = states_of(official, "scalearn_uniform_pp", torch.full((1, 3, 1), 1 / 3))
    torch.testing.assert_close(states, wanted, rtol=0, atol=1e-6)


def test_a_soup_or_a_probe_without_coefficients_is_refused(official):
    with pytest.raises(UsageError, match="not known here"):
        states_of(official, "adaptersoup")
    with pytest.raises(DataError, match="expected shape"):
        states_of(official, "probe", torch.ones(1, 2, 1))
