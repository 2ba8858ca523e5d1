"""What the corpora share that are a folder of files with names of their own grammar."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from ser_lightning.corpus.merging import merged, relabel
from ser_lightning.corpus.scanning import Design, check_choices, folder_of, scan_folder
from ser_lightning.corpus.utterance import Scan


class PublishedCorpus(ABC):
    """A corpus whose files are held against what was published.

    Args:
        root: the folder that holds the recordings, in any layout, as WAV or FLAC; or None
        on_problem: ``"refuse"`` stops at any problem, ``"skip"`` leaves the files out and lists them
        downmix: how files of several channels become mono
        merge: labels that are counted as another one; None leaves all as they are

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``; a ``merge`` of labels that there are not

    """

    name: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]  # words of the common vocabulary, in its order

    def __init__(
        self, *, root: str | Path | None, on_problem: str, downmix: str, merge: Mapping[str, str] | None
    ) -> None:
        check_choices(on_problem=on_problem, downmix=downmix)
        self.root = folder_of(root)
        self.on_problem = on_problem
        self.downmix = downmix
        self.merge = merge
        self.emotions = merged(self.labels, merge)

    @abstractmethod
    def design(self) -> Design:
        """Return what was published."""

    def scan(self) -> Scan:
        """Look through the folder and check it against the design of the corpus.

        Raises:
            InputError: there is no corpus, no usable clip, or any problem when ``on_problem`` is ``"refuse"``

        """
        return relabel(scan_folder(self.root, self.design(), on_problem=self.on_problem), self.merge)
