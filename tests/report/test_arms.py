from pathlib import Path

import pytest
from tests.report.conftest import edit, write_run, write_sweep

from ser_lightning.errors import InputError
from ser_lightning.report.arms import Comparison, compare_arms
from ser_lightning.report.runs import read_runs


def compare(folder: Path, arm: str = "dropout", baseline: str | None = None) -> Comparison:
    runs, predictions, _ = read_runs(folder)
    return compare_arms(runs, predictions, arm=arm, baseline=baseline)


def edit_all(folder: Path, change) -> None:
    runs = sorted(folder.glob("dropout-*/seed-*"))
    assert runs
    for run in runs:
        edit(run, change)


def test_arms_of_a_config_group(sweep: Path) -> None:
    found = compare(sweep)

    assert found.arms == ["none", "p25"]
    assert found.baseline == "none"
    assert found.runs_of("p25").seed.tolist() == [0, 1, 2]
    # The model config repeats the dropout rate. Paths, feature caches, worker counts and seeds are ignored.
    assert found.varied == {
        key: {"none": "0.0", "p25": "0.25"} for key in ("dropout.head", "dropout.lstm", "model.dropout")
    }


def test_baseline_is_first_and_arms_are_sorted_numerically(tmp_path: Path) -> None:
    write_sweep(tmp_path, arms=("p5", "p25", "p10"), seeds=1)

    assert compare(tmp_path).arms == ["p5", "p10", "p25"]
    assert compare(tmp_path, baseline="p25").arms == ["p25", "p5", "p10"]
    with pytest.raises(InputError, match="--baseline none is not an arm of dropout; the arms are p5, p10, p25"):
        compare(tmp_path, baseline="none")


def test_arms_of_a_config_key(tmp_path: Path) -> None:
    write_sweep(tmp_path / "relu", arms=("p25",))
    write_sweep(tmp_path / "gelu", arms=("p25",))
    edit_all(tmp_path / "gelu", lambda r: r["config"]["model"].update(activation="gelu"))

    found = compare(tmp_path, arm="model.activation")

    assert found.arms == ["gelu", "relu"]
    assert found.varied == {"model.activation": {"gelu": '"gelu"', "relu": '"relu"'}}
    assert not found.bundle


def test_arms_of_a_numeric_config_key(sweep: Path) -> None:
    edit_all(sweep, lambda r: r["config"].pop("dropout"))

    assert compare(sweep, arm="model.dropout").arms == ["0.0", "0.25"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["config"]["trainer"].update(max_epochs=40), "differ in trainer.max_epochs: 80 and 40"),
        (lambda r: r.update(epochs=40), "differ in result.epochs: 80 and 40"),
        (lambda r: r["corpus"].update(digest="cd"), 'differ in corpus.digest: "abab(ab)*" and "cd"'),
        (lambda r: r.update(checkpoint="best"), 'differ in result.checkpoint: "last" and "best"'),
        (lambda r: r["config"]["model"].update(norm="x"), 'differ in model.norm: absent and "x"'),
        (lambda r: r["config"]["dropout"].update(lstm=0.5), r"differ in dropout.lstm: 0.25 and 0.5"),
        (lambda r: r.update(emotions=[*r["emotions"], "bored"]), "Runs .* differ in result.emotions"),
    ],
)
def test_inconsistent_run_within_arm_raises(sweep: Path, change, message: str) -> None:
    edit(sweep / "dropout-p25/seed-1", change)
    if "emotions" in message:
        padded = {"test": 9, "val": 9}
        edit(
            sweep / "dropout-p25/seed-1",
            lambda r: r["confusion_matrix"].update(
                {s: [[*row, 0] for row in r["confusion_matrix"][s]] + [[0] * n] for s, n in padded.items()}
            ),
        )

    with pytest.raises(InputError, match=message) as raised:
        compare(sweep)

    assert "dropout-p25/seed-1" in str(raised.value)


def test_runs_from_before_a_key_was_added_have_its_default(sweep: Path) -> None:
    run = sweep / "dropout-p25/seed-1"
    edit(run, lambda r: r["config"].setdefault("data", {}).update(teacher_sha256=None, teacher_share=0.5))
    assert compare(sweep).arms == ["none", "p25"]

    edit(run, lambda r: r["config"]["data"].update(teacher_share=0.9))
    with pytest.raises(InputError, match=r"differ in data\.teacher_share: 0\.5 and 0\.9"):
        compare(sweep)


def test_confounded_arm_raises(sweep: Path) -> None:
    edit_all(
        sweep,
        lambda r: r["config"]["trainer"].update(max_epochs=80 - 40 * (r["choices"]["dropout"] == "p25")),
    )

    with pytest.raises(InputError, match=r"none/seed-0 and dropout-p25/seed-0 differ in trainer.max_epochs: 80 and 40"):
        compare(sweep)


def test_early_stopped_runs_may_differ_in_epochs(sweep: Path) -> None:
    stop = {"_target_": "pytorch_lightning.callbacks.EarlyStopping"}
    edit_all(sweep, lambda r: (r["config"]["callbacks"].update(stop=stop), r.update(epochs=50 + r["seed"])))

    assert len(compare(sweep).runs) == 6


def test_config_group_without_section_is_a_bundle(sweep: Path) -> None:
    edit_all(sweep, lambda r: r["choices"].update(experiment=r["choices"]["dropout"]))

    found = compare(sweep, arm="experiment")

    assert found.bundle
    assert sorted(found.varied) == ["dropout.head", "dropout.lstm", "model.dropout"]


def test_duplicate_seed_in_arm_raises(sweep: Path) -> None:
    write_run(sweep / "again", dropout="p25", seed=2)

    with pytest.raises(InputError, match=r"again/dropout-p25/seed-2 and dropout-p25/seed-2 both .* seed 2"):
        compare(sweep)


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ("dropuot", r"neither a group nor a config key of run dropout-none/seed-0; did you mean 'dropout'\?"),
        ("model.activatoin", "did you mean 'model.activation'"),
        ("zzz", "the groups are corpus, dropout, experiment, split"),
        ("model", "--arm model is a section of the config"),
        ("seed", "--arm seed cannot be compared"),
        ("result.epochs", "neither a group nor a config key"),
    ],
)
def test_invalid_arm_raises(sweep: Path, arm: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(sweep, arm=arm)
