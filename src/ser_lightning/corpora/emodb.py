"""EmoDB: the Berlin Database of Emotional Speech, German, acted."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import ClassVar

import soundfile

from ser_lightning import labels as emotion_labels
from ser_lightning.corpora.listed import listed
from ser_lightning.corpora.published import PublishedCorpus
from ser_lightning.corpora.scanning import UNSPECIFIED, Design, Name
from ser_lightning.corpora.utterance import Scan
from ser_lightning.errors import InputError, printable

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
CUT = 2  # seconds; in a copy in circulation, every recording is cut or padded to this length


def _design() -> set[str]:
    """Return the ids of the 535 recordings, which follow no rule: takes that listeners did not recognize are absent."""
    return set(listed("emodb"))


def read_name(path: PurePath) -> Name:
    """Parse the name of an EmoDB file, in any folder.

    Args:
        path: the file, named by speaker, text, emotion and take, such as ``03a01Fa.wav``

    Raises:
        InputError: the name does not have this form

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
    """Check that this is not a copy whose recordings were all cut or padded to 2 s.

    Raises:
        InputError: there are at least two recordings and all last exactly 2 s

    """
    count = 0
    for path in paths:
        try:
            with soundfile.SoundFile(str(path)) as file:
                if file.frames != CUT * file.samplerate:
                    return
        except (OSError, soundfile.SoundFileError):  # reported when the audio is loaded
            return
        count += 1
    if count > 1:
        raise InputError(
            f"{printable(root)}: all {count} recordings last exactly {CUT} s: this is a copy that was cut, the"
            f" recordings of EmoDB last 1.2 to 9 s; {HOW_TO_GET_IT}"
        )


class Emodb(PublishedCorpus):
    """The 535 recordings of EmoDB: 10 speakers, 10 sentences, seven emotions, license CC0.

    Codes and labels: N neutral, F (Freude) happy, T (Trauer) sad, W (Wut) angry, A (Angst: anxiety, fear) fearful, E
    (Ekel) disgust, L (Langeweile) bored. Files beside the recordings that are not audio, such as lists and labels
    (``erkennung.txt``), are ignored.

    Args:
        root: folder of the WAV or FLAC files, in any layout; :meth:`scan` raises an error if it is None
        on_problem: ``"refuse"`` raises an error on any problem, ``"skip"`` leaves the files out and lists them
        downmix: how multichannel files become mono; no effect, as all files are mono
        merge: labels to replace by another label, such as ``{"bored": "neutral"}``; None keeps all labels

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``, or a ``merge`` of unknown labels

    """

    name: ClassVar[str] = "emodb"
    labels: ClassVar[tuple[str, ...]] = emotion_labels.EMODB

    def design(self) -> Design:
        """Return the published recordings and the grammar of their file names."""
        return Design(corpus=self.name, title="EmoDB", ids=_design(), read=read_name, how_to_get_it=HOW_TO_GET_IT)

    def scan(self) -> Scan:
        """Scan the folder and check it against the published recordings.

        Raises:
            InputError: there is no corpus, no usable recording, a copy cut to 2 s, or any problem when ``on_problem``
                is ``"refuse"``

        """
        scan = super().scan()
        _refuse_cut(Path(self.root or ""), (utterance.path for utterance in scan.utterances))
        return scan
