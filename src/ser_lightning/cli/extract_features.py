"""Compute the features of recordings and write one ``.npy`` file each."""

import io
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ser_lightning.build import build
from ser_lightning.cli.inputs import Recording, find_recordings, report_failures
from ser_lightning.cli.settings import compose_config
from ser_lightning.errors import InputError, printable
from ser_lightning.output import STANDARD_OUTPUT, Output, check_folder, check_output, check_path, json_lines
from ser_lightning.progress import show_progress

PARTS = ("corpus", "audio", "features")  # parts of the config; corpus only for how channels are mixed down
NUMPY = ".npy"


def extract_features(
    inputs: Sequence[str],
    *,
    output: str | None,
    settings: Sequence[str],
    json: bool,
    trust: Sequence[str] = (),
    config_dir: str | None = None,
) -> int:
    """Write one .npy file per recording and return the exit code.

    Args:
        inputs: audio files and folders
        output: folder to write to
        settings: changes to the config of the features, each ``key=value``
        json: write one JSON object per recording to standard output
        trust: packages of the user whose classes the config may name
        config_dir: folder with more options of the groups, as of Hydra's ``--config-dir``

    Raises:
        InputError: the output, a setting or an input is invalid

    """
    if output is None:
        raise InputError("--output is missing; give --output <folder>")
    folder = check_folder(output)
    config = compose_config({"features": "paper"}, settings, choices=PARTS, keys=PARTS, config_dir=config_dir)
    audio, extract = (build(part, config[part], trust=trust) for part in ("audio", "features"))
    recordings, failures = find_recordings(inputs)
    total = len(recordings) + len(failures)
    listing = check_output(STANDARD_OUTPUT, formats=(".jsonl",), default=".jsonl") if json else None
    targets: list[tuple[Path, Path, Output]] = []
    for recording, name in _named(recordings):
        try:
            target = check_path(folder / name, formats=(NUMPY,), default=NUMPY)
            targets.append((recording.path, folder / name, target))
        except InputError as error:  # the name may be too long with the added suffix
            failures.append(str(error))
    for source, file, target in show_progress("features")(targets, len(targets)):
        try:
            matrix = extract(audio.load(source).wave)  # (K, F)
        except InputError as error:
            failures.append(str(error))
            continue
        content = io.BytesIO()
        np.save(content, matrix)
        target.write(content.getvalue())
        if listing is not None:
            path, features = (str(name).encode("utf-8", "backslashreplace").decode() for name in (source, file))
            listing.write(json_lines([{"path": path, "features": features, "shape": list(matrix.shape)}]))
    done = f"{total - len(failures)} of {total} recordings: features in {printable(folder)}"
    print(done, file=sys.stderr if json else sys.stdout)
    return report_failures("ser-features", failures, total=total)


def _named(recordings: Sequence[Recording]) -> list[tuple[Recording, Path]]:
    """Return each recording with a unique path for its features below the output folder."""
    # The original suffix is kept, because a folder may hold both a.wav and a.flac.
    names = [recording.below for recording in recordings]
    if len(Counter(names)) < len(names):
        real = [Path(os.path.realpath(recording.path.parent), recording.path.name) for recording in recordings]
        common = Path(os.path.commonpath([path.parent for path in real]))
        names = [path.relative_to(common) for path in real]
    return [(each, name.with_name(f"{name.name}.npy")) for each, name in zip(recordings, names, strict=True)]
