"""MELD: dialogs of the series Friends, English: 13,708 utterances, seven emotions, with a published split.

The published files are videos: convert them to WAV in the same folders, such as with ffmpeg. Two utterances have no
readable video (dia125_utt3 of the training set, dia110_utt7 of the validation set). The videos without a label are left
out, as the authors advise (https://github.com/declare-lab/MELD/issues/22). 132 videos of the test set exist twice, and
those whose names begin with ``final_videos_test`` contain the labeled utterance.
"""

import csv
from pathlib import Path

from ser_lightning.corpora.definition import Definition

FOLDERS = {"train_splits": "train", "dev_splits_complete": "dev", "output_repeated_splits_test": "test"}


def annotate(root: Path) -> dict[str, dict[str, str]]:
    """Return label and speaker of every utterance, from ``train_sent_emo.csv`` and its like."""
    labels = {}
    for folder, part in FOLDERS.items():
        for path in sorted(root.rglob(f"{part}_sent_emo.csv")):
            with path.open(encoding="utf-8", errors="replace", newline="") as file:
                for row in csv.DictReader(file):
                    id_ = f"{folder}/dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
                    labels[id_] = {"emotion": row["Emotion"].lower(), "speaker": row["Speaker"]}
    return labels


MELD = Definition(
    name="meld",
    title="MELD",
    license="GPL-3.0; the series is under copyright",
    source="Poria et al. 2019, ACL, pp. 527-536; https://github.com/declare-lab/MELD",
    how_to_get="download it from https://github.com/declare-lab/MELD and convert the videos to WAV",
    pattern="(?:final_videos_test)?dia(?P<dialog>[0-9]+)_utt(?P<number>[0-9]+)",
    example="dia0_utt0 in a folder train_splits",
    codes={
        "emotion": {
            **{"neutral": "neutral", "joy": "happy", "sadness": "sad", "anger": "angry", "fear": "fearful"},
            **{"disgust": "disgust", "surprise": "surprised"},
        },
        "split": {"train_splits": "train", "dev_splits_complete": "val", "output_repeated_splits_test": "test"},
    },
    ids=None,
    templates={"id": "{split}/dia{dialog}_utt{number}"},
    annotate=annotate,
    partly_labeled=True,
    corrected="final_videos_test.*",
    constants={"language": "en"},
    folder="(?P<split>train_splits|dev_splits_complete|output_repeated_splits_test)",
)
