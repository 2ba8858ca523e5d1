"""Weights of a checkpoint as a starting point, frozen modules and learning rates by module."""

import json
import math

import pytest
import torch
from torch import nn

from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.errors import InputError
from ser_lightning.fine_tuning import check_lr_factors, freeze, initialize, parameter_groups, set_frozen_mode
from ser_lightning.task import EmotionTask


@pytest.fixture(scope="module")
def best(trained):
    return trained / "checkpoints" / "best.ckpt"


def started(best, *, emotions=None, **change) -> tuple[EmotionTask, dict]:
    """Return an untrained task that starts from a checkpoint, and what was taken."""
    checkpoint = read_checkpoint(best)
    config = checkpoint.config | {"init_from": str(best), "init_from_sha256": "x"} | change
    emotions = checkpoint.emotions if emotions is None else emotions
    task = EmotionTask.from_config(config, emotions=emotions, features=checkpoint.features)
    return task, initialize(task.model, config, emotions=emotions, features=checkpoint.features)


def test_all_weights_are_taken_for_the_same_labels(best):
    task, found = started(best)
    state = read_checkpoint(best).state
    assert set(found["new"]) == {"standardize.mean", "standardize.deviation"}
    assert found["unused"] == found["warnings"] == []
    for name, value in task.model.state_dict().items():
        assert torch.equal(value, state[f"model.{name}"]) == (name in found["taken"]), name


@pytest.mark.parametrize("change", [lambda e: e[1:], lambda e: tuple(reversed(e))], ids=["fewer", "other order"])
def test_output_layer_is_new_for_other_labels(best, change):
    emotions = change(read_checkpoint(best).emotions)
    task, found = started(best, emotions=emotions)
    output = {name for name, reason in found["new"].items() if "labels differ" in reason}
    assert output == {"classifier.7.weight", "classifier.7.bias"}
    assert task.model.classifier[7].out_features == len(emotions)
    stored = read_checkpoint(best).state["model.classifier.7.weight"]
    assert not torch.equal(task.model.classifier[7].weight[:7], stored[:7])


def test_tensors_of_another_shape_are_reported(best):
    config = read_checkpoint(best).config
    _, found = started(best, model=config["model"] | {"mlp": [60, 40]})
    assert {name for name, reason in found["new"].items() if "shape" in reason} == {
        *("classifier.4.weight", "classifier.4.bias", "classifier.7.weight"),
    }
    _, found = started(best, model=config["model"] | {"mlp": [60]})
    assert "classifier.7.bias" in found["unused"]


def test_checkpoint_without_a_fitting_weight_is_refused(best, tmp_path):
    raw = torch.load(best, weights_only=True)
    raw["state_dict"] = {f"model.x.{name}": value for name, value in raw["state_dict"].items()}
    torch.save(raw, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"no weight of .*other\.ckpt fits"):
        started(tmp_path / "other.ckpt")


def test_possible_leakage_and_other_features_are_reported(best):
    config = read_checkpoint(best).config
    _, found = started(best, split=config["split"] | {"seed": 9})
    assert ["test clips" in warning for warning in found["warnings"]] == [True]
    _, found = started(best, features=config["features"] | {"n_fft": 1024})
    assert ["features" in warning for warning in found["warnings"]] == [True]


def test_frozen_modules_keep_their_weights_statistics_and_mode():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.LSTM(4, 4), nn.Linear(4, 2))
    frozen = freeze(network, ["1", "2", "3"])
    network.train()
    set_frozen_mode(frozen)
    assert [module.training for module in network] == [True, False, False, True, True]
    assert [p.requires_grad for p in network[1].parameters()] == [False, False]
    before = network[1].running_mean.clone()
    network[:3](torch.randn(8, 4)).sum().backward()
    assert torch.equal(network[1].running_mean, before)
    assert network[0].weight.grad is not None
    assert network[1].weight.grad is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["clasifier"], "freeze names 'clasifier'.*'classifier'"),
        (["classifier.9"], "freeze names 'classifier.9'"),
        (["classifier", "convolution"], "leaves no parameter"),
        ([3], "freeze names 3"),
        ("classifier", "freeze is 'classifier'; expected a list"),
    ],
)
def test_invalid_freeze_is_refused(names, message):
    network = nn.ModuleDict({"convolution": nn.Conv1d(1, 1, 1), "classifier": nn.Sequential(nn.Linear(1, 1))})
    with pytest.raises(InputError, match=message):
        freeze(network, names)


def test_learning_rates_by_module():
    network = nn.ModuleDict({"a": nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)), "ab": nn.Linear(1, 1)})
    freeze(network, ["ab"])
    groups = parameter_groups(network.named_parameters(), lr=0.5, factors={"a": 0.1, "a.1": 2.0})
    assert [group["lr"] for group in groups] == [0.05, 1.0]
    assert [list(map(id, group["params"])) for group in groups] == [
        [id(p) for p in network["a"][0].parameters()],
        [id(p) for p in network["a"][1].parameters()],
    ]
    (group,) = parameter_groups(network.named_parameters(), lr=0.5, factors={"ab": 0.1})
    assert group["lr"] == 0.5


@pytest.mark.parametrize(
    ("factors", "scheduler", "message"),
    [
        ({"b": 1.0}, {}, "lr_factors names 'b'"),
        ({"a": 0}, {}, r"lr_factors\.a is 0; .*freeze=\[a\]"),
        ({"a": math.inf}, {}, r"lr_factors\.a is inf"),
        ({"a": True}, {}, r"lr_factors\.a is True"),
        (0.1, {}, "lr_factors is 0.1"),
        ({"a": 0.1}, {"max_lr": 1}, "has no effect"),
    ],
)
def test_invalid_learning_rate_factors_are_refused(factors, scheduler, message):
    with pytest.raises(InputError, match=message):
        check_lr_factors(factors, nn.ModuleDict({"a": nn.Linear(1, 1)}), optimizer={"lr": 0.1}, scheduler=scheduler)


def test_learning_rate_factors_need_a_learning_rate():
    with pytest.raises(InputError, match=r"optim\.lr"):
        check_lr_factors({"a": 0.1}, nn.ModuleDict({"a": nn.Linear(1, 1)}), optimizer={}, scheduler={})


def test_fine_tuned_run(command, succeed, refused, small, best, tmp_path):
    """Frozen weights stay, a small factor moves weights less, and the result names what was taken."""
    words = ["experiment=corrected", *small, f"output_root={tmp_path}", f"init_from={best}", "run_id=x"]
    more = ["freeze=[convolutions,standardize,classifier.0]", "lr_factors={lstm: 0.01}", "corpus.merge={calm: neutral}"]
    done = succeed("train", *words, *more, "trainer.max_epochs=1")
    assert "init_from: " in done.err
    folder = tmp_path / "corrected" / "x"
    result = json.loads((folder / "result.json").read_text())
    assert set(result["initialization"]["new"]) == {"classifier.7.weight", "classifier.7.bias"}
    assert result["config"]["init_from_sha256"] == result["initialization"]["sha256"]
    before, after = (read_checkpoint(p).state for p in (best, folder / "checkpoints" / "last.ckpt"))
    moved = {
        name.removeprefix("model."): (value - before[name]).abs().max().item()
        for name, value in after.items()
        if value.shape == before[name].shape
    }
    frozen = ("convolutions", "standardize", "classifier.0.")  # a BatchNorm, with its running statistics
    assert {moved[name] for name in moved if name.startswith(frozen)} == {0.0}
    assert 0 < moved["lstm.forward_lstm.weight_hh_l0"] < 0.1 * moved["classifier.1.weight"]

    line = refused("train", *words, *more, "trainer.max_epochs=2")
    assert "name=" in line
    assert f"init_from={folder}" in line
    other = command("train", *words[:-1], "run_id=y", "freeze=[convolution]")
    assert other.code == 1
    assert "freeze names 'convolution'" in other.err
