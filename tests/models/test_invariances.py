"""Invariances of every model in ``conf/model/``, with the values of every experiment written for it.

New YAML files are discovered automatically. The logits of a clip must not depend on padding, on the other clips of the
batch, on their order, on the batch size or on earlier calls. Only networks with ``masked: false`` are exempt: their
output depends on padding, as in the released model, so they are tested on clips of equal length.

Invariance to gain is not tested here because no network has it. RMS, mel power and the first MFCC measure level, and
``standardize`` uses mean and deviation of the training set, not of the clip. For the features that do not depend on
gain, see tests/features/test_spectral.py.
"""

import copy
import json
from functools import cache

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tests.configs import CONF, composed, options
from torch import nn

from ser_lightning.baselines.baseline import Recipe, fit_baseline
from ser_lightning.build import build, is_baseline
from ser_lightning.checkpoint import build_model, build_recipe
from ser_lightning.labels import RAVDESS

LENGTHS = [87, 60, 40, 120, 33, 5, 1]  # the last ones are shorter than the receptive field
PARTS = ("model", "features")  # the parts of a config that shape a network
WIDTHS, WIDE = ("channels", "hidden", "linear"), 80  # as wide as the study's network


def shapes_a_network(experiment: str) -> bool:
    """Return whether an experiment selects a network or features, or sets their values."""
    values = OmegaConf.to_container(OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml"))
    chosen = [key for default in values.get("defaults", []) if isinstance(default, dict) for key in default]
    return bool({"model", "features", "override /model", "override /features"} & {*values, *chosen})


EXPERIMENTS = [experiment for experiment in options("experiment") if shapes_a_network(experiment)]
# Most networks have an experiment of the same name, which sets their features too.
NAMES = [*EXPERIMENTS, *(model for model in options("model") if model not in EXPERIMENTS)]
every = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def config(name: str) -> dict:
    config = composed(f"{'experiment' if name in EXPERIMENTS else 'model'}={name}")
    return {part: config[part] for part in PARTS}


def narrow(model: dict) -> dict:
    """Limit the number of units: wide layers take minutes and do not affect the invariances."""
    cut = {key: model[key] for key in WIDTHS if key in model}
    for key, value in cut.items():
        cut[key] = [min(v, WIDE) for v in value] if isinstance(value, list) else value and min(value, WIDE)
    return model | cut


def build_untrained(config: dict) -> nn.Module | Recipe:
    if is_baseline(config["model"]):
        return build_recipe(config)
    torch.manual_seed(0)
    config = config | {"model": narrow(config["model"])}
    return build_model(config, features=build("features", config["features"]).size, classes=len(RAVDESS))


def masked(config: dict) -> bool:
    """Return whether the output must not depend on padding; only ``masked: false`` is exempt."""
    return config["model"].get("masked") is not False


def network(config: dict) -> nn.Module:
    """Return a network whose statistics differ from their initial values."""
    return copy.deepcopy(_network(json.dumps(config)))


@cache
def _network(of: str) -> nn.Module:
    config = json.loads(of)
    model = build_untrained(config)
    size = build("features", config["features"]).size
    if not isinstance(model, nn.Module):
        return fitted(model, size)
    if getattr(model, "standardize", None) is not None:
        generator = torch.Generator().manual_seed(2)
        model.standardize.fit(torch.randn(size, generator=generator), torch.rand(size, generator=generator) + 0.5)
    with torch.no_grad():
        model.train()(*batch(clips(config, [70, 50, 90, 40])))
    return model.eval()


def fitted(recipe: Recipe, size: int) -> nn.Module:
    """Fit a baseline to random clips of four speakers with every emotion."""
    generator = torch.Generator().manual_seed(3)
    targets = torch.arange(len(RAVDESS)).repeat(8)
    lengths = torch.randint(1, 9, targets.shape, generator=generator)
    # The centers are close together, so that the hyperparameters matter.
    centers = 0.2 * torch.randn(len(RAVDESS), size, generator=generator)
    frames = centers[targets].repeat_interleave(lengths, 0)
    frames = 2 * (frames + torch.randn(frames.shape, generator=generator)) - 1  # so that standardization does something
    speakers = [str(clip % 4) for clip in range(len(targets) // len(RAVDESS)) for _ in RAVDESS]
    return fit_baseline(
        recipe, frames=frames, lengths=lengths, targets=targets, groups=speakers, seed=0, classes=len(RAVDESS)
    ).eval()


def clips(config: dict, lengths: list[int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    size = build("features", config["features"]).size
    return [torch.randn(length, size, generator=generator) for length in lengths]


def clips_of(config: dict) -> list[torch.Tensor]:
    """Return clips that can share a batch without changing each other's logits."""
    return clips(config, LENGTHS if masked(config) else [87] * len(LENGTHS))


def batch(matrices: list[torch.Tensor], pad: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(matrix) for matrix in matrices])
    features = torch.zeros(len(matrices), int(lengths.max()) + pad, matrices[0].size(1))
    for row, matrix in zip(features, matrices, strict=True):
        row[: len(matrix)] = matrix
    return features, lengths


@torch.no_grad()
def each_alone(model: nn.Module, matrices: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([model(*batch([matrix])) for matrix in matrices])


def assert_same(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("experiment", options("experiment"))
@pytest.mark.slow
def test_values_of_every_experiment_fit_its_network(experiment):
    build_untrained(composed(f"experiment={experiment}"))


def test_both_kinds_of_networks_are_tested():
    models = [composed(f"experiment={name}") for name in ("released", "corrected")]
    assert {"released", "corrected", *options("model")} <= {*NAMES}
    assert [masked(model) for model in models] == [False, True]


@every
@torch.no_grad()
def test_logits_differ_between_clips(config):
    """A network with constant output would pass all the tests below."""
    logits = each_alone(network(config), clips_of(config))
    assert logits.shape == (len(LENGTHS), len(RAVDESS))
    assert (logits[:-1] - logits[1:]).abs().amax(1).min() > 1e-3


@every
@torch.no_grad()
def test_logits_depend_on_padding_only_if_unmasked(config):
    """An unmasked network whose logits did not depend on padding would not need the exemption."""
    model, matrices = network(config), clips_of(config)
    alone = each_alone(model, matrices)
    for pad in (1, 50):
        padded = torch.cat([model(*batch([matrix], pad=pad)) for matrix in matrices])
        if masked(config):
            assert_same(padded, alone)
            assert_same(model(*batch(matrices, pad=pad)), alone)
        elif pad == 50:
            assert (padded - alone).abs().max() > 1e-3


@every
@torch.no_grad()
def test_logits_do_not_depend_on_other_clips_in_the_batch(config):
    model, matrices = network(config), clips_of(config)
    strangers = [5 * max(matrices, key=len)] * 8  # loud, at least as long, and many, because networks may group clips
    in_company = torch.cat([model(*batch([matrix, *strangers]))[:1] for matrix in matrices])
    assert_same(in_company, each_alone(model, matrices))


@every
@torch.no_grad()
def test_logits_follow_the_order_of_the_batch(config):
    model, matrices = network(config), clips_of(config)
    expected = model(*batch(matrices))
    for seed in range(3):
        order = torch.randperm(len(matrices), generator=torch.Generator().manual_seed(seed))
        assert_same(model(*batch([matrices[i] for i in order])), expected[order])


@every
@torch.no_grad()
def test_logits_do_not_depend_on_batch_size(config):
    model, matrices = network(config), clips_of(config)
    expected = model(*batch(matrices))
    for size in (1, 2, 3, 5):
        parts = [model(*batch(matrices[start : start + size])) for start in range(0, len(matrices), size)]
        assert_same(torch.cat(parts), expected)


@every
@torch.no_grad()
def test_evaluation_is_deterministic_and_keeps_the_state(config):
    model, x = network(config), batch(clips_of(config))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert torch.equal(model(*x), model(*x))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


@every
@torch.no_grad()
def test_clip_of_one_frame_gives_finite_logits(config):
    logits = network(config)(*batch(clips(config, [1])))
    assert logits.shape == (1, len(RAVDESS))
    assert torch.isfinite(logits).all()


@every
@torch.no_grad()
def test_silence_gives_finite_logits(config):
    features = build("features", config["features"])
    for samples in (1, 16000):
        silence = torch.from_numpy(features(np.zeros(samples, np.float32)))
        assert torch.isfinite(network(config)(*batch([silence]))).all()
        assert torch.isfinite(network(config)(*batch([silence, *clips(config, [60])]))).all()
