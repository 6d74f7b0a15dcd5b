"""A composition takes batches as transformers' models do, masks and all, and trains its coefficients."""

from __future__ import annotations

import pytest
import torch
import transformers

from adapterlab.errors import DataError
from adapterlab.train.compose import compose
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from adapterlab_encoder.loading import from_model
from adapterlab_scalearn.plugin import ScaLearn, ScaLearnSettings
from tiny_trained import adapter_tensors

RELU = PfeifferSettings(non_linearity="relu")
MODELS = {
    "bert": (transformers.BertConfig, transformers.BertModel, 0),
    "roberta": (transformers.RobertaConfig, transformers.RobertaModel, 1),
    "xlm-roberta": (transformers.XLMRobertaConfig, transformers.XLMRobertaModel, 1),
}


def model_of(architecture, **settings):
    config_class, model_class, pad = MODELS[architecture]
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
    config = config_class(
        vocab_size=60,
        max_position_embeddings=20,
        pad_token_id=pad,
        **{"type_vocab_size": 2, **sizes, **settings},
    )
    model = model_class(config, add_pooling_layer=False).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def composed(model, coefficients=None, *, sources=2, dtype=None, size=(2, None, 32)):
    backbone = from_model(model, dtype=dtype)
    member = ScaLearn("scalearn", per_dimension=size[2] > 1, per_layer=size[0] > 1)
    pool = PFEIFFER.pool(RELU, backbone.shape, sources)
    return compose(
        backbone,
        PFEIFFER.layer(RELU, backbone.shape),
        [adapter_tensors(seed) for seed in range(sources)],
        member.layer(ScaLearnSettings(), pool, init_scale=2.0, dropout=0.0),
        coefficients,
    )


def batch(pad, mask):
    """Ids with the padding token wherever the mask is 0."""
    mask = torch.tensor(mask)
    ids = torch.randint(5, 60, mask.shape, generator=torch.Generator().manual_seed(3))
    return torch.where(mask.bool(), ids, pad), mask


MASKS = {
    "none": [[1, 1, 1, 1, 1]] * 3,
    "right": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]],
    "left": [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]],
    "holes": [[1, 0, 1, 0, 1], [0, 1, 0, 1, 0], [1, 1, 0, 0, 1]],
}


@pytest.mark.parametrize("padding", MASKS)
@pytest.mark.parametrize("architecture", MODELS)
def test_padding_may_stand_anywhere_as_in_transformers(architecture, padding):
    """With coefficients of zero it is the plain model, at every token, padding included."""
    model = model_of(architecture).double()
    ids, mask = batch(model.config.pad_token_id, MASKS[padding])
    types = (ids % 2).long()
    with torch.no_grad():
        wanted = model(ids, attention_mask=mask, token_type_ids=types).last_hidden_state
        module = composed(model, torch.zeros(2, 2, 32, dtype=torch.float64))
        got = module(ids, attention_mask=mask, token_type_ids=types).last_hidden_state
        assert got.dtype is torch.float64
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)
        plain = model(ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(module(ids, mask).last_hidden_state, plain, rtol=0, atol=1e-10)


@pytest.mark.parametrize("architecture", MODELS)
def test_a_mask_that_hides_real_tokens_is_kept(architecture):
    """RoBERTa counts positions by ids, whatever the mask hides."""
    model = model_of(architecture).double()
    ids = torch.randint(5, 60, (2, 6))
    for mask in (torch.tensor([[1, 1, 0, 1, 1, 0]] * 2), torch.tensor([[0, 0, 1, 1, 1, 1]] * 2).bool()):
        with torch.no_grad():
            wanted = model(ids, attention_mask=mask.long()).last_hidden_state
            got = composed(model, torch.zeros(2, 2, 32))(ids, mask).last_hidden_state
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("architecture", MODELS)
def test_a_row_does_not_depend_on_its_padding(architecture):
    model = model_of(architecture).double()
    module = composed(model)
    ids, mask = batch(model.config.pad_token_id, MASKS["right"])
    together = module(ids, mask).last_hidden_state
    alone = module(ids[1:2, :3]).last_hidden_state
    torch.testing.assert_close(together[1:2, :3], alone, rtol=0, atol=1e-12)


def test_only_the_coefficients_are_trainable_and_they_train():
    module = composed(model_of("bert"))
    assert [name for name, _ in module.named_parameters()] == ["omega"]
    assert module.coefficients.mean().item() == pytest.approx(1.0, abs=0.01)  # 2 / T
    ids = torch.randint(5, 60, (4, 7))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = module(ids).last_hidden_state[:, 0].pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_a_tensor_that_requires_a_gradient_gets_it():
    omega = torch.ones(1, 2, 1, requires_grad=True)
    module = composed(model_of("bert"), omega, size=(1, None, 1))
    assert module.coefficients is omega
    assert not list(module.parameters())
    module(torch.randint(5, 60, (2, 4))).last_hidden_state.sum().backward()
    assert omega.grad.shape == (1, 2, 1)
    assert omega.grad.abs().sum() > 0


def test_other_tensors_are_copied():
    omega = torch.ones(1, 2, 1)
    module = composed(model_of("bert"), omega, size=(1, None, 1))
    omega.zero_()
    assert module.coefficients.detach().eq(1).all()
    parameter = torch.nn.Parameter(torch.ones(1, 2, 1))
    assert composed(model_of("bert"), parameter, size=(1, None, 1)).coefficients is parameter


def test_training_the_model_later_does_not_change_the_composition():
    model = model_of("bert")
    module = composed(model)
    ids = torch.randint(5, 60, (2, 5))
    before = module(ids).last_hidden_state
    for parameter in model.parameters():
        parameter.data.zero_()
    assert torch.equal(module(ids).last_hidden_state, before)


def test_it_moves_between_precisions_like_any_module():
    module = composed(model_of("bert"))
    ids = torch.randint(5, 60, (2, 5))
    single = module(ids).last_hidden_state
    double = module.double()(ids).last_hidden_state
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    assert module.coefficients.dtype is torch.float64
    torch.testing.assert_close(double.float(), single, rtol=0, atol=1e-5)
    again = composed(model_of("bert"))
    again.load_state_dict(module.state_dict())
    torch.testing.assert_close(again(ids).last_hidden_state, single, rtol=0, atol=1e-6)


def test_the_output_is_the_usual_one_and_the_mode_changes_nothing():
    module = composed(model_of("roberta", hidden_dropout_prob=0.5))
    ids = torch.randint(5, 60, (2, 5))
    out = module.train()(input_ids=ids)
    assert isinstance(out, transformers.modeling_outputs.BaseModelOutput)
    assert torch.equal(out[0], module.eval()(ids).last_hidden_state)
    assert out.last_hidden_state.shape == (2, 5, 32)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"input_ids": torch.zeros(5, dtype=torch.long)}, "input_ids.*shape"),
        ({"input_ids": torch.full((1, 4), 60)}, "input_ids: values from 60 to 60, expected 0 to 59"),
        ({"input_ids": torch.full((1, 4), -1)}, "input_ids: values from -1"),
        ({"input_ids": torch.zeros(1, 4)}, "input_ids: expected whole numbers"),
        ({"input_ids": torch.full((1, 21), 5)}, "rows of 21 tokens, the backbone takes 20"),
        ({"attention_mask": torch.ones(2, 4)}, r"attention_mask: expected shape \(1, 4\)"),
        ({"attention_mask": torch.ones(1, 1, 4, 4)}, "attention_mask: expected shape"),
        ({"attention_mask": torch.full((1, 4), 0.5)}, "expected 0 and 1 only"),
        ({"attention_mask": torch.zeros(1, 4)}, "row 0 has no token to look at"),
        ({"token_type_ids": torch.full((1, 4), 2)}, "token_type_ids: values from 2 to 2, expected 0 to 1"),
        (
            {"token_type_ids": torch.zeros(1, 3, dtype=torch.long)},
            "token_type_ids: expected whole numbers of shape",
        ),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(arguments, complaint):
    module = composed(model_of("bert"))
    with pytest.raises(DataError, match=complaint):
        module(**{"input_ids": torch.full((1, 4), 5), **arguments})


def test_roberta_says_how_many_tokens_it_takes():
    module = composed(model_of("roberta"))
    module(torch.full((1, 18), 5))
    with pytest.raises(DataError, match="rows of 19 tokens, the backbone takes 18"):
        module(torch.full((1, 19), 5))


@pytest.mark.parametrize("size", [(1, 2, 32), (2, 2, 1), (2, 3, 32), (2, 32)], ids=str)
def test_coefficients_of_another_shape_are_refused_with_the_expected_one(size):
    with pytest.raises(DataError, match=r"expected shape \(2, 2, 32\)"):
        composed(model_of("bert"), torch.ones(size))


def test_coefficients_that_are_not_finite_or_not_named_right_are_refused():
    omega = torch.ones(2, 2, 32)
    with pytest.raises(DataError, match="expected tensors named omega, got alpha"):
        composed(model_of("bert"), {"alpha": omega})
    omega[0, 0, 0] = float("nan")
    with pytest.raises(DataError, match="not finite"):
        composed(model_of("bert"), omega)
    assert composed(model_of("bert"), {"omega": torch.ones(2, 2, 32)}).coefficients.eq(1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_tensors_that_overflow_together_name_the_row(dtype):
    """Rows whose answer is there are no answer either: a batch is whole or an error."""
    module = composed(model_of("bert").to(dtype), torch.ones(2, 2, 32))
    ids = torch.randint(5, 60, (3, 4))
    assert module(ids).last_hidden_state.isfinite().all()
    with torch.no_grad():
        module.coefficients.fill_(3e38)
    with pytest.raises(
        DataError, match=r"the outputs of row 1 are not finite, nor those of 2 others"
    ) as refused:
        module(ids)
    assert "overflow" in refused.value.remedy
