"""Split protocols on the design of RAVDESS and on less balanced corpora."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.configs import changed, composed

from ser_lightning.assemble import build_split
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.splits import speakers
from ser_lightning.splits.audit import audit_split
from ser_lightning.splits.committed_folds import CommittedFolds
from ser_lightning.splits.kfold import KFoldSplit
from ser_lightning.splits.manifest import ManifestSplit
from ser_lightning.splits.near_duplicates import Contents
from ser_lightning.splits.speakers import SpeakerSplit, SpeakerStatementSplit, assign_speakers
from ser_lightning.splits.split import SUBSETS, Split, check_split, read_split, write_split
from ser_lightning.splits.takes import StatementSplit, TakeSplit, take_of

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
FOLDS = {"statement": 2, "speaker": 6, "loso": 24, "speaker_statement": 12, "emobox": 6, "kfold": 10}


def utterance(emotion: str, intensity: str, statement: str, take: int, actor: int) -> Utterance:
    id_ = f"{actor:02}-{EMOTIONS.index(emotion) + 1:02}-{intensity}-{statement}-{take}"
    return Utterance(
        **{"id": id_, "path": Path(f"{id_}.wav"), "corpus": "c", "digest": id_, "speaker": f"{actor:02}"},
        **{"gender": "female" if actor % 2 == 0 else "male", "emotion": emotion, "intensity": intensity},
        **{"statement": statement, "take": take},
    )


def design(actors: int = 24) -> list[Utterance]:
    """Build the design of RAVDESS: 60 clips per actor, because neutral has no strong intensity."""
    return [
        utterance(emotion, intensity, statement, take, actor)
        for actor in range(1, actors + 1)
        for emotion in EMOTIONS
        for intensity in ("normal", "strong")
        for statement in ("01", "02")
        for take in (1, 2)
        if (emotion, intensity) != ("neutral", "strong")
    ]


CORPUS = design()
OF = {u.id: u for u in CORPUS}


def split_of(option: str, *overrides: str, corpus: Sequence[Utterance] = CORPUS) -> Split:
    return build_split(changed(composed(f"split={option}"), *overrides))(corpus)


def values(ids: tuple[str, ...], key: str) -> set[str]:
    return {getattr(OF[id_], key) for id_ in ids}


@pytest.mark.parametrize("option", ["random", "take", *FOLDS])
def test_split_does_not_depend_on_corpus_order(option):
    assert split_of(option) == split_of(option, corpus=CORPUS[::-1])


@pytest.mark.parametrize("option", ["random", "take", *FOLDS])
def test_only_random_protocols_leak(option):
    findings = audit_split(CORPUS, split_of(option), Contents(samples={}, near=(), unread={}))
    expected = ["other take in training"] if option in ("random", "kfold") else []
    assert [f.name for f in findings if f.severity == "leak" and f.found] == expected


@pytest.mark.parametrize(("option", "folds"), FOLDS.items())
def test_each_clip_is_tested_in_exactly_one_fold(option, folds):
    splits = [split_of(option, f"split.fold={fold}") for fold in range(folds)]
    assert Counter(id_ for split in splits for id_ in split.test) == Counter(list(OF))
    with pytest.raises(InputError, match=rf"split.fold is {folds}; expected 0 to {folds - 1}"):
        split_of(option, f"split.fold={folds}")
    with pytest.raises(InputError, match=r"split.fold is -1; expected"):
        split_of(option, "split.fold=-1")


def test_takes_of_an_utterance_share_a_subset():
    split = split_of("take")
    assert not set(map(take_of, map(OF.get, split.train))) & set(map(take_of, map(OF.get, split.val + split.test)))
    assert not set(map(take_of, map(OF.get, split.val))) & set(map(take_of, map(OF.get, split.test)))
    assert [len(getattr(split, subset)) for subset in SUBSETS] == [864, 216, 360]
    assert split != split_of("take", "split.seed=1")


@pytest.mark.parametrize("fold", [0, 1])
def test_statement_split_tests_on_an_unseen_statement(fold):
    split = split_of("statement", f"split.fold={fold}")
    assert values(split.test, "statement") == {f"{fold + 1:02}"}
    assert values(split.train + split.val, "statement") == {f"{2 - fold:02}"}
    assert len(split.val) == len(split.train) / 4
    assert split.train != split_of("statement", f"split.fold={fold}", "split.seed=1").train


@pytest.mark.parametrize("option", ["speaker", "emobox", "loso"])
def test_validation_and_test_speakers_are_unseen(option):
    for fold in range(FOLDS[option]):
        split = split_of(option, f"split.fold={fold}")
        train, val, test = (values(getattr(split, subset), "speaker") for subset in SUBSETS)
        assert not train & (val | test)
        assert not val & test
        if option != "emobox":  # its second fold has only women, as published
            assert values(split.val, "gender") == {"male", "female"}
        assert (len(train), len(val), len(test)) == ((19, 4, 1) if option == "loso" else (16, 4, 4))


def test_speaker_folds_are_gender_balanced():
    for fold in range(6):
        split = split_of("speaker", f"split.fold={fold}")
        assert Counter(OF[id_].gender for id_ in split.test) == {"male": 120, "female": 120}
    assert split_of("speaker").test != split_of("speaker", "split.seed=1").test


@given(men=st.integers(0, 15), women=st.integers(0, 15), folds=st.integers(1, 10), seed=st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_assign_speakers_balances_uneven_corpora(men, women, folds, seed):
    actors = [2 * n + 1 for n in range(men)] + [2 * n + 2 for n in range(women)]
    corpus = [utterance("calm", "normal", "01", 1, actor) for actor in actors]
    if len(corpus) < 3:
        with pytest.raises(InputError, match=f"the corpus has {len(corpus)} speakers?; expected at least 3"):
            assign_speakers(corpus, folds=folds, seed=seed, split="speaker")
        return
    if len(corpus) < folds:
        with pytest.raises(InputError, match=f"split.folds is {folds}, but the corpus has {len(corpus)} speakers"):
            assign_speakers(corpus, folds=folds, seed=seed, split="speaker")
        return
    dealt = assign_speakers(corpus, folds=folds, seed=seed, split="speaker")
    assert sorted(speaker for fold in dealt for speaker in fold) == sorted(f"{actor:02}" for actor in actors)
    for own in (lambda s: True, lambda s: int(s) % 2 == 0, lambda s: int(s) % 2 == 1):
        sizes = [sum(map(own, fold)) for fold in dealt]
        assert max(sizes) - min(sizes) <= 1


def uneven_corpus(order: int = 1) -> list[Utterance]:
    """Twelve women and nine men, each of whom has many clips of two emotions and few of the others."""
    return [
        utterance(emotion, "normal", "01", take, actor)
        for actor in [*range(1, 19), 20, 22, 24]
        for number, emotion in enumerate(EMOTIONS)
        for take in range(9 if number in (actor % 8, actor % 5) else 1 + actor % 2)
    ][::order]


def emotion_imbalance(dealt: Sequence[Sequence[str]], corpus: Sequence[Utterance]) -> float:
    """Return the largest difference between the share of an emotion's clips in a fold and an equal share."""
    total = Counter(u.emotion for u in corpus)
    fold_of = {speaker: n for n, fold in enumerate(dealt) for speaker in fold}
    counts = Counter((fold_of[u.speaker], u.emotion) for u in corpus)
    return max(abs(counts[n, e] / total[e] - 1 / len(dealt)) for n in range(len(dealt)) for e in EMOTIONS)


@pytest.mark.parametrize("seed", range(5))
def test_speaker_folds_are_stratified_by_emotion(seed, monkeypatch):
    corpus = uneven_corpus()
    dealt = assign_speakers(corpus, folds=4, seed=seed, split="speaker")
    assert dealt == assign_speakers(uneven_corpus(-1), folds=4, seed=seed, split="speaker")
    with monkeypatch.context() as patch:
        patch.setattr(speakers, "_balance_emotions", lambda *_: None)
        unstratified = assign_speakers(corpus, folds=4, seed=seed, split="speaker")
    assert emotion_imbalance(dealt, corpus) < 0.7 * emotion_imbalance(unstratified, corpus)
    men, women = ([sum(int(s) % 2 == remainder for s in fold) for fold in dealt] for remainder in (1, 0))
    assert (sorted(men), sorted(women)) == ([2, 2, 2, 3], [3, 3, 3, 3])


def test_speaker_folds_of_a_balanced_corpus_are_those_of_the_seed():
    """The results in docs/results were measured with these folds of RAVDESS."""
    dealt = assign_speakers(CORPUS, folds=6, seed=42, split="speaker")
    assert [" ".join(fold) for fold in dealt] == [
        *("09 11 16 24", "08 12 15 17", "05 06 07 10", "02 03 18 19", "04 20 21 23", "01 13 14 22")
    ]


def test_speaker_statement_split_tests_on_unseen_speakers_and_statement():
    for fold in range(12):
        split = split_of("speaker_statement", f"split.fold={fold}")
        for key in ("speaker", "statement"):
            assert not values(split.test, key) & values(split.train, key)
            assert not values(split.val, "speaker") & values(split.train + split.test, "speaker")
        assert values(split.test, "statement") == {f"{fold // 6 + 1:02}"}
        assert values(split.val, "statement") == values(split.train, "statement")
        assert [len(getattr(split, s)) for s in (*SUBSETS, "unused")] == [480, 120, 120, 720]


def test_emobox_matches_the_published_folds():
    published = [[1, 11, 20, 21], [4, 10, 12, 14], [8, 9, 19, 23], [3, 5, 7, 24], [2, 15, 16, 18], [6, 13, 17, 22]]
    for fold, actors in enumerate(published):
        split = split_of("emobox", f"split.fold={fold}")
        assert values(split.test, "speaker") == {f"{actor:02}" for actor in actors}
        assert len(split.test) == 240
        assert len(split.train + split.val) == 1200


def test_emobox_rejects_other_corpora():
    with pytest.raises(InputError, match=r"'ravdess_emobox': the file names speakers that the corpus lacks: 09, 10"):
        CommittedFolds(manifest="ravdess_emobox", fold=0)(design(actors=8))
    with pytest.raises(InputError, match=r"leaves out speakers of the corpus: 25; .*split=speaker"):
        CommittedFolds(manifest="ravdess_emobox", fold=0)(design(actors=25))
    with pytest.raises(InputError, match=r"split.manifest is 'x'; expected one of ravdess_emobox"):
        CommittedFolds(manifest="x", fold=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TakeSplit(seed=0, train=0.6, val=0.3, test=0.3), "sum to 1"),
        (lambda: StatementSplit(fold=0, val=1.0, seed=0), "split.val is 1.0; expected a fraction between 0 and 1"),
        (lambda: StatementSplit(fold=-1, val=0.2, seed=0), "split.fold is -1; expected at least 0"),
        (lambda: KFoldSplit(folds=1, fold=0, val=0.1, seed=0), "split.folds is 1; expected at least 2"),
        (lambda: KFoldSplit(folds=3, fold=0, val=0.0, seed=0), "split.val is 0.0; expected a fraction"),
        (lambda: SpeakerSplit(folds=2, fold=0, val_folds=1, seed=0), "split.folds is 2 and split.val_folds is 1"),
        (lambda: SpeakerSplit(folds=6, fold=0, val_folds=0, seed=0), "split.folds is 6 and split.val_folds is 0"),
        (
            lambda: SpeakerSplit(folds=None, fold=0, val_folds=23, seed=0)(CORPUS),
            "split.val_folds is 23, but the 24 speakers make 24 folds; expected at most 22",
        ),
        (lambda: SpeakerSplit(folds=25, fold=0, val_folds=1, seed=0)(CORPUS), "the corpus has 24 speakers"),
        (
            lambda: SpeakerStatementSplit(folds=6, fold=12, val_folds=1, seed=0)(CORPUS),
            "split.fold is 12; expected 0 to 11, one a fold of speakers and statement",
        ),
        (
            lambda: StatementSplit(fold=0, val=0.2, seed=0)([u for u in CORPUS if u.statement == "01"]),
            "the corpus has 1 statement; split=statement needs at least 2",
        ),
    ],
)
def test_invalid_splits_raise(make, message):
    with pytest.raises(InputError, match=message):
        make()


@given(count=st.integers(10, 200), val=st.floats(0.01, 0.5), seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_kfold_has_even_folds_and_disjoint_validation(count, val, seed):
    corpus = CORPUS[:count]
    splits = [KFoldSplit(folds=10, fold=fold, val=val, seed=seed)(corpus) for fold in range(10)]
    sizes = [len(split.test) for split in splits]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1
    for split in splits:
        ids = [*split.train, *split.val, *split.test]
        assert sorted(ids) == sorted(u.id for u in corpus)  # disjoint and complete
        assert len(split.val) == max(1, int(val * (count - len(split.test)) + 1e-6))


def test_kfold_parameters_change_the_split():
    plain = split_of("kfold")
    assert [len(getattr(plain, subset)) for subset in SUBSETS] == [1167, 129, 144]
    assert len(split_of("kfold", "split.folds=5").test) == 288
    more = split_of("kfold", "split.val=0.2")
    assert (more.test, len(more.val)) == (plain.test, 259)
    other = split_of("kfold", "split.seed=1")
    assert other.test != plain.test
    assert not set(split_of("kfold", "split.fold=1").test) & set(plain.test)


def two_sentences(women: int, men: int, speaker: str) -> list[Utterance]:
    """Build a small corpus in which each speaker says two sentences, sad and happy."""
    return [
        replace(utterance(emotion, "normal", statement, 1, 2 * n + man), corpus="x", speaker=f"{speaker}{n}{man}")
        for man, count in ((0, women), (1, men))
        for n in range(1, count + 1)
        for emotion in ("sad", "happy")
        for statement in ("01", "02")
    ]


@pytest.mark.parametrize(("women", "men", "folds"), [(5, 5, 5), (3, 3, 3), (0, 4, 4), (2, 2, 3)])
def test_speaker_folds_of_small_corpora(women, men, folds):
    """The speaker counts are those of EmoDB, EMOVO, SAVEE and a corpus that does not divide evenly."""
    corpus = two_sentences(women, men, "s")
    genders = {u.speaker: u.gender for u in corpus}
    tested = []
    for fold in range(folds):
        split = SpeakerSplit(folds=folds, fold=fold, val_folds=1, seed=42)(corpus)
        of = {subset: {u.speaker for u in corpus if u.id in getattr(split, subset)} for subset in SUBSETS}
        assert not of["train"] & of["val"] | of["train"] & of["test"] | of["val"] & of["test"]
        assert set().union(*of.values()) == set(genders)
        if women == men == folds:
            assert sorted(genders[speaker] for speaker in of["test"]) == ["female", "male"]
        tested += of["test"]
    assert sorted(tested) == sorted(genders)


def test_impossible_protocols_raise_with_the_reason():
    two = two_sentences(2, 0, "t")  # TESS
    for folds in (None, 2 + 1):
        with pytest.raises(InputError, match="the corpus has 2 speakers; expected at least 3 .* use split=take"):
            SpeakerSplit(folds=folds, fold=0, val_folds=1, seed=0)(two)
    with pytest.raises(InputError, match="val_folds is 4, but the 4 speakers make 4 folds; expected at most 2"):
        SpeakerSplit(folds=None, fold=0, val_folds=4, seed=0)(two_sentences(0, 4, "s"))  # SAVEE, split=loso
    own = [replace(u, statement=f"{u.emotion}{u.statement}") for u in two]  # SAVEE's sentences
    with pytest.raises(InputError, match="each of the 4 statements .* only one emotion"):
        StatementSplit(fold=0, val=0.2, seed=0)(own)
    with pytest.raises(InputError, match="split manifest 'ravdess_released' is of another corpus: .* 8 clips; draw"):
        ManifestSplit(manifest="ravdess_released")(two)
    with pytest.raises(InputError, match="split.folds is 10, but the corpus has 8 clips"):
        KFoldSplit(folds=10, fold=0, val=0.1, seed=0)(two)


def test_unused_clips_round_trip_through_csv(tmp_path):
    split = split_of("speaker_statement")
    write_split(tmp_path / "split.csv", split, CORPUS)
    assert read_split(tmp_path / "split.csv") == split
    with pytest.raises(InputError, match="is in test and in unused"):
        check_split(Split(train=("a",), val=("b",), test=("c",), unused=("c",)), CORPUS, source="x")
