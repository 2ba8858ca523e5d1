"""IEMOCAP: English dialogs of ten actors, improvised and scripted: 10,039 utterances in five sessions.

The label is the majority of the raters, from ``dialog/EmoEvaluation``. The field often uses four classes, with excited
as happy: ``corpus.merge={excited: happy, frustrated: null, fearful: null, surprised: null, disgust: null}``.
"""

import re
from pathlib import Path

from ser_lightning.corpora.definition import Definition

# Such as "[6.2901 - 8.2357]<tab>Ses01F_impro01_F000<tab>neu<tab>[2.5000, 2.5000, 2.5000]"
LINE = re.compile(r"\[[0-9. ]+-[0-9. ]+\]\t(?P<id>\w+)\t(?P<emotion>[a-z]{3})\t")


def annotate(root: Path) -> dict[str, dict[str, str]]:
    """Return the label of every utterance, from the evaluation files of all sessions."""
    labels = {}
    for path in sorted(root.rglob("EmoEvaluation/*.txt")):
        for match in LINE.finditer(path.read_text(encoding="utf-8", errors="replace")):
            labels[match["id"]] = {"emotion": match["emotion"]}
    return labels


IEMOCAP = Definition(
    name="iemocap",
    title="IEMOCAP",
    license="on request, for research",
    source="Busso et al. 2008, Language Resources and Evaluation 42, pp. 335-359; https://sail.usc.edu/iemocap",
    how_to_get="request it from https://sail.usc.edu/iemocap",
    pattern="Ses(?P<session>0[1-5])[FM]_(?P<dialog>[A-Za-z0-9_]+)_(?P<gender>[FM])[0-9]+",
    example="Ses01F_impro01_F000",
    codes={
        "emotion": {
            **{"neu": "neutral", "hap": "happy", "sad": "sad", "ang": "angry", "fea": "fearful", "dis": "disgust"},
            **{"sur": "surprised", "exc": "excited", "fru": "frustrated", "oth": None, "xxx": None},
        },
        "gender": {"F": "female", "M": "male"},
    },
    ids=None,
    templates={"speaker": "{session}{gender}"},
    annotate=annotate,
    ignored="dialog",  # the whole dialogs
    constants={"language": "en"},
)
