"""Protocol matrix, on synthetic result files with folds pooled by hand."""

import json
import re
import shutil
from pathlib import Path

import pytest
from studies import protocols
from studies.protocols import PROTOCOLS, main

from tests.configs import composed, options
from tests.report.conftest import place_runs, scores_by_hand


@pytest.fixture
def folder(tmp_path) -> Path:
    for seed in (0, 1):
        place_runs(tmp_path / "random", seed)
        place_runs(tmp_path / "speaker", seed, folds=6)
    return tmp_path


def write_table(folder: Path, *, docs: Path | None = None, words: tuple[str, ...] = ()) -> str:
    """Run ``--table`` and return the page."""
    main([str(folder), "--seeds", "2", "--table", *(["--docs", str(docs)] if docs else []), *words])
    return ((docs or folder) / "protocols.md").read_text()


def scores_in(path: Path) -> dict:
    return json.loads(path.read_text())["scores"]


def test_folds_are_pooled_before_computing_metrics(folder):
    text = write_table(folder, docs=folder / "docs")
    content = scores_in(folder / "protocols.json")
    for split in ("random", "speaker"):
        for seed in (0, 1):
            accuracy, uar, clips = scores_by_hand(folder / split, seed)
            assert content[split]["clips"] == clips
            assert content[split]["values"][str(seed)] == pytest.approx({"accuracy": accuracy, "uar": uar})
    assert (folder / "protocols.md").read_text() == text
    assert scores_in(folder / "docs" / "results" / "protocols.json") == content
    lacking = ", ".join(f"`{p.split}`" for p in PROTOCOLS if p.split not in content)
    assert f"Not run yet, or not with all folds: {lacking}. The command below resumes." in text
    rows = {row.split("`")[1]: row.split(" | ") for row in re.findall(r"^\| `.*$", text, re.M)}
    assert list(rows) == ["random", "speaker"]
    above = [
        scores_by_hand(folder / "random", seed)[1] - scores_by_hand(folder / "speaker", seed)[1] for seed in (0, 1)
    ]
    assert rows["random"][2:5] == ["2 x 1", "864", "360"]
    assert rows["random"][-2].startswith(f"{sum(above) / 2:.1f} ± ")
    assert rows["speaker"][2] == "2 x 6"
    assert rows["speaker"][-2] == "-"
    assert rows["random"][-1] == "yes |"
    assert "`random`, audit: leaks: 232 of 360 test clips" in text


def test_seeds_with_missing_folds_are_excluded_and_named(folder):
    shutil.rmtree(folder / "speaker" / "fold-3" / "seed-1")
    assert "Left out because folds are missing: speaker (seeds 1)." in write_table(folder)
    assert list(scores_in(folder / "protocols.json")["speaker"]["values"]) == ["0"]


def test_new_runs_are_merged_with_published_scores(folder):
    both = write_table(folder, docs=folder / "docs")
    shutil.rmtree(folder / "random")
    assert "`random`" not in write_table(folder).split("Not run yet")[0]
    assert write_table(folder, docs=folder / "docs") == both
    shutil.rmtree(folder / "speaker")
    shutil.move(folder / "docs", folder.parent / "docs")
    shutil.rmtree(folder)
    assert write_table(folder, docs=folder.parent / "docs") == both  # only from the published scores


def test_only_requested_protocols_are_run(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(protocols, "call", lambda *words: asked.append(words))
    main([str(folder), "--seeds", "2", "--sweeps", "take,speaker", "corpus=ravdess"])
    assert [word for words in asked for word in words if word.startswith("split=")] == ["split=take", "split=speaker"]


def test_folder_without_complete_protocol_exits_with_error(tmp_path, capsys):
    place_runs(tmp_path / "speaker", 0, folds=5)
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path), "--seeds", "1", "--table"])
    assert end.value.code == 1
    assert re.fullmatch(r"protocols: .* has no seed with all its folds\. .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.split)
def test_protocols_match_the_split_options(protocol):
    assert protocol.split in options("split")
    part = composed(f"split={protocol.split}")["split"]
    assert ("fold" in part) == (protocol.folds is not None)
    if "folds" in part and part["folds"] is not None:
        assert protocol.folds % part["folds"] == 0


def test_run_ids_name_split_fold_and_seed(monkeypatch, tmp_path):
    """Check the overrides for ser-train without running it."""
    called = []
    monkeypatch.setattr(protocols, "call", lambda *words: called.append(words))
    for protocol in PROTOCOLS:
        protocols.train(tmp_path / "p", protocol, seeds=2, rest=["corpus=ravdess"])
    for protocol, words in zip(PROTOCOLS, called, strict=True):
        (run_id,) = [word for word in words if word.startswith("run_id=")]
        assert ("${split.fold}" in run_id) == any(word.startswith("split.fold=range(") for word in words)
        assert protocol.split in run_id
        assert "${seed}" in run_id
