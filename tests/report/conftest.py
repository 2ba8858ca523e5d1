"""Synthetic result files of a sweep, for the tests of the report."""

import csv
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score

from ser_lightning.labels import RAVDESS
from ser_lightning.metrics import compute_metrics, confusion_matrix, recall_per_class

COUNTS = {"val": 216, "test": 360}
COLUMNS = ("utterance", "speaker", "subset", "target", "prediction", "gender", "intensity")
CORRECT = {("none", "val"): 0.66, ("none", "test"): 0.645, ("p25", "val"): 0.67, ("p25", "test"): 0.64}


def write_run(folder: Path, *, dropout: str, seed: int, fold: int | None = None, **changes: Any) -> Path:
    """Write one finished run and apply ``changes`` to its result.json (``None`` deletes the key).

    With ``fold``, the test clips are those of the four actors in that fold of six.
    """
    run_id = f"dropout-{dropout}/seed-{seed}" + ("" if fold is None else f"/fold-{fold}")
    path = folder / run_id
    (path / ".hydra").mkdir(parents=True)
    (path / "checkpoints").mkdir()
    (path / ".hydra/config.yaml").write_text(f"seed: {seed}\n")
    generator = np.random.default_rng([seed, fold or 0, *dropout.encode()])
    rows, confusion = _predictions(generator, dropout, lambda name: fold is None or int(name[-2:]) % 6 == fold)
    with (path / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[*COLUMNS, *RAVDESS], *rows])
    rate = {"none": 0.0}.get(dropout, int(dropout[1:]) / 100 if dropout[1:].isdigit() else 0.5)
    metrics = {subset: {**compute_metrics(matrix), "loss": 1.1} for subset, matrix in confusion.items()}
    metrics["train"] = {"accuracy": 0.97 - rate / 10, "uar": 0.97, "macro_f1": 0.97, "loss": 0.1}
    result = {
        "format": 1,
        "name": "ablation",
        "run_id": run_id,
        "seed": seed,
        "choices": {"corpus": "ravdess", "dropout": dropout, "experiment": "released", "split": "released"},
        "config": {
            "name": "ablation",
            "run_id": run_id,
            "seed": seed,
            "output_root": "outputs",
            "corpus": {"root": f"/data/{seed}", "downmix": "mean"},
            "data": {
                "feature_cache": f"/stores/{seed}",
                "feature_workers": seed,
                "batch_size": 100,
                "shuffle_seed": seed,
            },
            "dropout": {"lstm": rate, "head": rate},
            "model": {"activation": "relu", "dropout": rate},
            "split": {"_target_": "Released"} | ({} if fold is None else {"fold": fold, "folds": 6}),
            "trainer": {"max_epochs": 80},
            "callbacks": {"checkpoint": {"dirpath": f"outputs/ablation/{run_id}/checkpoints"}},
        },
        "overrides": [f"dropout={dropout}", f"seed={seed}"],
        "digest": "00",
        "emotions": list(RAVDESS),
        "corpus": {"name": "ravdess", "digest": "ab" * 32, "utterances": 1440, "problems": []},
        "checkpoint": "last",
        "metrics": metrics,
        "checkpoints": {"last": {"epoch": 79, "metrics": metrics}},
        "per_class_recall": {
            subset: dict(zip(RAVDESS, recall_per_class(m).tolist(), strict=True)) for subset, m in confusion.items()
        },
        "confusion_matrix": {subset: m.tolist() for subset, m in confusion.items()},
        "study_metric": {"train": 95.0, "val": 48.0, "test": 100 * metrics["test"]["accuracy"] * 0.9},
        "counts": {"train": 864, "train_with_copies": 3456, **COUNTS},
        "epochs": 80,
        "history": _history(generator, rate),
        "parameters": 157338,
        "device": "cpu",
        "seconds": {"prepare": 8.5, "train": 100.0 + seed},
        "audit": {
            "leak": True,
            "summary": "leaks: 232 of 360 test clips have their other take in training",
            "findings": [
                {"name": name, "severity": severity, "found": found, "sentence": f"{count} of 360 test clips {words}"}
                | {"counts": {"test": {"count": count, "of": 360}}, "examples": []}
                for name, severity, found, count, words in (
                    ("other take in training", "leak", True, 232, "have their other take in training"),
                    ("same speaker in training", "shared", True, 360, "have their speaker in training"),
                    ("identical audio across subsets", "leak", False, 0, "have an identical recording elsewhere"),
                )
            ],
        },
        "versions": {"torch": "2.11.0", "ser-lightning": "0.1.0"},
        "git": {"commit": "f00d" * 10, "dirty": False},
        "machine": {"cpu": "x"},
    }
    for dotted, value in changes.items():
        *parents, key = dotted.split("__")
        section: Any = result
        for parent in parents:
            section = section[parent]
        if value is None:
            del section[key]
        else:
            section[key] = value
    (path / "result.json").write_text(json.dumps(result))
    return path


def place_runs(folder: Path, seed: int, *, folds: int | None = None, **changes: Any) -> None:
    """Write the runs of one seed into ``folder/fold-<n>/seed-<n>``, or ``folder/seed-<n>`` without folds."""
    for fold in [None] if folds is None else range(folds):
        made = write_run(folder / ".made", dropout="none", seed=seed, fold=fold, **changes)
        target = folder / ("" if fold is None else f"fold-{fold}") / f"seed-{seed}"
        target.parent.mkdir(parents=True, exist_ok=True)
        made.rename(target)
    shutil.rmtree(folder / ".made")


def scores_by_hand(folder: Path, seed: int) -> tuple[float, float, int]:
    """Return accuracy and UAR of the pooled folds of a seed, by scikit-learn, and the number of test clips."""
    rows = [
        row
        for path in folder.glob(f"**/seed-{seed}/predictions.csv")
        for row in csv.DictReader(path.read_text().splitlines())
        if row["subset"] == "test"
    ]
    target, prediction = ([row[name] for row in rows] for name in ("target", "prediction"))
    uar = recall_score(target, prediction, average="macro", zero_division=0)
    return 100 * accuracy_score(target, prediction), 100 * uar, len(rows)


def write_sweep(folder: Path, arms: tuple[str, ...] = ("none", "p25"), seeds: int = 3, **changes: Any) -> Path:
    for arm in arms:
        for seed in range(seeds):
            write_run(folder, dropout=arm, seed=seed, **changes)
    return folder


def edit(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the result.json of a run in place."""
    result = json.loads((run / "result.json").read_text())
    change(result)
    (run / "result.json").write_text(json.dumps(result))


def set_accuracy(folder: Path, arm: str, seed: int, correct: int) -> None:
    """Rewrite the files of a run so that exactly ``correct`` test utterances are correct."""
    run = folder / f"dropout-{arm}/seed-{seed}"
    header, *lines = (run / "predictions.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines]
    for number, row in enumerate([row for row in rows if row[2] == "test"]):
        row[4] = row[3] if number < correct else "calm" if row[3] != "calm" else "sad"
    (run / "predictions.csv").write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    pairs = [(row[3], row[4]) for row in rows if row[2] == "test"]

    def change(result) -> None:
        index = {emotion: number for number, emotion in enumerate(result["emotions"])}
        matrix = confusion_matrix(*np.array([[index[a], index[b]] for a, b in pairs]).T, 8)
        result["confusion_matrix"]["test"] = matrix.tolist()
        result["metrics"]["test"] = compute_metrics(matrix)

    edit(run, change)


def set_accuracies(folder: Path, arm: str, *correct: int) -> None:
    for seed, count in enumerate(correct):
        set_accuracy(folder, arm, seed, count)


def clip_names(subset: str) -> list[str]:
    """Return RAVDESS clip names, interleaved by class; neutral has half as many clips as any other class."""
    generator = np.random.default_rng(0)
    left = {}
    for emotion in range(8):
        parts = itertools.product((1,) if emotion == 0 else (1, 2), (1, 2), (1, 2), range(1, 25))
        own = [f"03-01-{emotion + 1:02}-" + "-".join(f"{part:02}" for part in name) for name in parts]
        generator.shuffle(own)
        left[emotion] = iter(own)
    names = [next(left[(number % 15 + 1) // 2]) for number in range(sum(COUNTS.values()))]
    return names[: COUNTS["test"]] if subset == "test" else names[COUNTS["test"] :]


def _predictions(
    generator: np.random.Generator, dropout: str, tested: Callable[[str], bool]
) -> tuple[list[list[str]], dict[str, Any]]:
    rows, confusion = [], {}
    for subset in COUNTS:
        clips = [name for name in clip_names(subset) if subset == "val" or tested(name)]
        target = np.array([int(name[6:8]) - 1 for name in clips])
        chance = CORRECT.get((dropout, subset), 0.62)
        wrong = generator.integers(0, 8, len(clips))
        prediction = np.where(generator.random(len(clips)) < chance, target, wrong)
        confusion[subset] = confusion_matrix(target, prediction, 8)
        for name, true, predicted in zip(clips, target, prediction, strict=True):
            probability = np.full(8, 0.05)
            probability[predicted] = 0.65
            gender = ("female", "male")[int(name[-2:]) % 2]
            intensity = {"01": "normal", "02": "strong"}[name[9:11]]
            rows.append(
                [name, name[-2:], subset, RAVDESS[true], RAVDESS[predicted], gender, intensity, *probability.round(6)]
            )
    return rows, confusion


def _history(generator: np.random.Generator, rate: float) -> dict[str, list[float]]:
    epoch = np.arange(80)
    history = {}
    for subset, floor, top in (("train", 0.05 + rate, 0.98 - rate / 4), ("val", 1.0 - rate / 2, 0.64)):
        noise = generator.normal(0, 0.012, (2, 80))
        history[f"{subset}/loss"] = floor + (2.08 - floor) * np.exp(-epoch / 12) + noise[0]
        history[f"{subset}/uar"] = top - (top - 0.125) * np.exp(-epoch / 10) + noise[1]
        history[f"{subset}/accuracy"] = history[f"{subset}/uar"]
    history["val/loss"] += np.maximum(0, epoch - 30) * 0.012 * (1 - rate)
    return {name: values.tolist() for name, values in history.items()}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Sweep with two arms and three seeds."""
    return write_sweep(tmp_path / "ablation")
