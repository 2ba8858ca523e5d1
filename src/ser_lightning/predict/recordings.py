"""Predict the emotions of recordings."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ser_lightning.build import build
from ser_lightning.checkpoint import Checkpoint, rebuild_model
from ser_lightning.data.batch import FeatureDataset
from ser_lightning.data.speaker_normalization import NONE, pooled
from ser_lightning.errors import InputError

FRAMES = 2**17  # maximum frames per batch with padding; one long recording would pad 256 clips to gigabytes
DIGITS = 6  # decimal places of a probability


@dataclass(frozen=True, slots=True)
class Prediction:
    """Prediction for one recording.

    Args:
        path: path of the recording
        emotion: the most probable emotion
        probabilities: emotion -> probability, in class order

    """

    path: str
    emotion: str
    probabilities: dict[str, float]


class Predictor:
    """A network of a checkpoint with the audio and the features that it was trained on.

    Args:
        checkpoint: the checkpoint
        config: its config, in which values may be changed
        path: its file, for messages
        batch_size: maximum number of recordings per batch
        one_speaker: whether all recordings are of one speaker, by whose clips the features are normalized; required by
            checkpoints that were trained with ``data.normalize``

    Raises:
        InputError: a value of the config does not fit the checkpoint, or ``one_speaker`` does not

    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        config: Mapping[str, Any],
        *,
        path: str | Path,
        batch_size: int,
        one_speaker: bool,
    ) -> None:
        mode = config["data"].get("normalize", NONE)
        if mode != NONE and not one_speaker:
            raise InputError(
                f"{path} was trained with data.normalize={mode}: its features are normalized by the clips of their"
                " speaker, whom a recording does not name. Give several recordings of one speaker, and --one-speaker."
            )
        if mode == NONE and one_speaker:
            raise InputError(
                f"--one-speaker is for checkpoints that were trained with data.normalize=speaker; {path} was not. Leave"
                " it out."
            )
        self.one_speaker = one_speaker
        self.emotions = checkpoint.emotions
        self.batch_size = batch_size
        self.network = rebuild_model(replace(checkpoint, config=dict(config)), path=path)
        self.audio, self.extract = (build(part, config[part], trust=config["trust"]) for part in ("audio", "features"))

    def predict(self, paths: Iterable[Path], *, on_failure: Callable[[str], None]) -> Iterator[list[Prediction]]:
        """Yield the predictions of one batch of recordings after another.

        Args:
            paths: sound files
            on_failure: receives the reason for each recording that cannot be used

        """
        clips = self._clips(paths, on_failure=on_failure)
        batch: list[tuple[Path, np.ndarray]] = []
        for clip in _normalized(list(clips)) if self.one_speaker else clips:
            if batch and (len(batch) == self.batch_size or _padded([*batch, clip]) > FRAMES):
                yield _classify(self.network, batch, self.emotions)
                batch = []
            batch.append(clip)
        if batch:
            yield _classify(self.network, batch, self.emotions)

    def _clips(self, paths: Iterable[Path], *, on_failure: Callable[[str], None]) -> Iterator[tuple[Path, np.ndarray]]:
        for path in paths:
            try:
                yield path, self.extract(self.audio.load(path).wave)
            except InputError as error:
                on_failure(str(error))


def _normalized(clips: Sequence[tuple[Path, np.ndarray]]) -> list[tuple[Path, np.ndarray]]:
    """Normalize each feature by its mean and standard deviation over the clips, which are of one speaker.

    Raises:
        InputError: there is one clip, whose mean alone would be subtracted from it

    """
    if len(clips) == 1:
        raise InputError(f"{clips[0][0]} is the only recording; --one-speaker needs several recordings of the speaker.")
    if not clips:
        return []
    mean, deviation = pooled(matrix for _, matrix in clips).statistics()
    return [(path, (matrix - mean) / deviation) for path, matrix in clips]


def _padded(clips: Sequence[tuple[Path, np.ndarray]]) -> int:
    """Return the number of frames of a batch of clips, including padding."""
    longest: int = max(len(matrix) for _, matrix in clips)
    return len(clips) * longest


@torch.inference_mode()
def _classify(
    model: torch.nn.Module, clips: Sequence[tuple[Path, np.ndarray]], emotions: Sequence[str]
) -> list[Prediction]:
    lengths = np.array([len(matrix) for _, matrix in clips])
    dataset = FeatureDataset(
        frames=np.concatenate([matrix for _, matrix in clips]),
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        targets=np.zeros(len(clips), dtype=np.int64),
        utterances=[str(path) for path, _ in clips],
    )
    features, frames, *_ = dataset.__getitems__(list(range(len(clips))))
    probabilities = model(features, frames).double().softmax(1)
    return [
        Prediction(
            # File names need not be valid UTF-8: invalid bytes are written as escapes.
            path=str(path).encode("utf-8", "backslashreplace").decode(),
            emotion=emotions[int(values.argmax())],
            probabilities=dict(zip(emotions, (round(value, DIGITS) for value in values.tolist()), strict=True)),
        )
        for (path, _), values in zip(clips, probabilities, strict=True)
    ]
