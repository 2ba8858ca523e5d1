"""All clips as a test of what was learnt elsewhere."""

from collections.abc import Sequence

from ser_lightning.corpus.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.split.split import Split, check_split


class EveryKnownClip:
    """Test on every clip whose emotion is known, leave the others unused, learn from none.

    Args:
        emotions: those that are known

    """

    def __init__(self, *, emotions: Sequence[str]) -> None:
        self.emotions = tuple(emotions)

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Split a corpus.

        Raises:
            InputError: no clip has an emotion that is known

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
