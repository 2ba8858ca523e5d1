"""Features computed in an ONNX graph equal those of the extractors."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tests.export.conftest import LENGTHS, run_graph, sounds

from ser_lightning.build import build
from ser_lightning.config_files import options, values_of
from ser_lightning.errors import InputError
from ser_lightning.export.front_ends import front_end
from ser_lightning.features.statistics import FUNCTIONALS

OUTSIDE = {"huggingface", "compare", "egemaps", "prosody"}  # computed by other libraries
INSIDE = sorted(set(options("features")) - OUTSIDE - {"encoder"})


class Features(torch.nn.Module):
    """Return the features themselves as logits."""

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return features.flatten(1)


def extractor(name: str, **change: object):
    rate = values_of("features", name).get("analysis_rate", 16000)
    parts = {"features": values_of("features", name) | change, "audio": {"sampling_rate": rate}}
    return build("features", OmegaConf.to_container(OmegaConf.create(parts), resolve=True)["features"])


def differences(name: str, lengths=LENGTHS, **change: object) -> list[float]:
    """Return the largest difference at each length, relative where the value is above 1."""
    extract = extractor(name, **change)
    compute = run_graph(Features(), front_end(extract), rate=extract.analysis_rate, features=extract.size)
    found = []
    for count in lengths:
        wave = sounds(count, seed=count)
        expected = extract(wave).reshape(-1)
        computed = compute(wave)[0]
        assert computed.shape == expected.shape
        found.append(float((np.abs(computed - expected) / np.maximum(1, np.abs(expected))).max()))
    return found


@pytest.mark.parametrize("name", INSIDE)
def test_features_in_graph_equal_extractor(name):
    assert max(differences(name)) < 2e-4


@pytest.mark.parametrize("functional", FUNCTIONALS)
def test_functionals_in_graph_equal_extractor(functional):
    assert max(differences("functionals", (4000, 16000), functionals=[functional])) < 1e-3


@pytest.mark.parametrize(("scale", "center"), [("power", True), ("decibels", False)])
def test_scales_of_spectrogram_equal_extractor(scale, center):
    assert max(differences("spectrogram", (100, 16000), scale=scale, center=center)) < 2e-4


@pytest.mark.parametrize("length", [3000, 50001])
def test_cepstra_of_fixed_length_equal_extractor(length):
    assert max(differences("mfcc", (1, 2999, 50000), signal_length=length)) < 2e-4


def test_silence_has_no_pitch():
    extract = extractor("paper")
    compute = run_graph(Features(), front_end(extract), rate=16000, features=extract.size)
    wave = np.zeros(3000, np.float32)
    np.testing.assert_allclose(compute(wave)[0], extract(wave).reshape(-1), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("pooling", "crop"), [("mean_deviation", True), ("frames", True), ("frames", False)])
def test_encoder_in_graph_equals_extractor(pooling, crop):
    try:
        extractor("encoder")
    except InputError as error:
        pytest.skip(str(error))
    # More than 8 s: parts that differ by a sample, and by a frame.
    lengths = (1, 8000, 128000, 128001) if crop else (8000, 128001)
    assert max(differences("encoder", (*lengths, 256320), pooling=pooling, crop=crop)) < 1e-4


@pytest.mark.parametrize("name", sorted(OUTSIDE - {"huggingface"}))
def test_features_of_other_libraries_stay_outside(name):
    try:
        extract = extractor(name)
    except InputError as error:
        pytest.skip(str(error))
    assert front_end(extract) is None
