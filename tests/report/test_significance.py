import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ser_lightning.report.significance import cochran_q, holm, mcnemar, permutation_p, wilcoxon_p

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
