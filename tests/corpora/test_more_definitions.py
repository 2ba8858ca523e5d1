"""Published corpora without a list of recordings, or with label files, on made-up files with documented names."""

from pathlib import Path, PurePath

import pytest
from tests.corpora.test_published import corpus, problems, refusal, skip, write

from ser_lightning.corpora.definitions import DEFINITIONS
from ser_lightning.errors import InputError
from ser_lightning.splits.column import ColumnSplit

FIELDS = ("speaker", "gender", "emotion", "statement", "take", "language", "age")


@pytest.mark.parametrize(
    ("name", "file", "fields"),
    [
        ("ased", "05Angry/a5-06-01-01-21.wav", ("21", "female", "angry", "a06", 1, "am", None)),
        ("ased", "01Neutral/n1-02-02-02-65.wav", ("65", "male", "neutral", "02", 2, "am", None)),
        ("urdu", "Angry/SM1_F1_A01.wav", ("SM1", "male", "angry", None, None, "ur", None)),
        ("urdu", "Sad/SF12_F3_S080.wav", ("SF12", "female", "sad", None, None, "ur", None)),
        ("nemo", "samples/SK1_happiness_12.wav", ("SK1", None, "happy", "12", 1, "pl", None)),
        ("emotale", "DK_004_A_5.wav", ("004", None, "angry", "DK5", 1, "da", None)),
        ("emotale", "EN_011_B_1.wav", ("011", None, "bored", "EN1", 1, "en", None)),
        ("baved", "2/10-M-23-0-2-154.wav", ("10", "male", "high", "0", None, "ar", 23)),
        ("turev_db", "Sound Source/Calm/1984_sk_orgu.wav", ("1984", None, "calm", "orgu", None, "tr", None)),
        ("jl_corpus", "male2_concerned_6b_1.wav", ("male2", "male", "concerned", "6", 3, "en", None)),
        ("jl_corpus", "female1_happy_15a_2.wav", ("female1", "female", "happy", "15", 2, "en", None)),
    ],
)
def test_names_are_parsed(tmp_path: Path, name: str, file: str, fields: tuple) -> None:
    write(tmp_path / file)
    (found,) = skip(name, tmp_path).utterances
    assert tuple(getattr(found, field) for field in FIELDS) == fields
    assert found.id == PurePath(file).stem


@pytest.mark.parametrize(
    ("name", "file", "reason"),
    [
        ("ased", "x5-06-01-01-21.wav", "wrong emotion: got x"),
        ("urdu", "SX1_F1_A01.wav", "not a file name of URDU"),
        ("nemo", "SK1_joy_1.wav", "wrong emotion: got joy"),
        ("emotale", "SE_004_A_5.wav", "wrong language: got SE"),
        ("baved", "10-x-23-0-2-154.wav", "not a file name of BAVED"),
        ("turev_db", "1984_sk_orgu.wav", "wrong emotion: neither the file name nor a folder gives it"),
        ("jl_corpus", "male3_happy_1a_1.wav", "wrong speaker: got male3"),
        ("jl_corpus", "male1_happy_16a_1.wav", "wrong statement: got 16"),
    ],
)
def test_invalid_names_are_problems(tmp_path: Path, name: str, file: str, reason: str) -> None:
    write(tmp_path / file)
    assert f"{file}: {reason}" in refusal(name, tmp_path)


def test_common_sentences_of_ased_are_the_same_statement(tmp_path: Path) -> None:
    for file in ("a5-01-01-01-21", "n1-01-01-01-21", "n1-03-01-01-21"):
        write(tmp_path / f"{file}.wav", file)
    statements = {u.id: u.statement for u in skip("ased", tmp_path).utterances}
    assert statements == {"a5-01-01-01-21": "01", "n1-01-01-01-21": "01", "n1-03-01-01-21": "n03"}


def iemocap(root: Path) -> Path:
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"]
    for number, label in enumerate(("neu", "exc", "xxx", "fru")):
        name = f"Ses01F_impro01_{'FM'[number % 2]}{number:03}"
        write(root / f"Session1/sentences/wav/Ses01F_impro01/{name}.wav")
        lines.append(f"[{number}.2901 - {number}.8357]\t{name}\t{label}\t[2.5000, 2.5000, 2.5000]")
    write(root / "Session1/dialog/wav/Ses01F_impro01.wav")  # the whole dialog is ignored
    write(root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", "\n\n".join(lines))
    return root


def test_iemocap(tmp_path: Path) -> None:
    scan = corpus("iemocap", iemocap(tmp_path)).scan()
    assert [(u.speaker, u.gender, u.emotion) for u in scan.utterances] == [
        ("01F", "female", "neutral"),
        ("01M", "male", "excited"),
        ("01M", "male", "frustrated"),
    ]
    assert problems(scan) == {"1 recordings": "left out: no label of the corpus applies"}
    four = corpus("iemocap", tmp_path, merge={"excited": "happy", "frustrated": None})
    assert four.emotions == ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    assert [u.emotion for u in four.scan().utterances] == ["neutral", "happy"]
    assert "left out by corpus.merge" in {problem.reason for problem in four.scan().problems}
    write(tmp_path / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F999.wav", "unlabeled")
    assert "Ses01F_impro01_F999.wav: not in the label files of the corpus" in refusal("iemocap", tmp_path)


def test_meld(tmp_path: Path) -> None:
    for folder, part, emotion in (
        ("train_splits", "train", "joy"),
        ("dev_splits_complete", "dev", "anger"),
        ("output_repeated_splits_test", "test", "neutral"),
    ):
        write(tmp_path / folder / "dia0_utt1.wav", part)  # the same name in every subset
        header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
        row = f'1,"Oh, no.",Ross Geller,{emotion},x,0,1,8,21,"00:16:16,059","00:16:21,731"'
        write(tmp_path / f"{part}_sent_emo.csv", f"{header}\n{row}\n")
    write(tmp_path / "output_repeated_splits_test/final_videos_testdia0_utt1.wav", "corrected")
    write(tmp_path / "dev_splits_complete/dia66_utt9.wav", "not in the label files")
    scan = corpus("meld", tmp_path).scan()
    assert problems(scan) == {
        "1 recordings": "left out: no label of the corpus applies",
        "output_repeated_splits_test/dia0_utt1.wav": (
            "replaced by output_repeated_splits_test/final_videos_testdia0_utt1.wav"
        ),
    }
    found = scan.utterances
    assert {u.path.name for u in found} == {"dia0_utt1.wav", "final_videos_testdia0_utt1.wav"}
    assert {(u.id, u.speaker, u.emotion, u.split) for u in found} == {
        ("train_splits/dia0_utt1", "Ross Geller", "happy", "train"),
        ("dev_splits_complete/dia0_utt1", "Ross Geller", "angry", "val"),
        ("output_repeated_splits_test/dia0_utt1", "Ross Geller", "neutral", "test"),
    }
    split = ColumnSplit(values=None, val=None, seed=0)(found)
    assert split.val == ("dev_splits_complete/dia0_utt1",)


def test_msp_podcast(tmp_path: Path) -> None:
    rows = ["FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"]
    for number, (label, speaker, part) in enumerate(
        [("N", "12", "Train"), ("C", "Unknown", "Development"), ("X", "7", "Test1"), ("A", "7", "Test2")]
    ):
        write(tmp_path / f"Audios/MSP-PODCAST_0001_000{number}.wav")
        rows.append(f"MSP-PODCAST_0001_000{number}.wav,{label},4,4,4,{speaker},Male,{part}")
    write(tmp_path / "Labels/labels_consensus.csv", "\n".join(rows))
    write(tmp_path / "Audios/MSP-PODCAST_test3_0001.wav")
    scan = corpus("msp_podcast", tmp_path).scan()
    assert problems(scan) == {"2 recordings": "left out: no label of the corpus applies"}
    assert [(u.emotion, u.speaker, u.gender, u.split) for u in scan.utterances] == [
        ("neutral", "12", "male", "train"),
        ("contempt", None, "male", "val"),
        ("angry", "7", "male", "unused"),
    ]
    assert DEFINITIONS["msp_podcast"].labels[-1] == "contempt"  # a label out of the common vocabulary


def test_definitions_have_documented_counts() -> None:
    assert len(DEFINITIONS["jl_corpus"].ids()) == 2400
    with pytest.raises(InputError, match="has no free archive"):
        corpus("iemocap", Path("x"), download=True).fetch()
