"""Split for cross-corpus evaluation: all clips form the test set."""

from collections.abc import Sequence

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.splits.split import Split, check_split


class EveryKnownClip:
    """Test on every clip with a known emotion and leave the others unused; nothing is used for training.

    Args:
        emotions: the emotions that the model knows

    """

    def __init__(self, *, emotions: Sequence[str]) -> None:
        self.emotions = tuple(emotions)

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Split a corpus.

        Raises:
            InputError: no clip has a known emotion

        """
        test = tuple(sorted(u.id for u in utterances if u.emotion in self.emotions))
        unused = tuple(sorted(u.id for u in utterances if u.emotion not in self.emotions))
        if not test:
            raise InputError(
                f"none of the {len(unused)} clips has one of the emotions {', '.join(self.emotions)}; expected a corpus"
                " with some of them, or a corpus.merge that makes some"
            )
        return check_split(
            Split(train=(), val=(), test=test, unused=unused), utterances, source="every clip", needed=("test",)
        )
