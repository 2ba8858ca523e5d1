"""Coverage of the intervals and false positive rate of the tests on simulated sweeps without a difference."""

import numpy as np
import pytest

from ser_lightning.report.bootstrap import cluster_interval, mean_interval
from ser_lightning.report.significance import permutation_p, wilcoxon_p
from ser_lightning.report.statistics import paired_difference

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
