"""Permutation importance of feature groups: the UAR that is lost when a group is exchanged between the test clips.

Source: Breiman 2001, Random forests, section 10; groups as by Au et al. 2022, Grouped feature importance and combined
features effect plot (arXiv 2104.11688)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ser_lightning.data.batch import FeatureDataset
from ser_lightning.errors import InputError
from ser_lightning.evaluation import Predictions, predict
from ser_lightning.explain.groups import FeatureGroup, feature_bands, feature_groups, feature_names
from ser_lightning.metrics import METRICS, Counts, confusion_matrix, uar
from ser_lightning.reevaluate import OpenRun
from ser_lightning.report.bootstrap import cluster_interval

BANDS = 8  # of a spectrum that is the only group
ALL = "all"  # name of all features together, without which the model can only guess


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupImportance:
    """Importance of a feature group in percentage points of UAR.

    Args:
        group: name of the group
        features: number of its features
        drop: UAR of the test clips minus the mean UAR with the group permuted
        interval: 95 % interval over speakers; None if it cannot be estimated
        why_no_interval: why there is no interval; empty if there is one
        sd: standard deviation of the drop over the permutations; None for a single one

    """

    group: str
    features: int
    drop: float
    interval: tuple[float, float] | None
    why_no_interval: str
    sd: float | None


def importance_groups(extractor: Any) -> list[FeatureGroup]:
    """Return the groups of the features of an extractor, or bands if there is a single group, and all together."""
    names = feature_names(extractor)
    groups = feature_groups(names)
    if len(groups) == 1:
        groups = feature_bands(extractor, bands=BANDS)
    return [*groups, FeatureGroup(ALL, np.arange(len(names)))]


def permutation_importance(
    runs: Sequence[OpenRun], groups: Sequence[FeatureGroup], *, repeats: int, seed: int
) -> tuple[float, list[GroupImportance]]:
    """Measure the importance of feature groups on the test clips of runs, such as the folds of a cross-validation.

    Args:
        runs: runs with the same features and emotions, whose test clips are counted together
        groups: groups of the features
        repeats: number of permutations of each group
        seed: seed of the permutations

    Returns:
        the UAR of the test clips in percent, and the importance of each group

    Raises:
        InputError: the runs have different features or emotions, or one has no test clips

    """
    check_runs(runs)
    before = [_confusions([_predict(run, _test_clips(run))], run) for run in runs]
    plain = _by_speaker(before)
    importances = []
    for group in groups:
        generator = np.random.default_rng(seed)
        permuted = [_permuted(run, group, generator, repeats) for run in runs]
        after = [_confusions(predictions, run) for predictions, run in zip(permuted, runs, strict=True)]
        importances.append(_importance(group, plain, after, repeats))
    return 100 * uar(plain.sum((0, 1)).astype(np.int64)), importances


def exchange(clips: FeatureDataset, columns: npt.NDArray[np.int64], donors: npt.NDArray[np.int64]) -> FeatureDataset:
    """Return clips with some features replaced by those of other clips, stretched to the same number of frames.

    Args:
        clips: clips whose rows follow each other in their frames
        columns: features to replace
        donors: (N,), row of the clip that gives each clip its features

    """
    frames = np.array(clips.frames)
    offsets, lengths = clips.offsets.numpy(), clips.lengths.numpy()
    for offset, length, donor in zip(offsets, lengths, donors, strict=True):
        source = offsets[donor] + np.arange(length) * lengths[donor] // length
        frames[offset : offset + length, columns] = clips.frames[source][:, columns]
    return FeatureDataset(
        frames=frames,
        offsets=offsets,
        lengths=lengths,
        targets=clips.targets.numpy(),
        utterances=clips.utterances,
    )


def check_runs(runs: Sequence[OpenRun]) -> None:
    """Check that runs can be compared.

    Raises:
        InputError: they have different features or emotions, or one has no test clips

    """
    facts = {(run.data.preparation.corpus.emotions, run.data.datasets["test"].frames.shape[1]) for run in runs}
    if len(facts) > 1:
        raise InputError("the runs have different features or emotions; give runs of one configuration, such as folds")
    if any(not len(run.data.datasets["test"]) for run in runs):
        raise InputError("a run has no test clips; give runs whose split has some")


def _test_clips(run: OpenRun) -> FeatureDataset:
    """Return the test clips with their own array of frames."""
    clips = run.data.datasets["test"]
    lengths = clips.lengths.numpy()
    return FeatureDataset(
        frames=clips.all_frames().numpy(),
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        targets=clips.targets.numpy(),
        utterances=clips.utterances,
    )


def _permuted(run: OpenRun, group: FeatureGroup, generator: np.random.Generator, repeats: int) -> list[Predictions]:
    clips = _test_clips(run)
    donors = [generator.permutation(len(clips)) for _ in range(repeats)]
    return [_predict(run, exchange(clips, group.columns, each)) for each in donors]


def _predict(run: OpenRun, clips: FeatureDataset) -> Predictions:
    loader = run.data.loader_of(clips)
    return predict(run.model, loader, evaluation=run.evaluation, device=torch.device("cpu"))


def _confusions(predictions: Sequence[Predictions], run: OpenRun) -> Mapping[str, Counts]:
    """Return the confusion matrices of each test speaker, (repeats, C, C)."""
    speaker_of = {utterance.id: utterance.speaker or "" for utterance in run.data.preparation.utterances}
    speakers = np.array([speaker_of[id_] for id_ in run.data.datasets["test"].utterances])
    classes = len(run.data.preparation.corpus.emotions)
    return {
        speaker: np.stack(
            [
                confusion_matrix(each.target[speakers == speaker], each.prediction[speakers == speaker], classes)
                for each in predictions
            ]
        ).astype(np.float64)
        for speaker in sorted(set(speakers))
    }


def _by_speaker(confusions: Sequence[Mapping[str, Counts]]) -> Counts:
    """Return the confusion matrices of each speaker, summed over the runs, (speakers, repeats, C, C)."""
    speakers = sorted({speaker for each in confusions for speaker in each})
    return np.stack([np.sum([each[s] for each in confusions if s in each], axis=0) for s in speakers])


def _importance(
    group: FeatureGroup, plain: Counts, after: Sequence[Mapping[str, Counts]], repeats: int
) -> GroupImportance:
    sums = METRICS["uar"].sums
    assert sums is not None  # noqa: S101 - the UAR is a mean of ratios
    counts = _by_speaker(after)  # (speakers, repeats, C, C)
    percent = np.array([[100.0], [1.0]])
    interval = cluster_interval(repeats * sums(plain[:, 0]) * percent, sums(counts.sum(1)) * percent)
    drops = [100 * (uar(plain.sum((0, 1)).astype(np.int64)) - uar(each.astype(np.int64))) for each in counts.sum(0)]
    return GroupImportance(
        group=group.name,
        features=len(group.columns),
        drop=interval.mean,
        interval=interval.interval,
        why_no_interval=interval.why_no_interval,
        sd=float(np.std(drops, ddof=1)) if repeats > 1 else None,
    )
