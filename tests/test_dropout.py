"""Dropout study, on synthetic result files and with mocked commands."""

import json
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from studies import sweeps
from studies.dropout import DROPOUT, SWEEPS, main
from studies.sweeps import RESULTS

from ser_lightning.errors import InputError
from tests.configs import composed, options
from tests.report.conftest import write_run

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Runs of two sweeps; the third was not run."""
    folder = tmp_path_factory.mktemp("runs")
    for sweep in SWEEPS[1:]:
        for arm in sweep.arms[:2]:
            for seed in (0, 1):
                for fold in range(sweep.folds) if sweep.folds else [None]:
                    write_run(folder / sweep.name, dropout=arm, seed=seed, fold=fold)
    (folder / "speakers" / "dropout-p25" / "seed-1" / "fold-5" / "result.json").unlink()
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("few_draws")
def test_page_is_made_from_the_published_copies_of_the_runs(folder, tmp_path, capsys):
    copies = tmp_path / "docs" / RESULTS / "dropout"
    of_deleted_run = copies / "corrected" / "dropout-none" / "seed-7"
    of_deleted_run.mkdir(parents=True)
    text = DROPOUT.publish(folder, tmp_path / "docs", command="make dropout").read_text()
    assert not of_deleted_run.exists()
    reports = {sweep.name: sweep.report(copies / sweep.name) for sweep in SWEEPS[1:]}
    for sweep in SWEEPS[1:]:
        report = reports[sweep.name]
        assert f"(`{sweep.name}`): **{report.answer}**" in text
        assert all(f"- {caution}" in text for caution in report.cautions)
        assert (tmp_path / "docs" / "figures" / f"dropout-{sweep.name}-paired.png").stat().st_size > 10_000
    assert "make dropout" in text
    assert "Not run yet: `released`" in text
    assert "left out speakers/dropout-p25/seed-1/fold-5: unfinished" in capsys.readouterr().err
    assert {path.name for path in copies.rglob("*") if path.is_file()} == {"result.json", "predictions.csv.gz"}
    assert DROPOUT.page(reports, command="make dropout")[0] == text


def test_folder_without_sweeps_exits_with_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path / "nothing"), "--seeds", "1", "--table"])
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("dropout: ")
    with pytest.raises(InputError, match="none of the sweeps released, corrected, speakers"):
        DROPOUT.write(tmp_path / "nothing", tmp_path, command="x")


def test_train_overrides_compose(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(sweeps, "call", lambda *words: called.append(words))
    for sweep in SWEEPS:
        sweeps.train(tmp_path / "d", sweep, seeds=5, rest=["corpus=synthetic", "split=random"])
    trained = [words for words in called if words[0] == "ser-train"]
    assert [words[-2:] for words in trained] == [
        (f"name=d/{sweep.name}", f"output_root={tmp_path}") for sweep in SWEEPS
    ]
    assert [words[1] for words in called if words[0] == "ser-report"] == [str(tmp_path / "d" / s.name) for s in SWEEPS]
    for sweep, words in zip(SWEEPS, trained, strict=True):
        asked = {o.key_or_group: o for o in OverridesParser.create().parse_overrides(list(words[2:]))}
        assert list(asked["seed"].sweep_string_iterator()) == [str(n) for n in range(min(5, sweep.seeds))]
        assert set(sweep.arms) <= set(options("dropout"))
        fixed = [word for word in words[2:] if not asked[word.partition("=")[0]].is_sweep_override()]
        config = composed(*fixed)
        assert ("fold" in config["split"]) == (sweep.folds is not None)
    assert [sweep.seeds for sweep in SWEEPS] == [20, 10, 3]


@pytest.mark.skipif(not (DOCS / "dropout.md").exists(), reason="the sweeps are not published yet")
@pytest.mark.slow
def test_published_page_matches_published_results(tmp_path):
    text = (DOCS / "dropout.md").read_text()
    command = text.split("Made by:\n\n```sh\n")[1].split("\n```")[0]
    assert DROPOUT.write(DOCS / RESULTS / "dropout", tmp_path, command=command).read_text() == text
    results = (DOCS / RESULTS / "dropout").rglob("result.json")
    assert not any(json.loads(path.read_text())["git"]["dirty"] for path in results)
