"""Tests of the sinc resampler against torchaudio."""

import numpy as np
import pytest
import torch
import torchaudio

from ser_lightning.augment.sinc import resample


def decibels(ours, theirs):
    return 10 * np.log10(np.mean((ours - theirs) ** 2) / np.mean(theirs**2))


@pytest.mark.parametrize(
    ("old", "new"), [(20000, 16000), (12800, 16000), (44100, 16000), (16000, 22050), (64000, 16000), (4000, 16000)]
)
@pytest.mark.parametrize("samples", [1, 20, 7001])
def test_resample_matches_torchaudio_in_double_precision(old, new, samples):
    wave = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    theirs = torchaudio.functional.resample(torch.from_numpy(wave).double(), old, new).numpy()
    ours = resample(wave, old=old, new=new)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert decibels(ours, theirs) < -110


def test_resample_returns_input_at_same_rate():
    wave = np.arange(5, dtype=np.float32)
    assert resample(wave, old=16000, new=16000) is wave
