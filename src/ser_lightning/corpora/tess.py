"""TESS: the Toronto Emotional Speech Set."""

import re
from itertools import product
from pathlib import PurePath
from typing import ClassVar

from ser_lightning import labels as emotion_labels
from ser_lightning.corpora.listed import listed
from ser_lightning.corpora.published import PublishedCorpus
from ser_lightning.corpora.scanning import UNSPECIFIED, Design, Name
from ser_lightning.errors import InputError, printable

HOW_TO_GET_IT = (
    "to get the corpus, download it from https://doi.org/10.5683/SP2/E8H2MF and unpack it, or let corpus.root=<folder> "
    "or TESS_ROOT point to a copy you already have; corpus=synthetic needs nothing"
)

SPEAKERS = ("OAF", "YAF")  # an older and a younger woman
CODES = {
    "neutral": "neutral",
    "happy": "happy",
    "sad": "sad",
    "angry": "angry",
    "fear": "fearful",
    "disgust": "disgust",
    "ps": "surprised",  # pleasant surprise
}
# Folder names spell it out: OAF_Pleasant_surprise, YAF_pleasant_surprised.
FOLDERS = {code: code for code in CODES} | {"pleasant_surprise": "ps", "pleasant_surprised": "ps"}
WORDS = frozenset(listed("tess_words"))  # each spoken after "Say the word"
MISNAMED = {"OA_bite_neutral": "OAF_bite_neutral"}  # a typo in the published name


def _design() -> set[str]:
    return {"_".join(parts) for parts in product(SPEAKERS, WORDS, CODES)}


def read_name(path: PurePath) -> Name:
    """Parse the name of a TESS file and check that a folder named after a speaker and an emotion agrees with it.

    Args:
        path: the file, named by speaker, word and emotion, such as ``OAF_Fear/OAF_back_fear.wav``

    Raises:
        InputError: the name does not have this form, or the folder is of another speaker or emotion

    Source:
        Pichora-Fuller & Dupuis 2020, https://doi.org/10.5683/SP2/E8H2MF

    >>> name = read_name(PurePath("YAF_pleasant_surprised/YAF_youth_ps.wav"))
    >>> name.speaker, name.gender, name.statement, name.emotion
    ('YAF', 'female', 'youth', 'surprised')
    >>> read_name(PurePath("OAF_Sad/OAF_youth_ps.wav"))
    Traceback (most recent call last):
    ser_lightning.errors.InputError: folder of another emotion or speaker: OAF_Sad holds OAF_youth_ps

    """
    id_ = MISNAMED.get(path.stem, path.stem)
    match = re.fullmatch("([A-Z]+)_([a-z]+)_([a-z]+)", id_)
    if match is None:
        raise InputError(f"{path.stem!r}: not a TESS name: expected one such as OAF_back_angry")
    speaker, word, code = match.groups()
    for what, value, allowed, expected in (
        ("speaker", speaker, SPEAKERS, f"one of {', '.join(SPEAKERS)}"),
        ("word", word, WORDS, "one of the 200 of the Northwestern University Auditory Test No. 6"),
        ("emotion", code, tuple(CODES), f"one of {', '.join(CODES)}"),
    ):
        if value not in allowed:
            raise InputError(f"{path.stem!r}: wrong {what}: got {value}, expected {expected}")
    for folder in path.parts[:-1]:
        who, _, kind = folder.partition("_")
        told = (who.upper(), FOLDERS.get(kind.lower()))
        if who.upper() in SPEAKERS and kind.lower() in FOLDERS and told != (speaker, code):
            raise InputError(f"folder of another emotion or speaker: {printable(folder)} holds {id_}")
    return Name(
        id=id_,
        speaker=speaker,
        gender="female",
        emotion=CODES[code],
        intensity=UNSPECIFIED,
        statement=word,
        repetition=1,
    )


class Tess(PublishedCorpus):
    """The 2800 clips of TESS: 2 women, 200 words, seven emotions, license CC BY-NC-ND 4.0.

    The codes neutral, happy, sad, angry and disgust are their own labels; fear is fearful, and ps (pleasant surprise)
    is surprised. With only two speakers, results say nothing about unseen speakers.

    Args:
        root: folder of the WAV or FLAC files, in any layout; :meth:`scan` raises an error if it is None
        on_problem: ``"refuse"`` raises an error on any problem, ``"skip"`` leaves the files out and lists them
        downmix: how multichannel files become mono
        merge: labels to replace by another label, such as ``{"surprised": "happy"}``; None keeps all labels

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``, or a ``merge`` of unknown labels

    """

    name: ClassVar[str] = "tess"
    labels: ClassVar[tuple[str, ...]] = emotion_labels.TESS

    def design(self) -> Design:
        """Return the published recordings and the grammar of their file names."""
        return Design(
            corpus=self.name,
            title="TESS",
            ids=_design(),
            read=read_name,
            how_to_get_it=HOW_TO_GET_IT,
            copies="the Kaggle archive ships every clip twice",
        )
