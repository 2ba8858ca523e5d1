import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from ser_lightning.report.statistics import (
    cliff_delta,
    cohen_d,
    paired_difference,
    paired_power,
    pairs_needed,
    summarize,
    wilson,
)

numbers = st.lists(st.floats(0, 100), min_size=2, max_size=12)


@settings(deadline=None)  # the first call pays for imports
@given(numbers)
def test_summarize_matches_statistics_module(values: list[float]) -> None:
    found = summarize(values)

    assert found.n == len(values)
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert found.sd == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_summarize_of_one_or_no_value() -> None:
    assert summarize([3.0]).sd is None
    with pytest.raises(ValueError, match="at least one value"):
        summarize([])


def test_paired_interval_matches_hand_computed_values() -> None:
    # Differences 1, 2, 3, 4: mean 2.5, sd 1.29099, t(0.975, 3) = 3.18245 -> 2.5 -+ 2.05426
    found = paired_difference({0: 11, 1: 12, 2: 13, 3: 14}, dict.fromkeys(range(4), 10))

    assert found.mean == 2.5
    assert found.sd == pytest.approx(1.29099, abs=1e-5)
    assert found.interval == pytest.approx((0.44574, 4.55426), abs=1e-5)
    assert found.excludes_zero


@settings(deadline=None)  # the first call pays for imports
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=10))
def test_paired_interval_matches_scipy(pairs: list[tuple[float, float]]) -> None:
    arm, baseline = ({seed: pair[side] for seed, pair in enumerate(pairs)} for side in (0, 1))
    found = paired_difference(arm, baseline)

    if found.interval is None:
        assert found.sd == pytest.approx(0, abs=1e-8)
        return
    expected = stats.ttest_rel(list(arm.values()), list(baseline.values())).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_values_are_paired_by_seed() -> None:
    found = paired_difference({2: 30.0, 0: 10.0, 7: 99.0}, {0: 9.0, 2: 28.0, 5: 0.0})

    assert found.pairs == found.seeds == (0, 2)
    assert found.differences == (1.0, 2.0)


@pytest.mark.parametrize(
    ("arm", "mean", "why"),
    [
        ({5: 1.0}, None, "the arms share no seed"),
        ({0: 3.0}, 2.0, "one pair gives no interval"),
        ({0: 3.0, 1: 4.0, 2: 5.0}, 2.0, "all differences are equal"),
    ],
)
def test_missing_interval_has_a_reason(arm: dict[int, float], mean: float | None, why: str) -> None:
    found = paired_difference(arm, {0: 1.0, 1: 2.0, 2: 3.0})

    assert found.mean == mean
    assert found.interval is None
    assert not found.excludes_zero
    assert why in found.why_no_interval


# Student 1908, Biometrika 6: hours of sleep that two drugs add, of ten patients; R's data set sleep.
SLEEP = ([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_paired_difference_and_cohen_d_match_r_example() -> None:
    baseline, arm = (dict(enumerate(hours)) for hours in SLEEP)
    found = paired_difference(arm, baseline)

    # R: t.test(extra ~ group, paired = TRUE): t = 4.0621, df = 9, p-value = 0.002833, 0.7001142 to 2.4598858
    assert found.interval == pytest.approx((0.7001142, 2.4598858), abs=1e-7)
    assert found.p == pytest.approx(0.002833, abs=5e-7)
    assert cohen_d(found.differences) == pytest.approx(4.0621 / 10**0.5, abs=5e-5)


def test_values_are_paired_by_seed_and_fold() -> None:
    found = paired_difference({(0, "0"): 3.0, (0, "1"): 5.0, (1, "0"): 9.0}, {(0, "1"): 4.0, (0, "0"): 1.0})

    assert found.pairs == ((0, "0"), (0, "1"))
    assert found.seeds == (0, 0)
    assert found.differences == (2.0, 1.0)


def test_cohen_d_is_none_without_spread() -> None:
    assert cohen_d([2.0]) is None
    assert cohen_d([2.0, 2.0]) is None


def test_cliff_delta_matches_published_example() -> None:
    # The example of R's effsize::cliff.delta: delta estimate -0.25
    treatment, control = [10, 10, 20, 20, 20, 30, 30, 30, 40, 50], [10, 20, 30, 40, 40, 50]

    assert cliff_delta(treatment, control) == pytest.approx(-0.25)
    assert cliff_delta([1.0, 2.0], [0.0]) == 1
    assert cliff_delta([100 / 3], [100 * 120 / 360]) == 0
    assert cliff_delta([], [1.0]) is None


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_pairs_needed_matches_published_values(effect: float, pairs: int) -> None:
    # G*Power 3.1, and R's pwr.t.test(d, power = 0.8, type = "paired"): n = 198.15, 33.37, 14.30
    assert pairs_needed(1.0, effect) == pairs


@settings(deadline=None)
@given(st.integers(2, 300), st.floats(0.05, 1.5))
def test_power_matches_statsmodels(pairs: int, effect: float) -> None:
    expected = TTestPower().power(effect, pairs, 0.05)

    # statsmodels returns NaN where the noncentral t distribution fails.
    assume(not math.isnan(expected))
    assert paired_power(pairs, 1.0, effect) == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 1000), st.floats(0.001, 100))
def test_power_matches_numerical_integration(pairs: int, effect: float) -> None:
    edge = stats.t.ppf(0.975, pairs - 1)
    spread = np.sqrt(stats.chi2.ppf((np.arange(20_000) + 0.5) / 20_000, pairs - 1) / (pairs - 1))
    shift = math.sqrt(pairs) * effect
    expected = np.mean(stats.norm.sf(edge * spread - shift) + stats.norm.cdf(-edge * spread - shift))

    assert paired_power(pairs, 1.0, effect) == pytest.approx(expected, abs=1e-5)


@settings(deadline=None)
@given(st.floats(0.001, 30), st.sampled_from([1, 2, 5]))
def test_pairs_needed_is_minimal(sd: float, points: int) -> None:
    needed = pairs_needed(sd, points)

    assert paired_power(needed, sd, points) >= 0.8
    assert needed == 2 or paired_power(needed - 1, sd, points) < 0.8


@pytest.mark.parametrize("values", [(0.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_pairs_needed_without_spread_or_effect_raises(values: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="above zero but got"):
        pairs_needed(*values)


def test_wilson_matches_published_examples() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson(234, 360) == pytest.approx((0.599, 0.697), abs=5e-4)


@settings(deadline=None)  # the first call pays for imports
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_matches_scipy(trial: tuple[int, int]) -> None:
    expected = stats.binomtest(*trial).proportion_ci(0.95, method="wilson")

    assert wilson(*trial) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("trial", [(0, 0), (3, 2), (-1, 4)])
def test_wilson_of_invalid_counts_raises(trial: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"but got {trial[0]} of {trial[1]}"):
        wilson(*trial)
