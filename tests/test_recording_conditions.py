"""Conditions of recording, and recordings that are unlike the training clips."""

import json

import numpy as np
import pytest
import soxr

from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.errors import InputError
from ser_lightning.recording_conditions import (
    LOWEST_DB,
    Conditions,
    TrainingData,
    measure_conditions,
    summarize_conditions,
    unlike,
)

RATE = 16000
GOOD = Conditions(seconds=3.0, sampling_rate=48000, rms_db=-25.0, snr_db=30.0, highest_hz=7900.0)


@pytest.fixture(scope="module")
def training() -> TrainingData:
    """Clips of 2 to 4 s at -30 to -20 dBFS, recorded at 44.1 and 48 kHz, with all frequencies."""
    steps = np.linspace(0, 1, 101)
    return summarize_conditions(
        [
            Conditions(2 + 2 * x, (44100, 48000)[number % 2], -30 + 10 * x, 20 + 20 * x, 12000 + 4000 * x)
            for number, x in enumerate(steps)
        ],
        model_rate=RATE,
    )


def test_conditions_of_known_signals():
    generator = np.random.default_rng(0)
    noise = generator.standard_normal(2 * RATE).astype(np.float32)
    speech = 0.1 * noise * np.repeat(np.tile([0.01, 1], 20), 800)  # 26 dB: half of the time 40 dB louder
    found = measure_conditions(speech, RATE)
    assert found.seconds == 2
    assert found.rms_db == pytest.approx(-20 - 3, abs=0.3)
    assert found.snr_db == pytest.approx(37, abs=1)
    assert found.highest_hz == pytest.approx(RATE / 2, abs=100)
    telephone = soxr.resample(soxr.resample(noise, RATE, 8000, quality="HQ"), 8000, RATE, quality="HQ")
    assert measure_conditions(telephone, RATE).highest_hz == pytest.approx(4000, abs=300)
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    assert measure_conditions(tone, RATE).highest_hz == pytest.approx(1000, abs=100)


@pytest.mark.parametrize("samples", [1, 100, 5000])
def test_conditions_of_silence_and_short_recordings_are_finite(samples):
    found = measure_conditions(np.zeros(samples, np.float32), RATE)
    assert (found.rms_db, found.snr_db) == (LOWEST_DB, 0)
    assert np.isfinite(found).all()


def test_recordings_like_the_training_clips_have_no_warning(training):
    assert unlike(training, GOOD, whole=True) == ()
    assert unlike(training, GOOD._replace(sampling_rate=16000), whole=True) == ()
    assert unlike(training, GOOD._replace(highest_hz=20000.0, snr_db=70.0), whole=True) == ()


@pytest.mark.parametrize(
    ("changed", "warning"),
    [
        ({"seconds": 60.0}, "lasts 60.0 s, training clips 2.0 to 4.0 s"),
        ({"seconds": 1.0}, "lasts 1.0 s"),
        ({"rms_db": -55.0}, "level -55 dBFS, training clips -30 to -20 dBFS"),
        ({"rms_db": -3.0}, "level -3 dBFS"),
        ({"snr_db": 5.0}, "signal-to-noise ratio 5 dB, training clips 20 to 40 dB"),
        ({"highest_hz": 3400.0}, "no sound above 3.4 kHz, training clips up to 8.0 kHz or more"),
        ({"sampling_rate": 8000, "highest_hz": 3900.0}, "recorded at 8000 Hz, training clips at 44100 Hz or more"),
    ],
)
def test_each_unlike_condition_gives_one_warning(training, changed, warning):
    (found,) = unlike(training, GOOD._replace(**changed), whole=True)
    assert found.startswith(warning)


@pytest.mark.parametrize("changed", [{"snr_db": 5.0}, {"seconds": 1.0}, {"seconds": 60.0}])
def test_noise_and_length_of_a_part_are_not_compared(training, changed):
    assert unlike(training, GOOD._replace(**changed), whole=False) == ()


def test_training_data_is_stored_as_plain_values(training):
    plain = json.loads(json.dumps(training.as_plain()))
    assert TrainingData.from_plain(plain) == training
    assert plain["sampling_rates"] == {"44100": 51, "48000": 50}
    assert plain["quantiles"]["seconds"]["p50"] == 3
    for damaged in ({}, {**plain, "clips": "x"}, {**plain, "quantiles": {}}, {**plain, "sampling_rates": {}}, None):
        with pytest.raises(InputError, match="training data are damaged"):
            TrainingData.from_plain(damaged)


def test_checkpoints_of_a_run_hold_the_conditions_of_its_training_clips(trained):
    result = json.loads((trained / "result.json").read_text())
    for name in ("best", "last"):
        found = read_checkpoint(trained / "checkpoints" / f"{name}.ckpt").training_data
        assert found == TrainingData.from_plain(result["training_data"])
        assert found.clips == result["counts"]["train"]
        assert found.model_rate == 16000
        assert sum(found.sampling_rates.values()) == found.clips
