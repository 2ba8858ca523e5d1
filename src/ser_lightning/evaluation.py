"""Evaluate a model: predictions on all clips of a subset, and the modes in which they are made."""

import copy
import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader

from ser_lightning import metrics
from ser_lightning.atomic import write_atomically
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.batch import Batch
from ser_lightning.errors import InputError
from ser_lightning.models.ensemble import mean_logits
from ser_lightning.splits.split import SUBSETS

if TYPE_CHECKING:
    from ser_lightning.data.datamodule import SpeechDataModule


@dataclass(frozen=True, slots=True)
class Predictions:
    """Targets and logits of the clips of a subset, in the order of the dataset.

    Args:
        target: (N,), class index of each clip
        logits: (N, classes), output of the model

    """

    target: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]

    @property
    def prediction(self) -> npt.NDArray[np.int64]:
        """(N,), most probable class."""
        prediction: npt.NDArray[np.int64] = self.logits.argmax(1)
        return prediction

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """(N, classes), softmax of the logits."""
        return torch.from_numpy(self.logits).double().softmax(1).numpy()

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """(classes, classes) counts, true classes in rows, predicted classes in columns."""
        return metrics.confusion_matrix(self.target, self.prediction, self.logits.shape[1])

    def summary(self) -> dict[str, float]:
        """Compute all metrics and the mean cross-entropy."""
        loss = -torch.from_numpy(self.logits).double().log_softmax(1).numpy()[np.arange(len(self.target)), self.target]
        return {**metrics.compute_metrics(self.confusion), "loss": float(loss.mean())}


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Switches for how a network is evaluated; in a correct evaluation both are off.

    Args:
        training_mode: keep dropout active and normalize by the statistics of the batch in BatchNorm; the running
            statistics are left unchanged
        update_statistics: update the running statistics with the evaluated clips first, in one pass in training mode
            with BatchNorm's own momentum. The network is then evaluated in evaluation mode; together with
            ``training_mode``, the evaluation itself is that pass.

    """

    training_mode: bool
    update_statistics: bool


EVALUATION_MODE = Evaluation(training_mode=False, update_statistics=False)
ANNOTATION = ("speaker", "gender", "age", "language", "statement", "intensity")  # columns of predictions.csv
DRAW = 0  # dropout seed during evaluation, so that the same clips are always evaluated with the same dropout masks


def check_batches(data: "SpeechDataModule", *, evaluation: Evaluation) -> None:
    """Check that BatchNorm can normalize every evaluation batch.

    Args:
        data: the data module, with its corpus scanned
        evaluation: how the batches are evaluated

    Raises:
        InputError: a batch has a single clip and would be run in training mode

    """
    if evaluation == EVALUATION_MODE:
        return
    for subset in SUBSETS:
        if getattr(data.preparation.split, subset) and data.smallest_eval_batch(subset) < 2:
            raise InputError(
                f"data.eval_batch_size is {data.eval_batch_size}, which leaves a batch of {subset} with a single clip;"
                " expected another size with evaluation.training_mode or evaluation.update_statistics: BatchNorm"
                " cannot normalize a single clip"
            )


@contextmanager
def evaluation_batches(
    model: nn.Module, loader: DataLoader[Batch], *, evaluation: Evaluation, device: torch.device
) -> Iterator[Iterator[Batch]]:
    """Put a model into the mode in which it is evaluated, and restore it afterward.

    On exit, the training mode and the random number generators are restored. So are the running statistics, except with
    ``update_statistics``: they then have been updated once with the clips of the loader, as in the study, where every
    validation did so.

    Args:
        model: the model, as in :func:`predict`
        loader: yields the clips to evaluate
        evaluation: how to evaluate them
        device: device of the model

    Yields:
        an iterator over the batches of the loader

    """
    modes = {module: module.training for module in model.modules()}
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if evaluation.update_statistics and not evaluation.training_mode:
            torch.manual_seed(DRAW)
            _run(model.train(), iter(loader), device)
        model.train(evaluation.training_mode)
        if evaluation.training_mode:
            torch.manual_seed(DRAW)
        # The iterator is created here, because creating it draws from the random number generator.
        yield iter(loader)
    if evaluation.training_mode and not evaluation.update_statistics:
        for name, buffer in model.named_buffers():
            buffer.copy_(statistics[name])
    for module, training in modes.items():
        module.training = training


def predict(
    model: nn.Module, loader: DataLoader[Batch], *, evaluation: Evaluation, device: torch.device
) -> Predictions:
    """Run a model over a loader without changing the model, including its running statistics.

    Args:
        model: maps features (B, K, F) and lengths (B,) to logits (B, classes)
        loader: yields batches whose ``row`` is the position of each clip in the dataset
        evaluation: ``EVALUATION_MODE``, or the evaluation of the study
        device: device of the model

    """
    if evaluation.update_statistics:
        model = copy.deepcopy(model)
    with evaluation_batches(model, loader, evaluation=evaluation, device=device) as batches:
        target, logits = _run(model, batches, device)
    return Predictions(target, logits)


def predict_subset(
    model: nn.Module, data: "SpeechDataModule", subset: str, *, evaluation: Evaluation, device: torch.device
) -> Predictions:
    """Run a model over the clips of a subset; with ``data.eval_copies``, average the probabilities over their copies.

    Args:
        model: as in :func:`predict`
        data: the data module, already set up
        subset: train, val or test
        evaluation: as in :func:`predict`
        device: device of the model

    """
    loaders = [data.eval_dataloader(subset), *(data.copy_dataloaders(subset) if subset != "train" else [])]
    predictions = [predict(model, loader, evaluation=evaluation, device=device) for loader in loaders]
    if len(predictions) == 1:
        return predictions[0]
    return Predictions(
        predictions[0].target, mean_logits([torch.from_numpy(each.logits) for each in predictions]).numpy()
    )


@torch.no_grad()
def _run(
    model: nn.Module, batches: Iterator[Batch], device: torch.device
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    rows, target, logits = [], [], []
    for batch in batches:
        logits.append(model(batch.features.to(device), batch.lengths.to(device)).cpu())
        target.append(batch.target.cpu())
        rows.append(batch.row.cpu())
    order = torch.cat(rows).argsort()
    return torch.cat(target)[order].numpy(), torch.cat(logits)[order].numpy()


def write_predictions(
    path: str | Path,
    predictions: dict[str, tuple[Sequence[tuple[str, str]], Predictions]],
    *,
    utterances: tuple[Utterance, ...],
    emotions: tuple[str, ...],
    more: Path | None = None,
) -> None:
    """Write the annotation, the prediction and the probability of each emotion of clips as CSV, one row per clip.

    Values that the corpus does not give are empty. If augmented copies were evaluated, a column ``copy`` follows the
    utterance; it is empty for original clips. Probabilities have 6 decimal places.

    Args:
        path: the CSV file
        predictions: subset -> (utterance id, name of the copy) of each row, and the predictions
        utterances: all utterances of the corpus
        emotions: class names in order
        more: a file of the same form whose rows come first, such as the validation clips of a selection

    """
    by_id = {utterance.id: utterance for utterance in utterances}
    with write_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        augmented = any(copy for keys, _ in predictions.values() for _, copy in keys)
        columns = ["subset", "target", "prediction"]
        writer.writerow(["utterance", *["copy"] * augmented, *ANNOTATION, *columns, *emotions])
        if more is not None:
            file.writelines(more.read_text(encoding="utf-8").splitlines(keepends=True)[1:])
        for subset, (keys, result) in predictions.items():
            rows = zip(keys, result.target, result.prediction, result.probabilities, strict=True)
            for (id_, copy), target, prediction, probabilities in rows:
                utterance = by_id[id_]
                writer.writerow(
                    [id_, *[copy] * augmented, *(getattr(utterance, field) for field in ANNOTATION)]
                    + [subset, emotions[target], emotions[prediction]]
                    + [f"{probability:.6f}" for probability in probabilities]
                )
