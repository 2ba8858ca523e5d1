"""Every network of conf/model, exported for one clip of any length, equals the network itself."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tests.export.conftest import FRAMES, run_graph

from ser_lightning.build import is_baseline
from ser_lightning.checkpoint import build_model
from ser_lightning.config_files import options, values_of
from ser_lightning.errors import InputError
from ser_lightning.export.graph import OneClip, trace
from ser_lightning.models.ensemble import Ensemble

FEATURES = {
    "crnn_attention": 120,
    "encoder_head": 1152,
    "fine_tuned_encoder": 384,
    "drcnn": 200,
    "attention_fcn": 200,
    "res_lstm": 46,
}
SMALLER = {
    "lim_tdcnn": {"hidden": 8},
    "lim_lstm": {"hidden": 8},
    "drcnn": {"hidden": [16]},
    "crnn_attention": {"linear": 16, "channels": [4, 4]},
}
NETWORKS = [name for name in options("model") if not is_baseline(values_of("model", name))]
CASES = [
    ("cnn_bilstm", {"masked": False, "conv_activation": "relu"}),
    *(pytest.param(name, {}, marks=() if name == "cnn_bilstm" else pytest.mark.slow) for name in NETWORKS),
]


def untrained(name: str, change: dict) -> tuple[torch.nn.Module, int]:
    """Return a network with random statistics of its features and normalizations, and its number of features."""
    parts = {"model": values_of("model", name), "dropout": {"p": 0.25}}
    parts |= {"features": {"standardize": name != "fine_tuned_encoder", "layers": [1, 2, 3]}}
    config = OmegaConf.to_container(OmegaConf.create(parts), resolve=True)
    config["model"] |= SMALLER.get(name, {}) | change
    size = FEATURES.get(name, 128)
    torch.manual_seed(0)
    model = build_model(config, features=size, classes=5).eval()
    if parts["features"]["standardize"]:
        model.standardize.fit(torch.randn(size), torch.rand(size) + 0.5)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return model, size


def test_all_networks_are_tested():
    assert len(NETWORKS) > 10


def test_exported_ensemble_equals_ensemble():
    torch.manual_seed(0)
    ensemble = Ensemble(lambda: untrained("mlp", {})[0], size=2).eval()
    for layer in ensemble.members[1].layers:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight)
    clip = np.random.default_rng(0).standard_normal((9, 128)).astype(np.float32)
    with torch.no_grad():
        expected = ensemble(torch.from_numpy(clip[None].copy()), torch.tensor([9])).numpy()
    found = run_graph(ensemble, None, rate=16000, features=128)(clip)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("name", "change"), CASES)
def test_exported_network_equals_network_at_every_length(name, change):
    model, size = untrained(name, change)
    logits = run_graph(model, None, rate=16000, features=size)
    for frames in FRAMES:
        clip = np.random.default_rng(frames).standard_normal((frames, size)).astype(np.float32)
        with torch.no_grad():
            expected = model(torch.from_numpy(clip[None].copy()), torch.tensor([frames])).numpy()
        found = logits(clip)
        assert found.shape == (1, 5)
        assert np.abs(found - expected).max() < 1e-4 * max(1, np.abs(expected).max()), (name, frames)


class Broken(torch.nn.Module):
    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return features @ features


class Unsupported(torch.nn.Module):
    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(features.mT @ features).real


def test_error_of_the_network_itself_is_raised_unchanged():
    with pytest.raises(RuntimeError, match="batch2") as caught:
        trace(OneClip(Broken(), None, temperature=1.0), rate=16000, features=4)
    assert not isinstance(caught.value, InputError)


def test_network_that_has_no_form_in_onnx_is_named():
    with pytest.raises(InputError, match="Unsupported"):
        trace(OneClip(Unsupported(), None, temperature=1.0), rate=16000, features=4)
