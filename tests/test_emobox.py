"""``make emobox`` counts what the test clips of EmoBox's folds share with training, on folds written by hand."""

import json
from pathlib import Path

import pytest
from studies.emobox import audit, main, read_folds

SHARED = {"train": ["03a01Fa", "08b02Na", "03a02Wb"], "test": ["03a01Fb", "08a05Wa", "14a07Ta"]}
DISJOINT = {"train": ["gio-f2-b2", "dis-m1-n2"], "test": ["gio-f1-b2"]}


def write_fold(data: Path, corpus: str, number: int, names: dict[str, list[str]]) -> None:
    folder = data / corpus / f"fold_{number}"
    folder.mkdir(parents=True)
    for subset, stems in names.items():
        lines = [json.dumps({"key": stem, "wav": f"downloads/{corpus}/{stem}.wav", "emo": "x"}) for stem in stems]
        (folder / f"{corpus}_{subset}_fold_{number}.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def data(tmp_path) -> Path:
    write_fold(tmp_path / "data", "emodb", 1, SHARED)
    write_fold(tmp_path / "data", "emovo", 1, DISJOINT)
    return tmp_path / "data"


def test_findings_are_those_counted_by_hand(data, tmp_path):
    found = {fold.corpus: audit(fold, tmp_path / "out") for fold in read_folds(data)}
    counts = {
        corpus: {
            name: finding["counts"]["test"] for name, finding in of["findings"].items() if "test" in finding["counts"]
        }
        for corpus, of in found.items()
    }
    assert counts["emodb"]["same speaker in training"] == {"count": 2, "of": 3}
    assert counts["emodb"]["other take in training"] == {"count": 1, "of": 3}
    assert counts["emovo"]["same speaker in training"] == {"count": 0, "of": 1}
    assert found["emodb"]["audio"] is False


def test_page_names_the_corpora_that_share_speakers(data, tmp_path):
    main([str(data), str(tmp_path / "out"), "--docs", str(tmp_path / "docs")])
    text = (tmp_path / "docs" / "emobox.md").read_text()
    assert text == (tmp_path / "out" / "emobox.md").read_text()
    emodb = next(line for line in text.splitlines() if line.startswith("| EmoDB"))
    assert [cell.strip() for cell in emodb.split("|")[2:7]] == ["1", "3", "3", "2 (67 %)", "1 (33 %)"]
    assert emodb.count("no audio") == 2
    assert "**EmoDB**" in text


def test_audio_is_compared_where_the_corpus_is_known(tmp_path, monkeypatch, emodb_root):
    stems = sorted(path.stem for path in emodb_root.rglob("*.flac"))
    write_fold(tmp_path / "data", "emodb", 1, {"train": stems[:400], "test": stems[400:]})
    monkeypatch.setenv("EMODB_ROOT", str(emodb_root))
    (fold,) = read_folds(tmp_path / "data")
    found = audit(fold, tmp_path / "out")
    assert found["audio"] is True
    assert found["findings"]["identical audio across subsets"]["counts"]["test"] == {"count": 0, "of": len(stems) - 400}


@pytest.mark.parametrize(
    ("corpus", "line", "words"),
    [
        ("emodb", '{"wav": "x/03a01Qa.wav"}', ["emodb_train_fold_1.jsonl, row 1", "emotion"]),
        ("emodb", "{}", ["emodb_train_fold_1.jsonl, row 1", "wav"]),
        ("unheard_of", '{"wav": "x.wav"}', ["unheard_of"]),
    ],
)
def test_wrong_files_are_named(tmp_path, capsys, corpus, line, words):
    folder = tmp_path / corpus / "fold_1"
    folder.mkdir(parents=True)
    (folder / f"{corpus}_train_fold_1.jsonl").write_text(line + "\n")
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), str(tmp_path / "out")])
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert all(word in error for word in words)


def test_folder_without_folds_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), str(tmp_path / "out")])
    assert str(tmp_path) in capsys.readouterr().err
