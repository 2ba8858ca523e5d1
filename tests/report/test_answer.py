import dataclasses
import re
from pathlib import Path

import pytest
from tests.report.conftest import clip_names, edit, set_accuracies, write_run, write_sweep

from ser_lightning.report.answer import answer, cautions
from ser_lightning.report.arms import Comparison, compare_arms
from ser_lightning.report.bootstrap import ClusterInterval
from ser_lightning.report.contrasts import Contrasts, contrasts
from ser_lightning.report.report import make_report
from ser_lightning.report.runs import HEADLINE, read_runs
from ser_lightning.report.statistics import paired_difference

pytestmark = pytest.mark.slow

HIGHER = dict(zip(range(6), (3.0, 4.0, 3.5, 3.2, 3.8, 3.6), strict=True))
BETTER = paired_difference(HIGHER, dict.fromkeys(range(6), 1.0))
WORSE = paired_difference(dict.fromkeys(range(6), 1.0), HIGHER)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = write_sweep(tmp_path_factory.mktemp("three"), arms=("none", "p10", "p25"), seeds=2)
    runs, predictions, _ = read_runs(folder)
    return compare_arms(runs, predictions, arm="dropout")


@pytest.fixture(scope="module")
def found(three: Comparison) -> Contrasts:
    return contrasts(three)


def text_of(three: Comparison, found: Contrasts, **changes: object) -> str:
    """Return the answer with ``changes`` applied to the headline contrast of every arm."""
    changed = {arm: {HEADLINE: dataclasses.replace(measures[HEADLINE], **changes)} for arm, measures in found.items()}
    return answer(three, changed)


def test_difference_is_claimed_only_if_significant_after_holm(three: Comparison, found: Contrasts) -> None:
    weak = text_of(three, found, difference=BETTER, p_holm={"t": 0.08}, seeds_needed={1: 6})
    strong = text_of(three, found, difference=BETTER, p_holm={"t": 0.02})

    assert weak.startswith("No difference shown: 2.5 points of test accuracy with dropout=p10 against none, 95 %")
    assert "p = 0.08 after Holm" in weak
    assert strong.startswith("dropout=p10 is better than none by 2.5 points of test accuracy, 95 % interval 2.1 to 2.9")


@pytest.mark.parametrize(
    ("difference", "speakers", "words"),
    [
        (BETTER, ClusterInterval(2.5, (0.5, 4.5), 24, ""), "over 6 paired seeds. "),
        (WORSE, ClusterInterval(-2.5, (-4.0, -1.0), 24, ""), "worse than none by 2.5 points"),
        (BETTER, ClusterInterval(2.5, (-0.5, 5.5), 24, ""), "over speakers the interval is -0.5 to 5.5"),
        (BETTER, ClusterInterval(2.5, None, 2, "fewer than 8"), "for other speakers is unknown"),
        (BETTER, None, "for other speakers is unknown"),
    ],
)
def test_answer_states_whether_difference_generalizes_to_speakers(three, found, difference, speakers, words) -> None:
    text = text_of(three, found, difference=difference, bootstrap_over_speakers=speakers, p_holm={"t": 0.001})

    assert words in text
    assert ("other speakers" in text) == (speakers is None or speakers.interval in (None, (-0.5, 5.5)))


@pytest.mark.parametrize(("needed", "words"), [({1: 3}, "1 more seed would"), ({1: 2}, "enough"), ({}, "enough")])
def test_answer_states_the_seeds_needed(three: Comparison, found: Contrasts, needed, words: str) -> None:
    same = paired_difference({0: 1.0, 1: 3.0}, {0: 2.0, 1: 1.0})

    assert words in text_of(three, found, difference=same, seeds_needed=needed)


@pytest.mark.parametrize(
    ("none", "p25", "expected"),
    [
        # differences 2, -4, 2 of 360: mean 0, sd 0.962, t(0.975, 2) = 4.303
        ((234, 230, 238), (236, 226, 240), "No difference shown: 0.0 points .* interval -2.4 to 2.4 .*; 7 more seeds"),
        # differences 36, 35, 38 of 360: mean 10.09, sd 0.424, half width 1.05
        ((200, 202, 204), (236, 237, 242), "dropout=p25 is better than none by 10.1 points .* 9.0 to 11.1 .*Few seeds"),
        ((200, 210, 220), (218, 228, 238), "No difference shown: 5.0 points .*all differences are equal"),
    ],
)
@pytest.mark.usefixtures("few_draws")
def test_answer_from_accuracies(sweep: Path, none, p25, expected: str) -> None:
    set_accuracies(sweep, "none", *none)
    set_accuracies(sweep, "p25", *p25)

    assert re.match(expected, make_report(sweep).answer)


@pytest.mark.usefixtures("few_draws")
def test_answers_without_a_full_comparison(tmp_path: Path) -> None:
    write_run(tmp_path, dropout="none", seed=0)
    assert make_report(tmp_path).answer.startswith("Nothing to compare: none is the only value of dropout")
    write_run(tmp_path, dropout="p25", seed=1)
    write_run(tmp_path, dropout="p50", seed=0)
    text = make_report(tmp_path).answer
    assert "No paired difference of dropout=p25 and none: the arms share no seed." in text
    assert re.search(r"dropout=p50 against none at seed 0; one pair gives no interval\.$", text)


def test_cautions_include_leaks_and_shared_speakers(three: Comparison, found: Contrasts) -> None:
    text = "\n".join(cautions(three, found, []))

    assert "The audit of every run found leaks: 232 of 360" in text
    assert "360 of 360 test clips have their speaker in training" in text
    assert "2 arms are compared with none" in text
    clean = [{"findings": []}] * len(three.runs)
    quiet = dataclasses.replace(three, runs=three.runs.assign(audit=clean))
    assert "training" not in "\n".join(cautions(quiet, found, []))


@pytest.mark.usefixtures("few_draws")
def test_cautions_of_folds_and_missing_runs(tmp_path: Path) -> None:
    for arm in ("none", "p25"):
        for fold in range(2):
            write_run(tmp_path, dropout=arm, seed=0, fold=fold)
    (tmp_path / "dropout-p25/seed-0/fold-1/result.json").unlink()

    text = "\n".join(make_report(tmp_path).cautions)

    assert "Not every arm has seed 0 (fold 1) of none" in text
    assert "Folds are missing of seed 0 of p25" in text
    assert "folds of one seed share training clips" in text
    assert "1 run folder was left out" in text


@pytest.mark.usefixtures("few_draws")
def test_cautions_of_bundle_and_provenance(sweep: Path) -> None:
    for arm in ("none", "p25"):
        for seed in range(3):
            edit(sweep / f"dropout-{arm}/seed-{seed}", lambda r, arm=arm: r["choices"].update(experiment=arm))
    odd = sweep / "dropout-p25/seed-1"
    edit(odd, lambda r: (r["git"].update(commit="beef", dirty=True), r["versions"].update(torch="2.12.0")))
    edit(odd, lambda r: r.update(device="NVIDIA H200"))
    edit(odd, lambda r: r["corpus"].update(problems=[{"path": "a", "reason": "b"}]))
    predictions = sweep / "dropout-p25/seed-2/predictions.csv"
    tested = clip_names("test")[0]
    predictions.write_text(predictions.read_text().replace(tested, tested[:-2] + "99"))

    report = make_report(sweep, arm="experiment", baseline="none")
    text = "\n".join(report.cautions)

    for fact in (
        "experiment changes 3 config keys at once",
        "made at 2 commits: beef, f00d",
        "1 of 6 runs were made with uncommitted changes",
        "several versions of torch: 2.11.0, 2.12.0",
        "1 on NVIDIA H200, 5 on cpu",
        "1 files of the corpus",
        "different utterances at seed 2",
    ):
        assert fact in text
    assert report.command == f"ser-report {sweep} --arm experiment --baseline none"


@pytest.mark.usefixtures("few_draws")
def test_identical_arm_configs_are_cautioned(tmp_path: Path) -> None:
    write_sweep(tmp_path, seeds=2)
    for run in tmp_path.glob("dropout-*/seed-*"):
        edit(run, lambda r: r["config"].update(dropout={}, model={}))

    assert "No config key differs between the arms" in "\n".join(make_report(tmp_path).cautions)
