"""EmoDB: the Berlin Database of Emotional Speech, German, acted."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import ClassVar

import soundfile

from ser_lightning import emotions
from ser_lightning.corpus.listed import listed
from ser_lightning.corpus.published import PublishedCorpus
from ser_lightning.corpus.scanning import UNSPECIFIED, Design, Name
from ser_lightning.corpus.utterance import Scan
from ser_lightning.errors import InputError, shown

HOW_TO_GET_IT = (
    "to get the corpus, download it from http://emodb.bilderbar.info and unpack it, or let corpus.root=<folder> or "
    "EMODB_ROOT point to a copy you already have; corpus=synthetic needs nothing"
)

MEN = ("03", "10", "11", "12", "15")
WOMEN = ("08", "09", "13", "14", "16")
TEXTS = ("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10")
CODES = {
    "N": "neutral",
    "F": "happy",  # Freude
    "T": "sad",  # Trauer
    "W": "angry",  # Wut
    "A": "fearful",  # Angst
    "E": "disgust",  # Ekel
    "L": "bored",  # Langeweile
}
CUT = 2  # seconds: a copy went round in which every recording is cut, or filled up, to these


def _design() -> set[str]:
    """The 535 recordings; they follow no rule, because the takes that listeners did not recognise are left out."""
    return set(listed("emodb"))


def read_name(path: PurePath) -> Name:
    """Read the name of an EmoDB file, in whatever folder.

    Args:
        path: two digits of the speaker, a text, a letter of the emotion and one of the take, such as ``03a01Fa.wav``

    Raises:
        InputError: the name is anything else

    Source:
        Burkhardt et al. 2005, Interspeech, pp. 1517-1520; http://emodb.bilderbar.info

    >>> name = read_name(PurePath("16b10Wb.wav"))
    >>> name.speaker, name.gender, name.statement, name.emotion, name.repetition
    ('16', 'female', 'b10', 'angry', 2)
    >>> read_name(PurePath("04a01Fa.wav"))
    Traceback (most recent call last):
    ser_lightning.errors.InputError: '04a01Fa': wrong speaker: got 04, expected one of 03, 08, ..., 16

    """
    match = re.fullmatch("([0-9]{2})([ab][0-9]{2})([A-Z])([a-z])", path.stem)
    if match is None:
        raise InputError(f"{path.stem!r}: not an EmoDB name: expected one such as 03a01Fa")
    speaker, text, code, take = match.groups()
    for what, value, allowed in (
        ("speaker", speaker, sorted((*MEN, *WOMEN))),
        ("text", text, TEXTS),
        ("emotion", code, sorted(CODES)),
    ):
        if value not in allowed:
            span = f"{allowed[0]}, {allowed[1]}, ..., {allowed[-1]}"
            raise InputError(f"{path.stem!r}: wrong {what}: got {value}, expected one of {span}")
    return Name(
        id=path.stem,
        speaker=speaker,
        gender="male" if speaker in MEN else "female",
        emotion=CODES[code],
        intensity=UNSPECIFIED,
        statement=text,
        repetition=ord(take) - ord("a") + 1,
    )


def _refuse_cut(root: Path, paths: Iterable[Path]) -> None:
    """Refuse a copy whose recordings all last exactly 2 s.

    Raises:
        InputError: they do

    """
    count = 0
    for path in paths:
        try:
            with soundfile.SoundFile(str(path)) as file:
                if file.frames != CUT * file.samplerate:
                    return
        except (OSError, soundfile.SoundFileError):  # for the reader to say
            return
        count += 1
    if count > 1:
        raise InputError(
            f"{shown(root)}: all {count} recordings last exactly {CUT} s: this is a copy that was cut, the recordings"
            f" of EmoDB last 1.2 to 9 s; {HOW_TO_GET_IT}"
        )


class Emodb(PublishedCorpus):
    """The 535 recordings of EmoDB: 10 speakers, 10 sentences, seven emotions, licence CC0.

    Its codes and the words of the common vocabulary: N neutral, F (Freude) happy, T (Trauer) sad, W (Wut) angry, A
    (Angst: anxiety, fear) fearful, E (Ekel) disgust, L (Langeweile) bored. The lists and labels that lie beside the
    recordings (``erkennung.txt``) are no audio and are passed over.

    Args:
        root: the folder that holds the recordings, in any layout, as WAV or FLAC; or None
        on_problem: ``"refuse"`` stops at any problem, ``"skip"`` leaves the files out and lists them
        downmix: how files of several channels become mono; without effect, as all are mono
        merge: labels that are counted as another one, such as ``{"bored": "neutral"}``; None leaves all as they are

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``; a ``merge`` of labels that there are not

    """

    name: ClassVar[str] = "emodb"
    labels: ClassVar[tuple[str, ...]] = emotions.EMODB

    def design(self) -> Design:
        """Return what was published."""
        return Design(corpus=self.name, title="EmoDB", ids=_design(), read=read_name, how_to_get_it=HOW_TO_GET_IT)

    def scan(self) -> Scan:
        """Look through the folder and check it against the recordings that were published.

        Raises:
            InputError: there is no corpus, no usable recording, a copy that was cut, or any problem when
                ``on_problem`` is ``"refuse"``

        """
        scan = super().scan()
        _refuse_cut(Path(self.root or ""), (utterance.path for utterance in scan.utterances))
        return scan
