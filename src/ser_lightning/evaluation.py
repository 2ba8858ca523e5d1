"""What a model says of every clip of a subset."""

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
from ser_lightning.corpus.utterance import Utterance
from ser_lightning.data.batch import Batch
from ser_lightning.errors import InputError
from ser_lightning.split.split import SUBSETS

if TYPE_CHECKING:
    from ser_lightning.data.datamodule import SpeechDataModule


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
        """Return every metric and the mean cross-entropy."""
        loss = -torch.from_numpy(self.logits).double().log_softmax(1).numpy()[np.arange(len(self.target)), self.target]
        return {**metrics.compute_metrics(self.confusion), "loss": float(loss.mean())}


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """How a network is measured; rightly, both are false.

    Args:
        training_mode: dropout drops and BatchNorm normalises by the batch, not by its running statistics. These
            stay as they are
        update_statistics: the running statistics take in the measured clips first, in one pass in training mode with
            the momentum that BatchNorm has. The network is then measured in evaluation mode; with ``training_mode``
            too, the measurement itself is that pass

    """

    training_mode: bool
    update_statistics: bool


EVALUATION_MODE = Evaluation(training_mode=False, update_statistics=False)
DRAW = 0  # seed of dropout while measuring: the same clips are measured with the same units dropped every time


def check_batches(data: "SpeechDataModule", *, evaluation: Evaluation) -> None:
    """Hold the batches of evaluation against what BatchNorm can normalise by.

    Args:
        data: its corpus is scanned
        evaluation: how these batches are measured

    Raises:
        InputError: one of them holds a single clip and would be run in training mode

    """
    if evaluation == EVALUATION_MODE:
        return
    for subset in SUBSETS:
        if getattr(data.preparation.split, subset) and data.smallest_eval_batch(subset) < 2:
            raise InputError(
                f"data.eval_batch_size is {data.eval_batch_size}, which leaves a batch of {subset} with a single clip;"
                " expected another size with evaluation.training_mode or evaluation.update_statistics: BatchNorm"
                " cannot normalise by a clip alone"
            )


@contextmanager
def measuring(
    model: nn.Module, loader: DataLoader[Batch], *, evaluation: Evaluation, device: torch.device
) -> Iterator[Iterator[Batch]]:
    """Bring a model into the state in which it is measured, and back.

    Afterwards the mode and the random generators are what they were, and so are the running statistics, but with
    ``update_statistics``: then they have taken in the clips of the loader once, as in the study, whose validation did
    that every epoch.

    Args:
        model: as in :func:`predict`
        loader: the clips that are measured
        evaluation: how
        device: where the model is

    Yields:
        the batches of the loader

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
        # Begun here, whoever goes through them: a loader that begins draws from the generator.
        yield iter(loader)
    if evaluation.training_mode and not evaluation.update_statistics:
        for name, buffer in model.named_buffers():
            buffer.copy_(statistics[name])
    for module, training in modes.items():
        module.training = training


def predict(
    model: nn.Module, loader: DataLoader[Batch], *, evaluation: Evaluation, device: torch.device
) -> Predictions:
    """Run a model over a loader. The model given is left as it is, its running statistics too.

    Args:
        model: maps features (B, F, K) and lengths (B,) to logits (B, classes)
        loader: yields batches whose ``row`` tells each clip's place
        evaluation: ``EVALUATION_MODE``, or the study's way
        device: where the model is

    """
    if evaluation.update_statistics:
        model = copy.deepcopy(model)
    with measuring(model, loader, evaluation=evaluation, device=device) as batches:
        target, logits = _run(model, batches, device)
    return Predictions(target, logits)


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
) -> None:
    """Write ``utterance,speaker,gender,intensity,subset,target,prediction`` and a probability to 6 digits an emotion.

    Where altered copies were measured, ``copy`` comes after the utterance; of the clip itself it is empty.

    Args:
        path: the CSV file
        predictions: of each subset, utterance id and name of the copy of each row, and what was predicted
        utterances: the corpus
        emotions: the classes in order

    """
    by_id = {utterance.id: utterance for utterance in utterances}
    with write_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        altered = any(copy for keys, _ in predictions.values() for _, copy in keys)
        told = ["speaker", "gender", "intensity", "subset", "target", "prediction"]
        writer.writerow(["utterance", *["copy"] * altered, *told, *emotions])
        for subset, (keys, result) in predictions.items():
            rows = zip(keys, result.target, result.prediction, result.probabilities, strict=True)
            for (id_, copy), target, prediction, probabilities in rows:
                of = by_id[id_]
                writer.writerow(
                    [id_, *[copy] * altered, of.speaker, of.gender, of.intensity, subset]
                    + [emotions[target], emotions[prediction]]
                    + [f"{probability:.6f}" for probability in probabilities]
                )
