"""``python -m ser_lightning.corpus.make_synthetic``: make the synthetic corpus in an interpreter of its own.

Processes that spawn others must be able to import their main module again, and a worker of a sweep cannot.
"""

import sys
from pathlib import Path

import soundfile

from ser_lightning.corpus.synthetic import make_corpus, stems


def main(folder: str, speakers: str, repetitions: str, workers: str) -> None:
    """Fill an empty folder with the clips of a design."""
    names = stems(speakers=int(speakers), repetitions=int(repetitions))
    make_corpus(Path(folder), names, workers=int(workers))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, soundfile.LibsndfileError) as error:
        sys.exit(str(error))
