"""Suspected label errors: planted ones are found, on the command line too."""

import csv
from pathlib import Path

import numpy as np
import pytest
from studies.label_errors import evaluate, page, plant

from ser_lightning.errors import InputError
from ser_lightning.label_errors import held_out_probabilities, suspects

CLASSES, SPEAKERS = 4, 8


@pytest.fixture(scope="module")
def clips() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Vectors, classes and speakers of clips whose classes lie apart and whose speakers shift the vectors."""
    generator = np.random.default_rng(0)
    targets = np.tile(np.arange(CLASSES), 60)
    speakers = np.arange(len(targets)) // (len(targets) // SPEAKERS)
    centers, shifts = 4 * generator.normal(size=(CLASSES, 10)), generator.normal(size=(SPEAKERS, 10))
    vectors = centers[targets] + shifts[speakers] + generator.normal(size=(len(targets), 10))
    return vectors, targets, [str(speaker) for speaker in speakers]


@pytest.mark.parametrize("kind", ["random", "confusable"])
def test_planted_errors_are_found(clips, kind):
    vectors, targets, speakers = clips
    clean = held_out_probabilities(vectors, targets, speakers, folds=4, c=0.1)
    assert len(suspects(clean, targets)) < 5
    labels, planted = plant(targets, clean, rate=0.1, kind=kind, seed=1)
    assert np.flatnonzero(labels != targets).tolist() == planted.tolist()
    assert len(planted) == 24
    shares = held_out_probabilities(vectors, labels, speakers, folds=4, c=0.1)
    found = suspects(shares, labels)
    scores = evaluate(found, shares, labels, planted)
    assert min(scores["precision"], scores["average_precision"]) > 0.9
    assert scores["recall"] > 0.7
    suggested = {each.clip: each.suggestion for each in found}
    assert np.mean([suggested[clip] == targets[clip] for clip in planted if clip in suggested]) > 0.9
    assert [each.margin for each in found] == sorted((each.margin for each in found), reverse=True)


def test_clips_are_predicted_by_classifiers_of_other_speakers():
    speakers = [str(number // 10) for number in range(80)]
    targets = np.arange(80) // 10 % 2  # a property of the speaker
    vectors = np.eye(8)[np.arange(80) // 10]
    shares = held_out_probabilities(vectors, targets, speakers, folds=8, c=1.0)
    assert shares[np.arange(80), targets].mean() < 0.55
    without_speakers = held_out_probabilities(vectors, targets, [""] * 80, folds=8, c=1.0)
    assert without_speakers[np.arange(80), targets].mean() > 0.7


def test_one_speaker_is_refused():
    with pytest.raises(InputError, match="1 speakers"):
        held_out_probabilities(np.ones((4, 2)), np.array([0, 1, 0, 1]), ["a"] * 4, folds=3, c=1.0)


def test_page_has_a_row_for_each_way_of_planting():
    row = {"kind": "random", "rate": 0.05, "planted": 27, "suspects": 60, "precision": 0.4, "recall": 0.9}
    rows = [row | {"seed": seed, "precision_of_first": 0.7, "average_precision": 0.8 + seed / 10} for seed in (0, 1)]
    results = {"compare": {"clips": 535, "features": 6373, "uar": 0.75, "published_suspects": 90, "planted": rows}}
    text = page(results, corpus="emodb", seeds=2)
    assert "| compare | random, 5 % | 27 | 60 | 40 ± 0 | 90 ± 0 | 70 ± 0 | 85 ± 7 |" in text
    assert "| compare | 6373 | 75.0 | 90 of 535 |" in text


def audit(command, table: Path, *words: str):
    values = [f"corpus.path={table}", "split=random", "audio=untrimmed", "features=functionals", "corpus=table"]
    return command("audit", *values, f"data.feature_cache={table.parent / 'cache'}", *words)


def test_command_lists_planted_errors(command, emodb_made_up, tmp_path):
    emotions = {"W": "angry", "F": "happy", "N": "neutral"}
    other = {"angry": "happy", "happy": "neutral", "neutral": "angry"}
    paths = [path for path in sorted(emodb_made_up.iterdir()) if path.stem[5] in emotions]
    wrong = {paths[3].stem, paths[20].stem}
    table, output = tmp_path / "table.csv", tmp_path / "suspects.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "speaker", "emotion"])
        for path in paths:
            emotion = emotions[path.stem[5]]
            writer.writerow([path, path.stem[:2], other[emotion] if path.stem in wrong else emotion])
    done = audit(command, table, f"labels.output={output}", "labels.folds=4")
    assert done.code in (0, 4), done.err
    with output.open() as file:
        found = list(csv.DictReader(file))
    assert wrong <= {Path(row["path"]).stem for row in found[:4]}
    assert all(row["label"] != row["suggestion"] for row in found)
    stricter = audit(command, table, f"labels.output={output}", "labels.folds=4", "labels.c=0.0001")
    assert stricter.code == done.code
    with output.open() as file:
        assert [row["margin"] for row in csv.DictReader(file)] != [row["margin"] for row in found]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("labels.folds=1", "labels.folds is 1"),
        ("labels.c=0", "labels.c is 0"),
        ("labels.output=suspects.txt", "suspects.txt"),
    ],
)
def test_bad_values_end_in_one_line(command, tmp_path, word, expected):
    (tmp_path / "table.csv").write_text("path,speaker,emotion\n")
    done = audit(command, tmp_path / "table.csv", word)
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert expected in line
