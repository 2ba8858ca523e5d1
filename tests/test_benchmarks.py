"""The baseline of the benchmarks computes the same values as this package, so that their times can be compared."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from benchmarks import plain

from ser_lightning.audio.audio import Audio
from ser_lightning.corpora.synthetic import Synthetic
from ser_lightning.features.spectral162 import Spectral162
from tests.configs import composed
from tests.models.test_cnn_bilstm import batch, clips, network

FEATURES = {
    **{"sampling_rate": 16000, "analysis_rate": 16000, "filterbank_rate": 16000, "n_fft": 2048, "hop_length": 512},
    **{"window": "hann", "n_chroma": 12, "n_mfcc": 20, "n_mels": 128, "log": False, "standardize": False},
}
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("change", [{}, {"strides": [1, 1], "hidden": 40}])
def test_plain_network_matches_ours(masked, change):
    ours = network(masked=masked, standardize=masked, **change)
    mean, deviation = (torch.randn(162), torch.rand(162) + 0.5) if masked else (None, None)
    if masked:
        ours.standardize.fit(mean, deviation)
    values = {"channels": [60, 40], "kernel_sizes": [5, 3], "strides": [2, 2], "hidden": 80} | change
    theirs = plain.Network(**values, mean=mean, deviation=deviation, masked=masked).eval()
    theirs.convolutions.load_state_dict(ours.convolutions.state_dict())
    theirs.lstm.load_state_dict(
        ours.lstm.forward_lstm.state_dict()
        | {f"{k}_reverse": v for k, v in ours.lstm.backward_lstm.state_dict().items()}
    )
    weights = [layer for layer in ours.classifier if list(layer.parameters())]
    for mine, other in zip(weights, [x for x in theirs.classifier if list(x.parameters())], strict=True):
        other.load_state_dict(mine.state_dict())
    x, lengths = batch(clips(87, 60, 40, 120))
    torch.testing.assert_close(theirs(x.transpose(1, 2), lengths), ours(x, lengths), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*is deprecated and slated for removal:DeprecationWarning")  # librosa's audioread
def test_plain_preparation_matches_ours(tmp_path, synthetic_root):
    corpus = Synthetic(root=synthetic_root, speakers=2, repetitions=1, workers=1, downmix="mean", merge=None)
    paths = [utterance.path for utterance in corpus.scan().utterances[:3]]
    made = plain.prepare(paths[:2], paths[2:], folder=tmp_path, torchaudio_pitch=False)
    assert len(made) == 3 + 2 * 3
    audio = Audio(
        sampling_rate=16000, downmix="mean", resampler="soxr", vad_mode=2, frame_ms=20, offset_s=None, duration_s=None
    )
    for path, features in zip(paths, made, strict=False):
        wave, rate = soundfile.read(tmp_path / f"{path.stem}.wav", dtype="float32")
        assert rate == 16000
        ours = audio.load(path).wave
        assert len(wave) == len(ours)
        assert np.abs(wave - ours).max() < 2 / 32768
        np.testing.assert_allclose(features.T, Spectral162(**FEATURES)(wave), rtol=1e-3, atol=1e-4 * features.max())


@pytest.mark.slow
def test_plain_training_loop_runs(small):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.plain_loop", "2"],
        input=json.dumps(composed(*small)),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert len(json.loads(done.stdout.splitlines()[-1])) == 2
    assert done.stderr.count("val loss") == 2
