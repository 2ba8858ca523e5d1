"""Layers over concatenated clips, compared with torch on each clip."""

import pytest
import torch
from torch import nn

from ser_lightning.models.flat_batch import convolve, flatten_batch, max_pool


@pytest.mark.parametrize("stride", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_convolve_matches_torch_in_values_and_gradients(kernel, stride):
    torch.manual_seed(0)
    layer = nn.Conv1d(4, 3, kernel, stride).double()
    x = torch.randn(6 * stride, 4, dtype=torch.double, requires_grad=True)
    got = convolve(x, layer.weight, layer.bias, stride)
    expected = layer(x.t()[None])[0].t()
    assert got.shape == (6, 3)
    torch.testing.assert_close(got[: len(expected)], expected)
    assert not got[len(expected) :].any()
    weights = torch.randn_like(expected)
    variables = (x, layer.weight, layer.bias)
    gradients = (torch.autograd.grad((y * weights).sum(), variables) for y in (got[: len(expected)], expected))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("stride", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_matches_torch_in_values_and_gradients(size, stride, ties):
    torch.manual_seed(0)
    x = torch.randn(20, 4, dtype=torch.double)
    x = (x.round() if ties else x).requires_grad_()
    got, expected = max_pool(x, size, stride), nn.MaxPool1d(size, stride)(x.t()[None])[0].t()
    assert got.shape == (20 // stride, 4)
    assert torch.equal(got[: len(expected)], expected)
    assert not got[len(expected) :].any()
    weights = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (got[: len(expected)], expected))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("contiguous", [True, False])
def test_clips_are_concatenated_and_padded_with_zeros(contiguous):
    x = torch.arange(1.0, 25.0).view(2, 4, 3)
    x = x if contiguous else x.transpose(1, 2).contiguous().transpose(1, 2)
    rows = torch.tensor([4, 5])
    flat = flatten_batch(x, torch.tensor([4, 1]), rows=rows, multiple=3, prepare=lambda values: values.neg_())
    assert flat.starts.tolist() == [0, 6]
    assert flat.lengths.tolist() == [4, 5]
    assert len(flat.values) == 12
    torch.testing.assert_close(flat.values[:4], -x[0])
    torch.testing.assert_close(flat.values[6:7], -x[1, :1])
    assert not flat.values[[4, 5, *range(7, 12)]].any()
    assert (x > 0).all(), "the batch itself is left alone"


def test_empty_clip_becomes_zeros():
    lengths = torch.tensor([3, 0])
    flat = flatten_batch(torch.ones(2, 3, 2), lengths, rows=lengths + 2, multiple=2, prepare=lambda x: x.add_(1))
    assert flat.values.tolist() == [[2, 2]] * 3 + [[0, 0]] * 5
