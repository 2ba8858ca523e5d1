"""Split stored in the package."""

from collections.abc import Sequence
from pathlib import Path

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import check_value, suggestion
from ser_lightning.splits.split import Split, check_split, read_split

MANIFESTS = Path(__file__).parent / "manifests"


class ManifestSplit:
    """Read the subset of each utterance from a manifest.

    Args:
        manifest: name of a file in ``splits/manifests/`` without ``.csv``; the header comment of the file states its
            source

    Raises:
        InputError: there is no such manifest

    """

    def __init__(self, *, manifest: str) -> None:
        known = sorted(path.stem for path in MANIFESTS.glob("*.csv"))
        expected = f"one of {', '.join(known)}{suggestion(manifest, known)}"
        check_value("split.manifest", manifest, valid=manifest in known, expected=expected)
        self.manifest = manifest

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Return the split, checked against the corpus.

        Raises:
            InputError: the manifest names utterances that the corpus lacks, or leaves some out

        """
        return check_split(
            read_split(MANIFESTS / f"{self.manifest}.csv"),
            utterances,
            source=f"split manifest {self.manifest!r}",
        )
