import numpy as np
import pytest
import torch

from ser_lightning.augment.pitch import pitch_shift
from ser_lightning.augment.waveform import WaveformCopies

VALUES = {"seed": 0, "sampling_rate": 16000, "noise_sigma": 0.01, "pitch_steps": [3, -3], "pcm16": False}


def tone(frequency: float = 440.0, n: int = 16000) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(n) / 16000)).astype(np.float32)


def peak(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * 16000 / len(wave))


@pytest.mark.parametrize("steps", [3, -3, 0.7, 12])
def test_pitch_moves_and_length_stays(steps):
    shifted = pitch_shift(tone(), sampling_rate=16000, steps=steps)
    assert shifted.shape == (16000,)
    assert shifted.dtype == np.float32
    assert abs(peak(shifted) - 440 * 2 ** (steps / 12)) < 4


@pytest.mark.parametrize("n", [1, 2, 100, 256, 257, 320])
def test_pitch_takes_clips_shorter_than_its_window(n):
    assert len(pitch_shift(tone(n=n), sampling_rate=16000, steps=3)) == n


@pytest.mark.parametrize("steps", [12, -12])
def test_pitch_is_torchaudios_but_for_the_resampler(steps):
    # Octaves: at 3 semitones torchaudio takes many seconds to build its kernel.
    import torchaudio

    rng = np.random.default_rng(0)
    buzz = sum(tone(150 * k) / k for k in range(1, 20))
    wave = (buzz * np.hanning(16000) + 1e-3 * rng.standard_normal(16000)).astype(np.float32)
    theirs = torchaudio.functional.pitch_shift(torch.from_numpy(wave), 16000, steps).numpy()
    ours = pitch_shift(wave, sampling_rate=16000, steps=steps)
    error = 10 * np.log10(np.mean((ours - theirs) ** 2) / np.mean(theirs**2))
    assert error < -30  # dB


def test_names_and_shapes():
    copies = WaveformCopies(**VALUES)(tone(), utterance="a")
    assert list(copies) == ["noise", "pitch+3", "pitch-3"] == list(WaveformCopies(**VALUES).names)
    assert {copy.shape for copy in copies.values()} == {(16000,)}
    assert {copy.dtype for copy in copies.values()} == {np.dtype(np.float32)}


def test_none_makes_no_copy():
    assert WaveformCopies(**VALUES | {"noise_sigma": None, "pitch_steps": []})(tone(), utterance="a") == {}


def test_the_clip_is_left_alone():
    wave = tone()
    before = wave.copy()
    WaveformCopies(**VALUES)(wave, utterance="a")
    np.testing.assert_array_equal(wave, before)


def test_noise_has_its_sigma_and_its_own_seed():
    wave = np.zeros(100_000, np.float32)
    first = WaveformCopies(**VALUES)(wave, utterance="a")["noise"]
    assert abs(first.std() - 0.01) < 2e-4
    assert abs(first.mean()) < 2e-4
    np.testing.assert_array_equal(WaveformCopies(**VALUES)(wave, utterance="a")["noise"], first)
    assert not np.array_equal(WaveformCopies(**VALUES)(wave, utterance="b")["noise"], first)
    assert not np.array_equal(WaveformCopies(**VALUES | {"seed": 1})(wave, utterance="a")["noise"], first)


def test_pcm16_rounds_and_clips():
    loud = 1.2 * np.sign(tone())
    plain = WaveformCopies(**VALUES)(loud, utterance="a")["noise"]
    saved = WaveformCopies(**VALUES | {"pcm16": True})(loud, utterance="a")["noise"]
    assert plain.max() > 1
    assert saved.max() <= 32767 / 32768
    np.testing.assert_array_equal(saved * 32768, np.round(saved * 32768))


@pytest.mark.real
@pytest.mark.parametrize("steps", [3, -3])
def test_pitch_on_ravdess_keeps_the_spectrum_of_torchaudio(ravdess_root, steps):
    """The closeness that the docstring of ``pitch_shift`` states."""
    import torchaudio

    from ser_lightning.audio.audio import Audio

    audio = Audio(sampling_rate=16000, downmix="mean", vad_mode=2, frame_ms=20)
    theirs = torchaudio.transforms.PitchShift(16000, steps)
    for path in sorted(ravdess_root.rglob("*-01.flac"))[:60:20]:
        wave = audio.load(path).wave
        with torch.no_grad():
            expected = theirs(torch.from_numpy(wave)).numpy()
        got = pitch_shift(wave, sampling_rate=16000, steps=steps)
        assert 10 * np.log10(np.mean((got - expected) ** 2) / np.mean(expected**2)) < -25  # dB
        levels = [10 * np.log10(_mean_power(x)[: 5000 * 1024 // 16000]) for x in (got, expected)]
        assert np.abs(levels[0] - levels[1]).max() < 0.2  # dB, long-term spectrum below 5 kHz


def _mean_power(wave: np.ndarray) -> np.ndarray:
    spectrum = torch.stft(torch.from_numpy(wave), 1024, 256, window=torch.hann_window(1024), return_complex=True)
    return spectrum.abs().square().mean(1).numpy()
