import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ser_lightning.model.layers import BiLSTM, Standardize, max_and_mean, valid_length, valid_lengths


def test_bilstm_equals_a_packed_sequence():
    torch.manual_seed(0)
    lengths = torch.tensor([9, 4, 1, 7])
    ours = BiLSTM(channels=3, hidden=5)
    theirs = nn.LSTM(3, 5, batch_first=True, bidirectional=True)
    names = {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
    theirs.load_state_dict(
        {name: getattr(ours.ahead, name) for name in names}
        | {f"{name}_reverse": getattr(ours.back, name) for name in names}
    )
    x = torch.randn(4, 3, 9)
    packed = pack_padded_sequence(x.transpose(1, 2), lengths, batch_first=True, enforce_sorted=False)
    expected = pad_packed_sequence(theirs(packed)[0], batch_first=True)[0].transpose(1, 2)
    got = ours(x, lengths)
    for clip, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(got[clip, :, :length], expected[clip, :, :length])


def test_bilstm_over_full_lengths_is_torchs():
    torch.manual_seed(0)
    ours = BiLSTM(channels=3, hidden=5)
    theirs = nn.LSTM(3, 5, batch_first=True, bidirectional=True)
    for name, parameter in ours.ahead.named_parameters():
        getattr(theirs, name).data.copy_(parameter)
        getattr(theirs, f"{name}_reverse").data.copy_(getattr(ours.back, name))
    x = torch.randn(2, 3, 6)
    torch.testing.assert_close(ours(x, torch.tensor([6, 6])), theirs(x.transpose(1, 2))[0].transpose(1, 2))


def test_pooling_hears_real_frames_only():
    x = torch.tensor([[[1.0, -5.0, 99.0], [-2.0, -4.0, 99.0]]])
    torch.testing.assert_close(max_and_mean(x, torch.tensor([2])), torch.tensor([[1.0, -2.0, -2.0, -3.0]]))


def test_standardize():
    layer = Standardize(features=2)
    x = torch.tensor([[[1.0, 3.0, 0.0], [5.0, 5.0, 0.0]]])
    torch.testing.assert_close(layer(x, torch.tensor([2])), x)
    layer.fit(torch.tensor([2.0, 5.0]), torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(layer(x, torch.tensor([2])), torch.tensor([[[-0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]]))
    assert set(layer.state_dict()) == {"mean", "deviation"}


@pytest.mark.parametrize("kernel", [1, 2, 5])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_valid_length_is_what_torch_makes(kernel, stride):
    for length in range(kernel, 30):
        made = nn.MaxPool1d(kernel, stride)(torch.zeros(1, 1, length)).size(2)
        assert valid_length(length, kernel, stride) == made
        assert valid_lengths(torch.tensor([length]), kernel, stride).item() == made
