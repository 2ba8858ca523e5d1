"""Measure the conditions of recording of the training clips."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ser_lightning.audio.reader import read_audio
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.json_cache import cache_file, read_cached, write_cached
from ser_lightning.data.preparation import Preparation
from ser_lightning.recording_conditions import Conditions, TrainingData, measure_conditions, summarize_conditions

FORMAT = 1  # increase it when the same files give different measurements
MOST = 2000  # clips of a corpus that are measured; quantiles need no more


def describe_training_data(preparation: Preparation) -> TrainingData:
    """Return the conditions of the training clips, at most 2000 of them.

    The same clips of a corpus are measured for every split, so that runs with other folds use the same cache file.

    Args:
        preparation: the prepared data of a run

    Raises:
        InputError: a file cannot be read

    """
    training = {id_ for id_, _ in preparation.members["train"]}
    sample = _sample(preparation.utterances)
    if not any(utterance.id in training for utterance in sample):
        sample = _sample([utterance for utterance in preparation.utterances if utterance.id in training])
    measured = measure_recordings(sample, folder=preparation.cache_folder, workers=preparation.feature_workers)
    clips = [conditions for utterance, conditions in zip(sample, measured, strict=True) if utterance.id in training]
    return summarize_conditions(clips, model_rate=preparation.audio.sampling_rate)


def _sample(utterances: Sequence[Utterance]) -> Sequence[Utterance]:
    """Return at most 2000 utterances: the first in the order of their contents, which are digests and thus random."""
    if len(utterances) <= MOST:
        return utterances
    return sorted(utterances, key=lambda utterance: utterance.content)[:MOST]


def measure_recordings(utterances: Sequence[Utterance], *, folder: Path, workers: int) -> list[Conditions]:
    """Measure recordings, or read their measurements from a cache file.

    Args:
        utterances: the recordings
        folder: folder of the cache file
        workers: number of threads that read files

    Raises:
        InputError: a file cannot be read

    """
    contents = [utterance.content for utterance in utterances]
    path = cache_file(folder, "conditions", [FORMAT, contents])
    cached = read_cached(path, lambda read: [Conditions(*values) for values in read])
    if cached is not None and len(cached) == len(contents):
        return cached
    with ThreadPoolExecutor(workers) as pool:
        conditions = list(pool.map(_measure, utterances))
    write_cached(path, conditions)
    return conditions


def _measure(utterance: Utterance) -> Conditions:
    wave, rate = read_audio(utterance.path, **utterance.segment)
    return measure_conditions(np.ascontiguousarray(wave[:, 0] if wave.shape[1] == 1 else wave.mean(axis=1)), rate)
