"""RAVDESS: the audio-only speech of the Ryerson Audio-Visual Database of Emotional Speech and Song."""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePath
from typing import ClassVar

from filelock import FileLock

from ser_lightning import labels as emotion_labels
from ser_lightning.corpora.download import Progress, download, extract, progress_bar, staging
from ser_lightning.corpora.published import PublishedCorpus
from ser_lightning.corpora.scanning import Design, Name, find_audio
from ser_lightning.errors import InputError, printable

ARCHIVE = "Audio_Speech_Actors_01-24.zip"
HOW_TO_GET_IT = (
    "to get the corpus, (1) run ser-prepare corpus=ravdess corpus.download=true corpus.root=<folder>, or "
    f"(2) download {ARCHIVE} from Zenodo record 1188976 (https://zenodo.org/records/1188976) by hand and "
    "unpack it, or (3) let corpus.root=<folder> or RAVDESS_ROOT point to a copy you already have; "
    "corpus=synthetic needs nothing"
)

# One recording was published under two names. Both belong to the 1440 clips, so neither is a problem here; the leak
# check of a split reports the pair if the split separates it.
PUBLISHED_PAIR = frozenset({"03-01-03-01-02-01-07", "03-01-03-01-02-02-07"})

_FIELDS = {
    "modality": ("01", "02", "03"),
    "channel": ("01", "02"),
    "emotion": tuple(f"{code:02}" for code in range(1, 9)),
    "intensity": ("01", "02"),
    "statement": ("01", "02"),
    "repetition": ("01", "02"),
    "actor": tuple(f"{code:02}" for code in range(1, 25)),
}
_INTENSITIES = ("normal", "strong")


@dataclass(frozen=True, kw_only=True, slots=True)
class RavdessName:
    """The annotation encoded in the name of a RAVDESS file.

    Args:
        modality: ``"01"`` audio and video, ``"02"`` video only, ``"03"`` audio only
        channel: ``"01"`` speech, ``"02"`` song
        emotion: a label of :data:`ser_lightning.labels.RAVDESS`
        intensity: ``"normal"`` or ``"strong"``; neutral is never strong
        statement: ``"01"`` "Kids are talking by the door", ``"02"`` "Dogs are sitting by the door"
        repetition: 1 or 2
        actor: 1 to 24; odd are men, even are women

    """

    modality: str
    channel: str
    emotion: str
    intensity: str
    statement: str
    repetition: int
    actor: int

    @property
    def gender(self) -> str:
        """Gender of the actor, ``"male"`` or ``"female"``."""
        return "male" if self.actor % 2 else "female"


def parse_stem(stem: str) -> RavdessName:
    """Parse the stem of a RAVDESS file name.

    Args:
        stem: seven two-digit numbers: modality-channel-emotion-intensity-statement-repetition-actor

    Raises:
        InputError: the name does not have this form

    Source:
        Livingstone & Russo 2018, PLOS ONE 13(5) e0196391; https://zenodo.org/records/1188976

    >>> name = parse_stem("03-01-06-02-01-02-12")
    >>> name.emotion, name.intensity, name.repetition, name.actor, name.gender
    ('fearful', 'strong', 2, 12, 'female')
    >>> parse_stem("03-01-09-01-01-01-12")
    Traceback (most recent call last):
    ser_lightning.errors.InputError: '03-01-09-01-01-01-12': wrong emotion: got 09, expected 01 to 08

    """
    # [0-9] instead of \d, which also matches the digits of other scripts.
    if not re.fullmatch("[0-9]{2}(-[0-9]{2}){6}", stem):
        raise InputError(f"{stem!r}: not a RAVDESS name: expected seven two-digit numbers such as 03-01-06-01-02-01-12")
    fields = dict(zip(_FIELDS, stem.split("-"), strict=True))
    for field, value in fields.items():
        allowed = _FIELDS[field]
        if value not in allowed:
            span = f"{allowed[0]} {'or' if len(allowed) == 2 else 'to'} {allowed[-1]}"
            raise InputError(f"{stem!r}: wrong {field}: got {value}, expected {span}")
    if fields["emotion"] == "01" and fields["intensity"] == "02":
        raise InputError(f"{stem!r}: strong neutral: got intensity 02, expected 01 (neutral is never strong)")
    return RavdessName(
        modality=fields["modality"],
        channel=fields["channel"],
        emotion=emotion_labels.RAVDESS[int(fields["emotion"]) - 1],
        intensity=_INTENSITIES[int(fields["intensity"]) - 1],
        statement=fields["statement"],
        repetition=int(fields["repetition"]),
        actor=int(fields["actor"]),
    )


def _design() -> set[str]:
    """Return the stems of the 24 x 60 clips of audio-only speech."""
    codes = product(*(_FIELDS[field] for field in ("emotion", "intensity", "statement", "repetition", "actor")))
    return {"-".join(("03", "01", *code)) for code in codes if code[:2] != ("01", "02")}


def _read(path: PurePath) -> Name:
    """Parse the name of a file of audio-only speech and check that its ``Actor_XX`` folder agrees with it."""
    name = parse_stem(path.stem)
    if name.modality != "03":
        raise InputError("video, not audio-only: modality " + name.modality)
    if name.channel != "01":
        raise InputError("song, not speech: channel " + name.channel)
    for folder in path.parts[:-1]:
        match = re.fullmatch("actor_([0-9]+)", folder, re.IGNORECASE)
        if match and int(match[1]) != name.actor:
            raise InputError(f"folder of another actor: {printable(folder)} holds a clip of actor {name.actor:02}")
    return Name(
        id=path.stem,
        speaker=f"{name.actor:02}",
        gender=name.gender,
        emotion=name.emotion,
        intensity=name.intensity,
        statement=name.statement,
        repetition=name.repetition,
    )


def _is_fetched(root: Path) -> bool:
    # An interrupted extraction leaves its staging folder.
    return bool(root.is_dir() and find_audio(root)[0] and not staging(root).exists())


class Ravdess(PublishedCorpus):
    """The 1440 clips of RAVDESS's audio-only speech: 24 actors, eight emotions, license CC BY-NC-SA 4.0.

    Args:
        root: folder of the WAV or FLAC files, in any layout; :meth:`scan` raises an error if it is None
        on_problem: ``"refuse"`` raises an error on any problem, ``"skip"`` leaves the files out and lists them
        download: whether :meth:`fetch` may download the corpus from Zenodo (208 MB)
        downmix: how multichannel files become mono: ``"mean"`` of the channels; ``"interleave"``, their samples in
            turn, a bug of the released code; or ``"right"``, the second channel
        merge: labels to replace by another label, such as ``{"calm": "neutral"}``; None keeps all labels

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``, or a ``merge`` of unknown labels

    """

    name: ClassVar[str] = "ravdess"
    url: ClassVar[str] = f"https://zenodo.org/records/1188976/files/{ARCHIVE}?download=1"
    size: ClassVar[int] = 208_468_073
    md5: ClassVar[str] = "bc696df654c87fed845eb13823edef8a"
    labels: ClassVar[tuple[str, ...]] = emotion_labels.RAVDESS

    def __init__(
        self,
        *,
        root: str | Path | None,
        on_problem: str,
        download: bool,
        downmix: str,
        merge: Mapping[str, str] | None,
    ) -> None:
        super().__init__(root=root, on_problem=on_problem, downmix=downmix, merge=merge)
        self.download = download

    def design(self) -> Design:
        """Return the published recordings and the grammar of their file names."""
        return Design(
            corpus=self.name,
            title="RAVDESS",
            ids=_design(),
            read=_read,
            how_to_get_it=HOW_TO_GET_IT,
            published={PUBLISHED_PAIR},
            copies="the Kaggle archive ships every clip twice",
        )

    def fetch(self, progress: Progress | None = None) -> None:
        """Download and unpack the corpus into ``root``, if ``download`` is set and ``root`` has no audio yet.

        An interrupted download resumes where it stopped. The archive is removed after unpacking. If the archive is
        already in ``root``, it is used instead of a download.

        Args:
            progress: called with the bytes done and the total; None shows a progress bar

        Raises:
            InputError: ``root`` is None or cannot be written, or the download fails

        """
        if not self.download:
            return
        if self.root is None:
            raise InputError("corpus.download=true needs a folder; give corpus.root=<folder> or set RAVDESS_ROOT")
        try:
            if _is_fetched(self.root):  # checked before locking, because the root may be read-only
                return
            self.root.mkdir(parents=True, exist_ok=True)
            # A second run that starts at the same time waits here and then finds the audio.
            with FileLock(self.root / ".fetch.lock"), ExitStack() as stack:
                if _is_fetched(self.root):
                    return
                archive = self.root / ARCHIVE
                bar = progress or stack.enter_context(progress_bar("RAVDESS: downloading"))
                download(self.url, archive, size=self.size, md5=self.md5, progress=bar)
                bar = progress or stack.enter_context(progress_bar("RAVDESS: unpacking"))
                extract(archive, self.root, max_bytes=2 * 1024**3, max_ratio=100, progress=bar)
                archive.unlink()
        except OSError as error:
            reason = f"cannot be written: {error.strerror or error}"
            raise InputError(f"{printable(self.root)}: {reason}; give another corpus.root") from error
