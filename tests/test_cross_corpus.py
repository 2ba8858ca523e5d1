"""Cross-corpus study, on synthetic result files and with mocked commands."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from sklearn.metrics import recall_score
from studies import cross_corpus
from studies.cross_corpus import CORPORA, FOLDS, corpora_of, main, measure, result_on, train, write

from ser_lightning.errors import InputError
from tests.configs import composed, options
from tests.report.conftest import place_runs

PAIR = ("ravdess", "savee")
SHARED = ["neutral", "happy", "sad"]


def measured(run: Path, other: str, matrix) -> None:
    """Write a result file of ser-evaluate."""
    figures = {"digest": "00", "emotions": SHARED, "left_out": {"calm": 7}, "confusion_matrix": matrix}
    result_on(run, other).write_text(json.dumps(figures))


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        for corpus, other in (PAIR, PAIR[::-1]):
            place_runs(tmp_path / corpus, seed, folds=FOLDS[corpus], corpus__name=corpus)
            for fold in range(FOLDS[corpus]):
                run = tmp_path / corpus / f"fold-{fold}" / f"seed-{seed}"
                measured(run, other, rng.integers(1, 20, (3, 3)).tolist())
    return tmp_path


def uar_of(matrix) -> float:
    matrix = np.asarray(matrix)
    target = np.repeat(np.arange(len(matrix)), matrix.sum(1))
    predicted = np.concatenate([np.repeat(np.arange(len(matrix)), row) for row in matrix])
    return 100 * recall_score(target, predicted, average="macro", zero_division=0)


def test_same_corpus_pools_folds_and_cross_corpus_averages(folder):
    page = write(folder, PAIR, seeds=2, command="make cross-corpus", docs=folder / "docs")
    content = json.loads((folder / "cross_corpus.json").read_text())
    cells = {(cell["trained"], cell["tested"]): cell for cell in content["cells"]}
    assert set(cells) == {(one, other) for one in PAIR for other in PAIR}
    for seed in (0, 1):
        for one, other in (PAIR, PAIR[::-1]):
            runs = [folder / one / f"fold-{fold}" / f"seed-{seed}" for fold in range(FOLDS[one])]
            own = np.sum([json.loads((r / "result.json").read_text())["confusion_matrix"]["test"] for r in runs], 0)
            assert cells[one, one]["seeds"][str(seed)]["uar"] == pytest.approx(uar_of(own))
            assert cells[one, one]["clips"] == own.sum()
            mean = np.mean([uar_of(json.loads(result_on(r, other).read_text())["confusion_matrix"]) for r in runs])
            assert cells[one, other]["seeds"][str(seed)]["uar"] == pytest.approx(mean)
            assert cells[one, other]["left_out"] == {"calm": 7}
    text = page.read_text()
    assert (folder / "docs" / "cross_corpus.md").read_text() == text
    assert json.loads((folder / "docs" / "results" / "cross_corpus.json").read_text()) == content
    rows = {row.split("`")[1]: row.split(" | ") for row in re.findall(r"^\| `.*$", text, re.M)[:2]}
    assert list(rows) == list(PAIR)
    assert rows["ravdess"][1].endswith("(8)")
    assert rows["ravdess"][2].startswith(
        f"{np.mean([cells[PAIR]['seeds'][str(seed)]['uar'] for seed in (0, 1)]):.1f} ± "
    )
    assert "(3)" in rows["ravdess"][2]
    assert "ravdess on savee: 7 calm" in text
    assert "make cross-corpus" in text


def test_seeds_with_missing_folds_are_excluded_and_named(folder):
    result_on(folder / "ravdess" / "fold-3" / "seed-1", "savee").unlink()
    text = write(folder, PAIR, seeds=2, command="x", docs=None).read_text()
    assert "Left out because folds are missing: ravdess on savee (seeds 1)." in text
    cells = json.loads((folder / "cross_corpus.json").read_text())["cells"]
    assert [list(cell["seeds"]) for cell in cells if cell["tested"] == "savee"] == [["0"], ["0", "1"]]


def test_folder_without_complete_corpus_raises(tmp_path, capsys):
    place_runs(tmp_path / "ravdess", 0, folds=5, corpus__name="ravdess")
    with pytest.raises(InputError, match="no corpus with all its folds"):
        write(tmp_path, PAIR, seeds=1, command="x", docs=None)
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path), "--seeds", "1", "--table", "corpus=ravdess,savee"])
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("cross_corpus: ")


def test_train_overrides_compose_and_run_ids_name_each_run(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(cross_corpus, "call", lambda *words: called.append(words))
    for corpus in FOLDS:
        train(tmp_path / "c", corpus, seeds=2, rest=["trainer.max_epochs=2"])
    for corpus, words in zip(FOLDS, called, strict=True):
        assert words[:2] == ("ser-train", "--multirun")
        asked = {o.key_or_group: o for o in OverridesParser.create().parse_overrides(list(words[2:]))}
        assert list(asked["split.fold"].sweep_string_iterator()) == [str(n) for n in range(FOLDS[corpus])]
        fixed = [word for word in words[2:] if not asked[word.partition("=")[0]].is_sweep_override()]
        config = composed(*[word for word in fixed if not word.startswith("run_id")])
        assert config["name"] == f"c/{corpus}"
        assert config["split"]["folds"] == FOLDS[corpus]
        assert "run_id=fold-${split.fold}/seed-${seed}" in words
    assert set(FOLDS) < set(options("corpus"))


def test_measure_skips_finished_evaluations(monkeypatch, folder):
    called = []
    monkeypatch.setattr(cross_corpus, "call", lambda *words: called.append(words))
    measure(folder, "ravdess", "savee")
    assert called == []
    result_on(folder / "ravdess" / "fold-2" / "seed-1", "savee").unlink()
    old = folder / "ravdess" / "fold-3" / "seed-0"
    result_on(old, "savee").write_text(result_on(old, "savee").read_text().replace('"00"', '"of another run"'))
    measure(folder, "ravdess", "savee")
    runs = [folder / "ravdess" / "fold-2" / "seed-1", old]
    assert called == [
        ("ser-evaluate", str(r), "--corpus", "savee", "--output", str(result_on(r, "savee"))) for r in runs
    ]


def test_corpora_of_parses_corpus_override(monkeypatch, tmp_path):
    assert corpora_of(["dropout=none"]) == (CORPORA, ["dropout=none"])
    assert corpora_of(["corpus=emodb,savee", "x=1"]) == (("emodb", "savee"), ["x=1"])
    for word, message in (
        ("corpus=tess,emodb", "corpus=tess: expected two or more"),
        ("corpus=emodb", "a single corpus"),
    ):
        with pytest.raises(InputError, match=message):
            corpora_of([word])
