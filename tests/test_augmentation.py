"""Augmentation study, on synthetic result files."""

import json
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from studies import sweeps
from studies.augmentation import AUGMENTATION, SWEEPS, main
from studies.sweeps import RESULTS, Sweep

from tests.configs import composed
from tests.report.conftest import write_run

DOCS = Path(__file__).parents[1] / "docs"
ARMS = ("none", "p25")  # their synthetic results stand in for the arms of a sweep


def make(folder: Path, sweep: Sweep, *, seeds: int = 2) -> None:
    for arm, borrowed in zip(sweep.arms, ARMS, strict=False):
        for seed in range(seeds):
            path = write_run(folder / sweep.name / arm, dropout=borrowed, seed=seed)
            result = json.loads((path / "result.json").read_text())
            result["config"]["dropout"] = {"p": 0.25}
            result["config"]["model"].pop("dropout", None)
            result["choices"]["dropout"] = "p25"
            if "." in sweep.arm:
                part, key = sweep.arm.split(".")
                value = {"true": True, "false": False}.get(arm, arm)
                result["config"][part] = result["config"].get(part, {}) | {key: value}
            else:
                result["choices"][sweep.arm] = arm
                result["config"][sweep.arm] = {"is": arm}
            (path / "result.json").write_text(json.dumps(result))


@pytest.mark.usefixtures("few_draws")
def test_arms_of_a_sweep_differ_in_its_key(tmp_path):
    balance = SWEEPS[1]
    make(tmp_path, balance)
    report = balance.report(tmp_path / balance.name)
    assert report.comparison.arm == balance.arm == "data.balance"
    assert list(report.comparison.arms) == ["none", "classes"]
    text, _ = AUGMENTATION.page({balance.name: report}, command="make augmentation")
    assert f"(`balance`): **{report.answer}**" in text
    assert f"`ser-report docs/{RESULTS}/augmentation/balance --arm data.balance --output <folder>`" in text
    assert "Not run yet: `augment`, " in text


def test_train_overrides_compose(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(sweeps, "call", lambda *words: called.append(words))
    for sweep in SWEEPS:
        sweeps.train(tmp_path / "a", sweep, seeds=3, rest=["corpus=synthetic", "split=random"])
    trained = [words for words in called if words[0] == "ser-train"]
    assert [words[2:] for words in called if words[0] == "ser-report"] == [("--arm", s.arm) for s in SWEEPS]
    run_ids = []
    for sweep, words in zip(SWEEPS, trained, strict=True):
        asked = OverridesParser.create().parse_overrides(list(words[2:]))
        fixed = [word for word, override in zip(words[2:], asked, strict=True) if not override.is_sweep_override()]
        # The last override wins, as on the command line. The run_id must name every swept key.
        values = {word.partition("=")[0]: word for word in fixed}
        config = composed(*(word for key, word in values.items() if key != "run_id"))
        assert config["name"] == f"a/{sweep.name}"
        assert ("fold" in config["split"]) == (sweep.folds is not None)
        (of_arm,) = [override for override in asked if override.key_or_group == sweep.arm]
        assert [value.lower() for value in of_arm.sweep_string_iterator()] == list(sweep.arms)
        run_ids.append(values["run_id"])
        assert "seed-${seed}" in values["run_id"]
        assert ("${split.fold}" in values["run_id"]) == (sweep.folds is not None)
    assert "${data.balance}" in run_ids[1]
    assert "${loss.class_weights}" in run_ids[2]
    assert all("${hydra:runtime.choices.augment}" in run_ids[n] for n in (0, 3))


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(
    ("words", "ran"),
    [
        ([], ["augment", "balance", "class_weights"]),
        pytest.param(["--sweeps", "speakers,balance"], ["balance", "speakers"], marks=pytest.mark.slow),
    ],
)
def test_expensive_sweeps_run_only_on_request(monkeypatch, tmp_path, words, ran):
    """The page has the sweeps that ran; files written at once take the place of hours of training."""

    def train(command: str, *words: str) -> None:
        for sweep in SWEEPS:
            if command == "ser-train" and f"name={tmp_path.name}/{sweep.name}" in words:
                make(tmp_path, sweep)

    monkeypatch.setattr(sweeps, "call", train)
    main([str(tmp_path), "--seeds", "2", *words, "corpus=synthetic"])
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {*ran, "figures"}
    text = (tmp_path / "augmentation.md").read_text()
    command = " ".join(["python -m studies.augmentation", str(tmp_path), "--seeds 2", *words, "corpus=synthetic"])
    assert f"```sh\n{command}\n```" in text
    for sweep in SWEEPS:
        assert (f"\n## `{sweep.name}`\n" in text) == (sweep.name in ran)
        assert (f"Not run yet: `{sweep.name}`" in text) == (sweep.name not in ran)


@pytest.mark.usefixtures("few_draws")
def test_sweep_without_a_finished_run_is_listed_as_not_run(tmp_path):
    balance, weights = SWEEPS[1:3]
    make(tmp_path, balance)
    (tmp_path / weights.name / "true" / "seed-0").mkdir(parents=True)
    text = AUGMENTATION.write(tmp_path, tmp_path, command="make augmentation").read_text()
    assert f"Not run yet: `{weights.name}`" in text


def test_unknown_sweep_raises(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--seeds", "1", "--sweeps", "speaker"])
    assert "--sweeps has speaker; expected some of augment, balance, class_weights, speakers" in capsys.readouterr().err


@pytest.mark.skipif(not (DOCS / "augmentation.md").exists(), reason="the sweeps are not published yet")
@pytest.mark.slow
def test_published_page_matches_published_results(tmp_path):
    text = (DOCS / "augmentation.md").read_text()
    command = text.split("Made by:\n\n```sh\n")[1].split("\n```")[0]
    assert AUGMENTATION.write(DOCS / RESULTS / "augmentation", tmp_path, command=command).read_text() == text
