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
from studies.protocols import PROTOCOLS, main, write

from ser_lightning.errors import InputError
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


def test_folds_are_put_together_before_anything_is_measured(folder):
    page = write(folder, seeds=2, command="make protocols", docs=folder / "docs")
    content = json.loads((folder / "protocols.json").read_text())["protocols"]
    for split in ("random", "speaker"):
        for seed in (0, 1):
            accuracy, uar, clips = by_hand(folder, split, seed)
            assert content[split]["test_clips"] == clips
            assert content[split]["seeds"][str(seed)] == pytest.approx({"accuracy": accuracy, "uar": uar})
    text = page.read_text()
    assert (folder / "docs" / "protocols.md").read_text() == text
    assert json.loads((folder / "docs" / "results" / "protocols.json").read_text())["protocols"] == content
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
    text = write(folder, seeds=2, command="x", docs=None).read_text()
    assert "Not complete, and left out: speaker (seeds 1)." in text
    assert list(json.loads((folder / "protocols.json").read_text())["protocols"]["speaker"]["seeds"]) == ["0"]


def test_a_folder_without_a_complete_protocol_is_refused(tmp_path, capsys):
    place(tmp_path, "speaker", 0, 5)
    with pytest.raises(InputError, match="no protocol with all its folds"):
        write(tmp_path, seeds=1, command="x", docs=None)
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path), "--seeds", "1", "--table"])
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("protocols: ")


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
