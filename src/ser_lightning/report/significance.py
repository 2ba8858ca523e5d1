"""Tests of a difference between arms, over pairs of runs and over pooled clips.

The tests over clips take every clip of every pair for an observation of its own. That it is not: the clips of one
speaker are alike, and with several seeds the same clip is counted once a seed. Their p-values are too small for a claim
about other speakers or clips; the report gives them because papers do, and says so.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

EXACT_PAIRS = 16  # all 2^16 sign patterns up to here, as many seeded draws of them beyond
FEW_DISCORDANT = 25  # below, McNemar's test is the exact binomial one
SEED = 0


class McNemar(NamedTuple):
    """McNemar's test.

    Args:
        clips: number of clips, counted once a pair
        arm_only: clips that only the arm recognised
        baseline_only: clips that only the baseline recognised
        p: two-sided; exact below 25 clips that differ, else chi-squared with continuity correction

    """

    clips: int
    arm_only: int
    baseline_only: int
    p: float


class CochranQ(NamedTuple):
    """Cochran's Q test.

    Args:
        clips: number of clips, counted once a seed
        q: the statistic
        df: its degrees of freedom, arms - 1
        p: from the chi-squared distribution

    """

    clips: int
    q: float
    df: int
    p: float


def permutation_p(differences: Sequence[float]) -> float | None:
    """Two-sided p of the permutation test of paired differences: the arms change places within pairs.

    Exact up to 16 pairs; beyond, of 65,536 seeded draws, the arrangement found counted among them. None without a pair.

    >>> permutation_p([1.0, 2.0, 3.0])  # of 8 arrangements, 2 are as far from zero
    0.25

    Source: Fisher 1935, The Design of Experiments, section 21.
    """
    # Rounded: differences of equal counts must not differ in the last digit of a float.
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
    """Two-sided p of Wilcoxon's signed-rank test: pairs without a difference are left out, tied ones share their ranks.

    The distribution is that of :func:`permutation_p` on the signed ranks, so it is exact with ties too. None without a
    pair; 1 if no pair differs.

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
    """McNemar's test of two arms on the same clips; None without a clip.

    Args:
        arm: (N,), whether the arm recognised each clip
        baseline: the same

    Source: McNemar 1947, Psychometrika 12, 153-157.
    """
    # Loads pandas, which takes a second: only a report needs it.
    from statsmodels.stats.contingency_tables import mcnemar as test

    if not arm.size:
        return None
    arm_only, baseline_only = int((arm & ~baseline).sum()), int((baseline & ~arm).sum())
    both, neither = int((arm & baseline).sum()), int((~arm & ~baseline).sum())
    exact = arm_only + baseline_only < FEW_DISCORDANT
    found = test([[both, arm_only], [baseline_only, neither]], exact=exact, correction=True)
    return McNemar(clips=arm.size, arm_only=arm_only, baseline_only=baseline_only, p=min(1.0, float(found.pvalue)))


def cochran_q(correct: NDArray[np.bool_]) -> CochranQ | None:
    """Cochran's Q test of several arms on the same clips; None where no clip tells the arms apart.

    Args:
        correct: (N, arms), whether each arm recognised each clip

    Source: Cochran 1950, Biometrika 37, 256-266.
    """
    from statsmodels.stats.contingency_tables import cochrans_q

    found = correct.sum(axis=1)
    if not ((found > 0) & (found < correct.shape[1])).any():
        return None
    test = cochrans_q(correct.astype(int))
    return CochranQ(clips=len(correct), q=float(test.statistic), df=int(test.df), p=float(test.pvalue))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted by Holm's step-down method for how many there are; a missing one stays missing.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    from statsmodels.stats.multitest import multipletests

    known = [number for number, p in enumerate(p_values) if p is not None]
    if len(known) < 2:  # nothing to adjust, and the library collects garbage at every call
        return list(p_values)
    adjusted = multipletests([p_values[number] for number in known], method="holm")[1]
    found: list[float | None] = [None] * len(p_values)
    for number, p in zip(known, adjusted, strict=True):
        found[number] = float(p)
    return found
