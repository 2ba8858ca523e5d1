"""CREMA-D: the Crowd-sourced Emotional Multimodal Actors Dataset, its audio."""

import re
from itertools import product
from pathlib import PurePath
from typing import ClassVar

from ser_lightning import emotions
from ser_lightning.corpus.listed import listed
from ser_lightning.corpus.published import PublishedCorpus
from ser_lightning.corpus.scanning import UNSPECIFIED, Design, Name
from ser_lightning.errors import InputError

HOW_TO_GET_IT = (
    "to get the corpus, clone https://github.com/CheyneyComputerScience/CREMA-D with git-lfs and give its folder "
    "AudioWAV, or let corpus.root=<folder> or CREMA_D_ROOT point to a copy you already have; corpus=synthetic needs "
    "nothing"
)

ACTORS = tuple(str(actor) for actor in range(1001, 1092))
WOMEN = frozenset(listed("crema_d_women"))  # 43; the other 48 are men
LEVELLED = "IEO"  # It's eleven o'clock: the one sentence that is said at three levels
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

# What the design has and SentenceFilenames.csv does not: it was never published.
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
MISNAMED = {"1040_ITH_SAD_X": "1040_ITH_SAD_XX"}  # in copies older than October 2022: issue 6 of its repository


def _design() -> set[str]:
    """The 7442 clips that were published: 82 an actor, less those of three sentences and two clips."""
    clips = {"_".join(parts) for parts in product(ACTORS, SENTENCES, CODES, ("XX",))}
    emotional = [code for code in CODES if code != "NEU"]
    clips -= {"_".join(parts) for parts in product(ACTORS, (LEVELLED,), emotional, ("XX",))}
    clips |= {"_".join(parts) for parts in product(ACTORS, (LEVELLED,), emotional, ("LO", "MD", "HI"))}
    return clips - NEVER_RECORDED


def read_name(path: PurePath) -> Name:
    """Read the name of a CREMA-D file, in whatever folder.

    Args:
        path: actor, sentence, emotion and level, such as ``AudioWAV/1001_DFA_ANG_XX.wav``

    Raises:
        InputError: the name is anything else

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

    Its codes and the words of the common vocabulary: NEU neutral, HAP happy, SAD sad, ANG angry, FEA fearful, DIS
    disgust; of level LO low, MD medium, HI high, and XX, which the corpus calls unspecified. The label is what the
    actor was asked for, not what the crowd heard.

    Of the 7442 clips that were published, seven are always left out and told of: one has no sound, and three recordings
    were published twice, each under two labels.

    Args:
        root: the folder that holds the clips, in any layout, as WAV or FLAC; or None
        on_problem: ``"refuse"`` stops at any problem, ``"skip"`` leaves the files out and lists them
        downmix: how files of several channels become mono; without effect, as all are mono
        merge: labels that are counted as another one, such as ``{"disgust": "angry"}``; None leaves all as they are

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``; a ``merge`` of labels that there are not

    """

    name: ClassVar[str] = "crema_d"
    labels: ClassVar[tuple[str, ...]] = emotions.CREMA_D

    def design(self) -> Design:
        """Return what was published."""
        return Design(
            corpus=self.name,
            title="CREMA-D",
            ids=_design(),
            read=read_name,
            how_to_get_it=HOW_TO_GET_IT,
            unusable=UNUSABLE,
        )
