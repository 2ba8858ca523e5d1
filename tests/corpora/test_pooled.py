"""Tests of pooled corpora: labels, ids, speakers and downmixes."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ser_lightning.corpora.pooled import Pooled
from ser_lightning.corpora.utterance import Problem, ProblemsError, Scan, Utterance
from ser_lightning.errors import InputError
from ser_lightning.splits.audit import audit_split
from ser_lightning.splits.near_duplicates import Contents
from ser_lightning.splits.random import RandomSplit
from ser_lightning.splits.speakers import SpeakerSplit
from ser_lightning.splits.takes import StatementSplit, TakeSplit, take_of

UTTERANCE = Utterance(
    **{"id": "a", "path": Path("a.wav"), "corpus": "one", "speaker": "01", "gender": "male", "emotion": "sad"},
    **{"statement": "01", "take": 1, "digest": "d"},
)


class Made:
    """A corpus with the same ids, speakers and statements as its other instances."""

    def __init__(self, name: str, emotions: tuple[str, ...], downmix: str, problem: str = "") -> None:
        self.name, self.emotions, self.downmix, self.problem = name, emotions, downmix, problem
        self.on_problem = "error"

    def scan(self) -> Scan:
        if self.problem and self.on_problem == "error":
            raise ProblemsError(f"x: 1 problem: {self.problem}", (Problem(path="b.wav", reason=self.problem),))
        utterances = tuple(
            replace(
                UTTERANCE,
                **{"id": f"{s}-{emotion}-{statement}-{take}", "corpus": self.name, "speaker": f"0{s}"},
                **{"gender": "female" if s % 2 else "male", "emotion": emotion, "statement": statement},
                **{"take": take, "digest": f"{self.name}{s}{emotion}{statement}{take}"},
            )
            for s in range(4)
            for emotion in self.emotions
            for statement in ("01", "02")
            for take in (1, 2)
        )
        problems = (Problem(path="b.wav", reason=self.problem),) if self.problem else ()
        return Scan(utterances=tuple(sorted(utterances, key=lambda u: u.id)), problems=problems)


def pool(*, merge=None, downmix=None, problem: str = "") -> Pooled:
    parts = {
        "one": Made("one", ("calm", "happy", "sad"), "mean"),
        "two": Made("two", ("neutral", "sad", "bored"), "right", problem),
    }
    return Pooled(parts=parts, merge=merge, downmix=downmix or {name: part.downmix for name, part in parts.items()})


def test_labels_are_union_in_vocabulary_order() -> None:
    assert pool().emotions == ("neutral", "calm", "happy", "sad", "bored")
    assert pool().name == "one+two"


def test_ids_speakers_and_statements_are_prefixed_with_corpus() -> None:
    found = pool().scan().utterances
    assert len({u.id for u in found}) == len(found) == 2 * 4 * 3 * 2 * 2
    assert [u.id for u in found] == sorted(u.id for u in found)
    assert {u.speaker for u in found} == {f"{part}/0{s}" for part in ("one", "two") for s in range(4)}
    assert {u.statement for u in found} == {f"{part}/0{n}" for part in ("one", "two") for n in (1, 2)}
    assert Counter(u.corpus for u in found) == {"one": 48, "two": 48}
    assert all(u.id.startswith(f"{u.corpus}/") for u in found)


def test_merge_applies_to_all_parts() -> None:
    merged = pool(merge={"calm": "neutral"})
    assert merged.emotions == ("neutral", "happy", "sad", "bored")
    counts = Counter(u.emotion for u in merged.scan().utterances)
    assert counts == {"neutral": 32, "happy": 16, "sad": 32, "bored": 16}
    assert Counter(u.emotion for u in pool().scan().utterances)["calm"] == 16
    with pytest.raises(
        InputError, match=r"corpus\.merge names 'angry'; the corpus has neutral, calm, happy, sad, bored"
    ):
        pool(merge={"angry": "sad"})


def test_problems_are_prefixed_with_part_name() -> None:
    with pytest.raises(ProblemsError, match=r"1 problem: lost .*pooled corpus two.*corpus\.parts\.two\.root") as error:
        pool(problem="lost").scan()
    assert [problem.path for problem in error.value.problems] == ["two/b.wav"]
    made = pool(problem="lost")
    made.parts["two"].on_problem = "skip"
    assert [problem.path for problem in made.scan().problems] == ["two/b.wav"]
    assert made.on_problem == "error"  # the other part still raises
    made.parts["one"].on_problem = "skip"
    assert made.on_problem == "skip"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": {}}, r"corpus=pooled needs at least two corpora; .*'corpus/parts=\[ravdess,emodb\]'"),
        ({"downmix": {"one": "mean"}}, r"corpus\.downmix has no value for two"),
    ],
)
def test_invalid_pool_raises_input_error(change, message: str) -> None:
    parts = {name: Made(name, ("sad",), "mean") for name in ("one", "two")}
    with pytest.raises(InputError, match=message):
        Pooled(**({"parts": parts, "merge": None, "downmix": "mean"} | change))


def test_fetch_downloads_supported_parts() -> None:
    made, asked = pool(), []
    made.parts["two"].fetch = lambda: asked.append("two")
    made.fetch()
    assert asked == ["two"]


def test_splits_and_leak_checks_distinguish_corpora() -> None:
    corpus = pool().scan().utterances
    nothing = Contents(samples={}, near=(), unread={})
    of = {u.id: u for u in corpus}
    split = SpeakerSplit(folds=4, fold=0, val_folds=1, seed=0)(corpus)
    trained = {of[id_].speaker for id_ in split.train}
    assert len(trained) == 4
    assert not trained & {of[id_].speaker for id_ in (*split.val, *split.test)}
    taken = TakeSplit(seed=0, train=0.6, val=0.15, test=0.25)(corpus)
    assert not {take_of(of[id_]) for id_ in taken.train} & {take_of(of[id_]) for id_ in (*taken.val, *taken.test)}
    by_name = {f.name: f for f in audit_split(corpus, taken, nothing)}
    assert not by_name["other take in training"].found
    drawn = {
        f.name: f for f in audit_split(corpus, RandomSplit(seed=0, train=0.6, val=0.15, test=0.25)(corpus), nothing)
    }
    assert drawn["other take in training"].found
    for one, other in drawn["other take in training"].examples:
        assert one.split("/")[0] == other.split("/")[0]
    new = StatementSplit(fold=0, val=0.2, seed=0)(corpus)  # two/01 is not the sentence one/01
    assert {of[id_].statement for id_ in new.test} == {"one/01"}
    assert {of[id_].statement for id_ in new.train} == {"one/02", "two/01", "two/02"}
