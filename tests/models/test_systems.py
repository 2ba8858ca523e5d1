"""Networks of other studies: parameter counts, config values, and comparison with reference implementations.

Most networks are small here; test_invariances.py tests them with the sizes of their YAML files.
"""

import pytest
import torch
from omegaconf import OmegaConf
from tests.configs import CONF, composed
from torch import nn

from ser_lightning.build import build
from ser_lightning.errors import InputError
from ser_lightning.models.layers import MaskedBatchNorm

# For each network: the number of features in its paper, and values that make it small.
SMALL = {
    "kaggle_cnn": (162, {"channels": [8, 8, 8, 8]}),
    "lim_cnn": (128, {"channels": [4, 4], "window": 16, "windows": 2}),
    "lim_lstm": (128, {"hidden": 16, "window": 16, "windows": 2}),
    "lim_tdcnn": (128, {"channels": [4, 4], "hidden": 16, "window": 16, "windows": 2}),
    "drcnn": (128, {"channels": [8, 8, 8, 8, 8], "hidden": [32, 32]}),
    "attention_fcn": (128, {"channels": [8, 8, 8, 8, 8], "hidden": 16}),
    "crnn_attention": (120, {"channels": [4, 8, 8], "linear": 16, "hidden": 8, "mlp": 8, "attention": 2}),
    "res_lstm": (46, {"hidden": 16}),
    "tim_net": (39, {"filters": 6, "dilations": 3}),
}
every = pytest.mark.parametrize("name", SMALL)


KEYS = {name: list(OmegaConf.load(CONF / "model" / f"{name}.yaml")) for name in SMALL}
DROPOUTS = {name: [key for key in keys if key.endswith("dropout")] for name, keys in KEYS.items()}


def values_of(name: str) -> dict:
    return composed(f"model={name}")["model"]


def published(name: str, *, features: int | None = None, **change) -> nn.Module:
    torch.manual_seed(0)
    values = values_of(name) | change
    return build("model", values, features=features or SMALL[name][0], classes=8, standardize=False).eval()


def small(name: str, **change) -> nn.Module:
    return published(name, **SMALL[name][1] | change)


def without_dropout(name: str, **change) -> nn.Module:
    return small(name, **dict.fromkeys(DROPOUTS[name], 0.0) | change)


def clips(name: str, *lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.zeros(len(lengths), max(lengths), SMALL[name][0])
    for row, length in zip(x, lengths, strict=True):
        row[:length] = torch.randn(length, SMALL[name][0], generator=generator)
    return x, torch.tensor(lengths)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def lstm(inputs: int, hidden: int) -> int:
    return 4 * hidden * (inputs + hidden) + 2 * 4 * hidden  # torch has two biases per gate


def dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


@pytest.mark.parametrize(
    ("name", "change", "count"),
    [
        ("kaggle_cnn", {}, 557_288),  # as published, like the next four (ResLSTM and LSTM-SA)
        ("res_lstm", {}, 46_772),
        ("res_lstm", {"hidden": 32}, 27_988),
        ("res_lstm", {"hidden": 128}, 108_916),
        ("res_lstm", {"residual": False}, 29_384),
        # Two directions of a 1 x 1 convolution and 8 blocks of two convolutions and BatchNorms; 8 scales; 8 classes.
        ("tim_net", {}, 2 * (dense(39, 39) + 8 * 2 * (dense(2 * 39, 39) + 2 * 39)) + 8 + dense(39, 8)),
        ("tim_net", {}, 104_536),  # 0.40 MB of 4 bytes, the published size
        # Four windows of 128 x 128: convolutions 1 -> 32 -> 32, which leave 32 x 32 x 32 values.
        ("lim_cnn", {}, 4 * (dense(9, 32) + dense(9 * 32, 32)) + dense(4 * 32 * 32 * 32, 8)),
        ("lim_lstm", {}, 4 * (lstm(128, 128) + lstm(128, 128)) + dense(4 * 128, 8)),
        (
            "lim_tdcnn",
            {},
            4 * (dense(9, 32) + dense(9 * 32, 32) + lstm(1024, 1024) + lstm(1024, 1024)) + dense(4 * 1024, 8),
        ),
        ("lim_tdcnn", {"sequence": "channels"}, 67_245_448),  # the same number: 32 steps of 1024 values either way
        (
            "drcnn",  # 64 x 64 -> 15 -> 7 -> 3 -> 1
            {},
            dense(121, 64) + dense(25 * 64, 192) + dense(9 * 192, 384) + dense(9 * 384, 256) + dense(9 * 256, 256)
            + dense(256, 4096) + dense(4096, 4096) + dense(4096, 8),
        ),
        # torchvision's AlexNet has 57,036,616 with 8 classes and 3 channels; 1 channel has 2 x 121 x 64 weights less.
        ("drcnn", {"size": 224}, 57_036_616 - 2 * 121 * 64),
        (
            "attention_fcn",
            {},
            dense(121, 64) + dense(25 * 64, 192) + dense(9 * 192, 384) + dense(9 * 384, 256) + dense(9 * 256, 256)
            + 2 * (1 + 64 + 192 + 384 + 256 + 256) + dense(256, 256) + 256 + dense(256, 256) + dense(256, 8),
        ),
        (
            "attention_fcn",  # as in the paper: without BatchNorm and the dense layer
            {"batch_norm": False, "hidden": None},
            2_469_696 + dense(256, 256) + 256 + dense(256, 8) - 2 * 121 * 64,  # torchvision's convolutions: 2,469,696
        ),
        (
            "crnn_attention",  # 3 x T x 40 -> 128 x T/2 x 10
            {},
            dense(15 * 3, 128) + dense(15 * 128, 256) + 4 * dense(15 * 256, 256) + 2 * (3 + 128 + 5 * 256)
            + dense(2560, 768) + 2 * 768 + 2 * lstm(768, 128) + dense(256, 1) + 1 + dense(256, 64) + dense(64, 8),
        ),
    ],
)  # fmt: skip
def test_parameter_counts(name, change, count):
    with torch.device("meta"):  # counting parameters does not need their values
        assert parameters(published(name, **change)) == count


@every
def test_every_parameter_receives_a_gradient(name):
    model = without_dropout(name).train()
    nn.functional.cross_entropy(model(*clips(name, 87, 60, 70, 40)), torch.tensor([0, 1, 2, 3])).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@every
def test_model_overfits_one_batch(name):
    model = without_dropout(name).train()
    (x, lengths), target = clips(name, 27, 16, 21, 12, 30, 18, 24, 14), torch.arange(8)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3 if name == "drcnn" else 1e-2)  # eight layers, no BatchNorm
    for _ in range(400):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x, lengths), target)
        loss.backward()
        optimizer.step()
        if loss < 0.01:
            break
    assert loss < 0.01
    assert model(x, lengths).argmax(1).tolist() == target.tolist()


@every
def test_standardization_does_not_modify_the_batch(name):
    torch.manual_seed(0)
    values = values_of(name) | SMALL[name][1]
    model = build("model", values, features=SMALL[name][0], classes=8, standardize=True)
    x, lengths = clips(name, 20, 10)
    before = x.clone()
    plain = model.eval()(x, lengths)
    model.standardize.fit(torch.full((x.size(2),), 0.5), torch.full((x.size(2),), 2.0))
    changed = model(x, lengths)
    assert torch.equal(x, before)
    by_hand = model.standardize
    model.standardize = None
    behind = (torch.arange(20) >= lengths[:, None])[:, :, None]
    torch.testing.assert_close(changed, model(((x - 0.5) / 2).masked_fill(behind, 0.0), lengths))
    assert not torch.allclose(plain, changed, atol=1e-5)
    assert by_hand.mean[0] == 0.5


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in DROPOUTS.items() for key in keys])
def test_dropout_is_active_only_in_training(name, key):
    for p in (0.0, 0.5):
        model = without_dropout(name, **{key: p})
        x = clips(name, 87, 60, 70)
        assert torch.equal(model(*x), model(*x))
        model.train()
        assert torch.equal(model(*x), model(*x)) == (p == 0.0)


ALIVE = [
    *(("kaggle_cnn", {key: value}) for key, value in {"kernel_size": 3, "pool_size": 3, "pool_stride": 3}.items()),
    *(("kaggle_cnn", {key: value}) for key, value in {"channels": [8, 8], "hidden": 16}.items()),
    *(("lim_cnn", {key: value}) for key, value in {"windows": 3, "window": 20, "stagger": 3, "channels": [4]}.items()),
    *(("lim_cnn", {key: value}) for key, value in {"kernel_size": 5, "pool_size": 4}.items()),
    *(("lim_lstm", {key: value}) for key, value in {"windows": 3, "window": 20, "stagger": 3}.items()),
    *(("lim_lstm", {key: value}) for key, value in {"hidden": 8, "layers": 1}.items()),
    *(("lim_tdcnn", {key: value}) for key, value in {"windows": 3, "window": 20, "stagger": 3, "layers": 1}.items()),
    *(("lim_tdcnn", {key: value}) for key, value in {"channels": [4], "kernel_size": 5, "pool_size": 4}.items()),
    *(("lim_tdcnn", {key: value}) for key, value in {"hidden": 8, "sequence": "channels"}.items()),
    *(("drcnn", {key: value}) for key, value in {"size": 80, "strides": [3, 1, 1, 1, 1], "hidden": [32]}.items()),
    *(("drcnn", {key: value}) for key, value in {"paddings": [4, 2, 1, 1, 1], "channels": [9, 8, 8, 8, 8]}.items()),
    *(("drcnn", {key: value}) for key, value in {"kernel_sizes": [9, 5, 3, 3, 3], "pool_size": 2}.items()),
    *(("drcnn", {key: value}) for key, value in {"pools": [True, True, False, True, False], "pool_stride": 1}.items()),
    *(("attention_fcn", {key: value}) for key, value in {"attention_scale": 1.0, "batch_norm": False}.items()),
    *(("attention_fcn", {key: value}) for key, value in {"hidden": None, "strides": [3, 1, 1, 1, 1]}.items()),
    *(("attention_fcn", {key: value}) for key, value in {"kernel_sizes": [9, 5, 3, 3, 3], "pool_size": 2}.items()),
    *(("attention_fcn", {key: value}) for key, value in {"pools": [True] * 2 + [False] * 3, "pool_stride": 1}.items()),
    *(("attention_fcn", {key: value}) for key, value in {"paddings": [4, 2, 1, 1, 1]}.items()),
    ("attention_fcn", {"channels": [9, 8, 8, 8, 8]}),
    *(("crnn_attention", {key: value}) for key, value in {"planes": 2, "channels": [4, 8], "attention": 1}.items()),
    *(("crnn_attention", {key: value}) for key, value in {"kernel_size": [3, 3], "pool_size": [1, 4]}.items()),
    *(("crnn_attention", {key: value}) for key, value in {"linear": 12, "hidden": 6, "mlp": 6}.items()),
    *(("res_lstm", {key: value}) for key, value in {"residual": False, "hidden": 8}.items()),
    *(("tim_net", {key: value}) for key, value in {"filters": 8, "kernel_size": 3, "dilations": 4}.items()),
]


def test_every_config_value_is_tested():
    changed = {name: {key for n, change in ALIVE if n == name for key in change} for name in SMALL}
    assert {name: changed[name] | set(DROPOUTS[name]) for name in SMALL} == {
        name: set(keys) - {"_target_"} for name, keys in KEYS.items()
    }


@pytest.mark.parametrize(("name", "change"), ALIVE)
def test_every_value_changes_the_output(name, change):
    x = clips(name, 87, 60)
    assert not torch.allclose(small(name, **change)(*x), small(name)(*x), atol=1e-6)


def test_tim_net_channel_padding_does_not_change_results(monkeypatch):
    """Compare output, gradients and running statistics with torch's BatchNorm on unpadded channels."""
    x, lengths = clips("tim_net", 30, 12)

    def train() -> list[torch.Tensor]:
        network = small("tim_net").double().train()
        torch.manual_seed(1)
        output = network(x.double(), lengths)
        output.square().sum().backward()
        return [output.detach(), *(p.grad for p in network.parameters()), *network.buffers()]

    wide = train()
    monkeypatch.setattr("ser_lightning.models.tim_net.WIDTH", 1)
    monkeypatch.setattr("ser_lightning.models.tim_net._WideBatchNorm", nn.BatchNorm1d)
    for ours, plain in zip(wide, train(), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "features", "change", "message"),
    [
        *(
            (name, None, {key: 1.5}, f"model.{key} is 1.5; expected a prob")
            for name, k in DROPOUTS.items()
            for key in k
        ),
        ("kaggle_cnn", None, {"channels": []}, r"model.channels is \[\]; expected whole numbers of at least 1"),
        ("kaggle_cnn", None, {"pool_stride": 0}, "model.pool_stride is 0; expected whole numbers of at least 1"),
        ("lim_cnn", None, {"windows": 0}, "model.windows is 0"),
        ("lim_cnn", None, {"window": 3}, "windows of 3 frames and 128 features are too small for poolings"),
        ("lim_lstm", None, {"layers": 0}, "model.layers is 0"),
        ("lim_tdcnn", 3, {}, "windows of 16 frames and 3 features are too small"),
        ("lim_tdcnn", None, {"sequence": "bins"}, "model.sequence is 'bins'"),
        ("drcnn", None, {"size": 30}, "model.size is 30, too small"),
        ("drcnn", None, {"strides": [1]}, r"lengths \[5, 5, 1, 5, 5\]; expected one value a convolution"),
        ("drcnn", None, {"paddings": [2, 2, 1, 1, -1]}, r"model.paddings is \[2, 2, 1, 1, -1\]; expected whole"),
        ("attention_fcn", 62, {}, "there are 62 features; expected at least 63"),
        ("attention_fcn", None, {"pools": [True]}, r"lengths \[5, 5, 5, 5, 1\]; expected one value a convolution"),
        ("crnn_attention", 121, {}, "there are 121 features, which model.planes = 3 does not divide"),
        ("crnn_attention", 9, {}, "there are 3 rows in an image; expected at least"),
        ("crnn_attention", None, {"kernel_size": [4, 3]}, r"model.kernel_size is \[4, 3\]"),
        ("crnn_attention", None, {"pool_size": [2]}, r"pool_size \[2\]; expected frames and rows"),
        ("res_lstm", None, {"hidden": 0}, "model.hidden is 0"),
        ("tim_net", None, {"dilations": 0}, "model.dilations is 0"),
    ],
)
def test_values_out_of_range_raise(name, features, change, message):
    with pytest.raises(InputError, match=message):
        small(name, features=features, **change)


def test_lim_tdcnn_sequences_over_time_and_channels_have_equal_size():
    """Both readings of the public implementation fit, because 128 x 128 becomes 32 x 32 x 32."""
    for sequence in ("time", "channels"):
        model = published("lim_tdcnn", sequence=sequence, hidden=16, windows=1)
        seen = []
        model.lstms[0].register_forward_hook(lambda _m, args, _o, seen=seen: seen.append(tuple(args[0].shape)))
        model(*clips("lim_tdcnn", 150))
        assert seen == [(1, 32, 1024)]


def test_kaggle_cnn_pooling_leaves_eleven_values():
    lengths = []
    for layer in (model := published("kaggle_cnn")).convolutions:
        if isinstance(layer, nn.MaxPool1d):
            layer.register_forward_hook(lambda _m, _a, out: lengths.append(out.size(2)))
    model(*clips("kaggle_cnn", 1))
    assert lengths == [81, 41, 21, 11]


def test_kaggle_cnn_depends_only_on_the_mean_over_frames():
    model = small("kaggle_cnn")
    x, lengths = clips("kaggle_cnn", 9, 5)
    means = torch.stack([row[:n].mean(0) for row, n in zip(x, lengths, strict=True)])[:, None]
    torch.testing.assert_close(model(x, lengths), model(means, torch.tensor([1, 1])))


# Networks for clips of any length, compared with plain torch layers on one clip without padding.


def seen(model: nn.Module) -> nn.Module:
    """Give BatchNorm layers running statistics that differ from their initial values."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return model


def norm(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    of = layer.norm if isinstance(layer, MaskedBatchNorm) else layer
    return nn.functional.batch_norm(x, of.running_mean, of.running_var, of.weight, of.bias)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_attention_fcn_matches_plain_layers(batch_norm):
    model = seen(small("attention_fcn", batch_norm=batch_norm))
    x, length = clips("attention_fcn", 150)
    y = x[:, None]
    y = norm(y, model.norms[0]) if batch_norm else y
    for n, convolution in enumerate(model.convolutions):
        y = convolution(y)
        y = (norm(y, model.norms[n + 1]) if batch_norm else y).relu()
        y = nn.MaxPool2d(3, 2)(y) if n in (0, 1, 4) else y
    regions = y.flatten(2).transpose(1, 2)
    weights = (0.3 * model.score(torch.tanh(model.attention_projection(regions)))).softmax(1)
    torch.testing.assert_close(model(x, length), model.classifier((weights * regions).sum(1)))


def test_crnn_attention_matches_plain_layers():
    model = seen(small("crnn_attention"))
    x, length = clips("crnn_attention", 51)
    y = norm(x.view(1, 51, 3, 40).transpose(1, 2), model.norms[0])
    for n, convolution in enumerate(model.convolutions):
        y = norm(nn.functional.leaky_relu(convolution(y)), model.norms[n + 1])
        y = nn.MaxPool2d((2, 4))(y) if n == 0 else y
    y = model.step(y.permute(0, 2, 3, 1).flatten(2))
    y = nn.functional.leaky_relu(norm(y.transpose(1, 2), model.step_norm).transpose(1, 2))
    bidirectional = nn.LSTM(16, 8, batch_first=True, bidirectional=True)
    for key, value in model.forward_lstm.named_parameters():
        getattr(bidirectional, key).data.copy_(value)
        getattr(bidirectional, f"{key}_reverse").data.copy_(getattr(model.backward_lstm, key))
    y = bidirectional(y)[0]
    clip = (model.score(torch.sigmoid(model.attention_projection(y))).softmax(1) * y).sum(1)
    expected = model.classifier(nn.functional.leaky_relu(model.mlp(clip)))
    torch.testing.assert_close(model(x, length), expected)


@pytest.mark.parametrize("residual", [True, False])
def test_res_lstm_matches_packed_sequences(residual):
    """Compare with the original code in training mode, except that BatchNorm ignores padding.

    Double precision is used because rounding in single precision depends on the processor.
    """
    model = without_dropout("res_lstm", residual=residual).double().train()
    x, lengths = clips("res_lstm", 30, 12, 21)
    x = x.double()

    def packed(layer: nn.LSTM, y: torch.Tensor) -> torch.Tensor:
        sequence = nn.utils.rnn.pack_padded_sequence(y, lengths, batch_first=True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(layer(sequence)[0], batch_first=True)[0]

    y = x
    if residual:
        y = packed(model.first, y) + y
        frames = torch.cat([row[:n] for row, n in zip(y, lengths, strict=True)])
        frames = nn.functional.batch_norm(frames, None, None, training=True).split(lengths.tolist())
        y = nn.utils.rnn.pad_sequence(frames, batch_first=True)
    y = packed(model.second, y)
    clip = [(model.score(row[:n]).softmax(0) * row[:n]).sum(0) for row, n in zip(y, lengths, strict=True)]
    expected = model.classifier(torch.stack(clip))
    got = model(x, lengths)
    torch.testing.assert_close(got, expected)
    target = torch.tensor([1, 2, 3])
    weights = [p for key, p in model.named_parameters() if "first_norm" not in key]
    mine, plain = (torch.autograd.grad(nn.functional.cross_entropy(z, target), weights) for z in (got, expected))
    for a, b in zip(mine, plain, strict=True):
        torch.testing.assert_close(a, b)


def test_res_lstm_initialization():
    model = published("res_lstm")
    for lstm, size in ((model.first, 46), (model.second, 64)):
        for bias in (lstm.bias_ih_l0, lstm.bias_hh_l0):
            assert bias.view(4, size).tolist() == [[0.0] * size, [1.0] * size, [0.0] * size, [0.0] * size]
        torch.testing.assert_close(lstm.weight_hh_l0.t() @ lstm.weight_hh_l0, torch.eye(size))


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_tim_net_matches_plain_layers(kernel_size):
    model = seen(small("tim_net", kernel_size=kernel_size))
    x, length = clips("tim_net", 17)
    means = []
    for direction, y in zip(model.directions, (x, x.flip(1)), strict=True):
        y = direction.first(y).transpose(1, 2)  # noqa: PLW2901
        of_direction = []
        for n, block in enumerate(direction.blocks):
            z = y
            for convolution, normal in zip(block.convolutions, block.norms, strict=True):
                z = nn.functional.pad(z, ((kernel_size - 1) * 2**n, 0))
                z = nn.functional.conv1d(z, convolution.weight, convolution.bias, dilation=2**n)
                z = norm(z, normal).relu()
            y = y * z.sigmoid()  # noqa: PLW2901
            of_direction.append(y.mean(2))
        means.append(torch.stack(of_direction))
    scales = means[0] + means[1]  # (scales, 1, C)
    expected = model.classifier((model.scales[:, None, None] * scales).sum(0))
    torch.testing.assert_close(model(x, length), expected)
