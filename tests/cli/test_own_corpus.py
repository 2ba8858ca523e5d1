"""Corpora of the user on the command line."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_lightning.corpora.published import PublishedCorpus

COLUMNS = ("id", "path", "emotion", "speaker", "gender", "statement", "take", "intensity")


def write_table(name: str, root: Path, path: Path) -> Path:
    """Write a published corpus as a table."""
    values = {"on_problem": "skip", "follow_links": False, "download": False, "downmix": "mean", "merge": None}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "file", "emo", *COLUMNS[3:]])
        for utterance in PublishedCorpus(name=name, root=root, **values).scan().utterances:
            writer.writerow([getattr(utterance, field) for field in COLUMNS])
    return path


def train(succeed, folder: Path, *words: str) -> dict:
    succeed("train", "experiment=corrected", "augment=none", *words, f"output_root={folder}", "name=x")
    (result,) = folder.glob("x/**/result.json")
    return json.loads(result.read_text())


def table_words(path: Path) -> list[str]:
    return ["corpus=table", f"corpus.path={path}", "corpus.columns.path=file", "corpus.columns.emotion=emo"]


@pytest.mark.slow
def test_table_trains_like_the_corpus_it_was_written_from(succeed, emodb_made_up, emodb_small, tmp_path) -> None:
    own = train(succeed, tmp_path / "own", *emodb_small)
    path = write_table("emodb", emodb_made_up, tmp_path / "t.csv")
    words = [word for word in emodb_small if not word.startswith("corpus")]
    table = train(succeed, tmp_path / "table", *table_words(path), *words)
    assert table["metrics"] == own["metrics"]
    assert table["corpus"]["digest"] == own["corpus"]["digest"]
    assert table["emotions"] == own["emotions"]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["emodb", "emovo"])
def test_real_corpora_train_the_same_as_tables(succeed, request, tmp_path, name: str) -> None:
    root = request.getfixturevalue(f"{name}_root")
    words = [
        "split=speaker",
        "split.folds=3",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=2",
        f"data.feature_cache={tmp_path}/cache",
    ]
    own = train(succeed, tmp_path / "own", f"corpus={name}", f"corpus.root={root}", *words)
    path = write_table(name, root, tmp_path / "t.csv")
    downmix = f"corpus.downmix={own['config']['corpus']['downmix']}"
    table = train(succeed, tmp_path / "table", *table_words(path), downmix, *words)
    assert table["metrics"] == own["metrics"]
    assert len(list((tmp_path / "cache").glob("*/index.json"))) == 1  # both use one feature cache


@pytest.mark.slow
def test_table_without_speakers(command, succeed, emodb_made_up, emodb_small, tmp_path, monkeypatch) -> None:
    """The result says that leakage over speakers cannot be checked; a split that needs them names the column."""
    monkeypatch.chdir(tmp_path)
    text = write_table("emodb", emodb_made_up, tmp_path / "all.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    codes = {"neutral": "neu", "happy": "hap", "bored": "xxx"}
    lines = [f"{row['file']};{codes.get(row['emo'], row['emo'])};{n % 4}" for n, row in enumerate(rows)]
    Path("t.csv").write_text("\n".join(["path;emotion;fold", *lines]), encoding="utf-8")
    words = [word for word in emodb_small if not word.startswith(("corpus", "split"))]
    words += ["corpus=table", "corpus.path=t.csv", "corpus.separator=semicolon", "corpus.columns.split=fold"]
    words += ["corpus.labels={hap: happy, neu: neutral, xxx: null}", "corpus.name=2026_study"]
    done = command("train", *words, "split=speaker")
    assert done.code == 1
    assert "corpus.columns.speaker=<name>" in done.err
    assert len(done.err.splitlines()) == 1
    by_column = ["split=column", "split.values={0: train, 1: train, 2: val, 3: test}"]
    result = train(succeed, tmp_path, *words, *by_column)
    assert result["corpus"]["name"] == "2026_study"
    assert result["emotions"] == ["neutral", "happy", "sad", "angry", "fearful", "disgust"]
    assert "leakage over speakers cannot be checked" in result["audit"]["summary"]
    bored = sum(row["emo"] == "bored" for row in rows)
    assert [problem["path"] for problem in result["corpus"]["problems"]] == [f"{bored} rows"]
    (split,) = tmp_path.glob("x/**/split.csv")
    again = train(succeed, tmp_path / "again", *words, "split=file", f"split.path={split}")
    assert again["counts"] == result["counts"]
    done = succeed("audit", *words, *by_column)
    succeed("prepare", *words, "split=random")


def test_file_that_cannot_be_decoded_is_named_with_its_row(command, emodb_made_up, emodb_small, tmp_path) -> None:
    path = write_table("emodb", emodb_made_up, tmp_path / "t.csv")
    lines = path.read_text(encoding="utf-8").splitlines()
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF" + bytes(200))
    fields = lines[7].split(",")
    lines[7] = ",".join([fields[0], str(broken), *fields[2:]])
    path.write_text("\n".join(lines), encoding="utf-8")
    words = [*(word for word in emodb_small if not word.startswith("corpus")), *table_words(path)]
    done = command("prepare", *words, "data_card=null")
    assert done.code != 0
    named = [line for line in done.err.splitlines() if str(broken) in line]
    assert len(named) == 1, done.err
    assert "row 8" in named[0]
    assert "corpus.on_problem=skip" in named[0]


def damaged_files(folder: Path) -> dict[Path, str]:
    """Write damaged recordings and return their paths with a part of the reason for which each is left out."""
    wave = np.random.default_rng(0).normal(0, 0.1, 48000)
    soundfile.write(folder / "not_finite.wav", np.where(np.arange(48000) == 999, np.nan, wave), 16000, subtype="FLOAT")
    found = {folder / "not_finite.wav": "NaN"}
    soundfile.write(folder / "whole.wav", wave, 16000)
    soundfile.write(folder / "whole.ogg", wave, 16000)
    reasons = {"wav": "truncated", "ogg": "the end of the Ogg stream is missing"}
    if shutil.which("ffmpeg"):
        encode = ["ffmpeg", "-nostdin", "-v", "error", "-i", folder / "whole.wav", folder / "whole.webm"]
        subprocess.run(encode, check=True)
        reasons["webm"] = "File ended prematurely"
    for ending, reason in reasons.items():
        content = (folder / f"whole.{ending}").read_bytes()
        (folder / f"cut.{ending}").write_bytes(content[: len(content) * 7 // 10])
        found[folder / f"cut.{ending}"] = reason
    return found


def test_damaged_files_are_refused_or_left_out(command, emodb_made_up, emodb_small, tmp_path) -> None:
    damaged = damaged_files(tmp_path)
    path = write_table("emodb", emodb_made_up, tmp_path / "t.csv")
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, file in enumerate(damaged, start=1):
        fields = lines[number].split(",")
        lines[number] = ",".join([fields[0], str(file), *fields[2:]])
    path.write_text("\n".join(lines), encoding="utf-8")
    words = [*(word for word in emodb_small if not word.startswith("corpus")), *table_words(path), "data_card=null"]
    done = command("prepare", *words)
    assert done.code == 1
    assert f"and {len(damaged) - 1} more" in done.err
    skipped = command("prepare", *words, "corpus.on_problem=skip")
    assert skipped.code == 0, skipped.err
    text = "".join((skipped.out + skipped.err).split())  # a table breaks lines anywhere
    for file, reason in damaged.items():
        assert file.name in text
        assert "".join(reason.split()) in text
