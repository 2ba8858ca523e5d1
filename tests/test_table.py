"""Table of systems, on synthetic result files and with mocked commands."""

import json
import re
from pathlib import Path

import pytest
from studies import systems
from studies.systems import CONTRAST, OWN, PARTS, SYSTEMS, UNSEEN_SPEAKERS, main, parts_of, train

from tests.configs import composed
from tests.report.conftest import place_runs, scores_by_hand

OF = {system.name: system for system in SYSTEMS}


@pytest.fixture
def folder(tmp_path) -> Path:
    for seed in (0, 1, 2):
        place_runs(tmp_path / "svm" / "random", seed, parameters=1234, seconds={"train": 10.0 + seed})
        place_runs(tmp_path / "svm" / UNSEEN_SPEAKERS, seed, folds=6, parameters=1234, seconds={"train": 5.0})
    return tmp_path


def write_table(folder: Path, *, docs: Path | None = None) -> str:
    """Run ``--table`` and return the page."""
    main([str(folder), "--seeds", "3", "--table", *(["--docs", str(docs)] if docs else [])])
    return ((docs or folder) / "systems.md").read_text()


def rows_of(text: str, title: str) -> list[list[str]]:
    section = text.split(title)[1].split("\n## ", maxsplit=1)[0]
    return [row.strip("| ").split(" | ") for row in re.findall(r"^\| `.*$", section, re.M)]


def test_row_shows_scores_and_cost_of_a_system(folder):
    text = write_table(folder, docs=folder / "docs")
    content = json.loads((folder / "systems.json").read_text())["scores"]
    for part in ("random", UNSEEN_SPEAKERS):
        for seed in (0, 1, 2):
            accuracy, uar, clips = scores_by_hand(folder / "svm" / part, seed)
            assert content[f"svm/{part}"]["clips"] == clips
            assert content[f"svm/{part}"]["values"][str(seed)] == pytest.approx({"accuracy": accuracy, "uar": uar})
    assert (folder / "systems.md").read_text() == text
    assert json.loads((folder / "docs" / "results" / "systems.json").read_text())["scores"] == content
    (row,) = rows_of(text, "# The systems")
    name, parameters, own, released, drawn, speakers, emodb, seconds, device, seeds = row
    mean = sum(scores_by_hand(folder / "svm" / UNSEEN_SPEAKERS, seed)[1] for seed in (0, 1, 2)) / 3
    assert (name, parameters, seconds, device, seeds) == ("`svm`", "1,234", "5", "cpu", "3")
    assert (own, released, emodb) == ("-", "-", "-")
    assert speakers.startswith(f"{mean:.1f} ± ")
    assert drawn.endswith(" (leak)")  # the leak check of the synthetic runs found a leak
    ((_, published, here, differs),) = rows_of(text, "## Compared with the published results")
    assert (published, differs) == (OF["svm"].published, OF["svm"].differs)
    assert here.startswith(f"UAR {mean:.1f} ± ")
    assert here.endswith("(RAVDESS, unseen speakers)")
    (lacking,) = re.findall(r"^Not run yet: (.*)\. The command below resumes\.$", text, re.M)
    expected = {
        system.name: [part.name for part in parts_of(system) if part.name not in ("random", UNSEEN_SPEAKERS)]
        if system.name == "svm"
        else [part.name for part in parts_of(system)]
        for system in SYSTEMS
    }
    assert lacking.split("; ") == [f"`{name}` ({', '.join(parts)})" for name, parts in expected.items()]


def test_published_model_size_is_shown_if_different(tmp_path):
    place_runs(tmp_path / "lim_tdcnn" / OWN.name, 0, parameters=67_000)
    place_runs(tmp_path / "kaggle_cnn" / OWN.name, 0, parameters=1234)
    for system in ("lim_tdcnn", "kaggle_cnn"):
        place_runs(tmp_path / system / "random", 0, parameters=1234)
    kaggle, lim = rows_of(write_table(tmp_path), "# The systems")
    assert lim[1] == "67,000"  # from the first part that has runs
    assert kaggle[1] == "1,234"
    for system in ("lim_tdcnn", "kaggle_cnn"):
        place_runs(tmp_path / system / UNSEEN_SPEAKERS, 0, folds=6, parameters=1234)
    kaggle, lim = rows_of(write_table(tmp_path), "# The systems")
    assert lim[1] == "1,234; as published 67,000"
    assert kaggle[1] == "1,234"


def test_seeds_with_missing_folds_are_excluded_and_named(folder):
    (folder / "svm" / UNSEEN_SPEAKERS / "fold-3" / "seed-1" / "result.json").unlink()
    text = write_table(folder)
    assert f"svm/{UNSEEN_SPEAKERS} (seeds 1)" in text
    assert f"svm/{UNSEEN_SPEAKERS}/fold-3/seed-1" in text.split("Left out:")[1]


def test_daarip_before_and_after_split_are_compared(tmp_path):
    for system, part, _ in CONTRAST:
        place_runs(tmp_path / system / part, 0)
    text = write_table(tmp_path).split("## DAARIP before and after the split")[1]
    for _, _, words in CONTRAST:
        assert f"| {words} |" in text


def test_folder_without_complete_system_exits_with_error(tmp_path, capsys):
    place_runs(tmp_path / "svm" / UNSEEN_SPEAKERS, 0, folds=5)
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path), "--seeds", "1", "--table"])
    assert end.value.code == 1
    assert re.fullmatch(r"systems: .* has no seed with all its folds\. .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
@pytest.mark.slow
def test_train_overrides_compose_and_run_ids_name_each_run(system, monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(systems, "call", lambda *words: called.append(words))
    for part in parts_of(system):
        train(tmp_path / "t", system, part, seeds=3, rest=["trainer.max_epochs=1"])
        (run_id,) = [word for word in called[-1] if word.startswith("run_id=")]
        assert f"{system.name}/{part.name}/" in run_id
        assert "${seed}" in run_id
        assert ("${split.fold}" in run_id) == (part.folds > 1)
        if (
            part.name in (OWN.name, "random") or system is SYSTEMS[0]
        ):  # other parts differ only in the words of the part
            swept = ("seed=range", "split.fold=range", "run_id=")
            config = composed(*(word for word in called[-1][2:] if not word.startswith(swept)))
            assert config["split"].get("folds", part.folds) in (None, part.folds)
            assert config["trainer"]["max_epochs"] == 1
    assert [part.name for part in parts_of(system) if part.name != OWN.name] == [part.name for part in PARTS]


def test_published_results_refer_to_existing_parts():
    for system in SYSTEMS:
        assert system.beside in [part.name for part in parts_of(system)]
        assert system.metric in {"accuracy", "uar"}


def test_main_skips_missing_corpora_and_unselected_systems(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(systems, "call", lambda *words: asked.append(words))
    monkeypatch.setenv("RAVDESS_ROOT", "/data")
    monkeypatch.delenv("EMODB_ROOT", raising=False)
    main([str(folder), "--seeds", "2", "--sweeps", "svm"])
    assert [word for words in asked for word in words if word.startswith("run_id=")] == [
        "run_id=svm/released/seed-${seed}",
        "run_id=svm/random/seed-${seed}",
        "run_id=svm/emobox/fold-${split.fold}/seed-${seed}",
    ]
