"""Distillation: the probabilities of a finished run, the teacher, become part of the training targets."""

import csv
import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from ser_lightning.assemble import assemble_data
from ser_lightning.atomic import write_atomically
from ser_lightning.build import usable_backends
from ser_lightning.checkpoint import Checkpoint, read_checkpoint, rebuild_model
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.preparation import Preparation
from ser_lightning.data.speaker_normalization import NONE
from ser_lightning.errors import InputError, check_value
from ser_lightning.evaluation import EVALUATION_MODE, predict_subset
from ser_lightning.progress import show_progress
from ser_lightning.results import read_result, reported_checkpoint
from ser_lightning.splits.findings import Finding
from ser_lightning.splits.refit import ValidationInTraining, WithoutTest
from ser_lightning.splits.split import Split, read_split
from ser_lightning.splits.training_audit import TeacherClips, audit_encoder, audit_teacher

log = logging.getLogger(__name__)

FORMAT = 1  # of the cached logits; increase it when the same teacher gives other numbers


def soft_targets(logits: Tensor, target: Tensor, *, share: float, temperature: float) -> Tensor:
    """Mix the probabilities of a teacher with the labels.

    Args:
        logits: (N, classes), logits of the teacher
        target: (N,), class index of each clip
        share: share of the probabilities, from 0 to 1
        temperature: divides the logits before the softmax

    Returns:
        (N, classes), share of each class in each target

    Source: Hinton et al. 2015, "Distilling the knowledge in a neural network". The cross-entropy with these targets is
    the weighted sum of their two losses, but the student's logits are not divided by the temperature.

    >>> soft_targets(torch.tensor([[0.0, 2 * math.log(3)]]), torch.tensor([0]), share=0.5, temperature=2.0)
    tensor([[0.6250, 0.3750]])
    """
    probabilities = (logits.double() / temperature).softmax(1)
    return (share * probabilities + (1 - share) * F.one_hot(target, logits.shape[1])).float()


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A finished run whose probabilities become part of the training targets of another run.

    Args:
        folder: folder of the run
        share: share of its probabilities in each training target
        temperature: divides its logits before the softmax
        checkpoint: its reported checkpoint
        clips: the clips that it was trained on and chosen by
        facts: what the result of the student states of it

    """

    folder: Path
    share: float
    temperature: float
    checkpoint: Checkpoint
    clips: TeacherClips
    facts: Mapping[str, Any]

    def check(self, preparation: Preparation) -> list[Finding]:
        """Check that the teacher knows the emotions of the student, and none of the clips that evaluate it.

        Args:
            preparation: the data of the student, scanned, before clips are left out whose features cannot be computed

        Returns:
            The findings of the leak checks.

        Raises:
            InputError: the teacher is of another corpus, has other emotions, or was shaped by clips or speakers that
                evaluate the student

        """
        corpus, utterances, strategy = preparation.corpus, preparation.utterances, preparation.split_strategy
        if sorted(self.checkpoint.emotions) != sorted(corpus.emotions):
            raise InputError(
                f"data.teacher={self.folder} distinguishes {', '.join(self.checkpoint.emotions)}, and {corpus.name} has"
                f" {', '.join(corpus.emotions)}; train the teacher with the same emotions"
            )
        if self.facts["corpus"] != corpus.name or self.clips.ids.isdisjoint(u.id for u in utterances):
            raise InputError(
                f"data.teacher={self.folder} was trained on clips of {self.facts['corpus']}, which cannot be compared"
                f" by name with those of {corpus.name}; train the teacher on the same corpus"
            )
        if preparation.augment_first:
            raise InputError(
                "data.augment_first is true with data.teacher, where copies of one clip are in several subsets;"
                " expected data.augment_first=false"
            )
        # With split.refit, the validation clips choose in the selection, although the refit trains on them.
        drawn = strategy.drawn if isinstance(strategy, WithoutTest | ValidationInTraining) else strategy
        speakers = {utterance.id: utterance.speaker for utterance in utterances}
        finding = audit_teacher(self.facts["run"], self.clips, split=drawn(utterances), speakers=speakers)
        if finding.found:
            raise InputError(
                f"data.teacher={self.folder} leaks: {finding.sentence}, such as {finding.examples[0][0]}; train the"
                " teacher with the same split and fold as this run"
            )
        encoder = self.facts["encoder"]
        return [finding, *([] if encoder is None else [audit_encoder(encoder, (u.corpus for u in utterances))])]

    def soften(self, data: SpeechDataModule, config: Mapping[str, Any]) -> None:
        """Make the training targets of a student soft; validation and test keep their labels.

        Args:
            data: the data module of the student, set up
            config: resolved config of the student

        Raises:
            InputError: the teacher cannot read a training clip

        """
        if self.share == 0:  # exactly the training without a teacher
            return
        preparation, dataset = data.preparation, data.datasets["train"]
        training = set(dataset.utterances)
        clips = [utterance for utterance in preparation.utterances if utterance.id in training]
        logits = torch.from_numpy(self.logits(clips, config=config))
        row = {utterance.id: number for number, utterance in enumerate(clips)}
        order = [self.checkpoint.emotions.index(emotion) for emotion in preparation.corpus.emotions]
        of_rows = logits[[row[id_] for id_ in dataset.utterances]][:, order]
        dataset.shares = soft_targets(of_rows, dataset.targets, share=self.share, temperature=self.temperature)
        log.info("%.3g of each training target are probabilities of the teacher %s", self.share, self.facts["run"])

    def logits(self, clips: Sequence[Utterance], *, config: Mapping[str, Any]) -> npt.NDArray[np.float32]:
        """Compute the logits of clips, (N, classes), without calibration, or read them from a cache file.

        Args:
            clips: clips of the student's corpus, sorted by id
            config: resolved config of the student

        Raises:
            InputError: a clip cannot be read

        """
        teacher_config = self._config(config)
        key = json.dumps(
            [FORMAT, self.facts["sha256"], teacher_config["audio"], [utterance.content for utterance in clips]]
        )
        name = f"teacher-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
        path = Path(config["data"]["feature_cache"]) / name
        with suppress(OSError, ValueError, EOFError):
            cached: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
            if cached.shape == (len(clips), len(self.checkpoint.emotions)):
                return cached
        ids = tuple(utterance.id for utterance in clips)

        def only(utterances: Sequence[Utterance]) -> Split:
            others = {utterance.id for utterance in utterances}.difference(ids)
            return Split(train=(), val=(), test=ids, unused=tuple(sorted(others)))

        data = assemble_data(teacher_config, progress=show_progress("features of the teacher"), split=only)
        data.prepare_data()
        data.setup()
        if (readable := len(data.datasets["test"])) < len(ids):
            raise InputError(
                f"data.teacher={self.folder} can read {readable} of {len(ids)} training clips; leave the others out of"
                " the corpus"
            )
        model = rebuild_model(replace(self.checkpoint, config=teacher_config), path=reported_checkpoint(self.folder))
        logits = predict_subset(model, data, "test", evaluation=EVALUATION_MODE, device=torch.device("cpu")).logits
        # The cache file only saves time: a full or read-only disk must not fail the run.
        with suppress(OSError), write_atomically(path, "wb") as file:
            np.save(file, logits)
        return logits

    def _config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config of the teacher with the student's corpus and feature cache."""
        teacher_config = usable_backends(self.checkpoint.config)
        caching = {key: config["data"][key] for key in ("feature_cache", "feature_workers")}
        offline = {"download": False} if "download" in teacher_config["features"] else {}
        return {
            **teacher_config,
            "corpus": config["corpus"],
            "features": {**teacher_config["features"], **offline},
            "data": {**teacher_config["data"], **caching},
        }


def read_teacher(config: Mapping[str, Any]) -> Teacher | None:
    """Read the teacher of a run, if it has one.

    Args:
        config: resolved config of the run, with the digest of the teacher's checkpoint

    Raises:
        InputError: a value is out of range; the folder is damaged; or the run cannot be a teacher: it is transductive,
            its own leak checks found a leak, or it started from the weights or probabilities of another run

    """
    section = config["data"]
    share, temperature = section["teacher_share"], section["teacher_temperature"]
    check_value("data.teacher_share", share, valid=_is_number(share) and share <= 1, expected="a number from 0 to 1")
    valid = _is_number(temperature) and 0 < temperature < math.inf
    check_value("data.teacher_temperature", temperature, valid=valid, expected="a finite number above 0")
    if section["teacher"] is None:
        return None
    folder = Path(section["teacher"])
    result = read_result(folder)
    checkpoint = read_checkpoint(reported_checkpoint(folder), trust=config["trust"])
    _check_run(folder, checkpoint.config)
    try:
        if result["audit"]["leak"]:
            raise InputError(f"data.teacher={folder} has {result['audit']['summary']}; train a teacher without leaks")
        facts = {
            "run": f"{result['name']}/{result['run_id']}",
            "model": result["choices"].get("model"),
            "corpus": result["corpus"]["name"],
            "encoder": result["encoder"],
            "checkpoint": result["checkpoint"],
            "sha256": section["teacher_sha256"],
            "share": share,
            "temperature": temperature,
        }
        clips = _read_clips(folder, refit="refit" in result, counts=result["counts"])
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"data.teacher={folder} is damaged: {error!r} in its files; train it again") from error
    return Teacher(folder=folder, share=share, temperature=temperature, checkpoint=checkpoint, clips=clips, facts=facts)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _check_run(folder: Path, config: Mapping[str, Any]) -> None:
    """Check that a run is inductive and learned from its own clips only."""
    if (mode := config["data"].get("normalize", NONE)) != NONE:
        raise InputError(
            f"data.teacher={folder} was trained with data.normalize={mode}, which makes its probabilities transductive;"
            " expected a teacher with data.normalize=none"
        )
    if config.get("init_from") is not None or config["data"].get("teacher") is not None:
        raise InputError(
            f"data.teacher={folder} learned from another run (init_from or data.teacher), whose clips it does not name;"
            " expected a teacher that was trained from the start"
        )


def _read_clips(folder: Path, *, refit: bool, counts: Mapping[str, int]) -> TeacherClips:
    """Read the clips of a run from its ``split.csv``.

    Args:
        folder: folder of the run
        refit: whether it was trained on its validation clips too
        counts: number of clips of each subset by its result

    Raises:
        InputError: the file is damaged, or names fewer clips than the result counts

    """
    path = folder / "split.csv"
    split = read_split(path)
    with path.open(encoding="utf-8", newline="") as file:
        speakers = {row["utterance"]: row["speaker"] or None for row in csv.DictReader(file)}
    if len(split.train) + len(split.val) < counts["train"] + counts["val"] or len(split.test) < counts["test"]:
        raise InputError(f"{path} names fewer clips than result.json beside it counts; train the teacher again")
    return TeacherClips(trained=(*split.train, *(split.val if refit else ())), chosen=split.val, speakers=speakers)
