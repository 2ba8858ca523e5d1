"""Published corpora, whose files are checked against the published recordings."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

import soundfile

from ser_lightning.corpora.audio_files import existing_folder, expand_path, list_corpus_files, sha256
from ser_lightning.corpora.definition import Definition
from ser_lightning.corpora.definitions import DEFINITIONS
from ser_lightning.corpora.download import fetch_archive
from ser_lightning.corpora.duplicates import drop_mislabeled, drop_replaced, keep_one_per_id, summarize_copied_folder
from ser_lightning.corpora.merging import merged, relabel
from ser_lightning.corpora.problems import Downmix, OnProblem, finish_scan
from ser_lightning.corpora.utterance import Problem, Scan, Utterance
from ser_lightning.errors import InputError, printable, suggestion


class PublishedCorpus:
    """A corpus of :data:`~ser_lightning.corpora.definitions.DEFINITIONS`, in any folder layout.

    Args:
        name: name of the corpus
        root: folder of the WAV or FLAC files; :meth:`scan` raises an error if it is None
        on_problem: ``"error"`` raises an error on any problem, ``"skip"`` leaves the files out and lists them
        follow_links: whether links that lead out of ``root`` are followed
        download: whether :meth:`fetch` may download the corpus
        downmix: how multichannel files become mono; read by the audio configuration
        merge: labels to replace by another label, such as ``{"calm": "neutral"}``, or to leave out, such as
            ``{"calm": None}``; None keeps all labels

    Raises:
        InputError: an unknown corpus or a ``merge`` of unknown labels

    """

    def __init__(
        self,
        *,
        name: str,
        root: str | Path | None,
        on_problem: OnProblem,
        follow_links: bool,
        download: bool,
        downmix: Downmix,
        merge: Mapping[str, str | None] | None,
    ) -> None:
        if name not in DEFINITIONS:
            raise InputError(
                f"corpus.name is {name!r}; expected one of {', '.join(DEFINITIONS)}{suggestion(name, DEFINITIONS)}"
            )
        self.definition: Definition = DEFINITIONS[name]
        self.name = name
        self.root = expand_path(root)
        self.on_problem = on_problem
        self.follow_links = follow_links
        self.download = download
        self.downmix = downmix
        self.merge = merge
        self.emotions = merged(self.definition.labels, merge)

    def fetch(self) -> None:
        """Download and unpack the corpus into ``root``, if ``download`` is set and ``root`` has no audio yet.

        Raises:
            InputError: the corpus has no archive, ``root`` is None or cannot be written, or the download fails

        """
        if not self.download:
            return
        if self.definition.archive is None:
            raise InputError(f"corpus.download: {self.definition.title} has no free archive; {self.definition.remedy}")
        if self.root is None:
            raise InputError(
                f"corpus.download=true needs a folder; give corpus.root=<folder> or set {self.name.upper()}_ROOT"
            )
        fetch_archive(self.definition.archive, self.root, title=self.definition.title)

    def scan(self) -> Scan:
        """Scan the folder and check it against the published recordings.

        Raises:
            InputError: there is no corpus, no usable recording, a copy with truncated recordings, or any problem when
                ``on_problem`` is ``"error"``

        """
        definition = self.definition
        root = existing_folder(self.root, title=definition.title, remedy=definition.remedy)
        files, problems = list_corpus_files(root, follow_links=self.follow_links)
        if definition.ignored is not None:
            ignored = re.compile(definition.ignored, re.IGNORECASE)
            files = [file for file in files if not any(map(ignored.fullmatch, file.parts[:-1]))]
        if not files and not problems:
            raise InputError(f"{printable(root)}: contains no .wav or .flac file; {definition.remedy}")
        ids = set(definition.ids()) if definition.ids else None
        annotations = definition.annotate(root) if definition.annotate else None
        # A recording that is present but unusable is reported once, and not as missing as well.
        present = {self._id(path) for path in [*files, *(PurePath(problem.path) for problem in problems)]}
        missing = (ids or set()) - present - definition.unusable.keys()

        utterances: list[Utterance] = []
        left_out: list[Problem] = []
        unlabeled = 0
        for file in files:
            try:
                annotation = definition.parse(file, annotations=annotations)
                if annotation["emotion"] is None:
                    unlabeled += 1
                    continue
                if ids is not None and annotation["id"] not in ids:
                    raise InputError(f"not one of the {len(ids)} published recordings")
                if annotation["id"] in definition.unusable:
                    left_out.append(Problem(path=printable(file), reason=definition.unusable[annotation["id"]]))
                    continue
                utterances.append(
                    Utterance(**annotation, corpus=self.name, path=root / file, digest=sha256(root / file))
                )
            except InputError as error:
                problems.append(Problem(path=printable(file), reason=str(error)))
            except OSError as error:
                problems.append(Problem(path=printable(file), reason=f"unreadable file: {error.strerror}"))

        utterances, replaced = drop_replaced(utterances, root=root, corrected=definition.corrected)
        left_out += replaced
        kept, copies = keep_one_per_id(utterances, root=root)
        problems += summarize_copied_folder(copies, total=len(utterances), note=definition.copies)
        kept, mislabeled = drop_mislabeled(kept, root=root, same_recording=definition.same_recording)
        problems += mislabeled
        problems += [Problem(path=id_, reason="missing") for id_ in missing]
        if unlabeled:
            left_out.append(Problem(path=f"{unlabeled} recordings", reason="left out: no label of the corpus applies"))
        scan = finish_scan(root, kept, problems, left_out=left_out, on_problem=self.on_problem)
        if definition.truncated_seconds is not None:
            paths = (utterance.path for utterance in scan.utterances)
            _check_not_truncated(root, paths, seconds=definition.truncated_seconds, remedy=definition.remedy)
        return relabel(scan, self.merge)

    def _id(self, path: PurePath) -> str:
        try:
            return str(self.definition.parse(path)["id"])
        except InputError:
            return path.stem


def _check_not_truncated(root: Path, paths: Iterable[Path], *, seconds: float, remedy: str) -> None:
    """Check that this is not a copy whose recordings were all cut or padded to one length.

    Raises:
        InputError: there are at least two recordings and all have exactly this length

    """
    count = 0
    for path in paths:
        try:
            with soundfile.SoundFile(str(path)) as file:
                if file.frames != seconds * file.samplerate:
                    return
        except (OSError, soundfile.SoundFileError):  # reported when the audio is loaded
            return
        count += 1
    if count > 1:
        raise InputError(
            f"{printable(root)}: all {count} recordings last exactly {seconds:g} s: they were cut or padded; {remedy}"
        )
