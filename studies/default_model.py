"""``make default-model`` and ``make model``: train a model on all clips of corpora, measured on held-out speakers.

First, models with the same configuration are trained on folds of speakers: their test clips give the metrics and the
calibration. Then one model is trained on all clips, and evaluated on other corpora. Finished folds are skipped
on a rerun.
"""

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from studies.study import call, exit_on_input_error

from ser_lightning.assemble import assemble_data
from ser_lightning.atomic import write_atomically
from ser_lightning.baselines.baseline import fit_baseline
from ser_lightning.calibration.calibration import Calibration, describe_subset, fit_calibration
from ser_lightning.checkpoint import build_recipe, complete_checkpoint, read_checkpoint
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.training_conditions import describe_training_data
from ser_lightning.evaluation import Predictions
from ser_lightning.fit import save_checkpoints
from ser_lightning.leakage import audit_run
from ser_lightning.metrics import recall_per_class
from ser_lightning.progress import show_progress
from ser_lightning.results import provenance, write_json
from ser_lightning.run_card import NAME as CARD
from ser_lightning.run_card import write_model_card
from ser_lightning.splits.all_for_training import all_for_training

EXPERIMENT = "encoder"
BESIDE = "beside this file"  # in the line of the card about files that the package does not ship
FEATURE_CACHE = "outputs/.feature_cache"  # the default of ser-train, instead of that of this machine
LARGEST = 1_000_000  # bytes of a checkpoint that the package ships
SMALLEST = 1e-6  # probability that predictions.csv rounds to 0
# Parts of the config that evaluation and prediction read; the others hold paths of the machine that trained the model.
KEPT = (
    *("audio", "augment", "calibrate", "checkpoint", "corpus", "data", "dropout", "evaluation", "features"),
    *("model", "name", "run_id", "seed", "split", "threads", "trust"),
)
FITTED_ON = (
    "clips of held-out speakers, each predicted by a model that was trained on the other speakers (the tables are of"
    " the same clips)"
)


def train_folds(
    folder: Path, corpora: Sequence[str], *, split: str, folds: int, overrides: Sequence[str]
) -> list[Path]:
    """Train a model for each fold of speakers and return the folders of the runs."""
    corpus = [f"corpus={corpora[0]}"] if len(corpora) == 1 else ["corpus=pooled", f"corpus/parts=[{','.join(corpora)}]"]
    parts = [f"split={split}", *([f"split.folds={folds}"] if split == "speaker" else [])]
    call(
        *("ser-train", "--multirun", f"experiment={EXPERIMENT}", *corpus, *parts, "split.refit=true"),
        *(f"split.fold=range({folds})", "name=folds", f"output_root={folder}", "run_id=fold-${split.fold}"),
        *overrides,
    )
    return [folder / "folds" / f"fold-{fold}" for fold in range(folds)]


def train_on_all(folder: Path, config: dict[str, Any]) -> tuple[SpeechDataModule, dict[str, Any]]:
    """Train on all clips and write the checkpoint.

    Args:
        folder: folder of the model
        config: config of a fold

    Returns:
        the data, and the values of the result that describe the model

    """
    torch.set_num_threads(config["threads"])
    data = assemble_data(config, progress=show_progress("features"), split=all_for_training)
    data.preparation.scan()
    data.prepare_data()
    data.setup()
    classes = len(data.preparation.corpus.emotions)
    model = fit_baseline(build_recipe(config), **data.training_clips()._asdict(), seed=config["seed"], classes=classes)
    (folder / "checkpoints").mkdir(exist_ok=True)
    save_checkpoints(model, folder, config=portable(config), data=data)
    (folder / "checkpoints" / "last.ckpt").unlink()  # the same as best.ckpt
    audit = audit_run(data, model, config | {"callbacks": {}})
    return data, {"parameters": model.count_parameters(), "chosen": model.chosen, "audit": audit}


def portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config that the checkpoint stores, without the paths of this machine."""
    stored = {key: config[key] for key in KEPT if key in config}
    split = {key: value for key, value in stored["split"].items() if key != "fold"}
    data = stored["data"] | {"feature_cache": FEATURE_CACHE}
    corpus = _without_roots(stored["corpus"])
    return stored | {"name": EXPERIMENT, "run_id": "all", "corpus": corpus, "data": data, "split": split}


def _without_roots(corpus: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if key == "root" else _without_roots(value) if isinstance(value, Mapping) else value
        for key, value in corpus.items()
    }


def held_out(runs: Sequence[Path], folder: Path) -> pd.DataFrame:
    """Join the test clips of all folds, write them to ``predictions.csv`` and return them."""
    tables = [pd.read_csv(run / "predictions.csv", keep_default_na=False) for run in runs]
    table = pd.concat([table[table.subset == "test"] for table in tables], ignore_index=True)
    with write_atomically(folder / "predictions.csv") as file:
        table.to_csv(file, index=False, lineterminator="\n")
    return table


def as_predictions(table: pd.DataFrame, emotions: Sequence[str]) -> Predictions:
    """Return clips as predictions, with logarithms of probabilities as logits."""
    index = {emotion: number for number, emotion in enumerate(emotions)}
    logits = np.log(np.maximum(table[list(emotions)].to_numpy(dtype=np.float64), SMALLEST))
    return Predictions(table.target.map(index).to_numpy(dtype=np.int64), logits)


def describe(
    first: Mapping[str, Any], predictions: Predictions, calibration: Calibration, *, split: str
) -> dict[str, Any]:
    """Return the result of the model: the metrics are of the held-out speakers.

    Args:
        first: ``result.json`` of the first fold, whose other values hold for all models
        predictions: the clips of held-out speakers
        calibration: fitted to them
        split: how speakers were held out

    """
    emotions = first["emotions"]
    clips = len(predictions.target)
    recall = [float(value) for value in recall_per_class(predictions.confusion)]
    config = portable(first["config"])
    return {
        **{key: value for key, value in first.items() if key not in ("refit", "checkpoints", "own_code")},
        **{"name": config["name"], "run_id": config["run_id"], "config": config, "checkpoint": "best"},
        "metrics": {"test": predictions.summary()},
        "per_class_recall": {"test": dict(zip(emotions, recall, strict=True))},
        "confusion_matrix": {"test": predictions.confusion.tolist()},
        "calibration": {
            "fitted": calibration.as_plain(),
            "fitted_on": FITTED_ON,
            "test": describe_subset(calibration, predictions.logits, predictions.target),
        },
        "choices": {
            **first["choices"],
            "split": f"{split}: the test clips are of models that were trained on other"
            " speakers with the same configuration; this model is trained on all clips",
        },
        "counts": {"train": clips, "val": 0, "test": clips, "train_with_copies": clips},
        **provenance(),
    }


def other_corpora(folder: Path, corpora: Sequence[str]) -> dict[str, Any]:
    """Evaluate the model on corpora that it was not trained on."""
    by_corpus = {}
    for name in corpora:
        path = folder / f"on_{name}.json"
        call("ser-evaluate", str(folder), "--corpus", name, "--output", str(path))
        figures = json.loads(path.read_text(encoding="utf-8"))
        by_corpus[name] = {key: figures[key] for key in ("emotions", "clips", "metrics", "left_out")}
    return by_corpus


def package(folder: Path, target: Path, corpora: Sequence[str]) -> None:
    """Copy the checkpoint and its card into the package."""
    checkpoint = folder / "checkpoints" / "best.ckpt"
    if checkpoint.stat().st_size >= LARGEST:
        raise ValueError(f"{checkpoint} has {checkpoint.stat().st_size} bytes; expected less than {LARGEST}")
    target.mkdir(exist_ok=True)
    shutil.copyfile(checkpoint, target / f"{'_'.join(corpora)}.ckpt")
    card = (folder / CARD).read_text(encoding="utf-8").replace(f" --model {checkpoint.relative_to(folder)}", "")
    with write_atomically(target / CARD) as file:
        file.write("".join(line for line in card.splitlines(keepends=True) if BESIDE not in line))


def make(arguments: argparse.Namespace) -> None:
    """Train, measure and write a model."""
    folder, corpora = arguments.folder, arguments.corpora.split(",")
    runs = train_folds(folder, corpora, split=arguments.split, folds=arguments.folds, overrides=arguments.overrides)
    first = json.loads((runs[0] / "result.json").read_text(encoding="utf-8"))
    config = read_checkpoint(runs[0] / "checkpoints" / "best.ckpt").config
    data, facts = train_on_all(folder, config)
    table = held_out(runs, folder)
    predictions = as_predictions(table, first["emotions"])
    calibration = fit_calibration(predictions.logits, predictions.target)
    training_data = describe_training_data(data.preparation).as_plain()
    complete_checkpoint(
        folder / "checkpoints" / "best.ckpt", calibration=calibration.as_plain(), training_data=training_data
    )
    result = describe(first, predictions, calibration, split=arguments.split)
    result |= {**facts, "training_data": training_data}
    result["counts"]["train_with_copies"] = len(data.datasets["train"])
    write_json(folder / "result.json", result)  # ser-evaluate reads it
    tested = [name for name in arguments.test.split(",") if name]
    result["cross_corpus"] = other_corpora(folder, tested)
    utterances: Sequence[Utterance] = data.preparation.utterances
    write_model_card(folder, result, utterances)
    write_json(folder / "result.json", result)
    if arguments.package is not None:
        package(folder, arguments.package, corpora)
    uar = 100 * result["metrics"]["test"]["uar"]
    print(f"{folder / 'checkpoints' / 'best.ckpt'}: UAR {uar:.1f} % on held-out speakers; see {folder / CARD}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and make a model."""
    parser = argparse.ArgumentParser(prog="python -m studies.default_model", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the model and of the runs that measure it")
    parser.add_argument("--corpora", required=True, help="corpora to train on, separated by commas, such as emodb")
    parser.add_argument("--split", choices=("loso", "speaker"), required=True, help="how speakers are held out")
    parser.add_argument("--folds", type=int, required=True, help="number of folds; with loso, of speakers")
    parser.add_argument("--test", default="", help="other corpora to evaluate on, separated by commas")
    parser.add_argument("--package", type=Path, help="folder of the package that also gets the checkpoint and the card")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="overrides of every run, such as corpus.on_problem=skip"
    )
    parsed = parser.parse_intermixed_args(arguments)
    exit_on_input_error("default_model", lambda: make(parsed))


if __name__ == "__main__":
    main()
