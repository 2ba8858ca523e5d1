"""Fitted pipelines, exported as plain operators, equal scikit-learn."""

import numpy as np
import pytest
import torch
from tests.baselines.test_baselines import CLASSES, COUNTS, SIZE, Clips, every, of_each_kind
from tests.export.conftest import run_graph

from ser_lightning.baselines.gmm import GMM
from ser_lightning.baselines.layer_logistic import LayerLogistic
from ser_lightning.baselines.logistic import Logistic
from ser_lightning.errors import InputError


def largest_difference(model) -> float:
    logits = run_graph(model, None, rate=16000, features=SIZE)
    new = Clips([3] * CLASSES, frames=4, seed=1)
    expected = new.predicted_by(model).numpy()
    found = np.concatenate([logits(clip.numpy()) for clip in new.frames.split(new.lengths.tolist())])
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


@every
@of_each_kind
def test_exported_pipeline_equals_scikit_learn(cls, counts):
    assert largest_difference(Clips(counts, frames=3).fit(cls)) < 1e-4


def test_exported_mixtures_of_frames_equal_scikit_learn():
    assert largest_difference(Clips(COUNTS["even"], frames=5).fit(GMM, of_frames=True)) < 1e-3


@pytest.mark.parametrize("change", [{"layers": [[3, 1]]}, {"layers": [[1]], "pooling": None}])
def test_exported_layers_equal_scikit_learn(change):
    assert largest_difference(Clips(COUNTS["even"]).fit(LayerLogistic, **change)) < 1e-4


def test_unknown_classifier_is_refused():
    model = Clips(COUNTS["even"]).fit(Logistic)
    model.pipeline.named_steps["classify"].classifier_ = torch.nn.Identity()
    with pytest.raises(InputError, match="Identity"):
        run_graph(model, None, rate=16000, features=SIZE)
