import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ser_lightning.report.statistics import paired_difference, summarize, wilson

numbers = st.lists(st.floats(0, 100), min_size=2, max_size=12)


@settings(deadline=None)  # the first call pays for imports
@given(numbers)
def test_summary_equals_the_statistics_module(values: list[float]) -> None:
    found = summarize(values)

    assert found.n == len(values)
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert found.sd == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_one_value_has_no_spread_and_none_no_summary() -> None:
    assert summarize([3.0]).sd is None
    with pytest.raises(ValueError, match="at least one value"):
        summarize([])


def test_paired_interval_by_hand() -> None:
    # Differences 1, 2, 3, 4: mean 2.5, sd 1.29099, t(0.975, 3) = 3.18245 -> 2.5 -+ 2.05426
    found = paired_difference({0: 11, 1: 12, 2: 13, 3: 14}, dict.fromkeys(range(4), 10))

    assert found.mean == 2.5
    assert found.sd == pytest.approx(1.29099, abs=1e-5)
    assert found.interval == pytest.approx((0.44574, 4.55426), abs=1e-5)
    assert found.excludes_zero


@settings(deadline=None)  # the first call pays for imports
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=10))
def test_paired_interval_equals_scipys(pairs: list[tuple[float, float]]) -> None:
    arm, baseline = ({seed: pair[side] for seed, pair in enumerate(pairs)} for side in (0, 1))
    found = paired_difference(arm, baseline)

    if found.interval is None:
        assert found.sd == pytest.approx(0, abs=1e-8)
        return
    expected = stats.ttest_rel(list(arm.values()), list(baseline.values())).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_pairs_are_made_by_seed_and_not_by_order() -> None:
    found = paired_difference({2: 30.0, 0: 10.0, 7: 99.0}, {0: 9.0, 2: 28.0, 5: 0.0})

    assert found.seeds == (0, 2)
    assert found.differences == (1.0, 2.0)


@pytest.mark.parametrize(
    ("arm", "mean", "why"),
    [
        ({5: 1.0}, None, "the arms share no seed"),
        ({0: 3.0}, 2.0, "one pair gives no interval"),
        ({0: 3.0, 1: 4.0, 2: 5.0}, 2.0, "all differences are equal"),
    ],
)
def test_no_interval_is_explained(arm: dict[int, float], mean: float | None, why: str) -> None:
    found = paired_difference(arm, {0: 1.0, 1: 2.0, 2: 3.0})

    assert found.mean == mean
    assert found.interval is None
    assert not found.excludes_zero
    assert why in found.why_no_interval


def test_wilson_equals_published_examples() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson(234, 360) == pytest.approx((0.599, 0.697), abs=5e-4)


@settings(deadline=None)  # the first call pays for imports
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipys(trial: tuple[int, int]) -> None:
    expected = stats.binomtest(*trial).proportion_ci(0.95, method="wilson")

    assert wilson(*trial) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("trial", [(0, 0), (3, 2), (-1, 4)])
def test_wilson_of_nonsense_raises(trial: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"but got {trial[0]} of {trial[1]}"):
        wilson(*trial)
