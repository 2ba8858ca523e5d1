"""Explanations of clips: planted causes are found, sums are complete, and random weights change the explanation."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.errors import InputError
from ser_lightning.explain.explanation import Explanation
from ser_lightning.explain.gradients import check_gradients, integrated_gradients
from ser_lightning.explain.groups import feature_bands, feature_groups
from ser_lightning.explain.occlusion import AudioOcclusion, FeatureOcclusion, explain_by_occlusion
from ser_lightning.features.filterbanks import mel_edges
from ser_lightning.predict.torch_scorer import TorchScorer, pad

NAMES = ("zcr", "chroma_01", "chroma_02", "mfcc_01", "mfcc_02", "mfcc_03", "rms", "mel_001", "mel_002")
RATE = 16000


class OneBlock(nn.Module):
    """Network whose logits depend on the cepstra of the first 20 frames alone, not linearly."""

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        squares = features[:, :20, 3:6].square().sum((1, 2))
        return torch.stack([torch.zeros_like(squares), squares], dim=1)


@pytest.fixture
def planted() -> FeatureOcclusion:
    features = np.random.default_rng(0).normal(size=(40, len(NAMES))).astype(np.float32)
    return FeatureOcclusion(
        features,
        seconds=4.0,
        block=1.0,
        groups=feature_groups(NAMES),
        baseline=np.full(len(NAMES), 0.5, np.float32),
        scale=np.ones(len(NAMES), np.float32),
    )


def score(clips: list[np.ndarray]) -> np.ndarray:
    return OneBlock()(*pad(clips)).double().numpy()


def test_occlusion_finds_the_block_that_the_network_depends_on(planted):
    found = explain_by_occlusion(score, planted.features, planted, emotion=1)
    mfcc = found.rows.index("mfcc")
    expected = (np.square(planted.features[:, 3:6]) - 0.25).reshape(4, 30).sum(1)
    assert found.contributions[:2, mfcc] == pytest.approx(expected[:2], abs=1e-3)
    assert found.by_time[2:].tolist() == [0, 0]
    assert (np.delete(found.contributions, mfcc, axis=1) == 0).all()
    assert (np.delete(found.by_row, mfcc) == 0).all()
    assert found.total == pytest.approx(found.by_row[mfcc]) == pytest.approx(expected[:2].sum(), abs=1e-3)


def test_integrated_gradients_find_the_block_and_add_up(planted):
    found = integrated_gradients(OneBlock(), planted, emotion=1)
    mfcc = found.rows.index("mfcc")
    assert (np.delete(found.contributions, mfcc, axis=1) == 0).all()
    assert (found.contributions[2:] == 0).all()
    assert found.contributions.sum() == pytest.approx(found.total, abs=1e-4)
    logits = score([planted.features, planted.occlude(None, None)])[:, 1]
    assert found.total == pytest.approx(logits[0] - logits[1], abs=1e-4)


def test_gradients_of_a_model_without_parameters_are_refused():
    with pytest.raises(InputError, match="model.ckpt is a classical model"):
        check_gradients(OneBlock(), path="model.ckpt")


def test_occlusion_of_audio_finds_the_band_and_the_time():
    time = np.arange(2 * RATE) / RATE
    low, high = (0.3 * np.sin(2 * np.pi * hertz * time) for hertz in (300, 5000))
    quiet = 1e-3 * np.random.default_rng(0).normal(size=len(time))
    wave = (quiet + np.where(time < 1, high, 0) + np.where(time < 1, low, 0)).astype(np.float32)
    bins = np.fft.rfftfreq(len(wave), 1 / RATE) > 4000

    def loudness(waves: list[np.ndarray]) -> np.ndarray:
        energy = [np.square(np.abs(np.fft.rfft(each)[bins])).mean() / len(each) for each in waves]
        return np.array(energy)[:, None]

    clip = AudioOcclusion(wave, rate=RATE, block=0.5, bands=6)
    found = explain_by_occlusion(loudness, wave, clip, emotion=0)
    edges = mel_edges(sampling_rate=RATE, n_mels=5)
    band = int(np.searchsorted(edges, 5000)) - 1
    share = found.contributions / found.total
    assert share[:2, band] == pytest.approx([0.5, 0.5], abs=0.1)
    share[:2, band] = 0
    assert np.abs(share).max() < 0.03
    assert found.by_time / found.total == pytest.approx([0.5, 0.5, 0, 0], abs=0.1)


def test_blocks_and_bands_of_features(trained):
    extractor = _scorer(trained).extract
    bands = feature_bands(extractor, bands=4)
    assert [name for name, _ in bands[:4]] == ["zcr", "chroma", "mfcc", "rms"]
    assert [len(columns) for _, columns in bands] == [1, 12, 20, 1, 32, 32, 32, 32]
    assert np.concatenate([columns for _, columns in bands]).tolist() == list(range(162))
    assert bands[-1].name.endswith("-8.0 kHz")


def _scorer(run: Path) -> TorchScorer:
    path = run / "checkpoints" / "best.ckpt"
    checkpoint = read_checkpoint(path)
    return TorchScorer(checkpoint, checkpoint.config, path=path, one_speaker=False)


def test_random_weights_change_the_explanation(trained, synthetic_root):
    """The sanity check of Adebayo et al. 2018 (arXiv 1810.03292), which edge detectors fail."""
    scorer, random = _scorer(trained), _scorer(trained)
    torch.manual_seed(1)
    for module in random.model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    correlations: dict[str, list[float]] = {}
    for number in range(6):
        wave = np.random.default_rng(number).normal(size=RATE).astype(np.float32) * np.hanning(RATE).astype(np.float32)
        first, second = (_both(each, 0.1 * wave) for each in (scorer, random))
        for one, other in zip(first, second, strict=True):
            assert one.error is None or abs(one.error) < 0.02 * max(1, abs(one.total))
            same = spearmanr(np.abs(one.contributions).ravel(), np.abs(other.contributions).ravel()).statistic
            correlations.setdefault(one.method, []).append(same)
            again = spearmanr(one.contributions.ravel(), one.contributions.ravel()).statistic
            assert again == pytest.approx(1)
    assert set(correlations) == {"features", "gradients"}
    for values in correlations.values():
        assert abs(np.mean(values)) < 0.5


def _both(scorer: TorchScorer, wave: np.ndarray) -> list[Explanation]:
    features = scorer.extract(wave)
    known = scorer.model.standardize
    clip = FeatureOcclusion(
        features,
        seconds=len(wave) / RATE,
        block=0.1,
        groups=feature_bands(scorer.extract, bands=8),
        baseline=known.mean.numpy(),
        scale=known.deviation.numpy(),
    )
    by_occlusion = explain_by_occlusion(scorer.score_features, features, clip, emotion=4)
    return [by_occlusion, integrated_gradients(scorer.model, clip, emotion=4)]


@pytest.fixture(scope="module")
def clips(synthetic_root, trained) -> list[str]:
    return [str(path) for path in sorted(synthetic_root.rglob("*.flac"))[:2]]


def test_page_has_the_clips_and_needs_no_other_file(succeed, trained, clips, tmp_path):
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.jsonl"
    methods = ("--method", "audio", "--method", "features", "--method", "gradients")
    succeed("explain", str(trained), *clips, *methods, "--output", str(page))
    text = page.read_text(encoding="utf-8")
    assert text.count("<audio") == 2
    assert text.count('class="map"') == 6
    assert not [link for link in re.findall(r'(?:src|href)="([^"]*)"', text) if not link.startswith("data:")]
    assert "http" not in text

    succeed("explain", str(trained), *clips, *methods, "--output", str(numbers))
    rows = [json.loads(line) for line in numbers.read_text(encoding="utf-8").splitlines()]
    assert [row["path"] for row in rows] == clips
    for row in rows:
        assert row["emotion"] == max(row["probabilities"], key=row["probabilities"].get)
        for found in row["explanations"]:
            assert np.shape(found["contributions"]) == (len(found["seconds"]) - 1, len(found["rows"]))
            assert found["seconds"][-1] == pytest.approx(row["seconds"])
    gradients = rows[0]["explanations"][2]
    assert np.sum(gradients["contributions"]) == pytest.approx(gradients["total"], abs=0.05)


def test_options_change_the_explanation(succeed, trained, clips):
    def explained(*words: str) -> dict:
        done = succeed("explain", str(trained / "checkpoints" / "best.ckpt"), clips[0], "--json", *words)
        return json.loads(done.out)

    plain = explained()
    (found,) = plain["explanations"]
    assert (found["method"], len(found["rows"])) == ("audio", 8)
    (coarse,) = explained("--bands", "3", "--block", "0.5")["explanations"]
    assert len(coarse["rows"]) == 3
    assert len(coarse["seconds"]) < len(found["seconds"])
    other = next(name for name in plain["probabilities"] if name != plain["emotion"])
    (changed,) = explained("--emotion", other)["explanations"]
    assert changed["contributions"] != found["contributions"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--method", "shap", "--json"], "expected one of audio, features, gradients"),
        (["--emotion", "joy", "--json"], "knows neutral"),
        ([], "give --output page.html"),
        (["--output", "page.txt"], ".html or .jsonl"),
    ],
)
def test_bad_options_end_in_one_line(refused, trained, clips, words, expected):
    line = refused("explain", str(trained), clips[0], *words)
    assert expected in line


def test_unreadable_clips_are_left_out(command, trained, clips, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    done = command("explain", str(trained), str(broken), clips[0], "--json")
    assert done.code == 3
    assert [json.loads(line)["path"] for line in done.out.splitlines()] == [clips[0]]
    assert "broken.wav" in done.err
