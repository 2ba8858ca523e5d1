"""Every YAML file is found, composes and matches the signature of its class."""

import inspect
from itertools import zip_longest

import hydra.utils
import pytest

from ser_lightning.build import PACKAGES, check_values
from ser_lightning.config_files import chosen_by, groups
from ser_lightning.results import science_digest
from tests.configs import CONF, composed, options

CHECKED = [group for group in groups() if group != "experiment"]
SCHEDULER_KEYS = {"monitor", "interval", "frequency"}  # used by Lightning, not by the scheduler class
ARGUMENTS = {"model": {"features": 162, "classes": 8, "standardize": False}}


# The options of all groups, in rows with one option of each group, so that few configs are composed.
ROWS = [
    {group: option for group, option in zip(CHECKED, row, strict=True) if option is not None}
    for row in zip_longest(*(options(group) for group in CHECKED))
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row.values()))
def test_options_compose_and_match_signatures(row):
    config = composed(*(f"{group}={option}" for group, option in row.items()))
    for group in row:
        # These groups map names to configs, so that several options can be combined.
        parts = config[group].values() if group in ("logger", "callbacks") else [config[group]]
        for part in parts:
            _check_part(group, part)


def _check_part(group: str, part: dict) -> None:
    if "_target_" in part:
        target = part["_target_"]
        baselines = ("ser_lightning.baselines.",) if group == "model" else ()
        assert target.startswith(
            (f"ser_lightning.{PACKAGES.get(group, group)}.", "torch.", "pytorch_lightning.", *baselines)
        )
        cls = hydra.utils.get_object(target)
        if target.startswith("ser_lightning."):
            own = {"scheduler": SCHEDULER_KEYS, "split": {"refit"}}.get(group, set())  # not arguments of the class
            given = {key: value for key, value in part.items() if key not in own and value != "auto"}
            check_values(group, cls, given, ARGUMENTS.get(group, {}))
        else:
            own = SCHEDULER_KEYS if group == "scheduler" else set()
            arguments = {key: value for key, value in part.items() if not key.startswith("_") and key not in own}
            inspect.signature(cls).bind_partial(**arguments)


@pytest.mark.parametrize("experiment", options("experiment"))
def test_experiments_compose_without_targets(experiment):
    assert composed(f"experiment={experiment}")["name"] == experiment
    assert "_target_" not in (CONF / "experiment" / f"{experiment}.yaml").read_text()


@pytest.mark.parametrize(
    ("experiment", "digest"),
    [("released", "bb03b94d3edf27aa"), ("paper", "394851089f9a4aed"), ("corrected", "5e48793b6b9b8d11")],
)
def test_experiment_digests_are_unchanged(experiment, digest):
    """Changing a digest invalidates every finished run: do so only if the results change too."""
    assert science_digest(composed(f"experiment={experiment}")) == digest


# Experiments that set a split. All others use the default of the corpus: released for RAVDESS, else random.
OWN_SPLIT = {
    "drcnn_published": "random",
    "kaggle_cnn_published": "random",
    "generalist": "speaker",
    "res_lstm": "speaker",
    "tim_net_published": "kfold",
}


def has_split(option: str, *overrides: str) -> bool:
    """Return whether a config has exactly the values of an option of the group ``split``."""
    return composed(*overrides)["split"] == composed(f"split={option}")["split"]


def test_released_split_is_default_only_for_ravdess():
    for corpus in options("corpus"):
        assert chosen_by({"corpus": corpus}).get("split", "random") == ("released" if corpus == "ravdess" else "random")
    assert has_split("released")
    assert has_split("released", "experiment=corrected")
    assert has_split("take", "split=take")
    for corpus in (["corpus=emodb"], ["corpus=pooled", "corpus/parts=[emodb,ravdess]"]):
        assert has_split("random", *corpus)
        assert has_split("random", *corpus, "experiment=corrected")
        assert has_split("speaker", *corpus, "split=speaker")


@pytest.mark.parametrize("experiment", options("experiment"))
def test_experiments_use_the_default_split_of_the_corpus(experiment):
    assert has_split(OWN_SPLIT.get(experiment, "released"), f"experiment={experiment}")


@pytest.mark.parametrize("experiment", ["released", *OWN_SPLIT])
def test_experiments_on_another_corpus_use_its_default_split(experiment):
    assert has_split(OWN_SPLIT.get(experiment, "random"), f"experiment={experiment}", "corpus=emodb")


def test_run_id_is_defined_only_in_train_yaml():
    files = sorted(CONF.rglob("*.yaml"))
    assert [path.name for path in files if "run_id:" in path.read_text()] == ["train.yaml"]


@pytest.mark.slow
def test_every_corpus_can_be_pooled():
    parts = sorted(path.stem for path in (CONF / "corpus" / "parts").glob("*.yaml"))
    assert parts == [option for option in options("corpus") if option != "pooled"]
    config = composed("corpus=pooled", f"corpus/parts=[{','.join(parts)}]")["corpus"]
    assert list(config["parts"]) == list(config["downmix"]) == parts
    for part in parts:
        assert config["parts"][part] == composed(f"corpus={part}")["corpus"]
        assert config["downmix"][part] == config["parts"][part]["downmix"]


def test_ablation_can_be_added_to_any_experiment():
    for experiment in ("released", "paper", "corrected"):
        ablation = composed(f"experiment=[{experiment},ablation_dropout]")
        plain = composed(f"experiment={experiment}")
        assert {k: v for k, v in ablation.items() if plain[k] != v}.keys() <= {
            "name",
            "folder",
            "callbacks",
            "logger",
        }


def test_defaults_equal_corrected():
    default, corrected = composed(), composed("experiment=corrected")
    assert {k for k in default if default[k] != corrected[k]} == {"name", "folder", "callbacks", "logger"}


# Every bug of the study: its config key, the value that reproduces it (released) and the value that fixes it.
BUGS = {
    "study_metric": (True, False),
    "evaluation.training_mode": (True, False),
    "evaluation.update_statistics": (True, False),
    "checkpoint": ("last", "best"),
    "data.eval_shuffle": (True, False),
    "model.masked": (False, True),
    "features.analysis_rate": (22050, 16000),
    "corpus.downmix": ("interleave", "mean"),
    "augment.pcm16": (True, False),
    "audio.resampler": ("linear", "soxr"),
}


def value(config: dict, key: str):
    for part in key.split("."):
        config = config[part]
    return config


@pytest.mark.parametrize("key", BUGS)
def test_released_enables_each_bug_in_one_commented_line(key):
    on, off = BUGS[key]
    assert value(composed("experiment=released"), key) == on
    assert value(composed("experiment=corrected"), key) == value(composed(), key) == off
    last = key.rsplit(".", maxsplit=1)[-1]
    name = "features" if last == "analysis_rate" else last  # set by the option conf/features/released.yaml
    lines = (CONF / "experiment" / "released.yaml").read_text().splitlines()
    (line,) = [
        line for line in lines if line.strip().removeprefix("- override /").startswith(f"{name}: ") and "#" in line
    ]
    assert len(line.split("# bug: ")[1]) > 20


def test_released_marks_no_other_bugs():
    assert (CONF / "experiment" / "released.yaml").read_text().count("# bug: ") == len(BUGS)


def test_values_of_the_main_experiments():
    released, paper, corrected = (composed(f"experiment={e}") for e in ("released", "paper", "corrected"))
    assert released["features"]["analysis_rate"] == 22050
    assert released["features"]["filterbank_rate"] == 16000
    assert not released["model"]["masked"]
    assert released["corpus"]["downmix"] == released["audio"]["downmix"] == "interleave"
    assert released["augment"]["pcm16"]
    assert released["study_metric"]
    evaluation = {"_target_": "ser_lightning.evaluation.Evaluation"}
    assert released["evaluation"] == evaluation | {"training_mode": True, "update_statistics": True}
    for fixed in (paper, corrected):
        assert fixed["evaluation"] == evaluation | {"training_mode": False, "update_statistics": False}
    assert paper["features"]["analysis_rate"] == paper["features"]["filterbank_rate"] == 16000
    assert paper["model"]["strides"] == [1, 1]
    assert paper["model"]["masked"]
    assert corrected["features"]["standardize"]
    assert corrected["features"]["log"]
    assert [e["checkpoint"] for e in (released, paper, corrected)] == ["last", "last", "best"]
    for experiment in (released, paper, corrected):
        assert experiment["trainer"]["max_epochs"] == 80
        assert experiment["data"]["batch_size"] == 256
        assert experiment["optim"]["lr"] == 1e-3
        assert experiment["trainer"]["gradient_clip_val"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["paper", "ablation_dropout"])
def test_experiments_train_one_epoch(command, small, tmp_path, experiment):
    # tests/cli/test_train.py runs corrected and released.
    words = [f"experiment={experiment}", *small, "trainer.max_epochs=1", f"output_root={tmp_path}"]
    assert command("train", *words).code == 0
    assert (tmp_path / experiment / "dropout-p25" / "seed-0" / "result.json").is_file()
