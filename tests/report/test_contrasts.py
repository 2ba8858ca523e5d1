from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.report.conftest import clip_names, edit, write_run, write_sweep

from ser_lightning.errors import InputError
from ser_lightning.report.arms import Comparison, compare_arms
from ser_lightning.report.contrasts import (
    TESTS,
    accuracy_by,
    cochran,
    contrasts,
    pooled_confusion,
    summary_over_seeds,
    summary_over_speakers,
    values_by_pair,
)
from ser_lightning.report.runs import HEADLINE, read_runs
from ser_lightning.report.statistics import holm, permutation_p, wilcoxon_p

pytestmark = pytest.mark.slow

UAR, TRAIN = "test/uar", "train/accuracy"


def compare(folder: Path) -> Comparison:
    runs, predictions, _ = read_runs(folder)
    return compare_arms(runs, predictions, arm="dropout")


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sweep with two arms, two seeds and six folds."""
    folder = tmp_path_factory.mktemp("folded")
    for arm in ("none", "p25"):
        for seed in range(2):
            for fold in range(6):
                write_run(folder, dropout=arm, seed=seed, fold=fold)
    return folder


def test_contrasts_of_two_arms(sweep: Path) -> None:
    comparison = compare(sweep)
    found = contrasts(comparison)["p25"]

    accuracy = found[HEADLINE]
    differences = accuracy.difference.differences
    assert accuracy.p["permutation"] == permutation_p(differences)
    assert accuracy.p["wilcoxon"] == wilcoxon_p(differences)
    assert accuracy.p == accuracy.p_holm  # a single comparison needs no adjustment
    clips = comparison.clips("test").pivot(index=["seed", "utterance"], columns="arm", values="correct")
    assert accuracy.mcnemar is not None
    assert accuracy.mcnemar[:3] == (3 * 360, (clips.p25 & ~clips.none).sum(), (clips.none & ~clips.p25).sum())
    speakers = accuracy.bootstrap_over_speakers
    assert speakers is not None
    assert speakers.clusters == 24
    # With the same clips at every seed, the pooled difference equals the mean over seeds.
    assert speakers.mean == pytest.approx(accuracy.difference.mean)
    assert found[UAR].bootstrap_over_speakers.mean == pytest.approx(found[UAR].difference.mean)
    low, high = speakers.interval
    assert low < speakers.mean < high
    assert found[UAR].mcnemar is None
    assert found[TRAIN].bootstrap_over_speakers is None  # there are no predictions for training clips
    assert accuracy.more_seeds(1) == accuracy.seeds_needed[1] - 3
    assert cochran(comparison) is None


def test_several_arms_use_holm_and_cochran(tmp_path: Path) -> None:
    write_sweep(tmp_path, arms=("none", "p10", "p25", "p50"), seeds=3)
    comparison = compare(tmp_path)
    found = contrasts(comparison)

    for test in TESTS:
        unadjusted = [found[arm][HEADLINE].p[test] for arm in ("p10", "p25", "p50")]
        assert [found[arm][HEADLINE].p_holm[test] for arm in ("p10", "p25", "p50")] == pytest.approx(holm(unadjusted))
    together = cochran(comparison)
    assert together is not None
    assert (together.clips, together.df) == (3 * 360, 3)
    # Cochran's Q only uses seeds that every arm has.
    (tmp_path / "dropout-p10/seed-1/result.json").unlink()
    assert cochran(compare(tmp_path)).clips == 2 * 360


def test_folds_are_paired_by_seed_and_fold(folded: Path) -> None:
    comparison = compare(folded)
    found = contrasts(comparison)["p25"][HEADLINE]

    assert comparison.folds == list("012345")
    assert comparison.nuisance == ["data.shuffle_seed", "seed", "split.fold"]
    assert found.difference.pairs == tuple((seed, fold) for seed in (0, 1) for fold in "012345")
    assert found.bootstrap_over_speakers.clusters == 24
    # One seed contributes one pair per fold.
    assert found.seeds_needed[1] == pytest.approx(7.85 * found.difference.sd**2 / 6, abs=1.5)


def test_seeds_with_missing_folds_are_excluded(folded: Path) -> None:
    comparison = compare(folded)
    runs = comparison.runs_of("none")
    values = np.array(list(values_by_pair(runs, UAR).values())).reshape(2, 6)

    complete = summary_over_seeds(comparison, "none", UAR)
    assert (complete.n, complete.mean) == (2, pytest.approx(values.mean()))
    assert complete.sd == pytest.approx(values.mean(axis=1).std(ddof=1))
    comparison.runs.loc[runs.index[-1], UAR] = np.nan
    fewer = summary_over_seeds(comparison, "none", UAR)
    assert (fewer.n, fewer.mean) == (1, pytest.approx(values[0].mean()))
    comparison.runs.loc[runs.index[0], UAR] = np.nan
    assert summary_over_seeds(comparison, "none", UAR) is None


def test_duplicate_fold_or_no_common_fold_raises(tmp_path: Path) -> None:
    write_run(tmp_path, dropout="none", seed=0, fold=0)
    write_run(tmp_path, dropout="p25", seed=0, fold=1)
    with pytest.raises(InputError, match="share no seed and fold, .* seed 0 and fold 0; p25 has seed 0 and fold 1"):
        compare(tmp_path)
    write_run(tmp_path / "again", dropout="p25", seed=0, fold=1)
    with pytest.raises(InputError, match="both have dropout=p25 and seed 0 and fold 1"):
        compare(tmp_path)


def test_no_clipwise_tests_for_arms_with_different_test_clips(sweep: Path) -> None:
    tested = clip_names("test")[0]
    for seed in range(3):
        path = sweep / f"dropout-p25/seed-{seed}/predictions.csv"
        path.write_text(path.read_text().replace(tested, tested[:-2] + "99"))

    found = contrasts(compare(sweep))["p25"][HEADLINE]

    assert found.mcnemar is found.bootstrap_over_speakers is found.p["mcnemar"] is None
    assert found.difference.interval is not None


def test_summary_over_speakers(sweep: Path) -> None:
    comparison = compare(sweep)
    clips = comparison.clips("test", "none")
    scores = [100 * np.mean(clips.correct[clips.speaker == f"{actor:02}"]) for actor in range(1, 25)]

    found = summary_over_speakers(comparison, "none", HEADLINE)

    assert (found.n, found.mean) == (24, pytest.approx(np.mean(scores)))
    assert found.sd == pytest.approx(np.std(scores, ddof=1))
    assert summary_over_speakers(comparison, "none", TRAIN) is None


def test_metric_missing_in_some_runs_uses_remaining_pairs(sweep: Path) -> None:
    edit(sweep / "dropout-p25/seed-1", lambda r: r.pop("study_metric"))

    found = contrasts(compare(sweep))["p25"]

    assert found["test/study_metric"].difference.pairs == (0, 2)
    assert found["test/study_metric"].bootstrap_over_speakers is None
    assert found[HEADLINE].difference.pairs == (0, 1, 2)


def test_accuracy_by_part_is_computed_over_clips(sweep: Path) -> None:
    comparison = compare(sweep)
    clips = comparison.clips("test", "p25")
    names = clips.utterance

    sad, women, strong = names.str[6:8] == "04", names.str[-2:].astype(int) % 2 == 0, names.str[9:11] == "02"
    for column, part, members in (("target", "sad", sad), ("gender", "female", women), ("intensity", "strong", strong)):
        found = accuracy_by(comparison, column)
        assert list(found.columns) == ["none", "p25"]
        assert found.p25[part] == pytest.approx(100 * clips.correct[members].mean())
    diagonal = pooled_confusion(comparison, "p25").diagonal() / pooled_confusion(comparison, "p25").sum(axis=1)
    recall = accuracy_by(comparison, "target").p25[list(comparison.emotions)]
    assert recall.tolist() == pytest.approx((100 * diagonal).tolist())


def test_accuracy_by_unknown_gender_is_empty(sweep: Path) -> None:
    path = sweep / "dropout-p25/seed-0/predictions.csv"
    table = pd.read_csv(path, dtype=str).assign(gender="")
    table.to_csv(path, index=False)

    assert accuracy_by(compare(sweep), "gender").empty
