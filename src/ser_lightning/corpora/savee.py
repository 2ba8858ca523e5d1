"""SAVEE: the audio of the Surrey Audio-Visual Expressed Emotion database."""

import re
from pathlib import PurePath
from typing import ClassVar

from ser_lightning import labels as emotion_labels
from ser_lightning.corpora.published import PublishedCorpus
from ser_lightning.corpora.scanning import UNSPECIFIED, Design, Name
from ser_lightning.errors import InputError, printable

HOW_TO_GET_IT = (
    "to get the corpus, register at http://kahlan.eps.surrey.ac.uk/savee and unpack AudioData.zip, or let "
    "corpus.root=<folder> or SAVEE_ROOT point to a copy you already have; corpus=synthetic needs nothing"
)

SPEAKERS = ("DC", "JE", "JK", "KL")  # four men
CODES = {
    "n": "neutral",
    "h": "happy",  # happiness
    "sa": "sad",  # sadness
    "a": "angry",  # anger
    "f": "fearful",  # fear
    "d": "disgust",
    "su": "surprised",
}


def _sentences(code: str) -> int:
    """Return the number of sentences per speaker for the code of an emotion."""
    return 30 if code == "n" else 15


def _design() -> set[str]:
    return {
        f"{speaker}_{code}{number:02}"
        for speaker in SPEAKERS
        for code in CODES
        for number in range(1, _sentences(code) + 1)
    }


def read_name(path: PurePath) -> Name:
    """Parse the name of a SAVEE file, with its speaker in the name or as its folder.

    Args:
        path: the file, named by emotion and sentence in a folder named after the speaker, such as
            ``AudioData/DC/sa01.wav``, or by speaker, emotion and sentence, such as ``ALL/DC_sa01.wav``

    Raises:
        InputError: the path does not have this form, or the name and the folder disagree about the speaker

    Source:
        Haq & Jackson 2009, AVSP, pp. 53-58; http://kahlan.eps.surrey.ac.uk/savee

    >>> read_name(PurePath("AudioData/DC/sa01.wav")) == read_name(PurePath("ALL/DC_sa01.wav"))
    True
    >>> name = read_name(PurePath("KL_n30.wav"))
    >>> name.id, name.speaker, name.gender, name.emotion, name.statement
    ('KL_n30', 'KL', 'male', 'neutral', 'n30')

    """
    match = re.fullmatch("(?:([A-Z]{2})_)?([a-z]{1,2})([0-9]{2})", path.stem)
    if match is None:
        raise InputError(f"{path.stem!r}: not a SAVEE name: expected one such as DC_a01, or a01 in a folder DC")
    named, code, number = match.groups()
    folders = [folder.upper() for folder in path.parts[:-1] if folder.upper() in SPEAKERS]
    speaker = named or (folders[-1] if folders else None)
    if speaker not in SPEAKERS:
        got = f"got {speaker}" if speaker else "neither the name nor a folder tells it"
        raise InputError(f"{path.stem!r}: wrong speaker: {got}, expected one of {', '.join(SPEAKERS)}")
    for folder in folders:
        if folder != speaker:
            raise InputError(f"folder of another speaker: {printable(folder)} holds a clip of {speaker}")
    if code not in CODES:
        raise InputError(f"{path.stem!r}: wrong emotion: got {code}, expected one of {', '.join(CODES)}")
    if not 1 <= int(number) <= _sentences(code):
        raise InputError(f"{path.stem!r}: wrong sentence: got {number}, expected 01 to {_sentences(code)} of {code}")
    return Name(
        id=f"{speaker}_{code}{number}",
        speaker=speaker,
        gender="male",
        emotion=CODES[code],
        intensity=UNSPECIFIED,
        statement=f"{code}{number}",
        repetition=1,
    )


class Savee(PublishedCorpus):
    """The 480 clips of SAVEE: 4 men, 15 sentences of each of six emotions and 30 neutral ones; free for research.

    Codes and labels: n neutral, h happy, sa sad, a angry, f fearful, d disgust, su surprised. Sentences are numbered
    within their emotion, so each counts as a statement of its own. Three of them are spoken with every emotion, but the
    names do not say which.

    Args:
        root: folder of the WAV or FLAC files, in any layout; :meth:`scan` raises an error if it is None
        on_problem: ``"refuse"`` raises an error on any problem, ``"skip"`` leaves the files out and lists them
        downmix: how multichannel files become mono; no effect, as all files are mono
        merge: labels to replace by another label, such as ``{"surprised": "happy"}``; None keeps all labels

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``, or a ``merge`` of unknown labels

    """

    name: ClassVar[str] = "savee"
    labels: ClassVar[tuple[str, ...]] = emotion_labels.SAVEE

    def design(self) -> Design:
        """Return the published recordings and the grammar of their file names."""
        return Design(corpus=self.name, title="SAVEE", ids=_design(), read=read_name, how_to_get_it=HOW_TO_GET_IT)
