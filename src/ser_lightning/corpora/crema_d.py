"""CREMA-D: the audio of the Crowd-sourced Emotional Multimodal Actors Dataset."""

import re
from itertools import product
from pathlib import PurePath
from typing import ClassVar

from ser_lightning import labels as emotion_labels
from ser_lightning.corpora.listed import listed
from ser_lightning.corpora.published import PublishedCorpus
from ser_lightning.corpora.scanning import UNSPECIFIED, Design, Name
from ser_lightning.errors import InputError

HOW_TO_GET_IT = (
    "to get the corpus, clone https://github.com/CheyneyComputerScience/CREMA-D with git-lfs and give its folder "
    "AudioWAV, or let corpus.root=<folder> or CREMA_D_ROOT point to a copy you already have; corpus=synthetic needs "
    "nothing"
)

ACTORS = tuple(str(actor) for actor in range(1001, 1092))
WOMEN = frozenset(listed("crema_d_women"))  # 43; the other 48 are men
LEVELLED = "IEO"  # It's eleven o'clock: the only sentence spoken at three intensity levels
SENTENCES = (
    LEVELLED,
    "TIE",  # That is exactly what happened
    "IOM",  # I'm on my way to the meeting
    "IWW",  # I wonder what this is about
    "TAI",  # The airplane is almost full
    "MTI",  # Maybe tomorrow it will be cold
    "IWL",  # I would like a new alarm clock
    "ITH",  # I think I have a doctor's appointment
    "DFA",  # Don't forget a jacket
    "ITS",  # I think I've seen this before
    "TSI",  # The surface is slick
    "WSI",  # We'll stop in a couple of minutes
)
CODES = {
    "NEU": "neutral",
    "HAP": "happy",
    "SAD": "sad",
    "ANG": "angry",
    "FEA": "fearful",
    "DIS": "disgust",
}
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": UNSPECIFIED}

# Clips of the full design that SentenceFilenames.csv does not list: they were never published.
NEVER_RECORDED = frozenset(
    {
        "1002_TIE_NEU_XX",
        "1076_ITS_NEU_XX",
        *(f"{sentence}_{code}_XX" for sentence in ("1008_WSI", "1009_MTI", "1019_ITH") for code in CODES),
    }
)
_ONE_RECORDING = "one recording was published under two labels, this and {}: which is right cannot be known"
UNUSABLE = {
    "1076_MTI_SAD_XX": "published without sound",
    "1006_TIE_HAP_XX": _ONE_RECORDING.format("1006_TIE_NEU_XX"),
    "1006_TIE_NEU_XX": _ONE_RECORDING.format("1006_TIE_HAP_XX"),
    "1013_WSI_DIS_XX": _ONE_RECORDING.format("1013_WSI_SAD_XX"),
    "1013_WSI_SAD_XX": _ONE_RECORDING.format("1013_WSI_DIS_XX"),
    "1017_IWW_ANG_XX": _ONE_RECORDING.format("1017_IWW_FEA_XX"),
    "1017_IWW_FEA_XX": _ONE_RECORDING.format("1017_IWW_ANG_XX"),
}
MISNAMED = {"1040_ITH_SAD_X": "1040_ITH_SAD_XX"}  # in copies older than October 2022, see issue 6 of the repository


def _design() -> set[str]:
    """Return the ids of the 7442 published clips: 82 per actor, except three sentences and two single clips."""
    clips = {"_".join(parts) for parts in product(ACTORS, SENTENCES, CODES, ("XX",))}
    emotional = [code for code in CODES if code != "NEU"]
    clips -= {"_".join(parts) for parts in product(ACTORS, (LEVELLED,), emotional, ("XX",))}
    clips |= {"_".join(parts) for parts in product(ACTORS, (LEVELLED,), emotional, ("LO", "MD", "HI"))}
    return clips - NEVER_RECORDED


def read_name(path: PurePath) -> Name:
    """Parse the name of a CREMA-D file, in any folder.

    Args:
        path: the file, named by actor, sentence, emotion and level, such as ``AudioWAV/1001_DFA_ANG_XX.wav``

    Raises:
        InputError: the name does not have this form

    Source:
        Cao et al. 2014, IEEE Transactions on Affective Computing 5(4), pp. 377-390;
        https://github.com/CheyneyComputerScience/CREMA-D

    >>> name = read_name(PurePath("AudioWAV/1001_IEO_FEA_HI.wav"))
    >>> name.speaker, name.gender, name.statement, name.emotion, name.intensity
    ('1001', 'male', 'IEO', 'fearful', 'high')
    >>> read_name(PurePath("1001_DFA_FEA_HI.wav"))
    Traceback (most recent call last):
    ser_lightning.errors.InputError: '1001_DFA_FEA_HI': wrong level: got HI, expected XX of DFA_FEA

    """
    id_ = MISNAMED.get(path.stem, path.stem)
    match = re.fullmatch("([0-9]{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{2})", id_)
    if match is None:
        raise InputError(f"{path.stem!r}: not a CREMA-D name: expected one such as 1001_DFA_ANG_XX")
    actor, sentence, code, level = match.groups()
    if actor not in ACTORS:
        raise InputError(f"{path.stem!r}: wrong actor: got {actor}, expected {ACTORS[0]} to {ACTORS[-1]}")
    levels = ("LO", "MD", "HI") if sentence == LEVELLED and code != "NEU" else ("XX",)
    for what, value, allowed, of in (
        ("sentence", sentence, SENTENCES, ""),
        ("emotion", code, tuple(CODES), ""),
        ("level", level, levels, f" of {sentence}_{code}"),
    ):
        if value not in allowed:
            one_of = "one of " if len(allowed) > 1 else ""
            raise InputError(f"{path.stem!r}: wrong {what}: got {value}, expected {one_of}{', '.join(allowed)}{of}")
    return Name(
        id=id_,
        speaker=actor,
        gender="female" if actor in WOMEN else "male",
        emotion=CODES[code],
        intensity=LEVELS[level],
        statement=sentence,
        repetition=1,
    )


class CremaD(PublishedCorpus):
    """The 7435 usable clips of CREMA-D: 91 actors, 12 sentences, six emotions, Open Database License.

    Codes and labels: NEU neutral, HAP happy, SAD sad, ANG angry, FEA fearful, DIS disgust. Codes of the intensity: LO
    low, MD medium, HI high, XX unspecified. The label is the emotion that the actor was asked to express, not the
    emotion that the raters perceived.

    Seven of the 7442 published clips are always left out and listed as problems: one is silent, and three recordings
    were published twice, each under two labels.

    Args:
        root: folder of the WAV or FLAC files, in any layout; :meth:`scan` raises an error if it is None
        on_problem: ``"refuse"`` raises an error on any problem, ``"skip"`` leaves the files out and lists them
        downmix: how multichannel files become mono; no effect, as all files are mono
        merge: labels to replace by another label, such as ``{"disgust": "angry"}``; None keeps all labels

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``, or a ``merge`` of unknown labels

    """

    name: ClassVar[str] = "crema_d"
    labels: ClassVar[tuple[str, ...]] = emotion_labels.CREMA_D

    def design(self) -> Design:
        """Return the published recordings and the grammar of their file names."""
        return Design(
            corpus=self.name,
            title="CREMA-D",
            ids=_design(),
            read=read_name,
            how_to_get_it=HOW_TO_GET_IT,
            unusable=UNUSABLE,
        )
