"""Extract the features of recordings to ``.npy`` files."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ser_lightning.build import build
from ser_lightning.errors import InputError
from ser_lightning.output import Output
from ser_lightning.output_checks import check_path
from ser_lightning.predict.inputs import Recording, names_of_files

NUMPY = ".npy"


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """The feature file of a recording.

    Args:
        source: path of the recording
        path: path of the feature file
        shape: shape of the features, (frames, features)

    """

    source: Path
    path: Path
    shape: tuple[int, ...]


def extract_features(
    recordings: Sequence[Recording],
    folder: Path,
    *,
    config: Mapping[str, Any],
    trust: Sequence[str],
    progress: Callable[[Any, int], Any],
    on_failure: Callable[[str], None],
) -> Iterator[FeatureFile]:
    """Write one ``.npy`` file of shape (frames, features) per recording and yield each file when it is written.

    Args:
        recordings: the recordings, whose paths below their input folders are kept
        folder: folder to write to
        config: config with the parts ``audio`` and ``features``
        trust: packages of the user whose classes the config may name
        progress: wrapper around an iterable and its length
        on_failure: receives the reason for each recording that is left out

    Raises:
        InputError: the config is invalid, or a file cannot be written

    """
    audio, extract = (build(part, config[part], trust=trust) for part in ("audio", "features"))
    targets: list[tuple[Path, Path, Output]] = []
    for source, name in names_of_files(recordings, NUMPY):
        try:
            targets.append((source, folder / name, check_path(folder / name, formats=(NUMPY,), default=NUMPY)))
        except InputError as error:  # the name may be too long with the added suffix
            on_failure(str(error))
    for source, path, target in progress(targets, len(targets)):
        try:
            matrix = extract(audio.load(source).wave)  # (K, F)
        except InputError as error:
            on_failure(str(error))
            continue
        content = io.BytesIO()
        np.save(content, matrix)
        target.write(content.getvalue())
        yield FeatureFile(source, path, matrix.shape)
