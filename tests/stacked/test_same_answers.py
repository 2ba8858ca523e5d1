"""In double precision, the losses of a stacked run equal those of the same run alone."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from tests.configs import changed, composed
from torch.nn import functional as F

from ser_lightning.assemble import assemble_data
from ser_lightning.callbacks.folder_guard import FolderGuard
from ser_lightning.refit import Stage
from ser_lightning.stacked import arithmetic, batches
from ser_lightning.stacked.compiled import LENGTHS
from ser_lightning.stacked.runs import StackedRun
from ser_lightning.stacked.training import Stack
from ser_lightning.task import EmotionTask
from ser_lightning.train import build_task

CPU = torch.device("cpu")
EPOCHS = 3
TINY = "model.channels=[6,4] model.hidden=8 model.mlp=[12,10]"  # CNN-BiLSTM-MLP; double precision is slow
Losses = list[float]


@pytest.fixture
def losses(monkeypatch) -> dict[int, Losses]:
    """The losses of every training and validation batch, by the seed of the run."""
    found: dict[int, Losses] = defaultdict(list)
    alone, batched = EmotionTask._record, arithmetic.BatchedArithmetic._record

    def record_alone(self, batch, metrics, logits, loss):
        found[self.seed].append(loss.item())
        alone(self, batch, metrics, logits, loss)

    def record_together(self, batch, losses, logits):
        for task, size, loss in zip(self.tasks, batch.sizes, losses.tolist(), strict=True):
            if size:
                found[task.seed].append(loss)
        batched(self, batch, losses, logits)

    monkeypatch.setattr(EmotionTask, "_record", record_alone)
    monkeypatch.setattr(arithmetic.BatchedArithmetic, "_record", record_together)
    return found


def config_of(small: list[str], *words: str, seed: int, **values: Any) -> dict[str, Any]:
    chosen = [word for word in small if word.startswith(("corpus=", "split="))]
    set_ = [word for word in small if word not in chosen]
    config = changed(composed(*chosen, *words), *set_, f"seed={seed}", f"trainer.max_epochs={EPOCHS}", "threads=1")
    return changed(config, *(f"{key}={value}" for key, value in values.items()))


def prepared(config: dict[str, Any]) -> tuple[EmotionTask, Any]:
    data = assemble_data(config, progress=lambda results, _: results)
    task, _ = build_task(config, data)
    data.prepare_data()
    data.setup()
    for dataset in data.datasets.values():
        dataset.frames = DoubleFrames(dataset.frames)  # so that batches are augmented in double precision, too
    if config["data"]["teacher"] is not None:
        targets = data.datasets["train"].targets
        soft = np.random.default_rng(0).dirichlet(np.ones(8), len(targets))
        data.datasets["train"].shares = (0.6 * F.one_hot(targets, 8) + 0.4 * torch.from_numpy(soft)).float()
    return task, data


class DoubleFrames:
    """Frames of a feature cache in double precision."""

    dtype, itemsize = np.dtype(np.float64), 8

    def __init__(self, frames: Any) -> None:
        self.frames, self.shape = frames, frames.shape

    def __getitem__(self, clip: slice) -> np.ndarray:
        return self.frames[clip].astype(np.float64)


def train_alone(config: dict[str, Any]) -> EmotionTask:
    task, data = prepared(config)
    options = {key: value for key, value in config["trainer"].items() if key != "_target_"}
    trainer = pl.Trainer(
        **options | {"precision": "64-true", "enable_progress_bar": False, "enable_checkpointing": False},
        logger=False,
    )
    trainer.fit(task, datamodule=data)
    return task


def train_stacked(configs: list[dict[str, Any]], folder: Path, *, batched: bool, compiled: bool) -> list[EmotionTask]:
    runs = []
    for config in configs:
        task, data = prepared(config)
        task.fit_statistics(data)
        guard = FolderGuard(folder=folder)
        stage = Stage(log_file=folder / "train.log")
        parts = {"config": config, "folder": folder, "stage": stage, "guard": guard, "initialization": None}
        runs.append(StackedRun(**parts, identity={}, data=data, task=task.double()))
    stack = Stack(runs, device=CPU, batched=batched, compiled=compiled)
    for _ in range(EPOCHS):
        assert all(isinstance(outcome, bool) for outcome in stack.train_epoch())
    stack.weights.release()
    return [run.task for run in runs]


def check(
    losses: dict[int, Losses],
    configs: list[dict[str, Any]],
    folder: Path,
    *,
    batched: bool = True,
    compiled: bool = False,
) -> list[EmotionTask]:
    tasks = train_stacked(configs, folder, batched=batched, compiled=compiled)
    stacked = {seed: list(values) for seed, values in losses.items()}
    losses.clear()
    for config, task in zip(configs, tasks, strict=True):
        alone = train_alone(config)
        seed = config["seed"]
        assert len(losses[seed]) >= 2 * EPOCHS
        assert stacked[seed] == pytest.approx(losses[seed], abs=1e-9)
        state = task.state_dict()
        for name, value in alone.state_dict().items():
            assert torch.allclose(state[name], value, rtol=0, atol=1e-7), name
        names = task.history.epochs[0]["values"]
        for ours, theirs in zip(task.history.epochs, alone.history.epochs, strict=True):
            assert ours["step"] == theirs["step"]
            assert list(ours["values"]) == list(theirs["values"]) == list(names)
            assert ours["values"] == pytest.approx(theirs["values"], abs=1e-6)
    assert len({tuple(values) for values in losses.values()}) == len(configs), "the runs differ"
    return tasks


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batched", [pytest.param(False, marks=pytest.mark.slow), True])
def test_values_that_may_differ(small, tmp_path, losses, batched):
    values = [
        {"dropout.p": 0.0, "optim.lr": 0.003},
        {"dropout.p": 0.3, "loss.label_smoothing": 0.1, "split.seed": 4},
        {"dropout.p": 0.5, "loss.class_weights": True, "trainer.gradient_clip_val": 0.5, "data.balance": "classes"},
    ]
    words = ("optim=adamw", "scheduler=warmup_cosine", *TINY.split())
    configs = [config_of(small, *words, seed=seed) for seed in range(3)]
    for config, own in zip(configs, values, strict=True):
        changed(config, *(f"{key}={value}" for key, value in own.items()))
        config["model"]["dropout"] = config["dropout"]["p"]
    check(losses, configs, tmp_path, batched=batched)


def configs_of(small: list[str], words: str) -> list[dict[str, Any]]:
    values = [word for word in words.split() if "." in word.partition("=")[0]]
    options = [word for word in words.split() if word not in values]
    return [config_of(small, *options, *values, seed=seed) for seed in range(2)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_frozen_modules_and_rates_of_modules(small, tmp_path, losses):
    """One of the frozen modules is a BatchNorm, and one is a dropout layer."""
    words = "experiment=corrected freeze=[convolutions,classifier.0,classifier.3] lr_factors={lstm:0.1,classifier:3}"
    more = "optim=adamw scheduler=warmup_cosine dropout.p=0.2 trainer.gradient_clip_val=0.3"
    for task in check(losses, configs_of(small, f"{words} {more} {TINY}"), tmp_path):
        assert task.model.get_buffer("classifier.0.num_batches_tracked") == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ensembles(small, tmp_path, losses):
    words = f"experiment=corrected {TINY} dropout.p=0.2 loss.label_smoothing=0.1 ensemble=2"
    check(losses, configs_of(small, words), tmp_path, compiled=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_soft_targets_and_features_normalized_by_speaker(small, tmp_path, losses, monkeypatch):
    """The runs have other folds, and one of them has a teacher."""
    monkeypatch.setattr(batches, "fits", lambda *_: True)
    configs = [config_of(small, "split=kfold", *TINY.split(), seed=seed, **{"split.fold": seed}) for seed in range(2)]
    for config in configs:
        config["data"]["normalize"] = "speaker"
    configs[1]["data"]["teacher"] = "by hand"
    check(losses, configs, tmp_path)


NETWORKS = [
    f"experiment=released {TINY} optim.lr=0.0003",  # unstandardized features amplify rounding errors at a higher rate
    f"experiment=released {TINY} features=logmel data.eval_batch_size=5 evaluation.training_mode=false",
    f"experiment=paper {TINY} model.conv_activation=leaky_relu model.pool_strides=[2,1] optim=sgd scheduler=plateau",
    "model=mlp features=functionals split=kfold optim=adamw scheduler=one_cycle",
    "model=encoder_head loss.class_weights=true",
    "model=res_lstm features=mfcc_chroma model.hidden=16 scheduler=cosine_restarts",
    "experiment=generalist split=random model.channels=[4,8] model.blocks=1 model.attention=4 model.dropout=0.3"
    " features.n_mels=32 audio.duration_s=1",
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("words", NETWORKS)
def test_networks(small, tmp_path, losses, monkeypatch, words):
    monkeypatch.setattr(batches, "fits", lambda *_: True)  # gather and augment batches as on a GPU
    check(losses, configs_of(small, words), tmp_path)


COMPILED = [words for words in NETWORKS if "head" in words or "generalist" in words]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("words", COMPILED)
def test_compiled_step(small, tmp_path, losses, words):
    check(losses, configs_of(small, words), tmp_path, compiled=True)
    assert 1 <= torch._dynamo.utils.counters["stats"]["unique_graphs"] <= LENGTHS  # of other steps, none is compiled
