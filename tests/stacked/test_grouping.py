"""Which runs of a sweep are trained as one."""

import pytest
from tests.configs import changed, composed

from ser_lightning.stacked.grouping import group_runs, reason_against


def runs(*words: str) -> list[dict]:
    found = []
    for number, word in enumerate(words):
        options = [part for part in word.split() if "." not in part.partition("=")[0]]
        values = [part for part in word.split() if part not in options]
        found.append(changed(composed(*options), *values, f"folder=outputs/{number}"))
    return found


def test_runs_that_differ_in_values_are_grouped():
    words = (
        "seed=0",
        "dropout=none",
        "optim.lr=0.01 optim.weight_decay=0.1",
        "loss.label_smoothing=0.1",
        "split=kfold",
        "data.teacher=outputs/run data.teacher_share=0.3",
    )
    assert group_runs(runs(*words)).stacks == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    "word",
    ["features=mfcc", "model.hidden=40", "data.batch_size=32", "model.masked=false", "freeze=[lstm]", "ensemble=2"],
)
def test_runs_of_other_shapes_are_not_grouped(word):
    groups = group_runs(runs("seed=0", "seed=1", word))
    assert groups.stacks == [[0, 1]]
    assert list(groups.others) == [2]


def test_strength_of_batch_augmentation_may_differ_and_copies_may_not():
    assert group_runs(runs("augment=mixup", "augment=mixup augment.alpha=0.4")).stacks == [[0, 1]]
    assert group_runs(runs("augment=paper", "augment=paper augment.noise_sigma=0.1")).stacks == []


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("model=svm", "classical"),
        ("trainer.precision=bf16-mixed", "trainer.precision"),
        ("trainer.devices=2", "trainer.devices"),
        ("trainer.accelerator=tpu", "trainer.accelerator"),
        ("callbacks=[default,weight_averaging]", "callbacks.weight_averaging"),
    ],
)
def test_reason_names_what_a_stack_does_not_have(word, named):
    assert named in str(reason_against(runs(word)[0]))
    assert reason_against(runs("seed=3")[0]) is None


def test_runs_with_one_folder_are_not_grouped():
    pair = [changed(config, "folder=outputs/same") for config in runs("seed=0", "seed=1")]
    assert group_runs(pair).stacks == []
