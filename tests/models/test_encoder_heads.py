"""Tests of the networks for hidden states of encoders."""

import numpy as np
import pytest
import torch

from ser_lightning.features.encoders import smart_turn
from ser_lightning.models.encoder_head import EncoderHead
from ser_lightning.models.fine_tuned_encoder import FineTunedEncoder
from ser_lightning.models.mlp import MLP

VALUES = {"features": 12, "classes": 4, "standardize": False, "layers": [1, 2, 3], "projection": 5, "attention": 3}

MLP_VALUES = {
    **{"features": 6, "classes": 3, "standardize": False, "hidden": [8], "batch_norm": False},
    **{"input_dropout": 0.5, "dropout": 0.5},
}


def head(**changed) -> EncoderHead:
    torch.manual_seed(0)
    return EncoderHead(**VALUES | {"dropout": 0.0} | changed).eval()


@torch.no_grad()
def test_pooling_is_weighted_mean_and_deviation():
    model, clip = head(), torch.randn(1, 7, 12)
    model.layer_scores.copy_(torch.tensor([1.0, 0.0, -1.0]))
    weights = torch.tensor([1.0, 0.0, -1.0]).softmax(0)
    mixed = weights[0] * clip[0, :, :4] + weights[1] * clip[0, :, 4:8] + weights[2] * clip[0, :, 8:]
    frames = model.project(mixed)
    attention = model.pool.score(frames)[:, 0].softmax(0)[:, None]
    mean = (attention * frames).sum(0)
    deviation = (attention * (frames - mean).square()).sum(0).clamp(min=1e-6).sqrt()
    expected = model.classify(torch.cat([mean, deviation]))
    torch.testing.assert_close(model(clip, torch.tensor([7]))[0], expected, atol=1e-5, rtol=1e-4)


def test_every_parameter_is_trained_and_gradients_are_finite():
    model = head()
    # A clip of one frame has no deviation over time.
    model(torch.randn(3, 6, 12), torch.tensor([6, 3, 1])).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        if name != "pool.score.2.bias":  # the attention weights do not depend on it
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("layers", [[], [0, 1, 2, 3, 4]])
def test_features_that_are_no_layers_of_equal_width_are_refused(layers):
    with pytest.raises(ValueError, match=r"model\.layers"):
        head(layers=layers)


def test_head_of_one_block_needs_no_layers():
    assert head(layers=None).layer_scores.shape == (1,)


@torch.no_grad()
def test_mlp_reads_the_mean_of_the_real_frames():
    torch.manual_seed(0)
    model = MLP(**MLP_VALUES | {"hidden": [8, 5]}).eval()
    clip = torch.randn(1, 4, 6)
    first, second, last = (layer for layer in model.layers if isinstance(layer, torch.nn.Linear))
    expected = last(second(first(clip.mean(1)).relu()).relu())
    padded = torch.cat([clip, torch.full((1, 3, 6), 9.0)], dim=1)
    torch.testing.assert_close(model(padded, torch.tensor([4])), expected)
    assert [layer.out_features for layer in (first, second, last)] == [8, 5, 3]


@torch.no_grad()
def test_mlp_normalizes_hidden_units_over_the_batch():
    torch.manual_seed(0)
    plain, normalized = (MLP(**MLP_VALUES | {"batch_norm": on}) for on in (False, True))
    normalized.load_state_dict(
        plain.state_dict() | {n: v for n, v in normalized.state_dict().items() if ".2." in n}, strict=False
    )
    clips, lengths = torch.randn(16, 1, 6), torch.ones(16, dtype=torch.int64)
    normalized.layers[0].p = normalized.layers[4].p = 0.0
    normalized.train()(clips, lengths)
    hidden = normalized.layers[1](clips[:, 0])
    expected = ((hidden - hidden.mean(0)) / hidden.std(0, correction=0)).relu()
    torch.testing.assert_close(normalized.layers[:4](clips[:, 0]), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("changed", [{"hidden": []}, {"hidden": [0]}, {"dropout": 1.0}, {"input_dropout": 1.0}])
def test_mlp_refuses_values_out_of_range(changed):
    with pytest.raises(ValueError, match=r"model\."):
        MLP(**MLP_VALUES | changed)


FINE_TUNED = {
    "features": 384,
    "classes": 4,
    "standardize": False,
    "first": 1,
    "last": 3,
    "attention": 3,
    "dropout": 0.0,
}


def test_fine_tuned_encoder_starts_from_the_states_of_the_encoder():
    network = FineTunedEncoder(**FINE_TUNED).eval()
    clip = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)
    states = torch.from_numpy(smart_turn.hidden_states(clip, crop=True))  # (5, K, 384)
    found = {}
    for index, layer in enumerate(network.layers, start=2):
        layer.register_forward_hook(lambda _, given, output, index=index: found.update({index: output.detach()}))
    padded = torch.zeros(2, states.shape[1] + 30, 384)
    padded[:, : states.shape[1]] = states[1]
    network(padded, torch.tensor([states.shape[1], states.shape[1] + 30]))
    for index in (2, 3):  # padding changes nothing
        torch.testing.assert_close(found[index][0, : states.shape[1]], states[index], atol=1e-4, rtol=1e-3)
    assert sum(parameter.numel() for parameter in network.layers.parameters()) == 2 * 1_774_080


def test_fine_tuned_encoder_trains_every_parameter():
    network = FineTunedEncoder(**FINE_TUNED)
    network(torch.randn(3, 6, 384), torch.tensor([6, 3, 2]))[:, 0].square().sum().backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        if name != "pool.score.2.bias":  # the attention weights do not depend on it
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("change", [{"first": 3}, {"last": 5}, {"features": 768}, {"standardize": True}])
def test_fine_tuned_encoder_refuses_other_features(change):
    with pytest.raises(ValueError, match="expected"):
        FineTunedEncoder(**FINE_TUNED | change)
