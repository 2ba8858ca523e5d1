import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ser_lightning.model.layers import BiLSTM, Standardize, valid_length, valid_lengths
from ser_lightning.model.rows import Rows


def torchs(ours: BiLSTM) -> nn.LSTM:
    theirs = nn.LSTM(3, 5, batch_first=True, bidirectional=True)
    for name, parameter in ours.ahead.named_parameters():
        getattr(theirs, name).data.copy_(parameter)
        getattr(theirs, f"{name}_reverse").data.copy_(getattr(ours.back, name))
    return theirs


def clips_in_rows(lengths: list[int], *, between: int) -> tuple[Rows, list[torch.Tensor]]:
    """Clips one after another, with rows between that mean nothing."""
    clips = [torch.randn(length, 3) for length in lengths]
    taken = torch.tensor([length + between for length in lengths])
    values = torch.cat([torch.cat([clip, torch.full((between, 3), 99.0)]) for clip in clips])
    return Rows(values, taken.cumsum(0) - taken, torch.tensor(lengths)), clips


@pytest.mark.parametrize("lengths", [[9, 4, 1, 7], [9, 4, 1, 7, 7, 3, 12, 2, 6, 5]])  # one group, and several
def test_bilstm_equals_packed_sequences(lengths):
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
def test_bilstm_over_padding_is_torchs(lengths, total):
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
def test_valid_length_is_what_torch_makes(kernel, stride):
    for length in range(kernel, 30):
        made = nn.MaxPool1d(kernel, stride)(torch.zeros(1, 1, length)).size(2)
        assert valid_length(length, kernel, stride) == made
        assert valid_lengths(torch.tensor([length]), kernel, stride).item() == made
