import dataclasses
import runpy
from pathlib import Path

import pytest

from ser_lightning.report.answer import answer, cautions
from ser_lightning.report.arms import compare_arms
from ser_lightning.report.bootstrap import ClusterInterval
from ser_lightning.report.contrasts import Contrast, contrasts
from ser_lightning.report.metrics import HEADLINE
from ser_lightning.report.runs import read_runs
from ser_lightning.report.statistics import paired_difference

made = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
BETTER = paired_difference({0: 3.0, 1: 4.0, 2: 3.5, 3: 3.2, 4: 3.8, 5: 3.6}, dict.fromkeys(range(6), 1.0))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory):
    folder = made["write_sweep"](tmp_path_factory.mktemp("three"), arms=("none", "p10", "p25"), seeds=2)
    return compare_arms(read_runs(folder)[0], arm="dropout", baseline=None)


@pytest.fixture(scope="module")
def found(three):
    return contrasts(three)


def changed(found, **changes) -> dict[str, dict]:
    """Return the headline contrast of every arm with ``changes`` applied."""
    return {arm: {HEADLINE: dataclasses.replace(metrics[HEADLINE], **changes)} for arm, metrics in found.items()}


def test_difference_is_claimed_only_if_significant_after_holm(three, found) -> None:
    speakers = ClusterInterval(2.5, (1.0, 4.0), 24, "")
    needed = {1: 6, 2: 3, 5: 2}

    weak = answer(three, changed(found, difference=BETTER, speakers=speakers, p_holm={"t": 0.08}, seeds_needed=needed))
    strong = answer(three, changed(found, difference=BETTER, speakers=speakers, p_holm={"t": 0.02}))

    assert weak.startswith(
        "No difference shown: 2.5 points of test accuracy with dropout=p10 against none, 95 % interval 2.1 to 2.9 over "
        "6 paired seeds, which does not hold among 2 comparisons (p = 0.08 after Holm); these seeds are enough to "
        "settle 1 point. No difference shown: "
    )
    assert strong.startswith(
        "dropout=p10 is better than none by 2.5 points of test accuracy, 95 % interval 2.1 to 2.9 over 6 paired seeds. "
    )


@pytest.mark.parametrize(
    ("speakers", "words"),
    [
        (ClusterInterval(2.5, (0.5, 4.5), 24, ""), "over 6 paired seeds. "),
        (
            ClusterInterval(2.5, (-0.5, 5.5), 24, ""),
            "; for other speakers it is not shown (over speakers the interval is -0.5 to 5.5). ",
        ),
        (ClusterInterval(2.5, None, 2, "fewer than 8"), "; whether it holds for other speakers cannot be told. "),
        (None, "; whether it holds for other speakers cannot be told. "),
    ],
)
def test_answer_states_whether_difference_generalizes_to_speakers(three, found, speakers, words: str) -> None:
    text = answer(three, changed(found, difference=BETTER, speakers=speakers, p_holm={"t": 0.001}))

    assert "dropout=p10 is better than none by 2.5 points" in text
    assert words in text


def test_negative_speaker_interval_supports_a_worse_arm(three, found) -> None:
    worse = paired_difference(
        dict.fromkeys(range(6), 1.0), dict(zip(range(6), (3.0, 4.0, 3.5, 3.2, 3.8, 3.6), strict=True))
    )
    speakers = ClusterInterval(-2.5, (-4.0, -1.0), 24, "")

    text = answer(three, changed(found, difference=worse, speakers=speakers, p_holm={"t": 0.001}))

    assert "dropout=p10 is worse than none by 2.5 points of test accuracy, 95 % interval 2.1 to 2.9" in text
    assert "other speakers" not in text


def test_answer_uses_singular_for_one_more_seed(three, found) -> None:
    same = paired_difference({0: 1.0, 1: 3.0}, {0: 2.0, 1: 1.0})

    text = answer(three, changed(found, difference=same, seeds_needed={1: 3, 2: 2, 5: 2}))

    assert "over 2 paired seeds; 1 seed more would settle 1 point." in text


def test_cautions_include_speakers_shared_with_training(three, found) -> None:
    notes = cautions(three, found, [])

    assert "360 of 360 test clips have their speaker in training: nothing here says how well a new" in "\n".join(notes)
    assert any("The audit of every run found leaks: 232 of 360" in note for note in notes)
    quiet = dataclasses.replace(
        three,
        arms={arm: tuple(dataclasses.replace(run, audit={}) for run in runs) for arm, runs in three.arms.items()},
    )
    assert "training" not in "\n".join(cautions(quiet, contrasts(quiet), []))


def test_more_seeds_is_none_without_power_estimate(found) -> None:
    contrast: Contrast = found["p10"][HEADLINE]

    assert dataclasses.replace(contrast, seeds_needed={}).more_seeds(1) is None
