"""Metrics by group of test clips."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from ser_lightning.report.fairness import fairness
from ser_lightning.report.fairness_tables import comparisons_table, groups_table, worst_table

EMOTIONS = ("angry", "happy", "sad")


def clips(speakers: int, *, correct: dict[str, float], each: int = 24) -> pd.DataFrame:
    """Return predictions of women (even) and men whose share of correct clips is that of their gender.

    Half of each speaker's clips say ``dogs``; of them a further ``correct["dogs"]`` is correct.
    """
    generator = np.random.default_rng(0)
    rows = []
    for speaker in range(speakers):
        gender = ("female", "male")[speaker % 2]
        for clip in range(each):
            statement = ("kids", "dogs")[clip % 2]
            target = EMOTIONS[clip % 3]
            share = correct[gender] + correct.get(statement, 0.0)
            prediction = target if generator.random() < share else EMOTIONS[(clip + 1) % 3]
            identity = {"utterance": f"{speaker:02}-{clip:02}", "copy": "", "speaker": f"{speaker:02}"}
            groups = {"gender": gender, "age": str(20.0 + speaker), "statement": statement, "language": "en"}
            rows.append(identity | groups | {"intensity": "", "target": target, "prediction": prediction})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def unequal() -> pd.DataFrame:
    return clips(20, correct={"female": 0.9, "male": 0.55})


def test_planted_difference_between_speakers_is_found(unequal):
    found = fairness(unequal, EMOTIONS)

    for attribute in ("gender", "statement"):
        for _, row in found.groups[found.groups.attribute == attribute].iterrows():
            own = unequal[unequal[attribute] == row.group]
            assert row.uar == pytest.approx(100 * balanced_accuracy_score(own.target, own.prediction))
            assert row.low < row.uar < row.high
    gender = found.comparisons[found.comparisons.attribute == "gender"]
    assert list(gender.group + gender.others) == ["malefemale"]
    assert -45 < gender.difference.item() < -25
    assert gender.p.item() < gender.p_holm.item() < 0.05
    women, men = (found.groups[found.groups.group == group].iloc[0] for group in ("female", "male"))
    assert (women.unit, women.speakers, women.clips) == ("speakers", 10, 240)
    assert men.high < women.low
    assert "language" not in set(found.groups.attribute)  # a single value
    assert "intensity" not in set(found.groups.attribute)  # unknown
    speakers = found.comparisons[found.comparisons.attribute == "speaker"].iloc[0]
    assert (speakers.unit, speakers.n) == ("clips", 480)
    assert speakers.p < 0.001


def test_groups_within_speakers_are_compared_within_speakers():
    found = fairness(clips(12, correct={"female": 0.7, "male": 0.5, "dogs": 0.3}), EMOTIONS)

    (statement,) = found.comparisons[found.comparisons.attribute == "statement"].itertuples()
    assert (statement.group, statement.others, statement.n) == ("kids", "dogs", 12)
    assert statement.p == pytest.approx(2 / 2**12)  # all twelve speakers differ in the same direction


def test_few_speakers_have_intervals_over_clips_and_no_test(unequal):
    few = unequal[unequal.speaker < "04"]
    found = fairness(few, EMOTIONS)

    assert set(found.groups.unit) == {"clips"}
    between = found.comparisons[found.comparisons.attribute != "speaker"]
    assert set(between.why) == {"too few speakers"}
    assert between.p.isna().all()
    assert worst_table({"": found}).set_index("by").loc["gender", "p"] == "too few speakers"
    narrow = fairness(unequal[unequal.speaker < "08"], EMOTIONS).groups.set_index("group").loc["male"]
    wide = found.groups.set_index("group").loc["male"]
    assert narrow.high - narrow.low < wide.high - wide.low


def test_runs_of_the_same_clips_do_not_narrow_the_intervals(unequal):
    few = unequal[unequal.speaker < "04"]
    one, three = fairness(few, EMOTIONS), fairness(pd.concat([few] * 3), EMOTIONS)
    numbers = ["clips", "accuracy", "uar", "low", "high"]
    np.testing.assert_allclose(one.groups[numbers].astype(float), three.groups[numbers].astype(float))
    assert list(one.groups.group) == list(three.groups.group)


def test_ages_are_grouped_and_other_emotions_do_not_count():
    table = clips(20, correct={"female": 1.0, "male": 1.0})
    table["intensity"] = np.where(table.target == "sad", "strong", "normal")
    table.loc[table.target == "sad", "prediction"] = "angry"
    found = fairness(table, EMOTIONS)

    ages = found.groups[found.groups.attribute == "age"].set_index("group")
    assert ages.speakers.to_dict() == {"18 to 29": 10, "30 to 44": 10}
    intensity = found.comparisons[found.comparisons.attribute == "intensity"].iloc[0]
    assert intensity.why == "no emotion in common"  # only sad clips are strong


def test_small_groups_are_not_named_as_the_worst(unequal):
    table = unequal.assign(statement=[f"text {number}" for number in range(len(unequal))])
    assert "statement" not in set(fairness(table, EMOTIONS).groups.attribute)  # more than 100 values
    table["statement"] = ["rare"] * 5 + ["common"] * (len(table) - 5)
    table.loc[table.index[:5], "prediction"] = "sad"
    table.loc[table.index[:5], "target"] = "angry"
    found = fairness(table, EMOTIONS)
    assert found.groups[found.groups.attribute == "statement"].group.iloc[0] == "rare"
    assert worst_table({"": found}).set_index("by").loc["statement", "worst group"] == "common"
    assert len(groups_table(found)) == len(found.groups)
    assert len(comparisons_table(found)) == len(found.comparisons)


def test_unknown_speakers_are_not_counted(unequal):
    found = fairness(unequal.assign(speaker=""), EMOTIONS)
    assert found.groups.speakers.isna().all()
    assert set(found.groups.unit) == {"clips"}
    assert groups_table(found).speakers.unique().tolist() == ["-"]
    assert fairness(unequal.assign(speaker="", gender="", age="", statement=""), EMOTIONS).groups.empty
