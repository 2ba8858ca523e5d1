"""Bootstrap over clusters, and the coverage of all intervals on simulated sweeps without a difference."""

import math

import numpy as np
import pytest

from ser_lightning import metrics
from ser_lightning.metrics import mean_ratio
from ser_lightning.report.bootstrap import cluster_interval, mean_interval
from ser_lightning.report.statistics import paired_difference, permutation_p, wilcoxon_p

METRICS = {name: metric.compute for name, metric in metrics.METRICS.items() if metric.sums is not None}


def parts(confusion: np.ndarray, name: str) -> np.ndarray:
    return metrics.METRICS[name].sums(confusion)


def confusions(seed: int, clusters: int) -> np.ndarray:
    """Return random confusion matrices in which some clusters lack some classes."""
    return np.random.default_rng(seed).poisson(0.5, (clusters, 4, 4)).astype(float) + np.eye(4)[0, 0] * np.eye(4, k=1)


@pytest.mark.parametrize("metric", METRICS)
def test_mean_ratio_of_summed_parts_equals_metric(metric: str) -> None:
    many = confusions(0, 50)

    found = mean_ratio(parts(many, metric))

    assert found == pytest.approx([METRICS[metric](each.astype(int)) for each in many])
    assert mean_ratio(parts(many, metric).sum(axis=0)) == pytest.approx(METRICS[metric](many.sum(axis=0).astype(int)))


@pytest.mark.parametrize("metric", METRICS)
def test_cluster_interval_matches_naive_implementation(metric: str) -> None:
    clusters, draws = 8, 300
    arm, baseline = confusions(1, clusters), confusions(2, clusters)

    def difference(chosen: list[int]) -> float:
        one, other = (sum(side[number] for number in chosen).astype(int) for side in (arm, baseline))
        return METRICS[metric](one) - METRICS[metric](other)

    def error(chosen: list[int]) -> float:
        values = [difference(chosen[:place] + chosen[place + 1 :]) for place in range(clusters)]
        return math.sqrt((clusters - 1) / clusters * sum((value - np.mean(values)) ** 2 for value in values))

    everyone = list(range(clusters))
    drawn = np.random.default_rng(0).multinomial(clusters, np.full(clusters, 1 / clusters), draws)
    ratios = []
    for weights in drawn:
        chosen = np.repeat(everyone, weights).tolist()
        spread = error(chosen)
        ratios.append(abs(difference(chosen) - difference(everyone)) / spread if spread > 1e-12 else math.inf)
    half = sorted(ratios)[math.ceil(0.95 * (draws + 1)) - 1] * error(everyone)

    found = cluster_interval(parts(arm, metric), parts(baseline, metric), draws=draws)

    assert found.mean == pytest.approx(difference(everyone))
    assert found.interval == pytest.approx((found.mean - half, found.mean + half))
    assert found.clusters == clusters


def test_cluster_interval_does_not_depend_on_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    arm, baseline = (parts(confusions(seed, 8), "uar") for seed in (1, 2))
    whole = cluster_interval(arm, baseline)

    monkeypatch.setattr("ser_lightning.report.bootstrap.CELLS", 1000)

    assert cluster_interval(arm, baseline, draws=500) == cluster_interval(arm, baseline, draws=500)
    assert whole.interval == pytest.approx(cluster_interval(arm, baseline).interval)


def test_mean_interval_is_close_to_student_t_for_large_sample() -> None:
    values = np.random.default_rng(0).normal(3, 2, 60)

    found = mean_interval(values)

    half = 2.001 * values.std(ddof=1) / math.sqrt(60)
    assert found.mean == pytest.approx(values.mean())
    assert found.interval == pytest.approx((found.mean - half, found.mean + half), abs=0.05)
    assert mean_interval(values) == found
    assert mean_interval(values, seed=1) != found


@pytest.mark.parametrize(
    ("values", "why"),
    [([1.0], "fewer than 8"), ([1.0, 2.0, 4.0], "fewer than 8"), ([2.0] * 8, "all are equal")],
)
def test_missing_interval_has_a_reason(values: list[float], why: str) -> None:
    found = mean_interval(np.array(values))

    assert (found.mean, found.interval) == (pytest.approx(np.mean(values)), None)
    assert found.why_no_interval == why


def test_no_interval_if_too_many_draws_have_no_spread() -> None:
    # Seven of the eight clusters are equal: a third of the draws omit the eighth and have no spread.
    found = mean_interval(np.array([0.0] * 7 + [1.0]))

    assert found.interval is None
    assert found.why_no_interval == "too many draws have no spread"


SWEEPS = 1000
CLIPS, SPEAKERS = 360, 24


def null_accuracies(seeds: int) -> np.ndarray:
    """Simulate accuracies (%) of two equally good arms, with random clip difficulty and random run effects.

    Returns:
        (sweeps, seeds, 2)

    """
    generator = np.random.default_rng([1, seeds])
    difficulty = generator.normal(0, 1.5, CLIPS)
    luck = generator.normal(0.6, 0.12, (SWEEPS, seeds, 2, 1))
    correct = generator.random((SWEEPS, seeds, 2, CLIPS), np.float32) < 1 / (1 + np.exp(difficulty - luck))
    return 100 * correct.mean(axis=-1)


def null_speakers(speakers: int) -> np.ndarray:
    """Simulate counts of correct clips and of all clips, with a random arm effect per speaker of mean zero.

    Returns:
        (sweeps, arms, speakers, 2, 1)

    """
    generator = np.random.default_rng([2, speakers])
    skill = generator.normal(0.62, 0.08, (SWEEPS, 1, speakers))
    suits = generator.normal(0, 0.05, (SWEEPS, 1, speakers)) * np.array([-0.5, 0.5])[:, None]
    clips = np.broadcast_to(generator.integers(10, 21, (SWEEPS, 1, speakers)), (SWEEPS, 2, speakers))
    correct = generator.binomial(clips, np.clip(skill + suits, 0, 1))
    return np.stack([correct, clips], axis=-1)[..., None].astype(float)


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.slow
def test_paired_interval_has_nominal_coverage(seeds: int) -> None:
    covered = []
    for sweep in null_accuracies(seeds):
        found = paired_difference(*(dict(enumerate(arm.tolist())) for arm in sweep.T))
        # Equal differences at every seed give no interval, so zero is not excluded.
        covered.append(not found.excludes_zero)

    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("speakers", [8, SPEAKERS])
@pytest.mark.slow
def test_speaker_interval_has_nominal_coverage(speakers: int) -> None:
    covered = []
    for arm, baseline in null_speakers(speakers):
        low, high = cluster_interval(arm, baseline, draws=999).interval
        covered.append(low <= 0 <= high)

    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.slow
def test_pair_bootstrap_has_nominal_coverage() -> None:
    covered = []
    for sweep in null_accuracies(10):
        low, high = mean_interval(sweep[:, 0] - sweep[:, 1], draws=999).interval
        covered.append(low <= 0 <= high)

    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.slow
def test_paired_tests_have_nominal_false_positive_rate() -> None:
    differences = [sweep[:, 0] - sweep[:, 1] for sweep in null_accuracies(8)]

    for test in (permutation_p, wilcoxon_p):
        assert 0.02 <= np.mean([test(each) <= 0.05 for each in differences]) <= 0.06
