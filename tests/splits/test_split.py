from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.splits.manifest import MANIFESTS, ManifestSplit
from ser_lightning.splits.random import RandomSplit
from ser_lightning.splits.split import SUBSETS, Split, check_split, read_split, write_split

DESIGN = {"seed": 42, "train": 0.6, "val": 0.15, "test": 0.25}


def utterance(id_: str) -> Utterance:
    return Utterance(
        id=id_,
        path=Path(f"{id_}.wav"),
        corpus="c",
        speaker="01",
        gender="male",
        emotion="calm",
        intensity="normal",
        statement="01",
        take=1,
        digest=id_,
    )


def corpus(n: int) -> list[Utterance]:
    return [utterance(f"{i:04}") for i in range(n)]


def ravdess_ids() -> list[str]:
    return [
        f"03-01-{e:02}-{i:02}-{s:02}-{r:02}-{a:02}"
        for e in range(1, 9)
        for i in (1, 2)
        for s in (1, 2)
        for r in (1, 2)
        for a in range(1, 25)
        if (e, i) != (1, 2)
    ]


def test_random_split_has_the_sizes_of_the_study():
    split = RandomSplit(**DESIGN)(corpus(1440))
    assert [len(getattr(split, subset)) for subset in SUBSETS] == [864, 216, 360]


@given(n=st.integers(12, 400), seed=st.integers(0, 2**32))
def test_random_split_is_a_partition_with_the_study_fractions(n, seed):
    utterances = corpus(n)
    split = RandomSplit(**DESIGN | {"seed": seed})(utterances)
    ids = [*split.train, *split.val, *split.test]
    assert sorted(ids) == [u.id for u in utterances]
    assert (len(split.train), len(split.train) + len(split.val)) == (n * 60 // 100, n * 75 // 100)


def test_random_split_depends_only_on_the_seed():
    utterances = corpus(100)
    first = RandomSplit(**DESIGN)(utterances)
    assert RandomSplit(**DESIGN)(utterances[::-1]) == first
    assert RandomSplit(**DESIGN | {"seed": 43})(utterances) != first


def test_random_split_sizes_are_robust_to_float_rounding():
    split = RandomSplit(seed=0, train=0.7, val=0.1, test=0.2)(corpus(10))
    assert [len(getattr(split, subset)) for subset in SUBSETS] == [7, 1, 2]


@pytest.mark.parametrize("fractions", [(0.6, 0.15, 0.3), (0.75, 0.25, 0.0), (1.5, -0.25, -0.25)])
def test_random_split_rejects_invalid_fractions(fractions):
    with pytest.raises(InputError, match=r"sum to 1"):
        RandomSplit(seed=0, train=fractions[0], val=fractions[1], test=fractions[2])


def test_random_split_rejects_too_small_a_corpus():
    with pytest.raises(InputError, match="subset is empty"):
        RandomSplit(**DESIGN)(corpus(2))


def test_released_split_matches_the_study():
    split = ManifestSplit(manifest="ravdess_released")([utterance(id_) for id_ in ravdess_ids()])
    assert [len(getattr(split, subset)) for subset in SUBSETS] == [864, 216, 360]
    emotions = {s: [n for _, n in sorted(Counter(i[6:8] for i in getattr(split, s)).items())] for s in SUBSETS}
    # Counts per emotion of the released folders.
    assert emotions["train"] == [58, 121, 100, 113, 120, 126, 118, 108]
    assert emotions["val"] == [14, 27, 35, 33, 28, 23, 25, 31]
    assert emotions["test"] == [24, 44, 57, 46, 44, 43, 49, 53]
    # The byte-identical pair of actor 07 is in training.
    assert {"03-01-03-01-02-01-07", "03-01-03-01-02-02-07"} <= set(split.train)


def test_released_split_rejects_other_corpora():
    ids = ravdess_ids()
    with pytest.raises(InputError, match="names utterances that the corpus lacks: 1 of 1440.*03-01-01"):
        ManifestSplit(manifest="ravdess_released")([utterance(id_) for id_ in ids[1:]])
    with pytest.raises(InputError, match="leaves out utterances.*99-99"):
        ManifestSplit(manifest="ravdess_released")([utterance(id_) for id_ in [*ids, "99-99"]])


def test_unknown_manifest_raises():
    with pytest.raises(InputError, match="'nowhere'; expected one of ravdess_released"):
        ManifestSplit(manifest="nowhere")


def test_manifests_are_valid_and_document_their_source():
    manifests = sorted(MANIFESTS.glob("*.csv"))
    assert manifests
    for path in manifests:
        read_split(path)
        assert path.read_text().startswith("# ")


def test_overlapping_subsets_raise():
    split = Split(train=("0000", "0001"), val=("0001",), test=("0002",))
    with pytest.raises(InputError, match="0001 is in train and in val"):
        check_split(split, corpus(3), source="s")


def test_write_and_read_split(tmp_path):
    utterances = corpus(20)
    split = RandomSplit(**DESIGN)(utterances)
    write_split(tmp_path / "split.csv", split, utterances)
    assert read_split(tmp_path / "split.csv") == split
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[0] == "utterance,speaker,emotion,subset"
    assert lines[1].startswith("0000,01,calm,")
    assert len(lines) == 21


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "expected the columns utterance and subset"),
        ("utterance,subset\nx,dev\n", "'x' has subset 'dev'"),
        ("subset,utterance\ntrain\n", "utterance None has subset 'train'"),
        ("utterance,subset\nx\n", "'x' has subset None"),
        ("utterance,subset\n\n,train\n", "utterance '' has subset 'train'"),
        ('utterance,subset\n"' + "x" * 200_000, "is no CSV: field larger than field limit"),
        ("utterance,subset\nx,train\nx,test\n", "x is listed twice"),
    ],
)
def test_malformed_manifest_raises(tmp_path, text, message):
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_split(path)


def test_missing_manifest_raises(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the split manifest .*m\.csv"):
        read_split(tmp_path / "m.csv")
