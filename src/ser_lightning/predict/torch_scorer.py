"""Score waveforms with the model of a checkpoint."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ser_lightning.build import build
from ser_lightning.checkpoint import Checkpoint, rebuild_model
from ser_lightning.data.augmentation import FeatureAugment, WaveformAugment
from ser_lightning.data.batch import FeatureDataset
from ser_lightning.data.speaker_normalization import NONE, pooled
from ser_lightning.errors import InputError
from ser_lightning.models.ensemble import mean_logits, members_of
from ser_lightning.predict.threads import map_threads

FRAMES = 2**17  # maximum frames per batch with padding; one long recording would pad 256 clips to gigabytes
OURS = "ser_lightning."
UNKNOWN = ""  # utterance id of a recording, which seeds the random numbers of its copies


class TorchScorer:
    """The model of a checkpoint with the features that it was trained on; see :class:`~.scorer.Scorer`.

    Args:
        checkpoint: the checkpoint
        config: its config, in which values may be changed
        path: its file, for messages
        one_speaker: whether the waveforms of a call are all clips of one speaker, by which the features are normalized;
            required by checkpoints that were trained with ``data.normalize``
        workers: number of threads that compute features

    Raises:
        InputError: a value of the config does not fit the checkpoint, or ``one_speaker`` does not

    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        config: Mapping[str, Any],
        *,
        path: str | Path,
        one_speaker: bool,
        workers: int = 1,
    ) -> None:
        _check_normalization(config["data"].get("normalize", NONE), one_speaker=one_speaker, path=path)
        self.emotions = checkpoint.emotions
        self.calibration, self.training_data = checkpoint.calibration, checkpoint.training_data
        self.temperature = None if self.calibration is None else self.calibration.temperature
        self.sampling_rate: int = config["audio"]["sampling_rate"]
        self.one_speaker = one_speaker
        self.model = rebuild_model(replace(checkpoint, config=dict(config)), path=path)
        self.extract = build("features", config["features"], trust=config["trust"])
        copies = config["data"].get("eval_copies", False)
        self.augment = build("augment", config["augment"], trust=config["trust"]) if copies else None
        concurrent = self.augment is None and getattr(self.extract, "concurrent", False)
        self.workers = workers if concurrent else 1

    @torch.inference_mode()
    def logits(self, waves: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
        """Return the logits (B, C) of waveforms (samples,)."""
        if not waves:
            return np.zeros((0, len(self.emotions)))
        kinds = zip(
            *map_threads(self._features, waves, workers=self.workers), strict=True
        )  # the clips, then each kind of copies
        return mean_logits([torch.from_numpy(self.score_features(clips)) for clips in kinds]).numpy()

    def _features(self, wave: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Return the features (K, F) of a waveform and, with ``data.eval_copies``, of its augmented copies."""
        features = [self.extract(wave)]
        if isinstance(self.augment, WaveformAugment):
            features += [self.extract(copy) for copy in self.augment(wave, utterance=UNKNOWN).values()]
        if isinstance(self.augment, FeatureAugment):
            features += self.augment.augment_features(features[0], utterance=UNKNOWN).values()
        return features

    @torch.inference_mode()
    def score_features(self, clips: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
        """Return the logits (B, C) of the features (K, F) of clips."""
        if self.one_speaker:
            mean, deviation = pooled(clips).statistics()
            clips = [(clip - mean) / deviation for clip in clips]
        return np.concatenate([self.model(*pad(batch)).double().numpy() for batch in self._batches(clips)])

    def _batches(self, clips: Sequence[npt.NDArray[np.float32]]) -> Iterator[Sequence[npt.NDArray[np.float32]]]:
        """Divide clips into batches with a limited number of frames; a model that reads padding gets single clips."""
        most = FRAMES if ignores_padding(self.model) else 0
        first, longest = 0, 0
        for index, clip in enumerate(clips):
            longest = max(longest, len(clip))
            if index > first and (index + 1 - first) * longest > most:
                yield clips[first:index]
                first, longest = index, len(clip)
        if clips:
            yield clips[first:]


def ignores_padding(model: torch.nn.Module) -> bool:
    """Return whether the logits of a clip do not depend on padding, and thus not on the other clips of its batch.

    Networks of this package ignore padding unless their attribute ``masked`` is False. A network of another package
    ignores padding only if its attribute ``masked`` is True.
    """
    network = members_of(model)[0]
    return bool(getattr(network, "masked", type(network).__module__.startswith(OURS)))


def pad(clips: Sequence[npt.NDArray[np.float32]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return clips (K, F) as a zero-padded batch (B, K, F), and their lengths (B,)."""
    lengths = np.array([len(clip) for clip in clips])
    dataset = FeatureDataset(
        frames=np.concatenate(clips),
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        targets=np.zeros(len(clips), dtype=np.int64),
        utterances=[""] * len(clips),
    )
    features, frames, *_ = dataset.__getitems__(list(range(len(clips))))
    return features, frames


def _check_normalization(mode: str, *, one_speaker: bool, path: str | Path) -> None:
    """Check that ``--one-speaker`` is given if, and only if, features were normalized by speaker in training.

    Raises:
        InputError: it is missing or does not apply

    """
    if mode != NONE and not one_speaker:
        raise InputError(
            f"{path} was trained with data.normalize={mode}: its features are normalized by the clips of their"
            " speaker, whom a recording does not name. Give several recordings of one speaker to ser-predict"
            " --one-speaker."
        )
    if mode == NONE and one_speaker:
        raise InputError(
            f"--one-speaker is for checkpoints that were trained with data.normalize=speaker; {path} was not. Leave"
            " it out."
        )
