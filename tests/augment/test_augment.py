from typing import Any

import numpy as np
import pytest
import torch

from ser_lightning.augment import pitch
from ser_lightning.augment.sinc import resample
from ser_lightning.augment.waveform import WaveformCopies
from ser_lightning.errors import InputError

VALUES = {"seed": 0, "sampling_rate": 16000, "noise_sigma": 0.01, "pitch_steps": [3, -3], "pcm16": False}


def tone(frequency: float = 440.0, n: int = 16000) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(n) / 16000)).astype(np.float32)


def pitch_shift(wave: np.ndarray, *, steps: float) -> np.ndarray:
    return pitch.pitch_shift(pitch.analyze(wave), sampling_rate=16000, steps=steps)


def peak(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * 16000 / len(wave))


@pytest.mark.parametrize("steps", [3, -3, 0.7, 12])
def test_pitch_shift_changes_pitch_and_keeps_length(steps):
    shifted = pitch_shift(tone(), steps=steps)
    assert shifted.shape == (16000,)
    assert shifted.dtype == np.float32
    assert abs(peak(shifted) - 440 * 2 ** (steps / 12)) < 4


@pytest.mark.parametrize("n", [1, 2, 100, 256, 257, 320])
def test_pitch_shift_supports_clips_shorter_than_window(n):
    assert len(pitch_shift(tone(n=n), steps=3)) == n


def buzz() -> np.ndarray:
    rng = np.random.default_rng(0)
    wave = sum(tone(150 * k) / k for k in range(1, 20))
    return (wave * np.hanning(16000) + 1e-3 * rng.standard_normal(16000)).astype(np.float32)


def decibels(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(10 * np.log10(np.mean((ours - theirs) ** 2) / np.mean(theirs**2)))


@pytest.mark.parametrize("steps", [12, -12])
def test_pitch_shift_matches_torchaudio_in_double_precision(steps):
    # Whole octaves, because at 3 semitones torchaudio needs many seconds and gigabytes to build its kernel.
    import torchaudio

    theirs = [
        torchaudio.functional.pitch_shift(torch.from_numpy(buzz()).to(kind), 16000, steps).numpy()
        for kind in (torch.float64, torch.float32)
    ]
    ours = decibels(pitch_shift(buzz(), steps=steps), theirs[0])
    assert ours < -95
    assert ours < decibels(theirs[1], theirs[0])  # more exact than torchaudio in single precision


@pytest.mark.parametrize("steps", [3, -3])
def test_pitch_shift_matches_torchaudio_phase_vocoder(steps):
    import torchaudio

    wave, rate = buzz(), 2.0 ** (-steps / 12)

    def theirs(kind: torch.dtype) -> np.ndarray:
        window = torch.hann_window(512, dtype=kind)
        spectrum = torch.stft(torch.from_numpy(wave).to(kind), 512, 128, window=window, return_complex=True)
        advance = torch.linspace(0, np.pi * 128, 257, dtype=kind)[:, None]
        slower = torchaudio.functional.phase_vocoder(spectrum, rate, advance)
        stretched = torch.istft(slower, 512, 128, window=window, length=round(len(wave) / rate))
        return resample(stretched.numpy().astype(np.float32), old=int(16000 / rate), new=16000)[: len(wave)]

    exact = theirs(torch.float64)
    ours = decibels(pitch_shift(wave, steps=steps)[: len(exact)], exact)
    assert ours < -90
    assert ours < decibels(theirs(torch.float32), exact)


TIME = np.arange(16000) / 16000
ODD = {
    "buzz": buzz(),
    "clipped": np.clip(3 * np.sin(2 * np.pi * 331 * TIME), -1, 1),
    "dc": np.full(16000, 0.3),
    "impulse": np.eye(1, 16000, 5000)[0],
    "half_silent": np.concatenate((np.zeros(8000), buzz()[4000:12000])),
    "pure_tone": np.sin(2 * np.pi * 440 * TIME),
    "a_window": buzz()[4000:4512],
    "short": buzz()[4000:4100],
}


def change_by_rounding(copies: WaveformCopies, wave: np.ndarray, name: str) -> float:
    """Return by how many decibels a copy by torchaudio changes if its spectrum is rounded differently, at most.

    Bins that hold only rounding errors have arbitrary phases, and equal phases are unwrapped either way, which an
    abrupt end or an impulse makes audible. The Fourier transform of another processor rounds differently.
    """
    stft, exact, changed = torch.stft, copies(wave, utterance="a")[name], []
    for seed in range(10):
        random = torch.Generator().manual_seed(seed)

        def rounded(*args: Any, random: torch.Generator = random, **kwargs: Any) -> torch.Tensor:
            spectrum = stft(*args, **kwargs)
            noise = torch.view_as_complex(torch.rand(*spectrum.shape, 2, generator=random) * 2 - 1)
            return spectrum + 2.0**-24 * spectrum.abs().amax(-2, keepdim=True) * noise

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "stft", rounded)
            changed.append(copies(wave, utterance="a")[name])
    return max(decibels(copy, exact) for copy in changed)


@pytest.mark.parametrize("name", ODD)
def test_native_backend_matches_torchaudio(name):
    """The difference is below -55 dB, or below twice the change of torchaudio's own result by rounding."""
    # At 3 semitones torchaudio needs many seconds and gigabytes; the test on RAVDESS below covers that case.
    wave, values = ODD[name].astype(np.float32), VALUES | {"pitch_steps": [12, 7, -12]}
    native, reference = (WaveformCopies(**values, backend=b)(wave, utterance="a") for b in ("native", "torchaudio"))
    assert list(native) == list(reference) == ["noise", "pitch+12", "pitch+7", "pitch-12"]
    np.testing.assert_array_equal(native.pop("noise"), reference.pop("noise"))
    for copy, theirs in reference.items():
        assert theirs.dtype == np.float32
        assert len(theirs) == len(native[copy]) == len(wave)
        difference = decibels(native[copy], theirs)
        copies = WaveformCopies(**values | {"noise_sigma": None}, backend="torchaudio")
        assert difference < -55 or difference < 6 + change_by_rounding(copies, wave, copy), copy


@pytest.mark.parametrize("wave", [np.zeros(8000, np.float32), np.zeros(1, np.float32)], ids=["silence", "one_sample"])
def test_both_backends_keep_silence(wave):
    for backend in ("native", "torchaudio"):
        copies = WaveformCopies(**VALUES | {"noise_sigma": None, "pitch_steps": [12]}, backend=backend)
        np.testing.assert_array_equal(copies(wave, utterance="a")["pitch+12"], wave)


def test_both_backends_support_read_only_waves():
    wave = tone()
    wave.setflags(write=False)
    for backend in ("native", "torchaudio"):
        copies = WaveformCopies(**VALUES | {"pitch_steps": [12]}, backend=backend)(wave, utterance="a")
        assert abs(peak(copies["pitch+12"]) - 880) < 4


def test_unknown_backend_raises_input_error():
    with pytest.raises(InputError, match=r"augment\.backend is 'librosa'; expected .*torchaudio"):
        WaveformCopies(**VALUES, backend="librosa")


def test_torchaudio_backend_rejects_shifts_over_memory_limit():
    values = VALUES | {"sampling_rate": 48000}
    with pytest.raises(InputError, match=r"augment\.pitch_steps has -3, .* 8 GB at 48000 Hz; .*audio\.sampling_rate"):
        WaveformCopies(**values, backend="torchaudio")
    assert len(WaveformCopies(**values, backend="native")(tone(), utterance="a")) == 3


def test_pitch_shift_of_silence_and_gaps_is_finite():
    assert not pitch_shift(np.zeros(8000, np.float32), steps=3).any()
    gaps = tone() * (np.arange(16000) // 4000 % 2)
    assert np.isfinite(pitch_shift(gaps.astype(np.float32), steps=-3)).all()


def test_copies_have_names_shapes_and_dtype():
    copies = WaveformCopies(**VALUES)(tone(), utterance="a")
    assert list(copies) == ["noise", "pitch+3", "pitch-3"] == list(WaveformCopies(**VALUES).names)
    assert {copy.shape for copy in copies.values()} == {(16000,)}
    assert {copy.dtype for copy in copies.values()} == {np.dtype(np.float32)}


def test_no_copies_when_noise_and_pitch_are_disabled():
    assert WaveformCopies(**VALUES | {"noise_sigma": None, "pitch_steps": []})(tone(), utterance="a") == {}


def test_copies_do_not_modify_clip():
    wave = tone()
    before = wave.copy()
    WaveformCopies(**VALUES)(wave, utterance="a")
    np.testing.assert_array_equal(wave, before)


def test_noise_has_sigma_and_depends_on_seed_and_utterance():
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
@pytest.mark.parametrize("steps", [pytest.param(3, marks=pytest.mark.slow), -3])
def test_native_pitch_matches_torchaudio_on_ravdess(ravdess_root, steps):
    """The tolerance allows for torchaudio's filters for 3 semitones, which are off by -70 dB in single precision."""
    from ser_lightning.audio.audio import Audio

    audio = Audio(
        sampling_rate=16000, downmix="mean", resampler="soxr", vad_mode=2, frame_ms=20, offset_s=None, duration_s=None
    )
    values = VALUES | {"noise_sigma": None, "pitch_steps": [steps]}
    native, reference = (WaveformCopies(**values, backend=backend) for backend in ("native", "torchaudio"))
    for path in sorted(ravdess_root.rglob("*-01.flac"))[:60:20]:
        wave = audio.load(path).wave
        (ours,), (theirs,) = (copies(wave, utterance="a").values() for copies in (native, reference))
        assert decibels(ours, theirs) < -60
