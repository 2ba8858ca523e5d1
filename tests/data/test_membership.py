"""Tests of how clips and their augmented copies are assigned to subsets."""

from collections import Counter

import pytest
from tests.splits.test_split import DESIGN, corpus

from ser_lightning.data.membership import check_split_of_copies, copies_with_their_clips, split_copies_as_clips
from ser_lightning.errors import InputError
from ser_lightning.splits.random import RandomSplit
from ser_lightning.splits.split import SUBSETS, Split, read_split, write_rows
from ser_lightning.splits.takes import TakeSplit

COPIES = ("", "b", "a")


def test_rows_are_grouped_by_clip_in_its_subset():
    split = Split(train=("x", "y"), val=("k",), test=("t",))
    members = copies_with_their_clips(split, lambda subset: COPIES if subset == "train" else ("",))
    assert members == {
        "train": [("x", ""), ("x", "b"), ("x", "a"), ("y", ""), ("y", "b"), ("y", "a")],
        "val": [("k", "")],
        "test": [("t", "")],
    }


def test_drawn_as_clips_assigns_every_row_once():
    clips = corpus(200)
    split, members = split_copies_as_clips(clips, RandomSplit(**DESIGN), COPIES)
    assert {subset: len(keys) for subset, keys in members.items()} == {"train": 360, "val": 90, "test": 150}
    drawn = [key for keys in members.values() for key in keys]
    assert sorted(drawn) == sorted((clip.id, copy) for clip in clips for copy in COPIES)
    for subset in SUBSETS:
        assert getattr(split, subset) == tuple(id_ for id_, copy in members[subset] if not copy)
        assert [id_ for id_, _ in members[subset]] == sorted(id_ for id_, _ in members[subset])
    # Copies of a clip are drawn independently: all three are in training as often as expected by chance.
    together = Counter(id_ for id_, _ in members["train"])
    assert 0.6**3 - 0.1 < sum(count == 3 for count in together.values()) / 200 < 0.6**3 + 0.1
    assert split_copies_as_clips(clips[::-1], RandomSplit(**DESIGN), COPIES) == (split, members)
    assert split_copies_as_clips(clips, RandomSplit(**DESIGN | {"seed": 1}), COPIES) != (split, members)


def test_drawn_as_clips_without_copies_equals_plain_split():
    split, members = split_copies_as_clips(corpus(50), RandomSplit(**DESIGN), ("",))
    assert split == RandomSplit(**DESIGN)(corpus(50))
    assert members == copies_with_their_clips(split, lambda _: ("",))


def test_check_draws_clips_rejects_unsupported_setups():
    check_split_of_copies(RandomSplit(**DESIGN), ("noise",))
    with pytest.raises(InputError, match="TakeSplit does not draw clips one by one"):
        check_split_of_copies(TakeSplit(**DESIGN), ("noise",))
    with pytest.raises(InputError, match="makes no copies"):
        check_split_of_copies(RandomSplit(**DESIGN), ())


def test_written_rows_are_rejected_as_split_manifest(tmp_path):
    _, members = split_copies_as_clips(corpus(3), RandomSplit(**DESIGN), COPIES)
    write_rows(tmp_path / "split.csv", members, corpus(3))
    header, *lines = (tmp_path / "split.csv").read_text().splitlines()
    assert header == "utterance,copy,speaker,emotion,subset"
    assert lines[0].startswith("0000,,01,calm,")
    assert len(lines) == len(set(lines)) == 9
    with pytest.raises(InputError, match="utterance 0000 is listed twice"):
        read_split(tmp_path / "split.csv")
