"""Simulated sweeps without a difference: how often an interval covers zero, how often a test finds something."""

import numpy as np
import pytest

from ser_lightning.report.bootstrap import cluster_interval, mean_interval
from ser_lightning.report.significance import permutation_p, wilcoxon_p
from ser_lightning.report.statistics import paired_difference

SWEEPS = 1000
CLIPS, SPEAKERS = 360, 24


def null_accuracies(seeds: int) -> np.ndarray:
    """(sweeps, seeds, 2) percent: two arms of one skill; clips of unequal difficulty, runs of unequal luck."""
    generator = np.random.default_rng([1, seeds])
    difficulty = generator.normal(0, 1.5, CLIPS)
    luck = generator.normal(0.6, 0.12, (SWEEPS, seeds, 2, 1))
    correct = generator.random((SWEEPS, seeds, 2, CLIPS), np.float32) < 1 / (1 + np.exp(difficulty - luck))
    return 100 * correct.mean(axis=-1)


def null_speakers(speakers: int) -> np.ndarray:
    """(sweeps, arms, speakers, 2, 1) correct and all clips: an arm may suit a speaker, but not speakers in general."""
    generator = np.random.default_rng([2, speakers])
    skill = generator.normal(0.62, 0.08, (SWEEPS, 1, speakers))
    suits = generator.normal(0, 0.05, (SWEEPS, 1, speakers)) * np.array([-0.5, 0.5])[:, None]
    clips = np.broadcast_to(generator.integers(10, 21, (SWEEPS, 1, speakers)), (SWEEPS, 2, speakers))
    correct = generator.binomial(clips, np.clip(skill + suits, 0, 1))
    return np.stack([correct, clips], axis=-1)[..., None].astype(float)


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_the_interval_of_the_answer_covers(seeds: int) -> None:
    covered = []
    for sweep in null_accuracies(seeds):
        found = paired_difference(*(dict(enumerate(arm.tolist())) for arm in sweep.T))
        # Equal differences at every seed give no interval, and claim nothing.
        covered.append(not found.excludes_zero)

    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("speakers", [8, SPEAKERS])
def test_the_interval_over_speakers_covers(speakers: int) -> None:
    covered = []
    for arm, baseline in null_speakers(speakers):
        low, high = cluster_interval(arm, baseline, draws=999).interval
        covered.append(low <= 0 <= high)

    assert 0.93 <= np.mean(covered) <= 0.97


def test_the_bootstrap_over_pairs_covers() -> None:
    covered = []
    for sweep in null_accuracies(10):
        low, high = mean_interval(sweep[:, 0] - sweep[:, 1], draws=999).interval
        covered.append(low <= 0 <= high)

    assert 0.93 <= np.mean(covered) <= 0.97


def test_tests_over_pairs_find_nothing_too_often() -> None:
    differences = [sweep[:, 0] - sweep[:, 1] for sweep in null_accuracies(8)]

    for test in (permutation_p, wilcoxon_p):
        assert 0.02 <= np.mean([test(each) <= 0.05 for each in differences]) <= 0.06
