"""``ser-features``: the features of any recording."""

from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from ser_lightning.atomic import write_atomically
from ser_lightning.audio.folder import find_audio
from ser_lightning.build import build
from ser_lightning.commands import cli
from ser_lightning.errors import InputError, shown


def main() -> None:
    """Console script ``ser-features``."""
    cli.run("ser-features", "features", features)


def features(config: DictConfig) -> int:
    """Write a .npy for each recording; return the exit code."""
    plain = cli.plain(
        config,
        needs=(
            "input",
            "output",
        ),
    )
    audio, extract = build("audio", plain["audio"]), build("features", plain["features"])
    source, output = Path(plain["input"]), Path(plain["output"])
    paths, failures = find_audio(source)
    total = len(paths) + len(failures)
    for path in cli.progress("features")(paths, len(paths)):
        name = path.relative_to(source) if source.is_dir() else Path(path.name)
        try:
            matrix = extract(audio.load(path).wave)  # (F, K)
        except InputError as error:
            failures.append(str(error))
            continue
        # The suffix stays in the name: a folder may hold a.wav and a.flac.
        with write_atomically(output / name.parent / f"{name.name}.npy", "wb") as file:
            np.save(file, matrix)
    print(f"{total - len(failures)} of {total} recordings: features in {shown(output)}")
    return cli.report_failures("ser-features", failures, total=total)
