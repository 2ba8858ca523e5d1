import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from ser_lightning.report.clip_tests import cochran_q, mcnemar
from ser_lightning.report.statistics import (
    cliff_delta,
    cohen_d,
    holm,
    paired_difference,
    paired_power,
    pairs_needed,
    permutation_p,
    summarize,
    wilcoxon_p,
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


# Darwin's maize, crossed minus self-fertilized, in eighths of an inch: Fisher 1935, The Design of Experiments, table 3.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
# Hollander & Wolfe 1973, 29f.: depression before and after; R's ?wilcox.test.
BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
DEPRESSION = [one - other for one, other in zip(BEFORE, AFTER, strict=True)]
# Conover 1999, Practical Nonparametric Statistics, page 253: three sportsmen predict twelve games.
CONOVER = [
    *([1, 1, 1], [1, 1, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]),
    *([1, 1, 1], [1, 1, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1], [1, 1, 1]),
]


def test_permutation_matches_fisher_example() -> None:
    # "in 1,726 cases out of 32,768", section 21
    assert permutation_p(DARWIN) == 1726 / 32768


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-6, 6), min_size=2, max_size=8))
def test_permutation_matches_scipy(differences: list[int]) -> None:
    expected = stats.permutation_test(
        (np.array(differences, float),), np.mean, permutation_type="samples", n_resamples=np.inf
    )

    assert permutation_p(differences) == pytest.approx(expected.pvalue)


def test_permutation_of_many_pairs_is_sampled_deterministically() -> None:
    many = [*DARWIN, 31, -20, 14]

    found = permutation_p(many)

    assert found == permutation_p(many)
    signs = 1 - 2 * (np.arange(2**18)[:, None] >> np.arange(18) & 1)
    exact = np.mean(np.abs(signs @ np.array(many)) >= abs(sum(many)))
    assert found == pytest.approx(exact, abs=0.003)


def test_ties_ignore_rounding_errors() -> None:
    third = 100 * 120 / 360

    assert permutation_p([third, -100 / 3, 0.0]) == 1
    assert wilcoxon_p([third, 100 / 3, third]) == 0.25


def test_wilcoxon_matches_r_example() -> None:
    # R: wilcox.test(x, y, paired = TRUE, alternative = "greater"): V = 40, p-value = 0.01953; two-sided twice that
    assert wilcoxon_p(DEPRESSION) == pytest.approx(2 * 0.01953, abs=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12, unique=True), st.randoms(use_true_random=False))
def test_wilcoxon_without_ties_matches_scipy_exact(sizes: list[int], random) -> None:
    differences = [size * random.choice((-1, 1)) for size in sizes]

    assert wilcoxon_p(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


def test_wilcoxon_with_ties_and_zeros() -> None:
    # Without the zero: 1, 1, -1, 3 with ranks 2, 2, 2, 4; of 16 arrangements the signed sum is 6 or more away in
    # 10 (+-10: 2, +-6 by one of the 2s: 6, +-2: by two of the 2s or the 4 alone: 8).
    assert wilcoxon_p([0, 1, 1, -1, 3]) == (2 + 6) / 16
    assert wilcoxon_p([0.0, 0.0]) == 1
    assert wilcoxon_p([]) is permutation_p([]) is None


def test_mcnemar_matches_hand_computed_values() -> None:
    # Agresti 1990, page 350: approval of the prime minister, 794, 150, 86, 570
    one, other = (
        np.repeat(answers, (794, 150, 86, 570)) for answers in ([True, True, False, False], [True, False] * 2)
    )
    found = mcnemar(one, other)
    assert found is not None
    assert found[:3] == (1600, 150, 86)
    assert found.p == pytest.approx(stats.chi2.sf((abs(150 - 86) - 1) ** 2 / (150 + 86), 1))
    assert found.p == pytest.approx(4.115e-05, abs=1e-8)

    few = mcnemar(np.arange(9) < 8, np.arange(9) == 8)  # 8 against 1: 2 (1 + 9) / 2^9
    assert few is not None
    assert few.p == pytest.approx(20 / 512)


def test_mcnemar_of_empty_and_equal_predictions() -> None:
    assert mcnemar(np.zeros(0, bool), np.zeros(0, bool)) is None
    same = mcnemar(np.ones(5, bool), np.ones(5, bool))
    assert same == (5, 0, 0, 1.0)
    balanced = mcnemar(np.arange(4) < 2, np.arange(4) >= 2)
    assert balanced is not None
    assert balanced.p == 1


def test_cochran_matches_conover_example() -> None:
    found = cochran_q(np.array(CONOVER, bool))

    assert found is not None
    assert (found.clips, found.df) == (12, 2)
    assert found.q == pytest.approx(2.8)
    assert found.p == pytest.approx(0.2466, abs=5e-5)


def test_cochran_of_two_arms_equals_uncorrected_mcnemar() -> None:
    generator = np.random.default_rng(0)
    correct = generator.random((200, 2)) < (0.6, 0.7)
    arm_only, baseline_only = (correct[:, 0] & ~correct[:, 1]).sum(), (correct[:, 1] & ~correct[:, 0]).sum()

    found = cochran_q(correct)

    assert found is not None
    assert found.q == pytest.approx((arm_only - baseline_only) ** 2 / (arm_only + baseline_only))
    assert cochran_q(np.ones((4, 3), bool)) is None


def test_holm_matches_hand_computed_values() -> None:
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    # R: p.adjust(c(0.005, 0.011, 0.02, 0.04, 0.13), "holm")
    assert holm([0.13, 0.005, 0.04, 0.011, 0.02]) == pytest.approx([0.13, 0.025, 0.08, 0.044, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([0.03]) == [0.03]
    assert holm([None, 0.03, 0.01, None]) == [None, pytest.approx(0.03), pytest.approx(0.02), None]
    assert holm([]) == []
