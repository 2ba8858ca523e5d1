import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from ser_lightning.report.arms import compare_arms
from ser_lightning.report.contrasts import TESTS, cochran, contrasts
from ser_lightning.report.metrics import HEADLINE, METRICS, by_pair, over_seeds, over_speakers
from ser_lightning.report.report import make_report
from ser_lightning.report.runs import read_runs
from ser_lightning.report.significance import holm, permutation_p, wilcoxon_p

made = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
write_run, write_sweep, edit = made["write_run"], made["write_sweep"], made["edit"]
UAR = METRICS[1]


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sweep with two arms, two seeds and six folds."""
    folder = tmp_path_factory.mktemp("folded")
    for arm in ("none", "p25"):
        for seed in range(2):
            for fold in range(6):
                write_run(folder, dropout=arm, seed=seed, fold=fold)
    return folder


def compare(folder: Path):
    return compare_arms(read_runs(folder)[0], arm="dropout", baseline=None)


def test_contrasts_of_two_arms(sweep: Path) -> None:
    comparison = compare(sweep)
    found = contrasts(comparison)["p25"]

    accuracy = found[HEADLINE]
    differences = accuracy.difference.differences
    assert accuracy.p["permutation"] == permutation_p(differences)
    assert accuracy.p["wilcoxon"] == wilcoxon_p(differences)
    assert accuracy.p == accuracy.p_holm  # a single comparison needs no adjustment
    arm, baseline = (
        np.concatenate([run.clips["test"].correct for run in comparison.arms[name]]) for name in ("p25", "none")
    )
    assert accuracy.mcnemar is not None
    assert accuracy.mcnemar[:3] == (3 * 360, (arm & ~baseline).sum(), (baseline & ~arm).sum())
    assert accuracy.speakers is not None
    assert accuracy.speakers.clusters == 24
    # With the same clips at every seed, the pooled difference equals the mean over seeds.
    assert accuracy.speakers.mean == pytest.approx(accuracy.difference.mean)
    assert found[UAR].speakers.mean == pytest.approx(found[UAR].difference.mean)
    low, high = accuracy.speakers.interval
    assert low < accuracy.speakers.mean < high
    assert found[UAR].mcnemar is None
    assert found[METRICS[4]].speakers is None  # there are no predictions for training clips
    assert accuracy.more_seeds(1) == accuracy.seeds_needed[1] - 3
    assert cochran(comparison) is None


def test_several_arms_use_holm_and_cochran(tmp_path: Path) -> None:
    write_sweep(tmp_path, arms=("none", "p10", "p25", "p50"), seeds=3)
    comparison = compare(tmp_path)
    found = contrasts(comparison)

    for test in TESTS:
        raw = [found[arm][HEADLINE].p[test] for arm in ("p10", "p25", "p50")]
        assert [found[arm][HEADLINE].p_holm[test] for arm in ("p10", "p25", "p50")] == pytest.approx(holm(raw))
    together = cochran(comparison)
    assert together is not None
    assert (together.clips, together.df) == (3 * 360, 3)
    # Cochran's Q only uses seeds that every arm has.
    (tmp_path / "dropout-p10/seed-1/result.json").unlink()
    fewer = cochran(compare(tmp_path))
    assert fewer is not None
    assert fewer.clips == 2 * 360


def test_folds_are_paired_by_seed_and_fold(folded: Path) -> None:
    comparison = compare(folded)
    found = contrasts(comparison)["p25"][HEADLINE]

    assert comparison.folds == tuple("012345")
    assert comparison.nuisance == ("data.shuffle_seed", "seed", "split.fold")
    assert found.difference.pairs == tuple((seed, fold) for seed in (0, 1) for fold in "012345")
    assert found.speakers is not None
    assert found.speakers.clusters == 24
    # One seed contributes one pair per fold.
    sd = found.difference.sd
    assert sd is not None
    assert found.seeds_needed[1] == pytest.approx(7.85 * sd**2 / 6, abs=1.5)
    report = make_report(folded)
    assert "over 12 pairs of 2 seeds and their folds" in report.answer
    assert any("folds of one seed share training clips" in note for note in report.cautions)


def test_seeds_with_missing_folds_are_excluded(folded: Path) -> None:
    comparison = compare(folded)
    runs = comparison.arms["none"]
    values = np.array(list(by_pair(runs, UAR).values())).reshape(2, 6)

    whole = over_seeds(runs, UAR, folds=comparison.folds)
    assert whole is not None
    assert (whole.n, whole.mean) == (2, pytest.approx(values.mean()))
    assert whole.sd == pytest.approx(values.mean(axis=1).std(ddof=1))
    less = over_seeds(runs[:-1], UAR, folds=comparison.folds)
    assert less is not None
    assert (less.n, less.mean) == (1, pytest.approx(values[0].mean()))
    assert over_seeds(runs[1:6], UAR, folds=comparison.folds) is None


def test_missing_fold_is_named_in_cautions(tmp_path: Path) -> None:
    for arm in ("none", "p25"):
        for fold in range(2):
            write_run(tmp_path, dropout=arm, seed=0, fold=fold)
    (tmp_path / "dropout-p25/seed-0/fold-1/result.json").unlink()

    notes = "\n".join(make_report(tmp_path).cautions)

    assert "Not every arm has seed 0 (fold 1) of none" in notes
    assert "Folds are missing of seed 0 of p25" in notes


def test_duplicate_fold_or_no_common_fold_raises(tmp_path: Path) -> None:
    write_run(tmp_path, dropout="none", seed=0, fold=0)
    write_run(tmp_path, dropout="p25", seed=0, fold=1)
    with pytest.raises(Exception, match="share no seed and fold, .* none has seed 0 fold 0; p25 has seed 0 fold 1"):
        compare(tmp_path)
    write_run(tmp_path / "again", dropout="p25", seed=0, fold=1)
    with pytest.raises(Exception, match="both have dropout=p25 and seed 0 and fold 1"):
        compare(tmp_path)


def test_no_clipwise_tests_for_arms_with_different_test_clips(sweep: Path) -> None:
    tested = made["clip_names"]("test")[0]
    for seed in range(3):
        path = sweep / f"dropout-p25/seed-{seed}/predictions.csv"
        path.write_text(path.read_text().replace(tested, tested[:-2] + "99"))

    found = contrasts(compare(sweep))["p25"][HEADLINE]

    assert found.mcnemar is found.speakers is found.p["mcnemar"] is None
    assert found.difference.interval is not None


def test_over_speakers_summarizes_scores_per_speaker(sweep: Path) -> None:
    runs = compare(sweep).arms["none"]
    scores = []
    for actor in range(1, 25):
        own = [
            correct
            for run in runs
            for speaker, correct in zip(run.clips["test"].speaker, run.clips["test"].correct, strict=True)
            if speaker == f"{actor:02}"
        ]
        scores.append(100 * np.mean(own))

    found = over_speakers(runs, HEADLINE)

    assert found is not None
    assert (found.n, found.mean, found.sd) == (
        24,
        pytest.approx(np.mean(scores)),
        pytest.approx(np.std(scores, ddof=1)),
    )
    assert over_speakers(runs, METRICS[4]) is None


def test_metric_missing_in_some_runs_uses_remaining_pairs(sweep: Path) -> None:
    edit(sweep / "dropout-p25/seed-1", lambda r: r.pop("study_metric"))

    differences = json.loads(make_report(sweep).write().with_name("report.json").read_text())["differences"]["p25"]

    assert differences["test/study_metric"]["pairs"] == [0, 2]
    assert differences["test/study_metric"]["bootstrap_over_speakers"] is None
    assert differences["test/accuracy"]["bootstrap_over_speakers"]["clusters"] == 24
    assert set(differences["test/accuracy"]["seeds_needed"]) == {"1", "2", "5"}
