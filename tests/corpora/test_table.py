"""Corpora of the user: tables of every format, bad rows, and the splits that they allow."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_lightning.corpora.row_parser import FIELDS
from ser_lightning.corpora.table import TableCorpus
from ser_lightning.corpora.utterance import ProblemsError, Scan
from ser_lightning.errors import InputError
from ser_lightning.splits.audit import audit_split
from ser_lightning.splits.column import ColumnSplit
from ser_lightning.splits.file import FileSplit
from ser_lightning.splits.findings import summarize_findings
from ser_lightning.splits.near_duplicates import Contents
from ser_lightning.splits.random import RandomSplit
from ser_lightning.splits.speakers import SpeakerSplit
from ser_lightning.splits.split import write_split
from ser_lightning.splits.takes import StatementSplit, TakeSplit

VALUES = {
    **{"name": "mine", "root": None, "columns": {}, "labels": None, "raters": None, "ties": "drop", "genders": None},
    **{"separator": None, "decimal": "point", "encoding": "utf-8", "on_problem": "error", "follow_links": False},
    **{"downmix": "mean", "merge": None},
}
LINES = "path,emotion,speaker\na.wav,happy,s1\nb.wav,sad,s2\nc.wav,tired,s1\n"


def corpus(path: Path, **changes) -> TableCorpus:
    return TableCorpus(**(VALUES | {"path": str(path)} | changes))


def scan(path: Path, **changes) -> Scan:
    return corpus(path, **changes).scan()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a mono file of 1 s, a stereo file and another one."""
    for number, name in enumerate(("a", "b", "c")):
        wave = 0.3 * np.sin(np.arange(16000) * (number + 1) / 50)
        soundfile.write(tmp_path / f"{name}.wav", np.stack([wave, -wave], 1) if name == "b" else wave, 16000)
    return tmp_path


def write(folder: Path, text: str, name: str = "t.csv", **options) -> Path:
    (folder / name).write_text(text, **options)
    return folder / name


def problems(path: Path, **changes) -> dict[str, str]:
    """Return the problems of a table by row, and check that the default refuses them."""
    with pytest.raises(ProblemsError) as caught:
        scan(path, **changes)
    assert str(caught.value).isprintable()  # one line
    assert all(problem.path in str(caught.value) for problem in caught.value.problems)
    return {problem.path: problem.reason for problem in caught.value.problems}


# ---------------------------------------------------------------------- formats


FRAME = pd.DataFrame(
    {"path": ["a.wav", "b.wav", "c.wav"], "emotion": ["happy", "sad", "tired"], "speaker": ["s1", "s2", "s1"]}
)


def as_json(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in FRAME.to_dict("records")))


@pytest.mark.parametrize(
    ("name", "save", "changes"),
    [
        ("t.csv", lambda path: FRAME.to_csv(path, index=False), {}),
        ("t.CSV", lambda path: path.write_text("\ufeff" + LINES, encoding="utf-8"), {}),  # with a byte order mark
        ("t.csv", lambda path: FRAME.to_csv(path, index=False, sep=";"), {"separator": "semicolon"}),
        ("t.txt", lambda path: FRAME.to_csv(path, index=False, sep="|"), {"separator": "pipe"}),
        ("t.tsv", lambda path: FRAME.to_csv(path, index=False, sep="\t"), {}),
        ("t.csv", lambda path: FRAME.to_csv(path, index=False, encoding="utf-16"), {"encoding": "utf-16"}),
        ("t.jsonl", as_json, {}),
        ("t.parquet", FRAME.to_parquet, {}),
    ],
)
def test_every_format_gives_the_same_utterances(folder: Path, name: str, save, changes) -> None:
    save(folder / name)
    made = corpus(folder / name, **changes)
    assert made.emotions == ("happy", "sad", "tired")
    found = made.scan().utterances
    assert [(u.id, u.emotion, u.speaker, u.path) for u in found] == [
        ("a", "happy", "s1", folder / "a.wav"),
        ("b", "sad", "s2", folder / "b.wav"),
        ("c", "tired", "s1", folder / "c.wav"),
    ]
    assert {(u.corpus, u.gender, u.start, u.split) for u in found} == {("mine", None, None, None)}
    assert all(len(u.digest) == 64 for u in found)


def test_all_fields_and_other_column_names(folder: Path) -> None:
    header = {field: f"my {field}" for field in FIELDS}
    values = ["x1", "b.wav", "happy", "7", "f", "hello", "strong", "de", "train", "0,25", "0,5", "33,5", "2", "1"]
    write(folder, ";".join(header.values()) + "\n" + ";".join(values) + "\n")
    changes = {"columns": header, "separator": "semicolon", "decimal": "comma", "genders": {"f": "female"}}
    (one,) = scan(folder / "t.csv", **changes).utterances
    assert (one.id, one.speaker, one.gender, one.age, one.statement) == ("x1", "7", "female", 33.5, "hello")
    assert (one.take, one.intensity, one.language, one.split) == (2, "strong", "de", "train")
    assert one.segment == {"start": 0.25, "end": 0.5, "channel": 1}
    assert one.content != one.digest


def test_root_and_segments_of_one_file(folder: Path) -> None:
    (folder / "sub").mkdir()
    path = write(folder / "sub", "path,emotion,start,end\na.wav,sad,0,0.5\na.wav,happy,0.5,\n")
    found = scan(path, root=str(folder)).utterances
    assert [(u.id, u.start, u.end) for u in found] == [("a[0.5:]", 0.5, None), ("a[0:0.5]", 0.0, 0.5)]
    assert len({u.digest for u in found}) == 1
    assert len({u.content for u in found}) == 2


def test_labels_are_mapped_and_left_out(folder: Path) -> None:
    path = write(folder, "path,emotion\na.wav,hap\nb.wav,xxx\nc.wav,3\n")
    made = corpus(path, labels={"hap": "happy", "xxx": None, 3: "angry"})
    assert made.emotions == ("happy", "angry")
    assert [u.emotion for u in made.scan().utterances] == ["happy", "angry"]
    assert [(p.path, p.reason.split(":")[0]) for p in made.scan().problems] == [("1 rows", "left out")]


@pytest.mark.parametrize(("ties", "emotions"), [("drop", ["happy", "sad"]), ("first", ["happy", "sad", "happy"])])
def test_majority_of_raters(folder: Path, ties: str, emotions: list[str]) -> None:
    path = write(folder, "path,r1,r2,r3\na.wav,hap,hap,sad\nb.wav,sad,sad,\nc.wav,hap,sad,\n")
    found = scan(path, raters=["r1", "r2", "r3"], labels={"hap": "happy"}, ties=ties)
    assert [u.emotion for u in found.utterances] == emotions
    assert [u.agreement for u in found.utterances][:2] == [pytest.approx(2 / 3), 1.0]
    assert len(found.problems) == (ties == "drop")


# ---------------------------------------------------------------------- bad input

BAD_ROWS = {
    "missing file": ("x.wav,happy,s1,,", "no such file: "),
    "no path": (",happy,s1,,", "no path"),
    "no label": ("a.wav,,s1,,", "no emotion"),
    "number as a label": ("a.wav,3,s1,,", "emotion is a number: 3; name it, such as corpus.labels={3: "),
    "decimal speaker": ("a.wav,happy,12.0,,", "speaker is a decimal number: 12.0"),
    "beyond the end": ("a.wav,happy,s1,0.5,1.5", "segment beyond the end of the recording"),
    "start after end": ("a.wav,happy,s1,0.5,0.2", "no segment: start 0.5 s, end 0.2 s"),
    "decimal comma": ('a.wav,happy,s1,"0,5",', "start is not a number: 0,5; set corpus.decimal=comma"),
    "text as a time": ("a.wav,happy,s1,x,", "start is not a number: x"),
    "empty file": ("empty.wav,happy,s1,,", "empty file"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row_is_reported_and_skipped(folder: Path, case: str) -> None:
    row, reason = BAD_ROWS[case]
    write(folder, "", "empty.wav")
    path = write(folder, f"path,emotion,speaker,start,end\nb.wav,sad,s2,,\n{row}\n")
    (found,) = problems(path).items()
    assert found[0] == "row 3"
    assert found[1].startswith(reason)
    skipped = scan(path, on_problem="skip")
    assert [u.id for u in skipped.utterances] == ["b"]
    assert [problem.path for problem in skipped.problems] == ["row 3"]


def test_label_without_mapping_is_a_problem(folder: Path) -> None:
    path = write(folder, "path,emotion\na.wav,hap\nb.wav,sad\nc.wav,zzz\n")
    assert problems(path, labels={"hap": "happy"}) == {
        "row 4": "emotion is not in corpus.labels: zzz; add zzz: <label>, or zzz: null to leave such rows out"
    }


def test_repeated_rows_are_problems(folder: Path) -> None:
    path = write(folder, "path,emotion\na.wav,happy\na.wav,happy\nb.wav,sad\nb.wav,happy\nc.wav,sad\n")
    assert problems(path) == {
        "row 3": "same segment as another row: row 2",
        "row 4": "same segment with another emotion: row 5",
        "row 5": "same segment with another emotion: row 4",
    }
    assert [u.id for u in scan(path, on_problem="skip").utterances] == ["a", "c"]
    path = write(folder, "id,path,emotion\n1,a.wav,happy\n1,b.wav,sad\n2,c.wav,sad\n")
    assert set(problems(path)) == {"row 2", "row 3"}


def test_equal_problems_are_summarized(folder: Path) -> None:
    path = write(folder, "path,emotion\n" + "".join(f"x{n}.wav,happy\n" for n in range(50)) + "a.wav,sad\n")
    with pytest.raises(ProblemsError, match=r"50 x no such file \(row 2, row 3, row 4, \.\.\.\)"):
        scan(path)
    with pytest.raises(InputError, match=r"no usable recording remains; check corpus\.path"):
        scan(write(folder, "path,emotion\nx.wav,happy\n"), on_problem="skip")


@pytest.mark.parametrize(
    ("text", "changes", "named"),
    [
        ("path,label\na.wav,happy\n", {}, ("no column 'emotion'", "path, label", "corpus.columns.emotion=<name>")),
        (LINES, {"columns": {"speaker": "spk"}}, ("no column 'spk'", "'speaker'")),
        (LINES, {"columns": {"speeker": "spk"}}, ("corpus.columns.speeker", "speaker")),
        (LINES, {"raters": ["r1"]}, ("no column 'r1'",)),
        (LINES.replace(",", ";"), {}, ("no column 'path'", "corpus.separator")),
        ("path,emotion\na.wav,happy,more\nb.wav,a,b,c,d\n", {}, ("Cannot read the table",)),
        ("", {}, ("Cannot read the table",)),
        ("path,emotion\n", {}, ("no row is left",)),
        ("path,path,emotion\na,b,c\n", {}, ("several columns 'path'",)),
        (LINES.replace("sad,s2", "sad"), {}, ()),  # a short row: its last fields are unknown
    ],
)
def test_unreadable_table_is_one_line_with_a_remedy(folder: Path, text: str, changes, named) -> None:
    path = write(folder, text)
    if not named:
        assert [u.speaker for u in scan(path, **changes).utterances] == ["s1", None, "s1"]
        return
    with pytest.raises(InputError) as caught:
        scan(path, **changes)
    assert str(caught.value).isprintable()
    for name in named:
        assert name in str(caught.value)


def test_other_files_are_refused(folder: Path) -> None:
    (folder / "latin.csv").write_bytes("path,emotion\na.wav,fr\u00f6hlich\n".encode("latin-1"))
    for name, changes, message in (
        ("latin.csv", {}, r"is not utf-8 \(byte .*corpus\.encoding=cp1252"),
        ("absent.csv", {}, "No such file"),
        ("a.wav", {}, r"expected \.csv, \.tsv, \.jsonl or \.parquet"),
    ):
        with pytest.raises(InputError, match=message):
            scan(folder / name, **changes)
    assert scan(folder / "latin.csv", encoding="cp1252").utterances[0].emotion == "fr\u00f6hlich"
    with pytest.raises(InputError, match=r"give corpus\.path="):
        TableCorpus(**VALUES, path=None)


def test_links_out_of_the_root_are_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "a.wav"
    (folder / "a.wav").rename(outside)
    (folder / "a.wav").symlink_to(outside)
    path = write(folder, "path,emotion\na.wav,happy\nb.wav,sad\n")
    (reason,) = problems(path).values()
    assert "corpus.follow_links=true" in reason
    assert len(scan(path, follow_links=True).utterances) == 2
    path = write(folder, f"path,emotion\n{outside},happy\nb.wav,sad\n")  # named by the table itself
    assert len(scan(path).utterances) == 2


# ---------------------------------------------------------------------- splits


def grid(folder: Path, columns: str, *, rows: int = 12) -> Path:
    wave = np.arange(1600) / 1600
    lines = [columns]
    for number in range(rows):
        soundfile.write(folder / f"{number}.wav", np.sin(wave * (number + 1) * 50), 16000)
        values = {
            **{"path": f"{number}.wav", "emotion": ("happy", "sad")[number % 2], "speaker": f"s{number // 3}"},
            **{"statement": f"t{number // 2 % 2}", "split": ("train", "train", "dev", "test")[number % 4]},
        }
        lines.append(",".join(values[column] for column in columns.split(",")))
    return write(folder, "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("split", "field"),
    [
        (SpeakerSplit(folds=3, fold=0, val_folds=1, seed=0), "speaker"),
        (SpeakerSplit(folds=None, fold=0, val_folds=1, seed=0), "speaker"),
        (TakeSplit(seed=0, train=0.5, val=0.25, test=0.25), "speaker"),
        (StatementSplit(fold=0, val=0.2, seed=0), "statement"),
        (ColumnSplit(values=None, val=None, seed=0), "split"),
    ],
)
def test_split_without_its_column_names_it(tmp_path: Path, split, field: str) -> None:
    found = scan(grid(tmp_path, "path,emotion")).utterances
    with pytest.raises(InputError, match=rf"{field}.*12 of 12.*corpus\.columns\.{field}=<name>"):
        split(found)
    assert RandomSplit(seed=0, train=0.5, val=0.25, test=0.25)(found).train
    section = summarize_findings(
        audit_split(found, RandomSplit(seed=0, train=0.5, val=0.25, test=0.25)(found), NOTHING)
    )
    assert "leakage over speakers cannot be checked" in section["summary"]


NOTHING = Contents(samples={}, near=(), unread={})


def test_column_split(tmp_path: Path) -> None:
    found = scan(grid(tmp_path, "path,emotion,speaker,statement,split")).utterances
    split = ColumnSplit(values={"dev": "val"}, val=None, seed=0)(found)
    assert (len(split.train), split.val, split.test) == (6, ("10", "2", "6"), ("11", "3", "7"))
    with pytest.raises(InputError, match=r"'dev'; expected one of train.*split\.values=\{dev: "):
        ColumnSplit(values=None, val=None, seed=0)(found)
    with pytest.raises(InputError, match=r"split\.values\.dev is 'valid'"):
        ColumnSplit(values={"dev": "valid"}, val=None, seed=0)
    drawn = ColumnSplit(values={"dev": "unused"}, val=0.5, seed=0)(found)
    assert (len(drawn.train), len(drawn.val), drawn.test) == (3, 3, split.test)
    assert set(drawn.val) <= set(split.train)
    with pytest.raises(InputError, match=r"split\.val=null"):
        ColumnSplit(values={"dev": "val"}, val=0.5, seed=0)(found)
    assert SpeakerSplit(folds=4, fold=0, val_folds=1, seed=0)(found).test  # the genders are unknown


def test_split_file_of_another_run(tmp_path: Path) -> None:
    found = scan(grid(tmp_path, "path,emotion")).utterances
    split = RandomSplit(seed=0, train=0.5, val=0.25, test=0.25)(found)
    write_split(tmp_path / "split.csv", split, found)
    assert FileSplit(path=str(tmp_path / "split.csv"))(found) == split
    with pytest.raises(InputError, match="leaves out utterances"):
        write_split(tmp_path / "split.csv", split, found[1:])
        FileSplit(path=str(tmp_path / "split.csv"))(found)
    with pytest.raises(InputError, match=r"split\.path=<run>/split\.csv"):
        FileSplit(path=None)
