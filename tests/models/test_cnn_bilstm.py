"""CNN-BiLSTM: masking, comparison with reference implementations, and config values."""

import pytest
import torch
from torch import nn

from ser_lightning.models.cnn_bilstm import CNNBiLSTM

RELEASED = {
    **{"features": 162, "classes": 8, "standardize": False, "channels": [60, 40], "kernel_sizes": [5, 3]},
    **{
        "strides": [2, 2],
        "pool_sizes": [5, 5],
        "pool_strides": [1, 1],
        "conv_activation": "none",
        "hidden": 80,
    },
    **{
        "mlp": [60, 50],
        "activation": "relu",
        "dropout": 0.25,
        "dropout_after_activation": False,
        "masked": False,
    },
}


def network(**change) -> CNNBiLSTM:
    torch.manual_seed(0)
    return CNNBiLSTM(**RELEASED | change).eval()


def clips(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, 162, generator=generator) for length in lengths]


def batch(matrices: list[torch.Tensor], pad: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(matrix) for matrix in matrices])
    features = torch.zeros(len(matrices), int(lengths.max()) + pad, 162)
    for row, matrix in zip(features, matrices, strict=True):
        row[: len(matrix)] = matrix
    return features, lengths


def test_parameter_count_and_receptive_field_of_the_released_model():
    assert sum(p.numel() for p in network().parameters()) == 157_338
    assert network().receptive_field == 33


@pytest.mark.parametrize(("frames", "steps"), [(87, 14), (33, 1), (36, 1), (37, 2)])
def test_lstm_sequence_length_of_the_released_model(frames, steps):
    model = network(masked=True)
    seen = []
    model.lstm.forward_lstm.register_forward_hook(lambda _m, args, _out: seen.append(tuple(args[0].shape)))
    model(torch.zeros(1, frames, 162), torch.tensor([frames]))
    assert seen == [(steps, 1, 40)]


VARIANTS = [
    {"masked": True},
    {"masked": True, "standardize": True},
    {"masked": True, "strides": [1, 1], "hidden": 40},
    {"masked": True, "pool_strides": [5, 5], "strides": [1, 1]},
]


@pytest.mark.parametrize("change", VARIANTS)
def test_masked_output_does_not_depend_on_padding_or_batch(change):
    model = network(**change)
    if model.standardize is not None:
        model.standardize.fit(torch.randn(162), torch.rand(162) + 0.5)
    matrices = clips(87, 60, 40, 5, 1, 120)
    alone = torch.cat([model(*batch([matrix])) for matrix in matrices])
    for got in (
        model(*batch(matrices)),
        model(*batch(matrices, pad=50)),
        model(*batch(matrices[::-1])).flip(0),
        torch.cat([model(*batch(matrices[:3])), model(*batch(matrices[3:]))]),
    ):
        torch.testing.assert_close(got, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("change", VARIANTS)
def test_masked_network_matches_packed_sequences(change):
    """Compare logits and gradients on a whole batch, in training mode to include BatchNorm."""
    model = network(dropout=0.0, **change).train()
    if model.standardize is not None:
        model.standardize.fit(torch.randn(162), torch.rand(162) + 0.5)
    x, lengths = batch(clips(87, 60, 40, 33, 120, 61, 44, 99, 61))
    target = torch.arange(9) % 8
    logits = model(x, lengths)
    nn.functional.cross_entropy(logits, target).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    expected = packed(model, x, lengths)
    nn.functional.cross_entropy(expected, target).backward()
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-5, msg=name)


def standardized(model: CNNBiLSTM, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the standardized frames in the order of ``nn.Conv1d``, (B, F, K)."""
    if model.standardize is None:
        return x.transpose(1, 2)
    y = (x - model.standardize.mean) / model.standardize.deviation
    return y.masked_fill((torch.arange(x.size(1)) >= lengths[:, None])[:, :, None], 0.0).transpose(1, 2)


def pools(model: CNNBiLSTM) -> list[nn.MaxPool1d]:
    return [nn.MaxPool1d(size, stride) for size, stride in model.steps[1]]


def packed(model: CNNBiLSTM, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the logits of a masked network as ``pack_padded_sequence`` computes them."""
    y = standardized(model, x, lengths)
    lengths = lengths.clamp(min=model.receptive_field)
    for convolution, pool in zip(model.convolutions, pools(model), strict=True):
        y = pool(convolution(y))
        lengths = (lengths - convolution.kernel_size[0]) // convolution.stride[0] + 1
        lengths = (lengths - pool.kernel_size) // pool.stride + 1
    lstm = nn.LSTM(y.size(1), model.lstm.forward_lstm.hidden_size, batch_first=True, bidirectional=True)
    weights = dict(model.lstm.forward_lstm.named_parameters())
    weights |= {f"{name}_reverse": getattr(model.lstm.backward_lstm, name) for name in weights}
    sequence = nn.utils.rnn.pack_padded_sequence(y.transpose(1, 2), lengths, batch_first=True, enforce_sorted=False)
    z, _ = nn.utils.rnn.pad_packed_sequence(torch.func.functional_call(lstm, weights, (sequence,))[0], batch_first=True)
    real = (torch.arange(z.size(1)) < lengths[:, None])[:, :, None]
    mean = z.sum(1) / lengths[:, None]  # torch pads with zeros
    return model.classifier(torch.cat([z.masked_fill(~real, -torch.inf).amax(1), mean], dim=1))


def test_unmasked_output_depends_on_padding():
    model = network()
    matrices = clips(87, 60)
    apart = torch.cat([model(*batch([matrix])) for matrix in matrices])
    together = model(*batch(matrices))
    torch.testing.assert_close(together[0], apart[0])
    assert (together[1] - apart[1]).abs().max() > 1e-3


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("change", [{}, {"strides": [1, 1]}, {"pool_strides": [5, 5]}, {"conv_activation": "relu"}])
@pytest.mark.parametrize("lengths", [(87, 60), (120, 5, 87, 33, 119, 60, 1, 64, 64), (40,), (3, 2)])
def test_unmasked_network_matches_plain_layers(change, standardize, lengths):
    """Compare logits and gradients with the layers of the released code."""
    model = network(standardize=standardize, **change)
    if standardize:
        model.standardize.fit(torch.randn(162), torch.rand(162) + 0.5)
    lstm = nn.LSTM(40, 80, batch_first=True, bidirectional=True)
    weights = dict(model.lstm.forward_lstm.named_parameters())
    weights |= {f"{name}_reverse": getattr(model.lstm.backward_lstm, name) for name in weights}
    x, length = batch(clips(*lengths))
    y = standardized(model, x, length)
    y = nn.functional.pad(y, (0, max(0, model.receptive_field - x.size(1))))
    for convolution, pool in zip(model.convolutions, pools(model), strict=True):
        y = pool(model.conv_activation(convolution(y)))
    y = torch.func.functional_call(lstm, weights, (y.transpose(1, 2),))[0]
    expected = model.classifier(torch.cat([y.amax(1), y.mean(1)], dim=1))
    got = model(x, length)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    target = torch.arange(len(lengths)) % 8
    gradients = [
        torch.autograd.grad(nn.functional.cross_entropy(logits, target), list(model.parameters()))
        for logits in (got, expected)
    ]
    for (name, _), mine, plain in zip(model.named_parameters(), *gradients, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("length", [1, 32, 33, 34])
def test_clip_shorter_than_the_receptive_field_gives_finite_logits(masked, length):
    assert torch.isfinite(network(masked=masked)(*batch(clips(length)))).all()


@pytest.mark.parametrize(
    "change",
    [
        {"strides": [1, 2]},
        {"pool_strides": [2, 1]},
        {"pool_sizes": [5, 4]},
        {"kernel_sizes": [3, 3]},
        {"conv_activation": "relu"},
        {"activation": "leaky_relu"},
        {"hidden": 40},
        {"mlp": [60]},
        {"masked": True},
    ],
)
def test_every_value_changes_the_output(change):
    x = batch(clips(87, 60))
    assert not torch.allclose(network(**change)(*x), network()(*x), atol=1e-6)


@pytest.mark.parametrize("after", [True, False])
def test_dropout_is_active_only_in_training(after):
    x = batch(clips(87, 60, 70))
    for p in (0.0, 0.5):
        model = network(dropout=p, dropout_after_activation=after)
        assert torch.equal(model(*x), model(*x))
        model.train()
        assert torch.equal(model(*x), model(*x)) == (p == 0.0)


def test_dropout_after_activation_moves_the_dropout_layer():
    kinds = [[type(layer).__name__ for layer in network(dropout_after_activation=a).classifier] for a in (False, True)]
    assert kinds[0][:4] == ["BatchNorm1d", "Linear", "Dropout", "ReLU"]
    assert kinds[1][:4] == ["BatchNorm1d", "Linear", "ReLU", "Dropout"]


@pytest.mark.parametrize("change", [{}, *VARIANTS])
def test_every_parameter_receives_a_gradient(change):
    model = network(dropout=0.0, **change).train()
    nn.functional.cross_entropy(model(*batch(clips(87, 60, 70, 40))), torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_model_overfits_one_batch():
    model = network(dropout=0.0, masked=True).train()
    x, target = batch(clips(87, 60, 70, 40, 90, 50, 80, 45)), torch.arange(8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(*x), target)
        loss.backward()
        optimizer.step()
    assert loss < 0.01
    assert model(*x).argmax(1).tolist() == target.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "gelu"}, "model.activation is 'gelu'; expected one of none, relu, leaky_relu"),
        ({"conv_activation": "x"}, "model.conv_activation is 'x'"),
        ({"dropout": 1.5}, "dropout probability is 1.5"),
        ({"strides": [2]}, r"lengths \[2, 2, 1, 2, 2\]"),
    ],
)
def test_values_out_of_range_raise(change, message):
    with pytest.raises(ValueError, match=message):
        network(**change)
