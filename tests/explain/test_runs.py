"""Importance of feature groups and embeddings: planted causes are found, and options change the results."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.data.batch import FeatureDataset
from ser_lightning.explain.embeddings import measure_nearness, represent
from ser_lightning.explain.importance import exchange, importance_groups, permutation_importance
from ser_lightning.features.mel import LogMel
from ser_lightning.reevaluate import OpenRun, open_run

CEPSTRA = slice(13, 33)
MEL = LogMel(
    sampling_rate=16000,
    analysis_rate=16000,
    standardize=True,
    n_fft=512,
    hop_length=256,
    win_length=512,
    window="hann",
    n_mels=40,
)


class NearestCentroid(nn.Module):
    """Classifier by the mean cepstra of a clip alone, fitted to the clips that it is tested on."""

    def __init__(self, run: OpenRun, classes: int) -> None:
        super().__init__()
        clips = run.data.datasets["test"]
        batch = clips.__getitems__(list(range(len(clips))))
        means = self.means(batch.features, batch.lengths)
        self.centroids = torch.stack([means[batch.target == target].mean(0) for target in range(classes)])

    @staticmethod
    def means(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return features[:, :, CEPSTRA].sum(1) / lengths[:, None]

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return -torch.cdist(self.means(features, lengths), self.centroids).nan_to_num(1e6)


@pytest.fixture(scope="module")
def run(trained) -> OpenRun:
    path = trained / "checkpoints" / "best.ckpt"
    checkpoint = read_checkpoint(path)
    return open_run(checkpoint, checkpoint.config, path=path)


def test_importance_finds_the_block_that_the_model_depends_on(run):
    classes = len(run.data.preparation.corpus.emotions)
    planted = OpenRun(model=NearestCentroid(run, classes), data=run.data, evaluation=run.evaluation)
    groups = importance_groups(run.data.preparation.features)
    assert [(group.name, len(group.columns)) for group in groups] == [
        *[("zcr", 1), ("chroma", 12), ("mfcc", 20), ("rms", 1), ("mel", 128), ("all", 162)]
    ]
    score, found = permutation_importance([planted], groups, repeats=3, seed=0)
    drops = {each.group: each.drop for each in found}
    assert drops["mfcc"] == drops["all"] > 20
    assert [drops[name] for name in ("zcr", "chroma", "rms", "mel")] == [0, 0, 0, 0]
    assert score - drops["mfcc"] < 50

    pooled, _ = permutation_importance([planted, planted], groups[:1], repeats=1, seed=0)
    assert pooled == pytest.approx(score)


def test_a_spectrum_is_divided_into_bands():
    names = [group.name for group in importance_groups(MEL)]
    assert len(names) == 9
    assert names[0].startswith("0-")
    assert names[-2:] == ["5.3-8.0 kHz", "all"]


def test_exchanged_features_are_stretched_to_the_clip():
    clips = FeatureDataset(
        frames=np.arange(12, dtype=np.float32).reshape(6, 2),
        offsets=np.array([0, 4]),
        lengths=np.array([4, 2]),
        targets=np.array([0, 1]),
        utterances=["a", "b"],
    )
    found = exchange(clips, np.array([1]), np.array([1, 0])).frames
    assert found[:, 0].tolist() == [0, 2, 4, 6, 8, 10]
    assert found[:, 1].tolist() == [9, 9, 11, 11, 1, 5]


def test_nearness_separates_what_lies_together_from_what_does_not():
    generator = np.random.default_rng(0)
    speakers, emotions = (
        np.array(values) for values in zip(*[(s, e) for s in "abcd" for e in "xyz"] * 10, strict=True)
    )
    place = {speaker: 10 * generator.normal(size=8) for speaker in "abcd"}
    vectors = np.stack([place[speaker] for speaker in speakers]) + generator.normal(size=(120, 8))
    corpora = np.where(np.isin(speakers, ["a", "b"]), "first", "second")
    found = measure_nearness(vectors, {"emotion": emotions, "speaker": speakers, "corpus": corpora})
    assert (found["corpus"].neighbor, found["corpus"].chance) == (1, pytest.approx(59 / 119))
    assert found["speaker"].silhouette > 0.5
    assert found["speaker"].neighbor == 1
    assert found["speaker"].chance == pytest.approx(0.25)
    assert abs(found["emotion"].silhouette) < 0.1
    assert found["emotion"].neighbor == pytest.approx(1 / 3, abs=0.15)


def test_representations_are_those_of_the_test_clips(run):
    vectors, utterances = represent(run)
    assert [utterance.id for utterance in utterances] == run.data.datasets["test"].utterances
    assert {name: found.shape[1] for name, found in vectors.items()} == {"features": 162, "embedding": 50, "output": 8}
    output = run.model.classifier[-1]
    logits = vectors["embedding"] @ output.weight.detach().numpy().T + output.bias.detach().numpy()
    assert logits == pytest.approx(vectors["output"], abs=1e-4)


def explained(succeed, folder: Path, *words: str) -> dict:
    succeed("explain", *words, "--output", str(folder))
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_command_writes_importance_and_embeddings(succeed, trained, tmp_path):
    found = explained(succeed, tmp_path / "a", str(trained), "--importance", "--embeddings", "--repeats", "2")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        f"{name}{ending}" for name in ("importance", "embeddings") for ending in (".json", ".md", ".png")
    }
    result = json.loads((trained / "result.json").read_text())
    assert found["importance"]["uar"] == pytest.approx(100 * result["metrics"]["test"]["uar"])
    assert len(found["embeddings"]["places"]["embedding"]) == len(found["embeddings"]["clips"])
    assert set(found["embeddings"]["labels"]) == {"emotion", "speaker"}

    other = explained(
        succeed,
        *(tmp_path / "b", str(trained / "checkpoints" / "best.ckpt"), "--importance", "--embeddings"),
        *("--repeats", "1", "--map", "tsne"),
    )
    assert other["importance"]["importance"][0]["sd"] is None
    assert other["embeddings"]["nearness"] == found["embeddings"]["nearness"]
    assert other["embeddings"]["places"] != found["embeddings"]["places"]


@pytest.mark.slow
def test_umap_draws_another_map(succeed, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("numba.config.DISABLE_JIT", True)  # compiling umap's code takes half a minute
    found = explained(succeed, tmp_path / "a", str(trained), "--embeddings", "--map", "umap")
    assert np.isfinite(found["embeddings"]["places"]["embedding"]).all()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--embeddings", "--map", "som"], "expected one of pca, tsne, umap"),
        (["--importance", "--output", "/dev/null"], "/dev/null is not a folder"),
        (["--importance", "--set", "split=random"], "split"),
        ([], "give sound files"),
    ],
)
def test_bad_options_of_runs_end_in_one_line(refused, trained, words, expected):
    line = refused("explain", str(trained), *words)
    assert expected in line
