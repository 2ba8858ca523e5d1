"""Resizing and layers on clips of different lengths, compared with torch on each clip."""

import pytest
import torch
from torch import nn

from ser_lightning.models.layers import MaskedBatchNorm
from ser_lightning.models.masked_images import Images, convolve, max_pool, normalize, resize, stages


def padded(clips: list[torch.Tensor], pad: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(clip) for clip in clips])
    frames = torch.zeros(len(clips), int(lengths.max()) + pad, clips[0].size(1))
    for row, clip in zip(frames, clips, strict=True):
        row[: len(clip)] = clip
    return frames, lengths


@pytest.mark.parametrize("size", [4, 7, 16])
@pytest.mark.parametrize("features", [1, 5, 16, 40])
def test_resize_matches_torch_for_each_clip(size, features):
    torch.manual_seed(0)
    clips = [torch.randn(n, features) for n in (1, 2, 7, 16, 40)]
    got = resize(*padded(clips, pad=3), size=size)
    assert got.shape == (5, size, size)
    for image, clip in zip(got, clips, strict=True):
        expected = nn.functional.interpolate(clip[None, None], (size, size), mode="bilinear", antialias=True)
        torch.testing.assert_close(image, expected[0, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("pool", [True, False])
def test_needed_length_inverts_valid_length(padding, pool):
    (stage,) = stages(channels=[3], kernel_sizes=[5], strides=[4], paddings=[padding], pools=[pool])
    layers = nn.Sequential(stage.convolution(), nn.MaxPool2d(3, 2) if pool else nn.Identity())
    for length in range(20, 60):
        left = layers(torch.zeros(1, 1, length, 40)).size(2)
        assert stage.valid_length(length, pool_size=3, pool_stride=2) == left
    for left in range(1, 5):
        needed = stage.needed_length(left, pool_size=3, pool_stride=2)
        lengths = [stage.valid_length(n, pool_size=3, pool_stride=2) for n in (needed - 1, needed)]
        assert lengths == [left - 1, left]


LENGTHS = [12, 9, 17, 23]


def images(channels: int) -> tuple[Images, list[torch.Tensor]]:
    clips = [torch.randn(channels, n, 6) for n in LENGTHS]
    values = torch.zeros(len(clips), channels, max(LENGTHS) + 2, 6)
    for value, clip in zip(values, clips, strict=True):
        value[:, : clip.size(1)] = clip
    return Images(values, torch.tensor(LENGTHS)), clips


def assert_each(got: Images, expected: list[torch.Tensor]) -> None:
    assert got.lengths.tolist() == [clip.size(1) for clip in expected]
    for value, clip in zip(got.values, expected, strict=True):
        torch.testing.assert_close(value[:, : clip.size(1)], clip)
        assert not value[:, clip.size(1) :].any()


@pytest.mark.parametrize("layer", [(3, 1, 1), (5, 2, 0), (4, 4, 2), ((5, 3), 1, (2, 1)), (9, 3, 2)])
def test_convolve_matches_torch_for_each_clip(layer):
    torch.manual_seed(0)
    convolution = nn.Conv2d(2, 3, *layer)
    batch, clips = images(2)
    assert_each(convolve(batch, convolution), [convolution(clip[None])[0] for clip in clips])


@pytest.mark.parametrize(("size", "stride"), [((3, 3), (2, 2)), ((2, 4), (2, 4)), ((1, 2), (1, 2))])
def test_max_pool_matches_torch_for_each_clip(size, stride):
    torch.manual_seed(0)
    batch, clips = images(2)
    assert_each(
        max_pool(batch, size=size, stride=stride), [nn.MaxPool2d(size, stride)(clip[None])[0] for clip in clips]
    )


def test_normalize_ignores_padding():
    torch.manual_seed(0)
    batch, clips = images(2)
    torchs = nn.BatchNorm2d(2)
    expected = torchs(torch.cat(clips, dim=1)[None])[0].split(LENGTHS, dim=1)
    ours = MaskedBatchNorm(channels=2)
    assert_each(normalize(batch, ours), list(expected))
    torch.testing.assert_close(ours.norm.running_mean, torchs.running_mean)
    torch.testing.assert_close(ours.norm.running_var, torchs.running_var)
