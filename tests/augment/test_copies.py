"""Tests of augmented copies: speed, gain, noise, and the augmentations of the Kaggle notebooks."""

import librosa
import numpy as np
import pytest

from ser_lightning.augment.gain import GainCopies
from ser_lightning.augment.kaggle import KaggleCopies
from ser_lightning.augment.mixup import Mixup
from ser_lightning.augment.snr import NoiseCopies
from ser_lightning.augment.speed import MixedSpeedCopies, SpeedCopies
from ser_lightning.errors import InputError

RATE = 22050
KAGGLE = {
    **{"seed": 0, "noise_share": 0.035, "stretch_rate": 0.8, "pitch_steps": 0.7},
    **{"roll_samples": 5000},
}
MADE = {
    "speed": (SpeedCopies, {"factors": [0.9, 1.1]}, ("speed0.9", "speed1.1")),
    "gain": (GainCopies, {"decibels": [-6, 6]}, ("gain-6", "gain+6")),
    "snr": (NoiseCopies, {"seed": 0, "decibels": [20, 10]}, ("snr20", "snr10")),
    "kaggle": (KaggleCopies, KAGGLE, ("noise", "stretch_pitch", "roll")),
}


def tone(frequency: float = 440.0, n: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(n) / RATE)).astype(np.float32)


def peak(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * RATE / len(wave))


@pytest.mark.parametrize("option", MADE)
def test_copies_are_named_float32_and_do_not_modify_clip(option):
    cls, values, names = MADE[option]
    copies = cls(**values)
    wave = tone()
    before = wave.copy()
    wave.flags.writeable = False
    made = copies(wave, utterance="a")
    assert tuple(made) == copies.names == names
    assert {copy.dtype for copy in made.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(copy).all() and len(copy) and not np.shares_memory(copy, wave) for copy in made.values())
    assert all(len(copy) != len(wave) or not np.array_equal(copy, wave) for copy in made.values())
    np.testing.assert_array_equal(wave, before)


@pytest.mark.parametrize("option", MADE)
def test_copies_depend_only_on_seed_and_utterance(option):
    cls, values, _ = MADE[option]
    wave = tone()
    first = cls(**values)(wave, utterance="a")
    np.random.default_rng(1).standard_normal(10)  # unrelated draws must not matter
    cls(**values)(tone(220), utterance="b")
    for name, copy in cls(**values)(wave, utterance="a").items():
        np.testing.assert_array_equal(copy, first[name])
    others = [cls(**values)(wave, utterance="b")]
    if "seed" in values:
        others.append(cls(**values | {"seed": 1})(wave, utterance="a"))
    for other in others:
        unlike = {name for name, copy in other.items() if not np.array_equal(copy, first[name])}
        assert unlike == {"snr": {"snr20", "snr10"}, "kaggle": {"noise", "roll"}}.get(option, set())


@pytest.mark.parametrize("n", [1, 2, 100, 1000])
@pytest.mark.parametrize("option", MADE)
def test_very_short_and_silent_clips_are_augmented(option, n):
    cls, values, _ = MADE[option]
    for wave in (tone(n=n), np.zeros(n, np.float32)):
        assert all(len(copy) >= 1 and np.isfinite(copy).all() for copy in cls(**values)(wave, utterance="a").values())


def test_speed_scales_length_and_pitch_by_factor():
    for name, copy in SpeedCopies(factors=[0.9, 1.1, 2])(tone(), utterance="a").items():
        factor = float(name.removeprefix("speed"))
        assert len(copy) == pytest.approx(RATE / factor, abs=1)
        assert peak(copy) == pytest.approx(440 * factor, abs=1.5)


def test_gain_is_exact_and_does_not_clip():
    wave = 0.9 / 0.5 * tone()
    made = GainCopies(decibels=[-6, 6, 20])(wave, utterance="a")
    for name, copy in made.items():
        level = float(name.removeprefix("gain"))
        assert 10 * np.log10(np.mean(copy**2) / np.mean(wave**2)) == pytest.approx(level, abs=1e-5)
    assert made["gain+20"].max() > 8


@pytest.mark.parametrize("level", [1.0, 1e-3])
def test_noise_has_requested_snr_and_is_white(level):
    wave = level * tone()
    for name, copy in NoiseCopies(seed=0, decibels=[20, 10, 0, -5])(wave, utterance="a").items():
        noise = copy.astype(np.float64) - wave
        ratio = 10 * np.log10(np.mean(wave.astype(np.float64) ** 2) / np.mean(noise**2))
        assert ratio == pytest.approx(float(name.removeprefix("snr")), abs=1e-3)
        spectrum = np.abs(np.fft.rfft(noise)) ** 2  # white: equal power in each quarter of the band
        quarters = [part.mean() for part in np.array_split(spectrum, 4)]
        assert max(quarters) < 1.2 * min(quarters)


def test_noise_is_not_added_to_digital_silence():
    assert not NoiseCopies(seed=0, decibels=[0])(np.zeros(1000, np.float32), utterance="a")["snr0"].any()


def test_kaggle_noise_and_roll_follow_notebook_distributions():
    rng = np.random.default_rng(0)
    wave = (tone(n=4000) * np.hanning(4000) + 1e-3 * rng.standard_normal(4000)).astype(np.float32)
    made = [KaggleCopies(**KAGGLE | {"roll_samples": 1000})(wave, utterance=f"{n}") for n in range(100)]
    shares = np.array([(copy["noise"] - wave).std() / wave.max() for copy in made]) / 0.035
    assert 0 < shares.min() < 0.05
    assert 0.95 < shares.max() < 1.05
    assert shares.mean() == pytest.approx(0.5, abs=0.09)  # uniform from 0 to 1
    rolls = [int(np.flatnonzero(copy["roll"] == wave[2000])[0]) - 2000 for copy in made]
    assert all(np.array_equal(np.roll(wave, roll), copy["roll"]) for roll, copy in zip(rolls, made, strict=True))
    assert -1000 <= min(rolls) < -900
    assert 900 < max(rolls) <= 1000
    assert abs(np.mean(rolls)) < 180


def test_kaggle_stretch_pitch_matches_librosa():
    wave = tone(n=22000)
    slower = librosa.effects.time_stretch(wave, rate=0.8)
    expected = librosa.effects.pitch_shift(slower, sr=RATE, n_steps=0.7)
    got = KaggleCopies(**KAGGLE)(wave, utterance="a")["stretch_pitch"]
    np.testing.assert_array_equal(got, expected)
    assert len(got) == 22000 / 0.8
    assert peak(got) == pytest.approx(440 * 2 ** (0.7 / 12), abs=3)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"noise_share": 0.1}, {"noise"}),
        ({"stretch_rate": 0.9}, {"stretch_pitch"}),
        ({"pitch_steps": 2.0}, {"stretch_pitch"}),
        ({"roll_samples": 100}, {"roll"}),
    ],
)
def test_every_kaggle_parameter_has_an_effect(change, names):
    one, two = (KaggleCopies(**KAGGLE | values)(tone(), utterance="a") for values in ({}, change))
    assert {name for name in one if not np.array_equal(one[name], two[name])} == names


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (SpeedCopies, {"factors": [1.0]}, r"augment\.factors is \[1\.0\]; expected distinct"),
        (SpeedCopies, {"factors": [1.1, 1.1]}, r"augment\.factors"),
        (SpeedCopies, {"factors": [-2]}, r"augment\.factors"),
        (GainCopies, {"decibels": [0]}, r"augment\.decibels is \[0\]"),
        (GainCopies, {"decibels": [float("inf")]}, r"augment\.decibels"),
        (NoiseCopies, {"seed": 0, "decibels": [5, 5]}, r"augment\.decibels is \[5, 5\]"),
        (NoiseCopies, {"seed": 0, "decibels": [float("nan")]}, r"augment\.decibels"),
        (KaggleCopies, KAGGLE | {"noise_share": 0}, r"augment\.noise_share is 0"),
        (KaggleCopies, KAGGLE | {"stretch_rate": 0.0}, r"augment\.stretch_rate is 0"),
        (KaggleCopies, KAGGLE | {"pitch_steps": 99}, r"augment\.pitch_steps is 99"),
        (KaggleCopies, KAGGLE | {"roll_samples": 0}, r"augment\.roll_samples is 0; expected at least 1"),
    ],
)
def test_invalid_values_raise_input_error(cls, values, message):
    with pytest.raises(InputError, match=message):
        cls(**values)


def test_mixed_speed_copies_are_speed_copies_and_mixup():
    both = MixedSpeedCopies(factors=[0.9, 1.1], mixup=0.4)
    for name, copy in SpeedCopies(factors=[0.9, 1.1])(tone(), utterance="a").items():
        np.testing.assert_array_equal(both(tone(), utterance="a")[name], copy)
    lengths = np.array([6, 6, 4, 2])
    found, expected = (
        augment.draw(lengths, rows=3, generator=np.random.default_rng(1)) for augment in (both, Mixup(alpha=0.4))
    )
    np.testing.assert_array_equal(found.partners, expected.partners)
    np.testing.assert_array_equal(found.shares, expected.shares)
    with pytest.raises(InputError, match="alpha"):
        MixedSpeedCopies(factors=[0.9], mixup=0.0)
