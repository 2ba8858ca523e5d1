"""Leak checks: planted leaks are found, and nothing else is reported."""

import json
from pathlib import Path

import numpy as np
import pytest

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.splits.audit import audit_folder, audit_split
from ser_lightning.splits.findings import summarize_findings
from ser_lightning.splits.near_duplicates import Contents
from ser_lightning.splits.split import Split
from ser_lightning.splits.training_audit import (
    audit_choice,
    audit_encoder,
    audit_normalizer,
    audit_rows,
    audit_siblings,
)

LEAKS = {"identical audio across subsets", "near duplicates across subsets", "other take in training"}


def utterance(id_: str, **changes) -> Utterance:
    """Build a clip that shares no attribute with other clips, except those in ``changes``."""
    return Utterance(
        **{
            "id": id_,
            "path": Path(f"{id_}.wav"),
            "corpus": "c",
            "speaker": f"speaker {id_}",
            "gender": "male",
            "emotion": f"emotion {id_}",
            "intensity": f"intensity {id_}",
            "statement": f"statement {id_}",
            "take": 1,
            "digest": f"file {id_}",
        }
        | changes
    )


IDS = ("a", "b", "k", "l", "x", "y", "z")
SPLIT = Split(train=("a", "b"), val=("k", "l"), test=("x", "y", "z"))


def audited(changes=None, *, samples=None, near=(), unread=(), split=SPLIT) -> dict:
    """Audit a split and return the findings by name; ``samples`` overrides the audio content of clips."""
    utterances = [utterance(id_, **(changes or {}).get(id_, {})) for id_ in IDS]
    content = {f"file {id_}": (samples or {}).get(id_, f"sound {id_}") for id_ in IDS if id_ not in unread}
    contents = Contents(samples=content, near=tuple(near), unread={f"file {id_}": "broken" for id_ in unread})
    return {finding.name: finding for finding in audit_split(utterances, split, contents)}


def found(findings: dict) -> set[str]:
    return {name for name, finding in findings.items() if finding.found}


def test_clean_split_has_no_findings():
    findings = audited()
    assert len(findings) == 10
    assert found(findings) == set()
    assert {name for name, finding in findings.items() if finding.severity == "leak"} == LEAKS
    assert {finding.severity for finding in findings.values()} == {"leak", "shared", "unchecked"}
    section = summarize_findings(findings.values())
    assert (section["leak"], section["summary"]) == (False, "no leak found")
    assert findings["other take in training"].counts == {"test": (0, 3), "val": (0, 2)}
    assert findings["other take in training"].sentence == (
        "0 of 3 test and 0 of 2 val clips have their other take in training"
    )


@pytest.mark.parametrize(
    ("one", "other", "counts"),
    [
        ("a", "x", {"test": (1, 3), "val": (0, 2)}),
        ("a", "k", {"test": (0, 3), "val": (1, 2)}),
        ("k", "x", {"test": (1, 3), "val": (1, 2)}),
    ],
)
@pytest.mark.parametrize("kind", ["identical audio", "near duplicates"])
def test_duplicates_across_subsets_leak(kind, one, other, counts):
    if kind == "identical audio":
        findings = audited(samples={one: "same", other: "same"})
    else:
        findings = audited(near=[(f"sound {one}", f"sound {other}", 0.95)])
    assert found(findings) == {f"{kind} across subsets"}
    finding = findings[f"{kind} across subsets"]
    assert finding.counts == counts
    assert {frozenset(pair) for pair in finding.examples} == {frozenset((one, other))}
    assert summarize_findings(findings.values())["leak"]


@pytest.mark.parametrize(("one", "other", "subset"), [("a", "b", "train"), ("k", "l", "val"), ("x", "y", "test")])
@pytest.mark.parametrize("kind", ["identical audio", "near duplicates"])
def test_duplicates_within_a_subset_do_not_leak(kind, one, other, subset):
    if kind == "identical audio":
        findings = audited(samples={one: "same", other: "same"})
    else:
        findings = audited(near=[(f"sound {other}", f"sound {one}", 0.95)])
    assert found(findings) == {f"{kind} within a subset"}
    finding = findings[f"{kind} within a subset"]
    assert finding.counts == {"train": (0, 2), "val": (0, 2), "test": (0, 3)} | {subset: (2, finding.counts[subset][1])}
    assert not summarize_findings(findings.values())["leak"]


def test_near_duplicate_of_identical_clips_leaks():
    findings = audited(samples={"a": "same", "b": "same"}, near=[("same", "sound x", 0.95)])
    assert found(findings) == {"identical audio within a subset", "near duplicates across subsets"}
    assert findings["near duplicates across subsets"].counts["test"] == (1, 3)


def test_near_duplicate_outside_the_corpus_is_ignored():
    assert found(audited(near=[("sound x", "sound of a file that was left out", 0.99)])) == set()


def test_unreadable_clips_are_not_duplicates():
    assert found(audited(unread=("a", "x"))) == set()


SAME = {"speaker": "s", "emotion": "e", "intensity": "i", "statement": "t"}
TAKE, ACT = "other take in training", "same speaker, emotion and intensity in training"
SPEAKER, STATEMENT = "same speaker in training", "same statement in training"


@pytest.mark.parametrize(
    ("differs", "expected"),
    [
        (None, {TAKE, ACT, SPEAKER, STATEMENT}),
        ("statement", {ACT, SPEAKER}),
        ("emotion", {SPEAKER, STATEMENT}),
        ("intensity", {SPEAKER, STATEMENT}),
        ("speaker", {STATEMENT}),
        ("corpus", set()),
    ],
)
@pytest.mark.parametrize(("clip", "subset", "of"), [("x", "test", 3), ("k", "val", 2)])
def test_attributes_shared_with_training(differs, expected, clip, subset, of):
    changes = {"a": SAME, clip: SAME | {"take": 2} | ({differs: "other"} if differs else {})}
    findings = audited(changes)
    assert found(findings) == expected
    for name in expected:
        assert findings[name].counts[subset] == (1, of)
        assert sum(count for count, _ in findings[name].counts.values()) == 1
        assert findings[name].examples == ((clip, "a"),)
    assert summarize_findings(findings.values())["leak"] == (TAKE in expected)


@pytest.mark.parametrize("field", ["speaker", "statement"])
def test_unknown_fields_are_no_overlap_and_are_reported(field):
    changes = {id_: SAME | {field: None} for id_ in ("a", "k", "x")}
    findings = audited(changes)
    assert found(findings) == {f"unknown {field}s"} | ({SPEAKER, ACT} if field == "statement" else {STATEMENT})
    section = summarize_findings(findings.values())
    assert not section["leak"]
    assert f"leakage over {field}s cannot be checked" in section["summary"]
    assert "3 of 7" in section["summary"]


def test_overlap_not_between_train_and_evaluation_is_ignored():
    assert found(audited({"k": SAME, "x": SAME})) == set()
    assert found(audited({"a": SAME, "b": SAME})) == set()
    assert found(audited({"x": SAME, "y": SAME})) == set()


def test_summary_lists_leaks_only():
    findings = audited({"a": SAME, "k": SAME, "x": SAME, "y": SAME}, samples={"b": "same", "z": "same"})
    assert summarize_findings(findings.values())["summary"] == (
        "leaks: 1 of 3 test clips have an identical recording in another subset;"
        " 2 of 3 test and 1 of 2 val clips have their other take in training"
    )


def test_section_is_json_serializable():
    section = summarize_findings(audited({"a": SAME, "x": SAME}).values())
    assert json.loads(json.dumps(section)) == section
    (finding,) = [f for f in section["findings"] if f["name"] == TAKE]
    assert finding == {
        "name": TAKE,
        "severity": "leak",
        "found": True,
        "counts": {"test": {"count": 1, "of": 3}, "val": {"count": 0, "of": 2}},
        "sentence": "1 of 3 test clips have their other take in training",
        "examples": [["x", "a"]],
    }


def test_examples_are_limited_to_three():
    assert len(audited(dict.fromkeys(IDS, SAME))[TAKE].examples) == 3


# ---------------------------------------------------------------------- corpus folder


def test_duplicated_folder_is_found():
    finding = audit_folder({"a.wav": "1", "b.wav": "2"}, {"again/a.wav": "1", "again/b.wav": "2"})
    assert (finding.found, finding.severity) == (True, "corpus error")
    assert finding.counts == {"folder": (2, 4)}
    assert finding.examples == (("again/a.wav", "a.wav"), ("again/b.wav", "b.wav"))
    assert "2 of 4 audio files" in finding.sentence


def test_copies_among_excluded_files_are_found():
    assert audit_folder({"a.wav": "1"}, {"b.wav": "2", "c.wav": "2"}).counts == {"folder": (2, 3)}


@pytest.mark.parametrize("left_out", [{}, {"song.wav": "3"}])
def test_identical_kept_files_are_not_folder_copies(left_out):
    assert not audit_folder({"a.wav": "1", "b.wav": "1"}, left_out).found


# ---------------------------------------------------------------------- runs

ROWS = {
    "train": [("a", ""), ("a", "noise"), ("b", ""), ("b", "noise")],
    "val": [("k", ""), ("l", "")],
    "test": [("x", ""), ("y", ""), ("z", "")],
}


def test_augmented_copies_in_the_subset_of_their_clip_do_not_leak():
    finding = audit_rows(ROWS, SPLIT)
    assert not finding.found
    assert finding.counts == {"train": (0, 4), "val": (0, 2), "test": (0, 3)}


@pytest.mark.parametrize(
    ("subset", "row", "example"),
    [
        ("train", ("x", "noise"), ("x noise", "test")),
        ("train", ("k", "noise"), ("k noise", "val")),
        ("test", ("a", "noise"), ("a noise", "train")),
        ("val", ("x", ""), ("x", "test")),
    ],
)
def test_row_derived_from_a_clip_of_another_subset_leaks(subset, row, example):
    finding = audit_rows(ROWS | {subset: [*ROWS[subset], row]}, SPLIT)
    assert (finding.found, finding.severity) == (True, "leak")
    assert finding.counts[subset] == (1, len(ROWS[subset]) + 1)
    assert finding.examples == (example,)


def test_row_with_another_copy_of_its_clip_in_training_leaks():
    assert not audit_siblings(ROWS).found
    rows = {
        "train": [("a", ""), ("a", "noise"), ("x", "noise"), ("k", "")],
        "val": [("k", "noise"), ("k", "pitch"), ("l", "")],
        "test": [("x", ""), ("y", ""), ("y", "noise"), ("l", "noise")],
    }
    finding = audit_siblings(rows)
    assert (finding.found, finding.severity) == (True, "leak")
    assert finding.counts == {"test": (1, 4), "val": (2, 3)}
    assert finding.examples == (("x", "x noise"), ("k noise", "k"), ("k pitch", "k"))
    assert finding.sentence == "1 of 4 test and 2 of 3 val rows have another copy of their clip in training"


def frames(seed: int, clips: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = np.array([1.0, 300.0, 1e-3, 0.0])
    return [(rng.standard_normal((50, 4)) * scale + 1e3 * scale + 5).astype(np.float32) for _ in range(clips)]


def statistics(clips: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    everything = np.concatenate(clips).astype(np.float64)
    deviation = everything.std(axis=0)
    return everything.mean(axis=0).astype(np.float32), np.where(deviation > 1e-8, deviation, 1).astype(np.float32)


def test_normalizer_fitted_on_training_does_not_leak():
    train = frames(0, 20)
    finding = audit_normalizer(statistics(train), train)
    assert not finding.found
    assert finding.sentence == "the network standardizes by statistics of the training rows"


@pytest.mark.parametrize("also", [1, 5])
def test_normalizer_fitted_on_other_clips_leaks(also):
    train = frames(0, 20)
    finding = audit_normalizer(statistics(train + frames(1, also)), train)
    assert (finding.found, finding.severity) == (True, "leak")
    assert "other than those of the training rows" in finding.sentence


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("feature", [0, 1, 2, 3])
def test_normalizer_check_covers_mean_and_deviation_of_each_feature(which, feature):
    train = frames(0, 20)
    held = statistics(train)
    held[which][feature] += 0.01 * held[1][feature]
    assert audit_normalizer(held, train).found


def test_model_without_normalizer_does_not_leak():
    assert not audit_normalizer(None, frames(0, 2)).found


@pytest.mark.parametrize(
    ("monitors", "checkpoint", "leaks"),
    [
        ({"best": "val/uar", "last": None}, "best", False),
        ({"best": "train/loss", "last": None}, "best", False),
        ({"best": "test/uar", "last": None}, "best", True),
        ({"best": "test/uar", "last": None}, "last", False),
        ({"best": "val/uar", "stopping": "test/loss"}, "last", True),
        ({"best": "val/uar", "stopping": "test/loss"}, "best", True),
        ({"best": "val/uar", "stopping": "val/loss"}, "best", False),
        ({"last": None}, "last", False),
    ],
)
def test_checkpoint_selection_on_test_leaks(monitors, checkpoint, leaks):
    finding = audit_choice(monitors, checkpoint=checkpoint)
    assert (finding.found, finding.severity) == (leaks, "leak")
    assert ("chosen on test" in finding.sentence) == leaks


@pytest.mark.parametrize(
    ("labels", "severity", "found"),
    [(["ravdess", "emodb"], "leak", True), (["emodb"], "leak", False), ([], "leak", False), (None, "unchecked", True)],
)
def test_encoder_that_has_seen_the_labels_is_a_leak(labels, severity, found):
    encoder = {"name": "me/wavlm", "trained_on": "something", "labels_of": labels}
    finding = audit_encoder(encoder, ["ravdess", "ravdess", "emovo"])
    assert (finding.severity, finding.found) == (severity, found)
    assert "me/wavlm" in finding.sentence
    section = summarize_findings([finding])
    assert section["leak"] is (found and severity == "leak")
    assert (finding.sentence in section["summary"]) is found
