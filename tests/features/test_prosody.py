"""Tests of MFCC, ZCR and energy against librosa, and of pitch and formants against Praat and synthetic voices."""

import librosa
import numpy as np
import parselmouth
import pytest
import scipy.signal
from parselmouth.praat import call
from tests.configs import composed
from tests.features.waves import RATE, WAVES

from ser_lightning.build import build
from ser_lightning.features import praat
from ser_lightning.features.prosody import Prosody, summarize_finite

ANALYSIS = {"time_step": 0.01, "pitch_floor": 75.0, "pitch_ceiling": 600.0}
ANALYSIS |= {"n_formants": 3, "max_formants": 5, "formant_ceiling": 5500.0}


def voice(hertz, formants, seconds=1.0):
    """Return pulses that fall by 6 dB per octave, filtered by resonances of 80 Hz bandwidth, (samples,)."""
    wave = np.zeros(int(RATE * seconds))
    wave[:: RATE // hertz] = 1
    wave = scipy.signal.lfilter([1], [1, -0.97], wave)
    for formant in formants:
        pole = np.exp((-np.pi * 80 + 2j * np.pi * formant) / RATE)
        wave = scipy.signal.lfilter([1], np.poly([pole, pole.conj()]).real, wave)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def config():
    values = composed("features=prosody", "audio=untrimmed")["features"]
    return {key: value for key, value in values.items() if key[0] != "_"}


def named(wave, **change):
    features = Prosody(**config() | change)
    return dict(zip(features.names, features(wave)[0], strict=True))


@pytest.mark.parametrize(
    ("hertz", "formants"), [(125, (700, 1200, 2600, 3500, 4500)), (200, (300, 2200, 3000, 3900, 4900))]
)
def test_pitch_and_formants_of_synthetic_voice(hertz, formants):
    values = named(voice(hertz, formants))
    assert values["f0_median"] == pytest.approx(hertz, rel=0.01)
    assert values["f0_std"] < 2
    for n, formant in enumerate(formants[:3], start=1):
        assert values[f"f{n}_median"] == pytest.approx(formant, rel=0.05), n


def test_pitch_and_formants_match_praat():
    """Compare with Praat's scripting commands frame by frame."""
    wave = WAVES["vowel"] * np.hanning(RATE).astype(np.float32)
    found = praat.analyze(wave, sampling_rate=RATE, **ANALYSIS)
    sound = parselmouth.Sound(wave.astype(np.float64), RATE)
    pitch = call(sound, "To Pitch", 0.01, 75, 600)
    formant = call(sound, "To Formant (burg)", 0.01, 5, 5500, 0.025, 50)
    times = [call(pitch, "Get time from frame number", i + 1) for i in range(call(pitch, "Get number of frames"))]
    hertz = np.array([call(pitch, "Get value at time", time, "Hertz", "Linear") for time in times])
    voiced = np.isfinite(hertz)
    assert 50 < voiced.sum() < len(times) + 1
    np.testing.assert_allclose(found.pitch, hertz[voiced], rtol=1e-5)
    for n in (1, 2, 3):
        expected = [call(formant, "Get value at time", n, time, "Hertz", "Linear") for time in np.array(times)[voiced]]
        np.testing.assert_allclose(found.formants[n - 1], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["silence", "vowel", "clipped", "white_noise", "one_sample", "dc", "chirp"])
@pytest.mark.filterwarnings("ignore:n_fft=:UserWarning")  # from librosa, for waves shorter than a frame
def test_mfcc_zcr_and_energy_match_librosa(name):
    wave, values = WAVES[name], named(WAVES[name])
    frames = {"n_fft": 512, "hop_length": 160, "window": "hamming"}
    mfcc = librosa.feature.mfcc(y=wave, sr=RATE, n_mfcc=13, n_mels=40, **frames)
    zcr = librosa.feature.zero_crossing_rate(wave, frame_length=512, hop_length=160)
    rms = librosa.feature.rms(y=wave, frame_length=512, hop_length=160)
    energy = librosa.power_to_db(rms**2, ref=1.0, top_db=None)
    rows = dict(zip([*(f"mfcc_{i:02d}" for i in range(1, 14)), "zcr", "energy"], (*mfcc, *zcr, *energy), strict=True))
    for row, track in rows.items():
        for functional in config()["functionals"]:
            expected = getattr(np, functional)(track.astype(np.float64))
            assert values[f"{row}_{functional}"] == pytest.approx(expected, rel=1e-4, abs=2e-3), (row, functional)


@pytest.mark.parametrize("name", ["silence", "one_sample", "ten_samples", "dc"])
def test_pitch_and_formants_are_zero_without_voice(name):
    values = named(WAVES[name])
    silent = [name for name in values if name[:3] in {"f0_", "f1_", "f2_", "f3_"}]
    assert len(silent) == 4 * 5
    assert all(values[name] == 0 for name in silent)


@pytest.mark.parametrize("samples", [1, 2, 100, 639, 640, 641, 800, 801, 1000])
@pytest.mark.parametrize("change", [{}, {"pitch_floor": 30.0}, {"pitch_floor": 400.0}])
def test_very_short_clips_do_not_crash_praat(samples, change):
    """Given a single sample, Praat frees memory that it does not own and crashes the process."""
    wave = voice(125, (700, 1200, 2600, 3500, 4500))[3000 : 3000 + samples]
    found = praat.analyze(wave, sampling_rate=RATE, **ANALYSIS | change)
    assert found.formants.shape == (3, len(found.pitch))


def test_frames_without_formant_are_excluded():
    track, functionals = np.array([np.nan, 500, 700], np.float32), config()["functionals"]
    np.testing.assert_array_equal(summarize_finite(track, functionals), [600, 100, 500, 700, 600])
    np.testing.assert_array_equal(summarize_finite(track[:1], functionals), np.zeros(5))


def test_gain_does_not_change_pitch_formants_and_zcr():
    wave = voice(125, (700, 1200, 2600, 3500, 4500))
    loud, soft = named(wave), named(np.float32(0.5) * wave)
    for name, value in loud.items():
        if name[:2] in {"f0", "f1", "f2", "f3"} or name.startswith("zcr"):
            assert soft[name] == pytest.approx(value, rel=1e-4, abs=1e-3), name
    assert soft["energy_mean"] == pytest.approx(loud["energy_mean"] + 20 * np.log10(0.5), abs=1e-3)


@pytest.mark.real
def test_median_pitch_of_women_and_men_in_ravdess(ravdess_root):
    audio = build("audio", composed("audio=untrimmed")["audio"])
    pitches = {}
    for path in sorted(ravdess_root.rglob("03-01-01-01-01-01-*.flac")):
        pitches[int(path.stem[-2:])] = named(audio.load(path).wave)["f0_median"]
    assert len(pitches) == 24
    women, men = ([hertz for actor, hertz in pitches.items() if actor % 2 == odd] for odd in (0, 1))
    assert 160 < np.median(women) < 260
    assert 80 < np.median(men) < 150
