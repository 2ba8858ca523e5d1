"""Measure the effect of ``--normalize-loudness`` on test clips of a run, at their own level and 20 dB below it.

``python -m studies.loudness RUN CORPUS_ROOT`` prints the accuracy with and without.
"""

import argparse
import csv
from pathlib import Path

import soundfile

import ser_lightning as ser

LEVELS_DB = (0, -20)


def measure(run: Path, root: Path, *, clips: int) -> list[tuple[int, bool, float]]:
    """Return the level in dB, whether it is normalized, and the accuracy on the first test clips of a run."""
    classifier = ser.load(run / "checkpoints" / "best.ckpt")
    paths = {path.stem: path for path in root.rglob("*") if path.suffix in (".flac", ".wav")}
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["subset"] == "test"][:clips]
    right = {(level, normalize): 0 for level in LEVELS_DB for normalize in (False, True)}
    for row in rows:
        wave, rate = soundfile.read(paths[row["utterance"]], dtype="float32", always_2d=True)
        for level, normalize in right:
            (prediction,) = classifier.segments(
                wave * 10 ** (level / 20), rate, whole=True, min_speech=0.0, normalize_loudness=normalize
            )
            right[level, normalize] += prediction.answer == row["target"]
    return [(level, normalize, count / len(rows)) for (level, normalize), count in right.items()]


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("root", type=Path, help="folder of its corpus")
    parser.add_argument("--clips", type=int, default=10_000, help="greatest number of clips")
    options = parser.parse_args()
    for level, normalize, accuracy in measure(options.run, options.root, clips=options.clips):
        print(f"{level:4} dB  {'normalized' if normalize else 'as it is':10}  {100 * accuracy:.1f} %")


if __name__ == "__main__":
    main()
