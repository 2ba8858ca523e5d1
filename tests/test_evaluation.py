import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score
from torch import nn
from torch.utils.data import DataLoader

from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.batch import FeatureDataset, as_batch
from ser_lightning.data.sampler import BatchSampler
from ser_lightning.errors import InputError
from ser_lightning.evaluation import (
    EVALUATION_MODE,
    Evaluation,
    Predictions,
    check_batches,
    evaluation_batches,
    predict,
    write_predictions,
)

CPU = torch.device("cpu")
TRAINING_MODE = Evaluation(training_mode=True, update_statistics=False)
UPDATED = Evaluation(training_mode=False, update_statistics=True)
STUDY = Evaluation(training_mode=True, update_statistics=True)
ALL = (EVALUATION_MODE, TRAINING_MODE, UPDATED, STUDY)
N = 37  # not a multiple of the batch sizes


class Toy(nn.Module):
    """Model with dropout and BatchNorm, which behave differently in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))

    def forward(self, features, lengths):
        return self.layers(features.sum(1) / lengths[:, None])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Toy().eval()


def loader(batch_size: int, shuffle: bool = False) -> DataLoader:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, N)
    dataset = FeatureDataset(
        frames=rng.standard_normal((lengths.sum(), 4)).astype(np.float32),
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        targets=rng.integers(0, 3, N),
        utterances=[str(i) for i in range(N)],
    )
    sampler = BatchSampler(
        lengths=lengths, batch_size=batch_size, shuffle=shuffle, reshuffle=False, bucket=True, seed=0
    )
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=as_batch)


def test_predictions_are_in_dataset_order_for_any_batch_size(model):
    one = predict(model, loader(N), evaluation=EVALUATION_MODE, device=CPU)
    for batch_size in (1, 10, 36):
        other = predict(model, loader(batch_size, shuffle=True), evaluation=EVALUATION_MODE, device=CPU)
        np.testing.assert_array_equal(other.target, loader(1).dataset.targets)
        np.testing.assert_allclose(other.logits, one.logits, rtol=1e-5, atol=1e-6)
        assert other.summary()["accuracy"] == one.summary()["accuracy"]


def test_predict_uses_evaluation_mode_and_restores_the_mode(model):
    model.train()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    first, second = (predict(model, loader(10), evaluation=EVALUATION_MODE, device=CPU) for _ in range(2))
    np.testing.assert_array_equal(first.logits, second.logits)
    assert model.training
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_summary_matches_sklearn(model):
    result = predict(model, loader(10), evaluation=EVALUATION_MODE, device=CPU)
    summary = result.summary()
    assert summary["accuracy"] == pytest.approx(accuracy_score(result.target, result.prediction))
    assert summary["uar"] == pytest.approx(recall_score(result.target, result.prediction, average="macro"))
    assert summary["macro_f1"] == pytest.approx(f1_score(result.target, result.prediction, average="macro"))
    assert summary["loss"] == pytest.approx(log_loss(result.target, result.probabilities))


def batch_means(batch) -> torch.Tensor:
    """Return the input of Toy's BatchNorm, (B, 4)."""
    return batch.features.sum(1) / batch.lengths[:, None]


def state_of(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: dict, two: dict) -> bool:
    return all(torch.equal(value, two[name]) for name, value in one.items())


def by_hand(model, batches, *, mean=None, variance=None) -> np.ndarray:
    """Return the logits of Toy without dropout, in dataset order.

    Without ``mean`` and ``variance``, normalize by the statistics of the batch.
    """
    rows, logits = [], []
    with torch.no_grad():
        for batch in batches:
            x = batch_means(batch)
            center, spread = (x.mean(0), x.var(0, unbiased=False)) if mean is None else (mean, variance)
            logits.append(model.layers[2]((x - center) / (spread + 1e-5).sqrt()))
            rows.append(batch.row)
    return torch.cat(logits)[torch.cat(rows).argsort()].numpy()


def moved(model, batches) -> tuple[torch.Tensor, torch.Tensor]:
    """Return running mean and variance after one pass with momentum 0.1 and unbiased batch variance."""
    mean, variance = model.layers[0].running_mean.clone(), model.layers[0].running_var.clone()
    for batch in batches:
        x = batch_means(batch)
        mean, variance = 0.9 * mean + 0.1 * x.mean(0), 0.9 * variance + 0.1 * x.var(0, unbiased=True)
    return mean, variance


@pytest.mark.parametrize("evaluation", [TRAINING_MODE, STUDY], ids=str)
def test_training_mode_normalizes_by_batch_statistics(model, evaluation):
    model.layers[1].p = 0.0  # dropout masks cannot be computed by hand
    result = predict(model, loader(10, shuffle=True), evaluation=evaluation, device=CPU)
    np.testing.assert_allclose(result.logits, by_hand(model, loader(10, shuffle=True)), rtol=1e-4, atol=1e-5)


def test_updated_statistics_come_from_one_pass(model):
    result = predict(model, loader(10, shuffle=True), evaluation=UPDATED, device=CPU)
    mean, variance = moved(model, loader(10, shuffle=True))
    expected = by_hand(model, loader(37), mean=mean, variance=variance)
    np.testing.assert_allclose(result.logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("evaluation", [UPDATED, STUDY], ids=str)
def test_evaluation_updates_running_statistics_if_enabled(model, evaluation):
    mean, variance = moved(model, loader(10, shuffle=True))
    with (
        evaluation_batches(model, loader(10, shuffle=True), evaluation=evaluation, device=CPU) as batches,
        torch.no_grad(),
    ):
        for batch in batches:
            model(batch.features, batch.lengths)
    torch.testing.assert_close(model.layers[0].running_mean, mean)
    torch.testing.assert_close(model.layers[0].running_var, variance)
    assert not model.layers[0].training


@pytest.mark.parametrize("evaluation", [EVALUATION_MODE, TRAINING_MODE], ids=str)
def test_evaluation_keeps_running_statistics_if_disabled(model, evaluation):
    state = state_of(model)
    with evaluation_batches(model, loader(10), evaluation=evaluation, device=CPU) as batches, torch.no_grad():
        for batch in batches:
            model(batch.features, batch.lengths)
    assert equal(model.state_dict(), state)


@pytest.mark.parametrize("evaluation", ALL, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_predict_is_deterministic_and_has_no_side_effects(model, evaluation, training):
    model.train(training)
    model.layers[1].train(not training)  # Lightning may leave a layer in another mode
    state, generator = state_of(model), torch.get_rng_state()
    first = predict(model, loader(10, shuffle=True), evaluation=evaluation, device=CPU)
    assert equal(model.state_dict(), state)
    assert (model.training, model.layers[1].training) == (training, not training)
    second = predict(model, loader(10, shuffle=True), evaluation=evaluation, device=CPU)
    np.testing.assert_array_equal(first.logits, second.logits)
    assert torch.equal(torch.get_rng_state(), generator)


def test_evaluation_options_change_the_logits(model):
    logits = [predict(model, loader(10, shuffle=True), evaluation=e, device=CPU).logits for e in ALL]
    assert not np.allclose(logits[0], logits[1])
    assert not np.allclose(logits[0], logits[2])
    assert not np.allclose(logits[1], logits[2])
    # Training mode ignores the running statistics, so updating them does not change the logits.
    np.testing.assert_array_equal(logits[1], logits[3])


def test_training_mode_applies_dropout(model):
    with_dropout = predict(model, loader(10), evaluation=TRAINING_MODE, device=CPU).logits
    model.layers[1].p = 0.0
    assert not np.allclose(with_dropout, predict(model, loader(10), evaluation=TRAINING_MODE, device=CPU).logits)


class Data:
    """Stub of a data module for check_batches."""

    eval_batch_size = 9
    preparation = SimpleNamespace(split=SimpleNamespace(train=("a",), val=("b",), test=("c",)))

    def smallest_eval_batch(self, subset: str) -> int:
        return {"train": 9, "val": 2, "test": 1}[subset]


@pytest.mark.parametrize("evaluation", [TRAINING_MODE, UPDATED, STUDY], ids=str)
def test_batch_of_one_clip_raises_with_batch_statistics(evaluation):
    with pytest.raises(InputError, match=r"data.eval_batch_size is 9, which leaves a batch of test with a single clip"):
        check_batches(Data(), evaluation=evaluation)
    check_batches(Data(), evaluation=EVALUATION_MODE)


def test_write_predictions(tmp_path):
    utterances = tuple(
        Utterance(
            **{
                "id": id_,
                "path": Path(id_),
                "corpus": "c",
                "speaker": speaker,
                "gender": "male",
                "emotion": "calm",
            },
            **{"intensity": "normal", "statement": "01", "language": "en", "age": 31.0, "digest": ""},
        )
        for id_, speaker in (("a", "01"), ("b", None))
    )
    result = Predictions(np.array([0, 1]), np.log(np.array([[0.25, 0.75], [0.125, 0.875]], np.float32)))
    write_predictions(
        tmp_path / "p.csv", {"test": ([("a", ""), ("b", "")], result)}, utterances=utterances, emotions=("calm", "sad")
    )
    head, *rows = csv.reader((tmp_path / "p.csv").read_text().splitlines())
    annotation = "utterance,speaker,gender,age,language,statement,intensity"
    assert ",".join(head) == f"{annotation},subset,target,prediction,calm,sad"
    assert rows == [
        ["a", "01", "male", "31.0", "en", "01", "normal", "test", "calm", "sad", "0.250000", "0.750000"],
        ["b", "", "male", "31.0", "en", "01", "normal", "test", "sad", "sad", "0.125000", "0.875000"],
    ]
