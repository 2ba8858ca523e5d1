"""TESS: the Toronto Emotional Speech Set."""

import re
from itertools import product
from pathlib import PurePath
from typing import ClassVar

from ser_lightning import emotions
from ser_lightning.corpus.listed import listed
from ser_lightning.corpus.published import PublishedCorpus
from ser_lightning.corpus.scanning import UNSPECIFIED, Design, Name
from ser_lightning.errors import InputError, shown

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
# As folders spell it: OAF_Pleasant_surprise, YAF_pleasant_surprised.
FOLDERS = {code: code for code in CODES} | {"pleasant_surprise": "ps", "pleasant_surprised": "ps"}
WORDS = frozenset(listed("tess_words"))  # each said after "Say the word"
MISNAMED = {"OA_bite_neutral": "OAF_bite_neutral"}  # as it was published


def _design() -> set[str]:
    return {"_".join(parts) for parts in product(SPEAKERS, WORDS, CODES)}


def read_name(path: PurePath) -> Name:
    """Read the name of a TESS file; a folder named after a speaker and an emotion must agree with it.

    Args:
        path: speaker, word and emotion, such as ``OAF_Fear/OAF_back_fear.wav``

    Raises:
        InputError: the name is anything else, or the folder is of another speaker or emotion

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
            raise InputError(f"folder of another emotion or speaker: {shown(folder)} holds {id_}")
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
    """The 2800 clips of TESS: 2 women, 200 words, seven emotions, licence CC BY-NC-ND 4.0.

    Its codes and the words of the common vocabulary: neutral, happy, sad and angry are themselves, fear is fearful,
    disgust itself, and ps, pleasant surprise, surprised. With two speakers nothing can be said of new ones.

    Args:
        root: the folder that holds the clips, in any layout, as WAV or FLAC; or None
        on_problem: ``"refuse"`` stops at any problem, ``"skip"`` leaves the files out and lists them
        downmix: how files of several channels become mono
        merge: labels that are counted as another one, such as ``{"surprised": "happy"}``; None leaves all as they are

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``; a ``merge`` of labels that there are not

    """

    name: ClassVar[str] = "tess"
    labels: ClassVar[tuple[str, ...]] = emotions.TESS

    def design(self) -> Design:
        """Return what was published."""
        return Design(
            corpus=self.name,
            title="TESS",
            ids=_design(),
            read=read_name,
            how_to_get_it=HOW_TO_GET_IT,
            copies="the Kaggle archive ships every clip twice",
        )
