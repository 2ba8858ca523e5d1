"""The base class of the corpora whose annotation is encoded in the file names."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from ser_lightning.corpora.merging import merged, relabel
from ser_lightning.corpora.scanning import Design, check_choices, folder_of, scan_folder
from ser_lightning.corpora.utterance import Scan


class PublishedCorpus(ABC):
    """A corpus whose files are checked against the published recordings.

    Args:
        root: folder of the WAV or FLAC files, in any layout; :meth:`scan` raises an error if it is None
        on_problem: ``"refuse"`` raises an error on any problem, ``"skip"`` leaves the files out and lists them
        downmix: how multichannel files become mono
        merge: labels to replace by another label; None keeps all labels

    Raises:
        InputError: an unknown ``on_problem`` or ``downmix``, or a ``merge`` of unknown labels

    """

    name: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]  # in the order of the common vocabulary

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
        """Return the published recordings and the grammar of their file names."""

    def scan(self) -> Scan:
        """Scan the folder and check it against the published recordings.

        Raises:
            InputError: there is no corpus, no usable clip, or any problem when ``on_problem`` is ``"refuse"``

        """
        return relabel(scan_folder(self.root, self.design(), on_problem=self.on_problem), self.merge)
