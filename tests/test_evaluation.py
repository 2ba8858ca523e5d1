import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score
from torch import nn
from torch.utils.data import DataLoader

from ser_lightning.corpus.utterance import Utterance
from ser_lightning.data.batch import FeatureDataset
from ser_lightning.data.sampler import BatchSampler
from ser_lightning.evaluation import Predictions, predict, study_metric, write_predictions

CPU = torch.device("cpu")
N = 37  # no multiple of a batch


class Toy(nn.Module):
    """A model with the two things that behave otherwise in training: dropout and BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))

    def forward(self, features, lengths):
        return self.layers(features.sum(2) / lengths[:, None])


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
    return DataLoader(dataset, sampler=sampler, batch_size=None)


def test_predictions_come_in_the_order_of_the_dataset_whatever_the_batches(model):
    one = predict(model, loader(N), device=CPU)
    for batch_size in (1, 10, 36):
        other = predict(model, loader(batch_size, shuffle=True), device=CPU)
        np.testing.assert_array_equal(other.target, loader(1).dataset.targets)
        np.testing.assert_allclose(other.logits, one.logits, rtol=1e-5, atol=1e-6)
        assert other.summary()["accuracy"] == one.summary()["accuracy"]


def test_predict_is_in_evaluation_mode_and_leaves_the_mode_as_it_was(model):
    model.train()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    first, second = (predict(model, loader(10), device=CPU) for _ in range(2))
    np.testing.assert_array_equal(first.logits, second.logits)
    assert model.training
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_summary_is_scikit_learns(model):
    result = predict(model, loader(10), device=CPU)
    summary = result.summary()
    assert summary["accuracy"] == pytest.approx(accuracy_score(result.target, result.prediction))
    assert summary["uar"] == pytest.approx(recall_score(result.target, result.prediction, average="macro"))
    assert summary["macro_f1"] == pytest.approx(f1_score(result.target, result.prediction, average="macro"))
    assert summary["loss"] == pytest.approx(log_loss(result.target, result.probabilities))


def test_the_study_metric_divides_by_batches_and_trains_while_it_tests(model):
    model.layers[1].p = 0.0  # without dropout the arithmetic can be done by hand
    figure, counted = study_metric(model, loader(10, shuffle=True), device=CPU)
    correct = 0
    with torch.no_grad():
        for batch in loader(10, shuffle=True):
            x = batch.features.sum(2) / batch.lengths[:, None]
            x = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
            correct += int((model.layers[2](x).argmax(1) == batch.target).sum())
    assert figure == correct / 4  # 37 clips are 4 batches
    assert counted["accuracy"] == correct / N


def test_the_study_metric_touches_neither_model_nor_random_state(model):
    state = {k: v.clone() for k, v in model.state_dict().items()}
    generator = torch.get_rng_state()
    first = study_metric(model, loader(10, shuffle=True), device=CPU)
    assert study_metric(model, loader(10, shuffle=True), device=CPU) == first
    assert torch.equal(torch.get_rng_state(), generator)
    assert not model.training
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


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
            **{"intensity": "normal", "statement": "01", "repetition": 1, "digest": ""},
        )
        for id_, speaker in (("a", "01"), ("b", "02"))
    )
    result = Predictions(np.array([0, 1]), np.log(np.array([[0.25, 0.75], [0.125, 0.875]], np.float32)))
    write_predictions(
        tmp_path / "p.csv", {"test": (["a", "b"], result)}, utterances=utterances, emotions=("calm", "sad")
    )
    rows = list(csv.reader((tmp_path / "p.csv").read_text().splitlines()))
    assert rows == [
        ["utterance", "speaker", "subset", "target", "prediction", "calm", "sad"],
        ["a", "01", "test", "calm", "sad", "0.250000", "0.750000"],
        ["b", "02", "test", "sad", "sad", "0.125000", "0.875000"],
    ]
