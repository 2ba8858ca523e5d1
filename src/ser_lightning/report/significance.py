"""Significance tests of a difference between arms, over pairs of runs and over pooled clips.

The tests over clips treat every clip of every pair as an independent observation. This assumption is violated: clips of
one speaker are correlated, and with several seeds the same clip is counted once per seed. The p-values are therefore
too small to support claims about other speakers or clips. The report includes them because they are common in papers,
and states this limitation.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

EXACT_PAIRS = 16  # up to here all 2^16 sign patterns are enumerated; beyond, as many random patterns are drawn
FEW_DISCORDANT = 25  # below this number of discordant clips, McNemar's test is the exact binomial test
SEED = 0


class McNemar(NamedTuple):
    """Result of McNemar's test.

    Args:
        clips: number of clips, counted once per pair
        arm_only: clips that only the arm classifies correctly
        baseline_only: clips that only the baseline classifies correctly
        p: two-sided; exact below 25 discordant clips, otherwise chi-squared with continuity correction

    """

    clips: int
    arm_only: int
    baseline_only: int
    p: float


class CochranQ(NamedTuple):
    """Result of Cochran's Q test.

    Args:
        clips: number of clips, counted once per seed (and fold)
        q: the statistic
        df: degrees of freedom, number of arms - 1
        p: from the chi-squared distribution

    """

    clips: int
    q: float
    df: int
    p: float


def permutation_p(differences: Sequence[float]) -> float | None:
    """Compute the two-sided p-value of the paired permutation test, which swaps the arms within pairs.

    Exact up to 16 pairs; beyond, estimated from 65,536 seeded draws that include the observed arrangement. Return
    ``None`` without a pair.

    >>> permutation_p([1.0, 2.0, 3.0])  # of 8 arrangements, 2 are as far from zero
    0.25

    Source: Fisher 1935, The Design of Experiments, section 21.
    """
    # Rounding makes differences of equal counts exactly equal despite floating-point error.
    values = np.round(np.asarray(differences, float), 9)
    if not values.size:
        return None
    if values.size <= EXACT_PAIRS:
        patterns = np.arange(2**values.size)[:, None] >> np.arange(values.size)
        signs = 1 - 2 * (patterns & 1)
    else:
        signs = np.random.default_rng(SEED).choice((-1, 1), (2**EXACT_PAIRS, values.size))
        signs[0] = 1
    sums = np.abs(signs @ values)
    return float(np.mean(sums >= np.abs(values.sum()) - 1e-9))


def wilcoxon_p(differences: Sequence[float]) -> float | None:
    """Compute the two-sided p-value of Wilcoxon's signed-rank test; zeros are dropped and ties share their mean rank.

    The distribution is that of :func:`permutation_p` on the signed ranks, so that it is exact with ties too (up to 16
    pairs). Return ``None`` without a pair, and 1 if no pair differs.

    >>> wilcoxon_p([0.0, 2.0, 3.0, 5.0])
    0.25

    Source: Wilcoxon 1945, Biometrics Bulletin 1, 80-83.
    """
    values = np.round(np.asarray(differences, float), 9)
    if not values.size:
        return None
    values = values[values != 0]
    return permutation_p(np.sign(values) * stats.rankdata(np.abs(values))) if values.size else 1.0


def mcnemar(arm: NDArray[np.bool_], baseline: NDArray[np.bool_]) -> McNemar | None:
    """Run McNemar's test of two arms on the same clips; return ``None`` without a clip.

    Args:
        arm: (N,), whether the arm classifies each clip correctly
        baseline: (N,), the same for the baseline

    Source: McNemar 1947, Psychometrika 12, 153-157.
    """
    # Imported here because it loads pandas, which takes a second and only a report needs.
    from statsmodels.stats.contingency_tables import mcnemar as test

    if not arm.size:
        return None
    arm_only, baseline_only = int((arm & ~baseline).sum()), int((baseline & ~arm).sum())
    both, neither = int((arm & baseline).sum()), int((~arm & ~baseline).sum())
    exact = arm_only + baseline_only < FEW_DISCORDANT
    found = test([[both, arm_only], [baseline_only, neither]], exact=exact, correction=True)
    return McNemar(clips=arm.size, arm_only=arm_only, baseline_only=baseline_only, p=min(1.0, float(found.pvalue)))


def cochran_q(correct: NDArray[np.bool_]) -> CochranQ | None:
    """Run Cochran's Q test of several arms on the same clips; return ``None`` if all arms agree on every clip.

    Args:
        correct: (N, arms), whether each arm classifies each clip correctly

    Source: Cochran 1950, Biometrika 37, 256-266.
    """
    from statsmodels.stats.contingency_tables import cochrans_q

    found = correct.sum(axis=1)
    if not ((found > 0) & (found < correct.shape[1])).any():
        return None
    test = cochrans_q(correct.astype(int))
    return CochranQ(clips=len(correct), q=float(test.statistic), df=int(test.df), p=float(test.pvalue))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values with Holm's step-down method for the number of values that are not ``None``.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    from statsmodels.stats.multitest import multipletests

    known = [number for number, p in enumerate(p_values) if p is not None]
    if len(known) < 2:  # nothing to adjust, and the library runs the garbage collector at every call
        return list(p_values)
    adjusted = multipletests([p_values[number] for number in known], method="holm")[1]
    found: list[float | None] = [None] * len(p_values)
    for number, p in zip(known, adjusted, strict=True):
        found[number] = float(p)
    return found
