"""Conditions of recording, as transformations of a waveform."""

import inspect
import math

import numpy as np
import pytest
import soundfile

from ser_lightning.build import build, check_values
from ser_lightning.config_files import config_folder
from ser_lightning.errors import InputError
from ser_lightning.measure_robustness import default_section, make_plan
from ser_lightning.robustness.channel import Band, Codec
from ser_lightning.robustness.condition import RecordingContext, power
from ser_lightning.robustness.level import Clipping, Gain
from ser_lightning.robustness.noise import Babble, RecordedNoise, WhiteNoise
from ser_lightning.robustness.room import RecordedRoom, SyntheticRoom
from ser_lightning.robustness.timing import Silence, Speed, Truncation

RATE = 16000
SECONDS = np.arange(RATE) / RATE


def tone(hz: float) -> np.ndarray:
    return (0.1 * np.sin(2 * np.pi * hz * SECONDS)).astype(np.float32)


def recording(seed: int = 0) -> RecordingContext:
    voices = [tone(300), tone(500)[: RATE // 2]]
    return RecordingContext(RATE, np.random.default_rng(seed), lambda count: [voices[n % 2] for n in range(count)])


def level_db(wave: np.ndarray, hz: float) -> float:
    """Return the level of a wave at a frequency relative to a tone of amplitude 0.1."""
    return 20 * math.log10(abs(2 * np.mean(wave * np.exp(-2j * np.pi * hz * SECONDS))) / 0.1 + 1e-12)


@pytest.fixture(scope="module")
def conditions(tmp_path_factory) -> dict:
    """All conditions of the config, with folders of sound."""
    folder = tmp_path_factory.mktemp("sound")
    response = np.zeros(4000)
    response[[500, 900]] = 1, 0.5
    soundfile.write(folder / "response.wav", response, 8000)
    section = default_section()
    for name in ("noise", "recorded_room"):
        section["conditions"][name]["folder"] = str(folder)
    return make_plan(section, only=[], trust=[]).conditions


def test_every_condition_changes_the_wave_and_is_reproducible(conditions):
    wave = tone(440) + tone(3000) + 0.01 * tone(7500)
    original = wave.copy()
    assert len(conditions) == 18
    for name, condition in conditions.items():
        assert condition.missing == "", name
        level = condition.levels[-1]
        found = condition(wave, level, recording())
        assert found.dtype == np.float32, name
        assert found.ndim == 1, name
        assert np.isfinite(found).all(), name
        np.testing.assert_array_equal(wave, original, err_msg=name)
        np.testing.assert_array_equal(condition(wave, level, recording()), found, err_msg=name)
        assert len(found) != len(wave) or np.abs(found - wave).max() > 1e-4, name


def test_every_condition_accepts_silence_and_a_single_sample(conditions):
    for name, condition in conditions.items():
        for wave in (np.zeros(RATE, np.float32), np.full(1, 0.1, np.float32)):
            found = condition(wave, condition.levels[-1], recording())
            assert len(found) > 0, name
            assert np.isfinite(found).all(), name


def test_every_key_of_the_config_has_a_comment_and_no_class_has_defaults():
    lines = (config_folder() / "robustness.yaml").read_text(encoding="utf-8").splitlines()
    values = [line for line in lines if line.startswith("    ") and "_target_" not in line]
    assert all("#" in line or line.strip().startswith("codec:") for line in values)
    for name, section in default_section()["conditions"].items():
        cls = type(build(f"robustness.conditions.{name}", section))
        check_values(name, cls, section, {})
        parameters = inspect.signature(cls).parameters.values()
        assert all(p.default is p.empty and p.kind is p.KEYWORD_ONLY for p in parameters), name


@pytest.mark.parametrize(
    "condition", [WhiteNoise(levels=[10]), Babble(levels=[10], talkers=3)], ids=["white", "babble"]
)
def test_noise_has_the_signal_to_noise_ratio(condition):
    wave = tone(440)
    for snr in (20, 0, -5):
        noise = condition(wave, snr, recording()) - wave
        assert 10 * math.log10(power(wave) / power(noise)) == pytest.approx(snr, abs=0.01)


def test_recorded_noise_and_rooms_are_of_the_folder(tmp_path):
    soundfile.write(tmp_path / "hum.wav", tone(100), RATE)
    noise = RecordedNoise(levels=[0], folder=str(tmp_path))(tone(440), 0, recording()) - tone(440)
    assert level_db(noise, 100) == pytest.approx(0, abs=0.1)
    assert level_db(noise, 440) < -60
    response = np.zeros(1000)
    response[[100, 500]] = 1, 0.5
    (tmp_path / "rooms").mkdir()
    soundfile.write(tmp_path / "rooms" / "echo.wav", response, RATE)
    click = np.zeros(RATE, np.float32)
    click[200] = 0.5
    wet = RecordedRoom(levels=[100], folder=str(tmp_path / "rooms"))(click, 100, recording())
    assert list(np.flatnonzero(np.abs(wet) > 0.01)) == [200, 600]  # without the delay of the direct sound
    assert wet[600] / wet[200] == pytest.approx(0.5, abs=0.01)
    for kind, option in ((RecordedNoise, "--noise"), (RecordedRoom, "--rooms")):
        assert option in kind(levels=[100], folder=None).missing
        with pytest.raises(InputError, match="does not exist"):
            kind(levels=[100], folder=str(tmp_path / "nothing"))
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="contains no audio file"):
            kind(levels=[100], folder=str(tmp_path / "empty"))


def test_gain_is_that_of_a_16_bit_recorder():
    quiet = Gain(levels=[-40])(tone(440), -40, recording())
    assert level_db(quiet, 440) == pytest.approx(-40, abs=0.1)
    assert len(np.unique(quiet)) < 70  # steps of 16 bits
    assert np.abs(Gain(levels=[40])(tone(440), 40, recording())).max() <= 1
    clipped = Clipping(levels=[20])(tone(440), 20, recording())
    assert np.mean(np.abs(clipped) >= np.abs(clipped).max() - 1e-7) == pytest.approx(0.2, abs=0.02)


def test_bands_and_codecs_remove_high_frequencies():
    telephone = Band(levels=[3400], low_hz=300, order=8)
    levels = {hz: level_db(telephone(tone(hz), 3400, recording()), hz) for hz in (100, 1000, 3400, 6000)}
    assert levels[100] < -40
    assert levels[1000] == pytest.approx(0, abs=0.5)
    assert levels[3400] == pytest.approx(-3, abs=0.5)
    assert levels[6000] < -40
    np.testing.assert_array_equal(Band(levels=[8000], low_hz=None, order=8)(tone(440), 8000, recording()), tone(440))
    for codec, level in (("mu-law", 64), ("gsm", 13), ("mp3", 32), ("opus", 16)):
        condition = Codec(levels=[level], codec=codec)
        if not condition.missing:
            found = condition(tone(1000), level, recording())
            assert len(found) == RATE
            assert level_db(found, 1000) == pytest.approx(0, abs=1.5), codec
    narrow = Codec(levels=[64], codec="mu-law")(tone(6000), 64, recording())
    assert level_db(narrow, 6000) < -40


def test_synthetic_room_decays_by_60_db_in_its_reverberation_time():
    click = np.zeros(2 * RATE, np.float32)
    click[0] = 1
    wet = SyntheticRoom(levels=[0.5], direct_db=0)(click, 0.5, recording()).astype(float)
    early, late = (np.mean(wet[start : start + 800] ** 2) for start in (800, 4800))  # 0.25 s apart
    assert 10 * math.log10(early / late) == pytest.approx(30, abs=3)
    assert wet[0] ** 2 == pytest.approx(np.sum(wet[1:] ** 2), rel=0.1)
    assert power(wet) == pytest.approx(power(click), rel=1e-4)


def test_timing_changes_the_length():
    wave = tone(440)
    assert len(Speed(levels=[1.25])(wave, 1.25, recording())) == pytest.approx(RATE / 1.25, abs=2)
    silent = Silence(levels=[0.5], noise_db=-70)(wave, 0.5, recording())
    assert len(silent) == 2 * RATE
    np.testing.assert_array_equal(silent[RATE // 2 : -RATE // 2], wave)
    assert 10 * math.log10(power(silent[: RATE // 2])) == pytest.approx(-70, abs=0.5)
    np.testing.assert_array_equal(Truncation(levels=[0.5])(wave, 0.5, recording()), wave[RATE // 4 : -RATE // 4])
    np.testing.assert_array_equal(Truncation(levels=[3])(wave, 3, recording()), wave)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WhiteNoise(levels=[]), "levels of WhiteNoise"),
        (lambda: WhiteNoise(levels=[10, 10]), "distinct"),
        (lambda: WhiteNoise(levels=[math.nan]), "numbers from -200 to 200"),
        (lambda: Babble(levels=[10], talkers=0), "talkers"),
        (lambda: Codec(levels=[32], codec="gsm"), "numbers from 13 to 13"),
        (lambda: Band(levels=[200], low_hz=300, order=8), "numbers from 301"),
        (lambda: Speed(levels=[0]), "levels of Speed"),
    ],
)
def test_impossible_values_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
