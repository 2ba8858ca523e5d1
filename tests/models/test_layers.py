import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ser_lightning.models.flat_batch import FlatBatch
from ser_lightning.models.initialize import initialize_as_he, initialize_as_keras
from ser_lightning.models.layers import (
    MaskedBatchNorm,
    Standardize,
    attention_pool,
    reverse_clips,
    standardized_frames,
    valid_length,
    valid_lengths,
)
from ser_lightning.models.lstm import BiLSTM


def torchs(ours: BiLSTM) -> nn.LSTM:
    theirs = nn.LSTM(3, 5, batch_first=True, bidirectional=True)
    for name, parameter in ours.forward_lstm.named_parameters():
        getattr(theirs, name).data.copy_(parameter)
        getattr(theirs, f"{name}_reverse").data.copy_(getattr(ours.backward_lstm, name))
    return theirs


def clips_in_rows(lengths: list[int], *, between: int) -> tuple[FlatBatch, list[torch.Tensor]]:
    """Concatenate clips, with meaningless rows between them."""
    clips = [torch.randn(length, 3) for length in lengths]
    taken = torch.tensor([length + between for length in lengths])
    values = torch.cat([torch.cat([clip, torch.full((between, 3), 99.0)]) for clip in clips])
    return FlatBatch(values, taken.cumsum(0) - taken, torch.tensor(lengths)), clips


@pytest.mark.parametrize("lengths", [[9, 4, 1, 7], [9, 4, 1, 7, 7, 3, 12, 2, 6, 5]])  # one group, and several
def test_bilstm_matches_packed_sequences(lengths):
    torch.manual_seed(0)
    ours = BiLSTM(channels=3, hidden=5)
    rows, clips = clips_in_rows(lengths, between=2)
    padded = nn.utils.rnn.pad_sequence(clips, batch_first=True)
    packed = pack_padded_sequence(padded, rows.lengths, batch_first=True, enforce_sorted=False)
    y = pad_packed_sequence(torchs(ours)(packed)[0], batch_first=True)[0]
    expected = torch.stack([torch.cat([y[i, :n].amax(0), y[i, :n].mean(0)]) for i, n in enumerate(lengths)])
    torch.testing.assert_close(ours(rows), expected)


@pytest.mark.parametrize("total", [12, 15])
@pytest.mark.parametrize("lengths", [[9, 4, 1, 7], [9, 4, 1, 7, 7, 3, 12, 2, 6, 5]])
def test_bilstm_over_padding_matches_torch(lengths, total):
    torch.manual_seed(0)
    ours = BiLSTM(channels=3, hidden=5)
    rows, clips = clips_in_rows(lengths, between=1)
    padding = torch.randn(1, 3)
    y = torchs(ours)(torch.stack([torch.cat([c, padding.expand(total - len(c), 3)]) for c in clips]))[0]
    got = ours.over_padding(rows, padding=padding, total=total)
    torch.testing.assert_close(got, torch.cat([y.amax(1), y.mean(1)], dim=1))


def test_standardize():
    layer = Standardize(features=2)
    x = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    torch.testing.assert_close(layer(x.clone()), x)
    layer.fit(torch.tensor([2.0, 5.0]), torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(layer(x.clone()), torch.tensor([[-0.5, 0.0], [0.5, 0.0]]))
    assert set(layer.state_dict()) == {"mean", "deviation"}


@pytest.mark.parametrize("kernel", [1, 2, 5])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_valid_length_matches_torch(kernel, stride):
    for length in range(kernel, 30):
        made = nn.MaxPool1d(kernel, stride)(torch.zeros(1, 1, length)).size(2)
        assert valid_length(length, kernel, stride) == made
        assert valid_lengths(torch.tensor([length]), kernel, stride).item() == made


def test_frames_are_standardized_and_padding_is_zeroed():
    layer = Standardize(features=2)
    layer.fit(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0]))
    features = torch.tensor(
        [[[3.0, 1.0], [5.0, 2.0], [0.0, 0.0], [0.0, 0.0]], [[7.0, 4.0], [9.0, 5.0], [9.0, 5.0], [0.0, 0.0]]]
    )
    before = features.clone()
    frames, lengths = standardized_frames(features, torch.tensor([2, 1]), standardize=layer)
    assert torch.equal(features, before), "the batch itself is left alone"
    assert frames.tolist() == [[[1.0, 1.0], [2.0, 2.0]], [[3.0, 4.0], [0.0, 0.0]]]
    assert lengths.tolist() == [2, 1]


def test_frames_of_short_clips_are_extended_with_zeros():
    frames, lengths = standardized_frames(torch.ones(2, 2, 3), torch.tensor([2, 1]), standardize=None, min_length=4)
    assert lengths.tolist() == [4, 4]
    assert frames[:, :, 0].tolist() == [[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]


def test_reverse_respects_the_length_of_each_clip():
    x = torch.tensor([[1, 2, 3, 0], [1, 2, 3, 4], [1, 0, 0, 0]])[:, :, None]
    reversed_ = reverse_clips(x, torch.tensor([3, 4, 1]))
    assert reversed_[:, :, 0].tolist() == [[3, 2, 1, 0], [4, 3, 2, 1], [1, 0, 0, 0]]


def test_attention_ignores_padding():
    torch.manual_seed(0)
    values, scores = torch.randn(2, 4, 3), torch.randn(2, 4)
    real = torch.tensor([[True] * 4, [True, True, False, False]])
    got = attention_pool(values, scores, real)
    torch.testing.assert_close(got[0], scores[0].softmax(0) @ values[0])
    torch.testing.assert_close(got[1], scores[1, :2].softmax(0) @ values[1, :2])


@pytest.mark.parametrize("shape", [(), (3,)])
def test_masked_batch_norm_matches_torch_on_unpadded_frames(shape):
    """Compare output, gradients and running statistics, in training and in evaluation mode."""
    torch.manual_seed(0)
    ours, theirs = MaskedBatchNorm(channels=5), nn.BatchNorm1d(5)
    for layer in (ours.norm, theirs):
        nn.init.uniform_(layer.weight, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(layer.bias, generator=torch.Generator().manual_seed(2))
    lengths = [4, 2, 7]
    clips = [torch.randn(n, *shape, 5, requires_grad=True) for n in lengths]
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        x = nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=99.0)
        got = ours(x, torch.arange(7) < torch.tensor(lengths)[:, None])
        expected = theirs(torch.cat(clips).flatten(0, -2)).view(-1, *shape, 5).split(lengths)
        weights = torch.randn_like(x)
        for row, clip in zip(got, expected, strict=True):
            torch.testing.assert_close(row[: len(clip)], clip)
            assert not row[len(clip) :].any()
        mine = torch.autograd.grad((got * weights).sum(), [*clips, *ours.parameters()])
        loss = sum((clip * weight[: len(clip)]).sum() for clip, weight in zip(expected, weights, strict=True))
        for a, b in zip(mine, torch.autograd.grad(loss, [*clips, *theirs.parameters()]), strict=True):
            torch.testing.assert_close(a, b)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.norm.state_dict()[name], value)


def test_initial_weights_have_the_expected_deviation():
    torch.manual_seed(0)
    for initialize, deviation in ((initialize_as_keras, (2 / 900) ** 0.5), (initialize_as_he, (2 / 600) ** 0.5)):
        network = nn.Sequential(nn.Linear(600, 300), nn.BatchNorm1d(300), nn.Conv1d(200, 100, 3))
        initialize(network)
        for layer in (network[0], network[2]):
            assert layer.weight.std().item() == pytest.approx(deviation, rel=0.02)
            assert not layer.bias.any()


def test_lstm_initialization_matches_keras():
    torch.manual_seed(0)
    lstm = nn.LSTM(300, 100, 2)
    initialize_as_keras(lstm)
    assert lstm.weight_ih_l0.std().item() == pytest.approx((2 / 700) ** 0.5, rel=0.02)
    for layer in ("l0", "l1"):
        recurrent = getattr(lstm, f"weight_hh_{layer}")
        torch.testing.assert_close(recurrent.t() @ recurrent, torch.eye(100))
        bias = getattr(lstm, f"bias_ih_{layer}") + getattr(lstm, f"bias_hh_{layer}")
        assert bias.view(4, 100).tolist() == [[0.0] * 100, [1.0] * 100, [0.0] * 100, [0.0] * 100]
