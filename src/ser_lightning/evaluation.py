"""What a model says of every clip of a subset."""

import copy
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader

from ser_lightning import metrics
from ser_lightning.atomic import write_atomically
from ser_lightning.corpus.utterance import Utterance
from ser_lightning.data.batch import Batch


@dataclass(frozen=True, slots=True)
class Predictions:
    """The clips of a subset in the order of its dataset.

    Args:
        target: (N,), class index
        logits: (N, classes)

    """

    target: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]

    @property
    def prediction(self) -> npt.NDArray[np.int64]:
        """Most probable class, (N,)."""
        prediction: npt.NDArray[np.int64] = self.logits.argmax(1)
        return prediction

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Softmax of the logits, (N, classes)."""
        return torch.from_numpy(self.logits).double().softmax(1).numpy()

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """(classes, classes), rows true, columns predicted."""
        return metrics.confusion_matrix(self.target, self.prediction, self.logits.shape[1])

    def summary(self) -> dict[str, float]:
        """Return accuracy, UAR, macro F1 and mean cross-entropy."""
        loss = -torch.from_numpy(self.logits).double().log_softmax(1).numpy()[np.arange(len(self.target)), self.target]
        return {
            "accuracy": metrics.accuracy(self.confusion),
            "uar": metrics.uar(self.confusion),
            "macro_f1": metrics.macro_f1(self.confusion),
            "loss": float(loss.mean()),
        }


def predict(model: nn.Module, loader: DataLoader[Batch], *, device: torch.device) -> Predictions:
    """Run a model in evaluation mode over a loader.

    Args:
        model: maps features (B, F, K) and lengths (B,) to logits (B, classes)
        loader: yields batches whose ``row`` tells each clip's place
        device: where the model is

    """
    was_training = model.training
    model.eval()
    target, logits = _run(model, loader, device)
    model.train(was_training)
    return Predictions(target, logits)


def study_metric(
    model: nn.Module, loader: DataLoader[Batch], *, device: torch.device
) -> tuple[float, dict[str, float]]:
    """Compute the study's own test figure, with its two mistakes.

    Correct clips are divided by the number of batches, not of clips: with batches of 100, 234 correct of 360 become
    234 / 4 = 58.5. And the model stays in training mode: dropout drops and BatchNorm normalises by the batch.
    The model given is left alone, its running statistics and the random generators too.

    Args:
        model: as in :func:`predict`
        loader: yields batches of 100, the last one smaller
        device: where the model is

    Returns:
        The study's figure; and accuracy and UAR of the same predictions, computed rightly.

    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        target, logits = _run(copy.deepcopy(model).train(), loader, device)
    predictions = Predictions(target, logits)
    confusion = predictions.confusion
    return float(confusion.trace()) / len(loader), {
        "accuracy": metrics.accuracy(confusion),
        "uar": metrics.uar(confusion),
    }


@torch.no_grad()
def _run(
    model: nn.Module, loader: DataLoader[Batch], device: torch.device
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    rows, target, logits = [], [], []
    for batch in loader:
        logits.append(model(batch.features.to(device), batch.lengths.to(device)).cpu())
        target.append(batch.target)
        rows.append(batch.row)
    order = torch.cat(rows).argsort()
    return torch.cat(target)[order].numpy(), torch.cat(logits)[order].numpy()


def write_predictions(
    path: str | Path,
    predictions: dict[str, tuple[list[str], Predictions]],
    *,
    utterances: tuple[Utterance, ...],
    emotions: tuple[str, ...],
) -> None:
    """Write ``utterance,speaker,subset,target,prediction`` and a probability to 6 digits for each emotion.

    Args:
        path: the CSV file
        predictions: of each subset, the utterance ids and what was predicted
        utterances: the corpus
        emotions: the classes in order

    """
    speaker_of = {utterance.id: utterance.speaker for utterance in utterances}
    with write_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["utterance", "speaker", "subset", "target", "prediction", *emotions])
        for subset, (ids, result) in predictions.items():
            rows = zip(ids, result.target, result.prediction, result.probabilities, strict=True)
            for id_, target, prediction, probabilities in rows:
                writer.writerow(
                    [id_, speaker_of[id_], subset, emotions[target], emotions[prediction]]
                    + [f"{probability:.6f}" for probability in probabilities]
                )
