"""Pool several corpora into one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from ser_lightning.corpora.merging import merged, relabel
from ser_lightning.corpora.utterance import Problem, ProblemsError, Scan, Utterance
from ser_lightning.errors import InputError
from ser_lightning.labels import in_order


class Part(Protocol):
    """A corpus that can be pooled."""

    name: str
    emotions: tuple[str, ...]
    downmix: str

    def scan(self) -> Scan:
        """Return the usable recordings and the problems of the corpus."""


class Pooled:
    """The recordings of several corpora, and the union of their labels in the order of the common vocabulary.

    Ids, speakers and statements are prefixed with the name of their part, so that they are unique in the pool. Each
    utterance keeps the name of its corpus, which selects its downmix.

    Args:
        parts: the corpora by name
        merge: labels to replace by another label in all parts, in addition to the merges of each part; None merges
            nothing
        downmix: how multichannel files become mono: one downmix for all parts, or one per part by name

    Raises:
        InputError: fewer than two parts, an unknown ``downmix`` or one that lacks a part, or a ``merge`` of unknown
            labels

    """

    def __init__(
        self, *, parts: Mapping[str, Part], merge: Mapping[str, str | None] | None, downmix: str | Mapping[str, str]
    ) -> None:
        if len(parts) < 2:
            raise InputError(
                "corpus=pooled needs at least two corpora; choose them, such as 'corpus/parts=[ravdess,emodb]'"
            )
        if not isinstance(downmix, str) and (lacking := sorted(parts.keys() - downmix.keys())):
            raise InputError(f"corpus.downmix has no value for {', '.join(lacking)}; expected one for each corpus")
        self.parts = dict(parts)
        self.merge = merge
        self.downmix = downmix
        self.name = "+".join(parts)
        self.emotions = merged(in_order(label for part in parts.values() for label in part.emotions), merge)

    @property
    def on_problem(self) -> str:
        """``"skip"`` if every part with this setting is set to ``"skip"``, otherwise ``"error"``."""
        settings = {str(choice) for part in self.parts.values() if (choice := getattr(part, "on_problem", None))}
        return "skip" if settings == {"skip"} else "error"

    def scan(self) -> Scan:
        """Scan all parts.

        Raises:
            InputError: a part raises it; the message then names the part

        """
        utterances: list[Utterance] = []
        problems: list[Problem] = []
        for name, part in self.parts.items():
            try:
                scan = part.scan()
            except ProblemsError as error:
                raise ProblemsError(_naming_part(error, name), _prefixed(error.problems, name)) from error
            except InputError as error:
                raise InputError(_naming_part(error, name)) from error
            problems += _prefixed(scan.problems, name)
            utterances += [
                replace(
                    utterance,
                    id=f"{name}/{utterance.id}",
                    corpus=name,
                    speaker=utterance.speaker and f"{name}/{utterance.speaker}",
                    statement=utterance.statement and f"{name}/{utterance.statement}",
                )
                for utterance in scan.utterances
            ]
        utterances.sort(key=lambda utterance: utterance.id)
        return relabel(Scan(utterances=tuple(utterances), problems=tuple(problems)), self.merge)

    def fetch(self) -> None:
        """Download the missing parts that are configured to be downloaded.

        Raises:
            InputError: a download fails

        """
        for part in self.parts.values():
            if hasattr(part, "fetch"):
                part.fetch()


def _naming_part(error: InputError, name: str) -> str:
    return f"{error} (in the pooled corpus {name}, whose keys are corpus.parts.{name}.root and so on)"


def _prefixed(problems: tuple[Problem, ...], name: str) -> tuple[Problem, ...]:
    return tuple(replace(problem, path=f"{name}/{problem.path}") for problem in problems)
