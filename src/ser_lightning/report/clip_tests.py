"""Significance tests over clips, computed by statsmodels.

The tests treat every clip of every pair as an independent observation. This assumption is violated: clips of one
speaker are correlated, and with several seeds the same clip is counted once per seed. The p-values are therefore too
small to support claims about other speakers or clips. The report includes them because they are common in papers, and
states this limitation.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats import contingency_tables

FEW_DISCORDANT = 25  # below this number of discordant clips, McNemar's test is the exact binomial test


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


def mcnemar(arm: NDArray[np.bool_], baseline: NDArray[np.bool_]) -> McNemar | None:
    """Run McNemar's test of two arms on the same clips; return ``None`` without a clip.

    Args:
        arm: (N,), whether the arm classifies each clip correctly
        baseline: (N,), the same for the baseline

    Source: McNemar 1947, Psychometrika 12, 153-157.
    """
    if not arm.size:
        return None
    arm_only, baseline_only = int((arm & ~baseline).sum()), int((baseline & ~arm).sum())
    both, neither = int((arm & baseline).sum()), int((~arm & ~baseline).sum())
    exact = arm_only + baseline_only < FEW_DISCORDANT
    test = contingency_tables.mcnemar([[both, arm_only], [baseline_only, neither]], exact=exact, correction=True)
    return McNemar(clips=arm.size, arm_only=arm_only, baseline_only=baseline_only, p=min(1.0, float(test.pvalue)))


def cochran_q(correct: NDArray[np.bool_]) -> CochranQ | None:
    """Run Cochran's Q test of several arms on the same clips; return ``None`` if all arms agree on every clip.

    Args:
        correct: (N, arms), whether each arm classifies each clip correctly

    Source: Cochran 1950, Biometrika 37, 256-266.
    """
    right_arms = correct.sum(axis=1)
    if not ((right_arms > 0) & (right_arms < correct.shape[1])).any():
        return None
    test = contingency_tables.cochrans_q(correct.astype(int))
    return CochranQ(clips=len(correct), q=float(test.statistic), df=int(test.df), p=float(test.pvalue))
