import math

import numpy as np
import pytest

from ser_lightning import metrics
from ser_lightning.metrics import mean_ratio
from ser_lightning.report.bootstrap import cluster_interval, mean_interval

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
