"""Corpora of the user in other forms than a table: folders, EmoBox's JSON Lines, audformat and datasets."""

import json
import shutil
from pathlib import Path

import audformat
import datasets
import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_lightning.corpora.audformat_database import AudformatCorpus
from ser_lightning.corpora.emobox import EmoBoxCorpus
from ser_lightning.corpora.folders import FolderCorpus
from ser_lightning.corpora.huggingface import HuggingFaceCorpus
from ser_lightning.corpora.utterance import ProblemsError
from ser_lightning.errors import InputError
from ser_lightning.splits.column import ColumnSplit

COMMON = {"labels": None, "on_problem": "error", "follow_links": False, "downmix": "mean", "merge": None}
FILES = ("hap/anna_1.wav", "hap/ben_1.ogg", "sad/anna_2.wav", "sad/deep/ben_2.flac")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, file in enumerate(FILES):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / file, np.sin(np.arange(8000) * (number + 1) / 90), 16000)
    return tmp_path


def folders(root: Path | None, pattern: str = "(?P<emotion>[^/]+)/.+", **changes) -> FolderCorpus:
    values = COMMON | {"name": "mine", "genders": None, "root": None if root is None else str(root)}
    return FolderCorpus(pattern=pattern, **(values | changes))


def test_folders_name_the_emotions(root: Path) -> None:
    made = folders(root, labels={"hap": "happy"})
    assert made.emotions == ("happy", "sad")
    assert [(u.id, u.emotion) for u in made.scan().utterances] == [
        *(("hap/anna_1", "happy"), ("hap/ben_1", "happy")),
        *(("sad/anna_2", "sad"), ("sad/deep/ben_2", "sad")),
    ]


def test_pattern_reads_other_fields(root: Path) -> None:
    pattern = r"(?P<emotion>\w+)/(.*/)?(?P<speaker>[a-z]+)_(?P<statement>\d)"
    found = folders(root, pattern).scan().utterances
    assert {(u.speaker, u.statement) for u in found} == {("anna", "1"), ("ben", "1"), ("anna", "2"), ("ben", "2")}
    shutil.copy(root / FILES[0], root / "hap" / "odd.wav")
    with pytest.raises(ProblemsError, match=r"hap/odd\.wav: path does not match corpus\.pattern"):
        folders(root, pattern).scan()
    assert len(folders(root, pattern, on_problem="skip").scan().utterances) == 4


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<emotion>", "no regular expression"),
        ("(.*)/(.*)", r"expected a group \(\?P<emotion>"),
        ("(?P<emotion>.*)/(?P<person>.*)", r"other groups only of id, speaker"),
    ],
)
def test_invalid_pattern_raises_input_error(root: Path, pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        folders(root, pattern)


def test_missing_folder_raises_input_error(root: Path) -> None:
    for folder, message in ((None, "got none"), (root / "x", "no such folder"), (root / FILES[0], "not a folder")):
        with pytest.raises(InputError, match=rf"{message}; give corpus\.root=<folder>"):
            folders(folder)
    (root / "empty").mkdir()
    with pytest.raises(InputError, match="contains no audio file"):
        folders(root / "empty").scan()


def emobox(path: Path, root: Path, **changes) -> EmoBoxCorpus:
    return EmoBoxCorpus(**(COMMON | {"name": "e", "path": str(path), "root": str(root), "fold": 1} | changes))


@pytest.fixture
def jsonl(root: Path) -> Path:
    folder = root / "data" / "mine"
    (folder / "fold_1").mkdir(parents=True)
    for subset, files in (("train", FILES[:3]), ("test", FILES[3:])):
        records = [{"key": f"mine-{Path(f).stem}", "wav": f, "emo": f[:3], "channel": 1, "length": 0.5} for f in files]
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / "fold_1" / f"mine_{subset}_fold_1.jsonl").write_text(text)
    return folder


def test_emobox_folds_are_a_column(root: Path, jsonl: Path) -> None:
    found = emobox(jsonl, root, labels={"hap": "happy"}).scan().utterances
    assert [(u.id, u.emotion, u.split) for u in found] == [
        *(("mine-anna_1", "happy", "train"), ("mine-anna_2", "sad", "train")),
        *(("mine-ben_1", "happy", "train"), ("mine-ben_2", "sad", "test")),
    ]
    assert {(u.speaker, u.channel) for u in found} == {(None, None)}
    split = ColumnSplit(values=None, val=0.34, seed=0)(found)
    assert (len(split.train), len(split.val), split.test) == (2, 1, ("mine-ben_2",))


def test_invalid_emobox_files_raise_input_error(root: Path, jsonl: Path) -> None:
    with pytest.raises(InputError, match=r"corpus\.fold is 2, but .* has fold_1"):
        emobox(jsonl, root, fold=2)
    with pytest.raises(InputError, match=r"no such folder; give corpus\.path="):
        emobox(jsonl / "x", root)
    path = jsonl / "fold_1" / "mine_test_fold_1.jsonl"
    path.write_text('{"key": "a", "wav": "x.wav", "emo": "sad"}\n')
    with pytest.raises(ProblemsError, match=r"mine_test_fold_1\.jsonl row 1: no such file"):
        emobox(jsonl, root).scan()
    path.write_text('{"key": "a"}\n')
    with pytest.raises(InputError, match=r"mine_test_fold_1\.jsonl, row 1: expected an object with key, wav and emo"):
        emobox(jsonl, root).scan()
    for file in (jsonl / "fold_1").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="contains no"):
        emobox(jsonl, root).scan()


@pytest.mark.real
def test_real_emobox_files_of_emovo(emovo_root: Path, tmp_path: Path) -> None:
    """EmoBox's files name every recording of EMOVO: those written here have its format and the real audio."""
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "emovo").symlink_to(emovo_root)
    folder = tmp_path / "data" / "fold_1"
    folder.mkdir(parents=True)
    paths = sorted(path.relative_to(emovo_root) for path in emovo_root.rglob("*-*-*.*"))
    for subset, chosen in (("train", paths[:-98]), ("test", paths[-98:])):
        lines = [{"key": f"emovo-{p.stem}", "wav": f"downloads/emovo/{p}", "emo": p.stem[:3]} for p in chosen]
        (folder / f"emovo_{subset}_fold_1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = emobox(tmp_path / "data", tmp_path, follow_links=True).scan().utterances
    assert len(found) == 588
    assert len({u.emotion for u in found}) == 7


# ---------------------------------------------------------------------- audformat

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # raised by audformat's use of pandas


@pytest.fixture
def database(root: Path) -> Path:
    db = audformat.Database("mine")
    db.schemes["emotion"] = audformat.Scheme(labels=["happiness", "sadness"])
    speakers = {"anna": {"gender": "female"}, "ben": {"gender": "male"}}
    db.schemes["speaker"] = audformat.Scheme(labels=speakers)
    db["files"] = audformat.Table(audformat.filewise_index(list(FILES)))
    db["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    db["files"]["speaker"].set([Path(file).stem.split("_")[0] for file in FILES])
    for name, index in (
        ("emotion", audformat.filewise_index(list(FILES))),
        ("turns", audformat.segmented_index([FILES[0], FILES[0]], ["0s", "0.25s"], ["0.25s", pd.NaT])),
    ):
        db[name] = audformat.Table(index)
        db[name]["emotion"] = audformat.Column(scheme_id="emotion")
        db[name]["emotion"].set(["happiness", "sadness"] * (len(index) // 2))
    db.save(str(root))
    return root


def audformat_corpus(root: Path, **changes) -> AudformatCorpus:
    columns = {"emotion": "emotion/emotion", "speaker": "files/speaker", "gender": "files/speaker/gender"}
    values = {"name": "a", "genders": None, "labels": {"happiness": "happy", "sadness": "sad"}, "columns": columns}
    return AudformatCorpus(**(COMMON | values | {"root": str(root)} | changes))


def test_audformat_files_and_segments(database: Path) -> None:
    found = audformat_corpus(database).scan().utterances
    assert [(u.id, u.emotion, u.speaker, u.gender) for u in found] == [
        *(("hap/anna_1", "happy", "anna", "female"), ("hap/ben_1", "sad", "ben", "male")),
        *(("sad/anna_2", "happy", "anna", "female"), ("sad/deep/ben_2", "sad", "ben", "male")),
    ]
    columns = {"emotion": "turns/emotion", "speaker": "files/speaker", "gender": None}
    turns = audformat_corpus(database, columns=columns).scan().utterances
    assert {(u.start, u.end, u.emotion, u.speaker) for u in turns} == {
        (0.0, 0.25, "happy", "anna"),
        (0.25, None, "sad", "anna"),
    }


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"emotion": "emotion/mood"}, r"corpus\.columns\.emotion is 'emotion/mood'; .* has emotion/emotion"),
        ({"speaker": "files/speaker"}, r"expected emotion: <table>/<column>"),
        ({"emotion": "emotion/emotion", "person": "files/speaker"}, "other fields only of id"),
        ({"emotion": "emotion/emotion", "age": "files/speaker/age"}, r"corpus\.columns\.age"),
    ],
)
def test_missing_audformat_columns_raise_input_error(database: Path, columns, message: str) -> None:
    with pytest.raises(InputError, match=message):
        audformat_corpus(database, columns=columns).scan()


def test_other_folder_is_no_audformat_database(root: Path) -> None:
    with pytest.raises(InputError, match="is no audformat database"):
        audformat_corpus(root).scan()


# ---------------------------------------------------------------------- Hugging Face


def dataset(root: Path, **changes) -> HuggingFaceCorpus:
    values = {"name": "h", "audio": "audio", "columns": {"emotion": "emotion", "speaker": "speaker"}, "genders": None}
    return HuggingFaceCorpus(**(COMMON | values | {"root": str(root / "files")} | changes))


@pytest.fixture
def saved(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of save_to_disk with a training and a validation split, which contains the audio itself."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(root / "cache"))
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "emotion": datasets.ClassLabel(names=["happy", "sad"]),
            "speaker": datasets.Value("string"),
        }
    )

    def make(files: tuple[str, ...]) -> datasets.Dataset:
        audio = [{"bytes": (root / file).read_bytes(), "path": Path(file).name} for file in files]
        emotions, speakers = [int("sad" in file) for file in files], ["s"] * len(files)
        made = datasets.Dataset.from_dict({"audio": audio, "emotion": emotions, "speaker": speakers}, features)
        return made.cast_column("audio", datasets.Audio(decode=False))

    made = datasets.DatasetDict({"train": make(FILES[:2]), "validation": make(FILES[2:])})
    made.save_to_disk(str(root / "saved"))
    return root / "saved"


def test_saved_dataset_is_read_and_its_audio_written_once(root: Path, saved: Path) -> None:
    found = dataset(root, path=str(saved)).scan().utterances
    assert [(u.id, u.emotion, u.speaker, u.split, u.path.suffix) for u in found] == [
        ("train/0", "happy", "s", "train", ".wav"),
        ("train/1", "happy", "s", "train", ".ogg"),
        ("validation/0", "sad", "s", "val", ".wav"),
        ("validation/1", "sad", "s", "val", ".flac"),
    ]
    for utterance, file in zip(found, FILES, strict=True):
        assert utterance.path.read_bytes() == (root / file).read_bytes()
    times = {utterance.path: utterance.path.stat().st_mtime_ns for utterance in found}
    assert dataset(root, path=str(saved)).scan().utterances == found
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_missing_dataset_or_column_raises_input_error(root: Path, saved: Path) -> None:
    for changes, message in (
        ({"path": None}, r"give corpus\.path="),
        ({"path": str(saved), "audio": "wav"}, r"has no column 'wav', only audio, emotion, speaker"),
        ({"path": str(saved), "columns": {"speaker": "speaker"}}, "expected emotion"),
        ({"path": str(root / "deep" / "none")}, "no such folder"),
    ):
        with pytest.raises(InputError, match=message):
            dataset(root, **changes).scan()
