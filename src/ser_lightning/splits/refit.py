"""The two splits of a run that is trained again with its validation clips (``split.refit``)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.splits.split import Split

Strategy = Callable[[Sequence[Utterance]], Split]


@dataclass(frozen=True, kw_only=True)
class WithoutTest:
    """Split of the selection: the test clips are unused, so that nothing can be chosen by them.

    Args:
        drawn: the split that the config describes

    """

    drawn: Strategy

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Split a corpus."""
        split = self.drawn(utterances)
        return replace(split, test=(), unused=tuple(sorted((*split.unused, *split.test))))


@dataclass(frozen=True, kw_only=True)
class ValidationInTraining:
    """Split of the refit: the validation clips belong to the training set.

    Args:
        drawn: the split that the config describes

    """

    drawn: Strategy

    def __call__(self, utterances: Sequence[Utterance]) -> Split:
        """Split a corpus."""
        split = self.drawn(utterances)
        return replace(split, train=tuple(sorted((*split.train, *split.val))), val=())
