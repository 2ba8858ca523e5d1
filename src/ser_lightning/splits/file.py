"""Split stored in a file, such as the one that a run saves."""

from collections.abc import Sequence

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.splits.split import Split, check_split, read_split


class FileSplit:
    """Read the subset of each utterance from a CSV file.

    Args:
        path: the file, with the columns ``utterance`` and ``subset``, such as ``split.csv`` of a run

    Raises:
        InputError: no file is given

    """

    def __init__(self, *, path: str | None) -> None:
        if not path:
            raise InputError("split.path: expected a CSV file of utterance and subset; give split.path=<run>/split.csv")
        self.path = path

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Return the split, checked against the corpus.

        Raises:
            InputError: the file cannot be read, names utterances that the corpus lacks, or leaves some out

        """
        source = f"split file {self.path}"
        return check_split(read_split(self.path), utterances, source=source, needed=("train", "test"))
