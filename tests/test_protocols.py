"""The protocol matrix: made-up result files, folds put together by hand."""

import csv
import json
import re
import runpy
import shutil
from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score, recall_score
from studies import protocols
from studies.protocols import PROTOCOLS, main

from tests.test_conf import composed, options

write_run = runpy.run_path(str(Path(__file__).parent / "report/conftest.py"))["write_run"]


def place(folder: Path, split: str, seed: int, folds: int | None) -> None:
    for fold in range(folds) if folds else [None]:
        made = write_run(folder, dropout="none", seed=seed, fold=fold)
        target = folder / split / (f"fold-{fold}/seed-{seed}" if folds else f"seed-{seed}")
        target.parent.mkdir(parents=True, exist_ok=True)
        made.rename(target)
    shutil.rmtree(folder / "dropout-none")


@pytest.fixture
def folder(tmp_path) -> Path:
    for seed in (0, 1):
        place(tmp_path, "random", seed, None)
        place(tmp_path, "speaker", seed, 6)
    return tmp_path


def by_hand(folder: Path, split: str, seed: int) -> tuple[float, float, int]:
    """Accuracy and UAR of all test clips of all folds, by scikit-learn from the predictions."""
    rows = [
        row
        for path in folder.glob(f"{split}/**/seed-{seed}/predictions.csv")
        for row in csv.DictReader(path.read_text().splitlines())
        if row["subset"] == "test"
    ]
    target, prediction = ([row[name] for row in rows] for name in ("target", "prediction"))
    uar = recall_score(target, prediction, average="macro", zero_division=0)
    return 100 * accuracy_score(target, prediction), 100 * uar, len(rows)


def write_table(folder: Path, *, docs: Path | None = None, words: tuple[str, ...] = ()) -> str:
    """The page that --table writes."""
    main([str(folder), "--seeds", "2", "--table", *(["--docs", str(docs)] if docs else []), *words])
    return ((docs or folder) / "protocols.md").read_text()


def scores_in(path: Path) -> dict:
    return json.loads(path.read_text())["scores"]


def test_folds_are_put_together_before_anything_is_measured(folder):
    text = write_table(folder, docs=folder / "docs")
    content = scores_in(folder / "protocols.json")
    for split in ("random", "speaker"):
        for seed in (0, 1):
            accuracy, uar, clips = by_hand(folder, split, seed)
            assert content[split]["clips"] == clips
            assert content[split]["values"][str(seed)] == pytest.approx({"accuracy": accuracy, "uar": uar})
    assert (folder / "protocols.md").read_text() == text
    assert scores_in(folder / "docs" / "results" / "protocols.json") == content
    lacking = ", ".join(f"`{p.split}`" for p in PROTOCOLS if p.split not in content)
    assert f"Not run yet, or not with all folds: {lacking}; the command below goes on." in text
    rows = {row.split("`")[1]: row.split(" | ") for row in re.findall(r"^\| `.*$", text, re.M)}
    assert list(rows) == ["random", "speaker"]
    above = [by_hand(folder, "random", seed)[1] - by_hand(folder, "speaker", seed)[1] for seed in (0, 1)]
    assert rows["random"][2:5] == ["2 x 1", "864", "360"]
    assert rows["random"][-2].startswith(f"{sum(above) / 2:.1f} ± ")
    assert rows["speaker"][2] == "2 x 6"
    assert rows["speaker"][-2] == "-"
    assert rows["random"][-1] == "yes |"
    assert "`random`, audit: leaks: 232 of 360 test clips" in text


def test_a_seed_that_lacks_a_fold_is_not_counted_and_named(folder):
    shutil.rmtree(folder / "speaker" / "fold-3" / "seed-1")
    assert "Not complete, and left out: speaker (seeds 1)." in write_table(folder)
    assert list(scores_in(folder / "protocols.json")["speaker"]["values"]) == ["0"]


def test_runs_of_another_day_stand_beside_those_that_docs_kept(folder):
    both = write_table(folder, docs=folder / "docs")
    shutil.rmtree(folder / "random")
    assert "`random`" not in write_table(folder).split("Not run yet")[0]
    assert write_table(folder, docs=folder / "docs") == both
    shutil.rmtree(folder / "speaker")
    shutil.move(folder / "docs", folder.parent / "docs")
    shutil.rmtree(folder)
    assert write_table(folder, docs=folder.parent / "docs") == both  # of what was kept alone


def test_only_the_protocols_that_are_asked_for_are_run(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(protocols, "call", lambda *words: asked.append(words))
    main([str(folder), "--seeds", "2", "--sweeps", "take,speaker", "corpus=ravdess"])
    assert [word for words in asked for word in words if word.startswith("split=")] == ["split=take", "split=speaker"]


def test_a_folder_without_a_complete_protocol_is_refused(tmp_path, capsys):
    place(tmp_path, "speaker", 0, 5)
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path), "--seeds", "1", "--table"])
    assert end.value.code == 1
    assert re.fullmatch(r"protocols: .* nothing that is complete, with all its folds; .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.split)
def test_a_protocol_is_a_split_with_that_many_folds(protocol):
    assert {p.split for p in PROTOCOLS} == set(options("split"))
    part = composed(f"split={protocol.split}")["split"]
    assert ("fold" in part) == (protocol.folds is not None)
    if "folds" in part and part["folds"] is not None:
        assert protocol.folds % part["folds"] == 0


def test_every_run_gets_a_folder_of_its_own(monkeypatch, tmp_path):
    """What is asked of ser-train, without running it."""
    called = []
    monkeypatch.setattr(protocols, "call", lambda *words: called.append(words))
    for protocol in PROTOCOLS:
        protocols.train(tmp_path / "p", protocol, seeds=2, rest=["corpus=ravdess"])
    for protocol, words in zip(PROTOCOLS, called, strict=True):
        (run_id,) = [word for word in words if word.startswith("run_id=")]
        assert ("${split.fold}" in run_id) == any(word.startswith("split.fold=range(") for word in words)
        assert protocol.split in run_id
        assert "${seed}" in run_id
