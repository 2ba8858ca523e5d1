"""Make the synthetic corpus in a separate interpreter: ``python -m ser_lightning.corpora.make_synthetic``.

A process that spawns others must have a main module that they can import again; a worker of a sweep does not.
"""

import sys
from pathlib import Path

import soundfile

from ser_lightning.corpora.synthetic import make_corpus, stems


def main(folder: str, speakers: str, repetitions: str, workers: str) -> None:
    """Make the synthetic corpus of the given size in an existing, empty folder; numbers are given as strings."""
    names = stems(speakers=int(speakers), repetitions=int(repetitions))
    make_corpus(Path(folder), names, workers=int(workers))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, soundfile.LibsndfileError) as error:
        sys.exit(str(error))
