import runpy
from pathlib import Path

import numpy as np
import pytest

from ser_lightning.report.arms import compare_arms
from ser_lightning.report.export import export_runs
from ser_lightning.report.groups import by_emotion, by_gender, by_intensity, on_seven_options
from ser_lightning.report.report import make_report
from ser_lightning.report.runs import read_runs

made = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
write_sweep, edit = made["write_sweep"], made["edit"]
text_of = runpy.run_path(str(Path(__file__).with_name("test_report.py")))["text_of"]


@pytest.fixture
def comparison(sweep: Path):
    return compare_arms(read_runs(sweep)[0], arm="dropout", baseline=None)


def counted(comparison, arm: str, belongs) -> float:
    clips = [run.clips["test"] for run in comparison.arms[arm]]
    return 100 * np.mean(
        [
            correct
            for each in clips
            for utterance, correct in zip(each.utterance, each.correct, strict=True)
            if belongs(utterance)
        ]
    )


def test_group_accuracy_is_computed_over_clips(comparison) -> None:
    for number, arm in enumerate(comparison.arms):
        assert by_emotion(comparison)["sad"][number] == pytest.approx(
            counted(comparison, arm, lambda name: name[6:8] == "04")
        )
        women = counted(comparison, arm, lambda name: int(name[-2:]) % 2 == 0)
        assert by_gender(comparison)["female"][number] == pytest.approx(women)
        strong = counted(comparison, arm, lambda name: name[9:11] == "02")
        assert by_intensity(comparison)["strong"][number] == pytest.approx(strong)
    assert list(by_gender(comparison)) == ["female", "male"]
    assert list(by_intensity(comparison)) == ["normal", "strong"]


def test_seven_options_merge_neutral_and_calm(comparison) -> None:
    runs = comparison.arms["none"]
    matrix = np.sum([run.confusion["test"] for run in runs], axis=0)

    expected = 100 * (matrix.trace() + matrix[0, 1] + matrix[1, 0]) / matrix.sum()

    assert on_seven_options(comparison)["none"] == pytest.approx(expected)


def test_listener_scores_are_shown_only_for_ravdess(sweep: Path, tmp_path: Path) -> None:
    text = text_of(make_report(sweep))
    assert (
        "62.4 %: per clip, 7 options (neutral and calm merged), recomputed from the published ratings by hsn07" in text
    )
    assert "58 % normal and 67 % strong: mean proportion correct of audio-only speech, Livingstone & Russo 2018" in text
    assert "| intensity | none | p25 | listeners |" in text

    made_up = text_of(make_report(write_sweep(tmp_path / "synthetic", seeds=1, corpus__name="synthetic")))
    assert "uman listeners" not in made_up
    assert "| listeners |" not in made_up
    assert "| speaker's gender | none | p25 |" in made_up
    assert "| intensity | none | p25 |" in made_up


def test_corpus_without_gender_has_no_gender_table(tmp_path: Path) -> None:
    text = text_of(make_report(write_sweep(tmp_path, seeds=1, corpus__name="emodb")))

    assert "By gender: nothing, because emodb does not tell the gender of a speaker" in text
    assert "speaker's gender" not in text
    assert "| intensity |" not in text
    assert "| emotion | none | p25 |" in text


def test_no_gender_or_intensity_from_unknown_clip_names(sweep: Path) -> None:
    for run in sweep.glob("dropout-*/seed-*"):
        path = run / "predictions.csv"
        path.write_text(path.read_text().replace("\n03-01-", "\nclip-"))
    comparison = compare_arms(read_runs(sweep)[0], arm="dropout", baseline=None)

    assert by_gender(comparison) == by_intensity(comparison) == {}


def tell(sweep: Path, intensity) -> None:
    """Add gender and intensity columns to predictions.csv; every third speaker is female."""
    for run in sweep.glob("dropout-*/seed-*"):
        header, *lines = (run / "predictions.csv").read_text().splitlines()
        genders = {name: ("female", "male", "male")[int(name) % 3] for name in (line.split(",")[1] for line in lines)}
        told = [f"{line},{genders[line.split(',')[1]]},{intensity(number)}" for number, line in enumerate(lines)]
        text = "\n".join([f"{header},gender,intensity", *told]) + "\n"
        (run / "predictions.csv").write_text(text.replace("\n03-01-", "\nclip-"))


def test_groups_use_gender_and_intensity_columns(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", seeds=2, corpus__name="crema_d")
    tell(sweep, lambda number: ("low", "medium", "high", "unspecified")[number % 4])
    comparison = compare_arms(read_runs(sweep)[0], arm="dropout", baseline=None)
    assert list(by_intensity(comparison)) == ["low", "medium", "high", "unspecified"]
    women = counted(comparison, "p25", lambda name: int(name[-2:]) % 3 == 0)
    assert by_gender(comparison)["female"] == [
        pytest.approx(counted(comparison, "none", lambda n: int(n[-2:]) % 3 == 0)),
        pytest.approx(women),
    ]
    text = text_of(make_report(sweep))
    assert "| intensity | none | p25 |" in text
    assert "listeners" not in text
    assert "of each emotion, gender and intensity" in text


def test_corpus_without_intensity_has_no_intensity_table(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", seeds=1, corpus__name="emodb")
    tell(sweep, lambda number: "unspecified")
    text = text_of(make_report(sweep))
    assert "| speaker's gender | none | p25 |" in text
    assert "| intensity |" not in text
    assert "of each emotion and gender" in text


def test_export_keeps_gender_and_intensity(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", seeds=1, corpus__name="crema_d")
    tell(sweep, lambda number: ("low", "high")[number % 2])
    runs, _ = read_runs(sweep)
    export_runs(runs, sweep, tmp_path / "copy")
    copies, _ = read_runs(tmp_path / "copy")
    assert [copy.clips["test"].gender for copy in copies] == [run.clips["test"].gender for run in runs]
    assert copies[0].clips["test"].intensity == runs[0].clips["test"].intensity
    assert set(copies[0].clips["test"].intensity) == {"low", "high"}
