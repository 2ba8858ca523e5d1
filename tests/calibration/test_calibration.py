"""Temperature, measures, rejection and prediction sets on simulated scores."""

import itertools
import json

import numpy as np
import pytest
from scipy.stats import binom

from ser_lightning.calibration import calibration, measures
from ser_lightning.calibration.calibration import (
    SHARES,
    Calibration,
    describe_subset,
    fit_calibration,
    least_probability,
    prediction_sets,
    unsure,
)
from ser_lightning.calibration.measures import brier_score, curve_of, measure, reliability, risk_coverage
from ser_lightning.calibration.temperature import fit_temperature, log_probabilities, probabilities
from ser_lightning.errors import InputError

CLASSES = 8


def simulated(clips: int, *, temperature: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are calibrated when they are divided by the temperature, and classes drawn from them."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=2, size=(clips, CLASSES))
    drawn = probabilities(logits).cumsum(axis=1) > generator.uniform(size=(clips, 1))
    return logits * temperature, drawn.argmax(axis=1)


def test_probabilities_are_softmax_of_scaled_logits():
    logits = np.array([[1000.0, 0.0, -1000.0], [1.0, 2.0, 3.0]], np.float32)
    found = probabilities(logits, 2)
    np.testing.assert_allclose(found[1], np.exp([0.5, 1, 1.5]) / np.exp([0.5, 1, 1.5]).sum(), rtol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(log_probabilities(logits, 2)), found)
    assert log_probabilities(logits)[0, 2] == -2000
    np.testing.assert_array_equal(probabilities(logits, None), probabilities(logits, 1))


@pytest.mark.parametrize("temperature", [0.4, 1, 3])
def test_known_temperature_is_found_again(temperature):
    logits, target = simulated(20_000, temperature=temperature)
    assert fit_temperature(logits, target) == pytest.approx(temperature, rel=0.05)
    assert measure(logits, target, temperature)["ece"] < 0.015
    if temperature != 1:
        assert measure(logits, target)["ece"] > 0.05
        assert measure(logits, target)["nll"] > measure(logits, target, temperature)["nll"]


def test_temperature_ignores_clips_of_unknown_classes():
    logits, target = simulated(5000, temperature=2)
    known = target != 0
    logits[:, 0] = -np.inf
    assert fit_temperature(logits, target) == fit_temperature(logits[known], target[known])
    assert fit_temperature(logits[~known], target[~known]) == 1


def test_temperature_stays_one_if_all_clips_are_correct():
    logits = np.eye(CLASSES)
    assert fit_calibration(logits, np.arange(CLASSES)).temperature == 1
    assert fit_calibration(logits, np.arange(CLASSES)[::-1]).temperature > 1


def test_measures_of_a_small_example():
    found = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    target = np.array([0, 1, 1, 1])
    table = reliability(found, target, bins=2)
    assert table.clips == [2, 2]
    np.testing.assert_allclose(table.confidence, [0.65, 0.85])
    assert table.accuracy == [1.0, 0.5]
    assert table.error == pytest.approx(0.35)
    assert brier_score(found, target) == pytest.approx((0.02 + 1.28 + 0.32 + 0.18) / 4)
    curve = curve_of(found, target)
    np.testing.assert_allclose(curve.risk, [0, 1 / 2, 1 / 3, 1 / 4])
    assert curve.area == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_order_of_equally_certain_clips_does_not_matter():
    one = risk_coverage(np.array([0.5, 0.5, 0.9]), np.array([True, False, True]))
    other = risk_coverage(np.array([0.5, 0.9, 0.5]), np.array([False, True, True]))
    np.testing.assert_allclose(one.risk, [0, 0.25, 1 / 3])
    np.testing.assert_array_equal(one.risk, other.risk)


def test_risk_falls_with_every_rejected_share():
    curve = curve_of(probabilities(simulated(20_000)[0]), simulated(20_000)[1])
    errors = curve.risk[[len(curve.risk) - 1 - int(share * len(curve.risk)) for share in np.linspace(0, 0.9, 10)]]
    assert all(after < before - 0.01 for before, after in itertools.pairwise(errors))
    thin = measures.thinned(curve)
    assert len(thin["risk"]) == 51
    assert thin["coverage"][-1] == 1
    assert thin["risk"][-1] == curve.risk[-1]


@pytest.mark.parametrize("clips", [60, 250, 1000])
def test_sets_cover_exchangeable_clips(clips):
    """Over many draws the mean coverage lies between 0.9 and 0.9 + 1 / (n + 1)."""
    draws, hits, total = 200, 0, 0
    for seed in range(draws):
        logits, target = simulated(clips + 500, temperature=2, seed=seed)
        found = probabilities(logits)
        bound = least_probability(found[:clips], target[:clips], coverage=0.9)
        sets = prediction_sets(found[clips:], bound)
        hits += int(sets[np.arange(500), target[clips:]].sum())
        total += 500
    # The clips of one draw share its bound, whose own deviation is that of `clips` clips.
    effective = draws * clips * 500 / (clips + 500)
    low, high = (value / effective for value in binom.interval(0.999, round(effective), 0.9))
    assert low <= hits / total <= high + 1 / (clips + 1)


def test_rejected_share_is_that_of_the_validation_clips():
    logits, target = simulated(4000, temperature=3, seed=1)
    fitted = fit_calibration(logits[:2000], target[:2000])
    found = probabilities(logits[2000:], fitted.temperature)
    for share in (0.1, 0.25, 0.5):
        rejected = int(unsure(found, fitted.threshold(share)).sum())
        # Both halves deviate from the true quantile.
        low, high = np.array(binom.interval(0.999, 1000, share)) * 2
        assert low <= rejected <= high
    assert fitted.threshold(0) == 0


def test_sets_hold_the_answer_and_few_clips_give_full_sets():
    found = probabilities(np.array([[0.0, 1.0, 5.0]]))
    assert prediction_sets(found, 0.999).tolist() == [[False, False, True]]
    assert prediction_sets(found, 0.0).all()
    logits, target = simulated(8)
    assert fit_calibration(logits, target).least_probability == 0
    assert least_probability(np.array([[0.2, 0.8], [0.9, 0.1], [0.6, 0.4]]), np.array([1, 0, 0]), coverage=0.75) == 0.6


def test_calibration_is_stored_as_plain_values():
    fitted = fit_calibration(*simulated(300, temperature=2))
    again = Calibration.from_plain(json.loads(json.dumps(fitted.as_plain())))
    assert again.as_plain() == fitted.as_plain()
    assert again.threshold(0.1) == fitted.confidences[2]
    assert len(fitted.confidences) == len(SHARES)
    assert fitted.coverage == calibration.COVERAGE


@pytest.mark.parametrize(
    "damage",
    [
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": None},
        {"confidences": [0.5]},
        {"confidences": [2.0] * 21},
        {"least_probability": -0.1},
        {"clips": "many"},
    ],
)
def test_damaged_calibration_is_refused(damage):
    plain = fit_calibration(*simulated(100)).as_plain()
    with pytest.raises(InputError, match="calibration is damaged"):
        Calibration.from_plain(plain | damage)
    with pytest.raises(InputError, match="calibration is damaged"):
        Calibration.from_plain([])


def test_description_of_a_subset():
    logits, target = simulated(3000, temperature=3)
    fitted = fit_calibration(logits[:1500], target[:1500])
    found = describe_subset(fitted, logits[1500:], target[1500:])
    json.dumps(found, allow_nan=False)
    assert found["after"]["ece"] < 0.04 < found["before"]["ece"]
    assert found["after"]["nll"] < found["before"]["nll"]
    assert found["reject"]["0"]["rejected"] == 0
    errors = [found["reject"][share]["error"] for share in ("0", "0.1", "0.2", "0.3")]
    assert errors == sorted(errors, reverse=True)
    assert 0.87 < found["sets"]["coverage"] < 0.93
    assert 1 <= found["sets"]["size"] <= CLASSES
    assert sum(found["reliability"]["after"]["clips"]) == 1500
