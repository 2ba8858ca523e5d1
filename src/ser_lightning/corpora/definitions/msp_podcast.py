"""MSP-Podcast: spontaneous English speech from podcasts, labeled by at least five raters, with a published split.

Utterances without a majority (X) or of another emotion (O) are left out. The third test set (``MSP-PODCAST_test3_*``,
3200 utterances since version 1.11) has no public labels and is left out, too.
"""

import csv
from pathlib import Path

from ser_lightning.corpora.definition import Definition


def annotate(root: Path) -> dict[str, dict[str, str]]:
    """Return label, speaker, gender and subset of every utterance, from ``labels_consensus.csv``."""
    labels = {}
    for path in sorted(root.rglob("labels_consensus.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                annotation = {"emotion": row["EmoClass"], "split": row["Split_Set"], "gender": row["Gender"]}
                if row["SpkrID"] != "Unknown":
                    annotation["speaker"] = row["SpkrID"]
                labels[Path(row["FileName"]).stem] = annotation
    return labels


MSP_PODCAST = Definition(
    name="msp_podcast",
    title="MSP-Podcast",
    license="on request, for research",
    source="Lotfian & Busso 2019, IEEE Transactions on Affective Computing 10(4), pp. 471-483",
    how_to_get="request it from https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
    pattern="MSP-PODCAST_(?:[0-9]+|test3)_[0-9]+(?:_[0-9]+)?",
    example="MSP-PODCAST_0001_0008",
    codes={
        "emotion": {
            **{"N": "neutral", "H": "happy", "S": "sad", "A": "angry", "F": "fearful", "D": "disgust"},
            **{"U": "surprised", "C": "contempt", "O": None, "X": None},
        },
        "gender": {"Male": "male", "Female": "female", "Unknown": None},
        "split": {
            **{"Train": "train", "Development": "val", "Validation": "val"},
            **{"Test1": "test", "Test2": "unused", "Test3": "unused"},
        },
    },
    ids=None,
    annotate=annotate,
    partly_labeled=True,
    constants={"language": "en"},
)
