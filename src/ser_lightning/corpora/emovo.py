"""EMOVO: an Italian corpus of acted emotional speech."""

import re
from itertools import product
from pathlib import PurePath
from typing import ClassVar

from ser_lightning import labels as emotion_labels
from ser_lightning.corpora.published import PublishedCorpus
from ser_lightning.corpora.scanning import UNSPECIFIED, Design, Name
from ser_lightning.errors import InputError, printable

HOW_TO_GET_IT = (
    "to get the corpus, ask its authors (Costantini et al. 2014, LREC, pp. 3501-3504) for EMOVO and unpack it, or let "
    "corpus.root=<folder> or EMOVO_ROOT point to a copy you already have; corpus=synthetic needs nothing"
)

SPEAKERS = ("f1", "f2", "f3", "m1", "m2", "m3")
SENTENCES = (
    *("b1", "b2", "b3"),  # short
    *("l1", "l2", "l3", "l4"),  # long
    *("n1", "n2", "n3", "n4", "n5"),  # nonsense
    *("d1", "d2"),  # questions
)
CODES = {
    "neu": "neutral",
    "gio": "happy",  # gioia
    "tri": "sad",  # tristezza
    "rab": "angry",  # rabbia
    "pau": "fearful",  # paura
    "dis": "disgust",
    "sor": "surprised",  # sorpresa
}


def _design() -> set[str]:
    return {"-".join(parts) for parts in product(CODES, SPEAKERS, SENTENCES)}


def read_name(path: PurePath) -> Name:
    """Parse the name of an EMOVO file and check that folders named after a speaker agree with it.

    Args:
        path: the file, named by emotion, speaker and sentence, such as ``f1/dis-f1-b1.wav``

    Raises:
        InputError: the name does not have this form, or the folder is of another speaker

    Source:
        Costantini et al. 2014, LREC, pp. 3501-3504

    >>> name = read_name(PurePath("m2/gio-m2-l4.wav"))
    >>> name.emotion, name.speaker, name.gender, name.statement
    ('happy', 'm2', 'male', 'l4')
    >>> read_name(PurePath("m1/gio-m2-l4.wav"))
    Traceback (most recent call last):
    ser_lightning.errors.InputError: folder of another speaker: m1 holds a clip of m2

    """
    match = re.fullmatch("([a-z]{3})-([a-z][0-9])-([a-z][0-9])", path.stem)
    if match is None:
        raise InputError(f"{path.stem!r}: not an EMOVO name: expected one such as dis-f1-b1")
    code, speaker, sentence = match.groups()
    for what, value, allowed in (
        ("emotion", code, tuple(CODES)),
        ("speaker", speaker, SPEAKERS),
        ("sentence", sentence, SENTENCES),
    ):
        if value not in allowed:
            raise InputError(f"{path.stem!r}: wrong {what}: got {value}, expected one of {', '.join(allowed)}")
    for folder in path.parts[:-1]:
        if folder.lower() in SPEAKERS and folder.lower() != speaker:
            raise InputError(f"folder of another speaker: {printable(folder)} holds a clip of {speaker}")
    return Name(
        id=path.stem,
        speaker=speaker,
        gender="female" if speaker.startswith("f") else "male",
        emotion=CODES[code],
        intensity=UNSPECIFIED,
        statement=sentence,
        repetition=1,
    )


class Emovo(PublishedCorpus):
    """The 588 clips of EMOVO: 6 speakers, 14 sentences, seven emotions; free for research.

    Codes and labels: neu neutral, gio (gioia, joy) happy, tri (tristezza) sad, rab (rabbia) angry, pau (paura) fearful,
    dis disgust, sor (sorpresa) surprised.

    The stereo files hold two microphones whose signals are hardly correlated, so their mean would cancel speech. The
    right channel has the better range for m2 and m3. Mono copies of the files are accepted as they are.

    ``tri-f3-n1`` and ``tri-f3-n2`` are the same recording, cut differently (the measured correlation of their waveforms
    is 0.98). Both belong to the 588 clips and are kept here; the leak check of a split reports them if it separates
    them.

    Args:
        root: folder of the WAV or FLAC files, in any layout; :meth:`scan` raises an error if it is None
        on_problem: ``"refuse"`` raises an error on any problem, ``"skip"`` leaves the files out and lists them
        downmix: how two channels become one: ``"right"`` keeps one microphone, ``"mean"`` and ``"interleave"`` mix both
        merge: labels to replace by another label, such as ``{"surprised": "happy"}``; None keeps all labels

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``, or a ``merge`` of unknown labels

    """

    name: ClassVar[str] = "emovo"
    labels: ClassVar[tuple[str, ...]] = emotion_labels.EMOVO

    def design(self) -> Design:
        """Return the published recordings and the grammar of their file names."""
        return Design(corpus=self.name, title="EMOVO", ids=_design(), read=read_name, how_to_get_it=HOW_TO_GET_IT)
