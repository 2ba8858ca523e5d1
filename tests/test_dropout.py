"""Dropout study, on synthetic result files and with mocked commands."""

import json
import runpy
import shutil
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from studies import sweeps
from studies.dropout import DROPOUT, SWEEPS, main
from studies.sweeps import RESULTS

from ser_lightning.errors import InputError
from ser_lightning.report.report import make_report
from tests.test_conf import composed, options

write_run = runpy.run_path(str(Path(__file__).parent / "report/conftest.py"))["write_run"]
DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def folder(tmp_path) -> Path:
    for sweep in SWEEPS:
        for arm in sweep.arms:
            for seed in (0, 1):
                for fold in range(sweep.folds) if sweep.folds else [None]:
                    write_run(tmp_path / "runs" / sweep.name, dropout=arm, seed=seed, fold=fold)
    return tmp_path / "runs"


@pytest.mark.usefixtures("few_draws")
def test_page_repeats_the_answers_of_its_reports(folder, tmp_path):
    text = DROPOUT.publish(folder, tmp_path / "docs", command="make dropout").read_text()
    for sweep in SWEEPS:
        report = make_report(folder / sweep.name)
        assert f"(`{sweep.name}`): **{report.answer}**" in text
        assert all(f"- {note}" in text for note in report.cautions)
        assert (tmp_path / "docs" / "figures" / f"dropout-{sweep.name}-paired.png").stat().st_size > 10_000
    assert text.count("\n| p25 | 2 |") + text.count("\n| p25 | 12 |") >= 3
    assert "make dropout" in text
    assert "Not run yet" not in text


@pytest.mark.usefixtures("few_draws")
def test_published_results_reproduce_the_page(folder, tmp_path):
    for sweep in SWEEPS[1:]:
        shutil.rmtree(folder / sweep.name)
    first = DROPOUT.publish(folder, tmp_path / "docs", command="x")
    copies = tmp_path / "docs" / RESULTS / "dropout"
    again = DROPOUT.write(copies, tmp_path / "again", command="x")
    assert again.read_text() == first.read_text()
    assert {path.name for path in copies.rglob("*") if path.is_file()} == {"result.json", "predictions.csv.gz"}
    # Publishing again removes copies of runs that no longer exist.
    shutil.rmtree(folder / "released" / "dropout-p25" / "seed-1")
    DROPOUT.publish(folder, tmp_path / "docs", command="x")
    assert not (copies / "released" / "dropout-p25" / "seed-1").exists()


@pytest.mark.usefixtures("few_draws")
def test_missing_sweeps_and_runs_are_named(folder, tmp_path, capsys):
    shutil.rmtree(folder / "speakers")
    (folder / "corrected" / "dropout-p50" / "seed-1" / "result.json").unlink()
    shutil.rmtree(folder / "released")
    assert "Not run yet: `speakers`" in DROPOUT.publish(folder, tmp_path / "docs", command="x").read_text()
    assert "left out corrected/dropout-p50/seed-1: unfinished" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path / "nothing"), "--seeds", "1", "--table"])
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("dropout: ")
    with pytest.raises(InputError, match="has none of the sweeps"):
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
    commits = {
        json.loads(path.read_text())["git"]["dirty"] for path in (DOCS / RESULTS / "dropout").rglob("result.json")
    }
    assert commits == {False}
