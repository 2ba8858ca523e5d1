"""Tests of features that are one vector per clip, in the feature cache and in batches."""

import numpy as np
import pytest
from tests.configs import composed
from tests.data.test_feature_cache import feature_cache, silent

from ser_lightning.build import build
from ser_lightning.data.batch import FeatureDataset

COPIES = dict.fromkeys("abcd", ("", "noise"))


def make_cache(folder, utterances, option):
    augment = build("augment", composed("augment=paper")["augment"])
    features = build("features", composed(f"features={option}")["features"])
    return feature_cache(folder, utterances, augment=augment, features=features)


def dataset_of(frames, rows):
    keys = sorted(rows)
    return FeatureDataset(
        frames=frames,
        offsets=np.array([rows[key].offset for key in keys]),
        lengths=np.array([rows[key].frames for key in keys]),
        targets=np.zeros(len(keys), dtype=np.int64),
        utterances=[id_ for id_, _ in keys],
    )


@pytest.mark.parametrize("option", ["kaggle", "functionals", "prosody", "egemaps"])
@pytest.mark.parametrize("workers", [1, 2])
def test_vectors_in_cache_batch_and_statistics(tmp_path, utterances, option, workers):
    cache = make_cache(tmp_path, utterances, option)
    assert cache.ensure(COPIES, workers=workers, progress=silent) == {}
    frames, rows, _ = cache.open()
    assert frames.shape == (8, cache.features.size)
    assert {row.frames for row in rows.values()} == {1}
    dataset = dataset_of(frames, rows)
    batch = dataset.__getitems__(list(range(8)))
    assert batch.features.shape == (8, 1, cache.features.size)
    assert batch.lengths.tolist() == [1] * 8
    wave = cache.audio.load(utterances[0].path).wave
    np.testing.assert_array_equal(batch.features[0].numpy(), cache.features(wave))
    mean, deviation = dataset.statistics()  # over clips, which have equal weights
    clips = batch.features[:, 0].double()
    np.testing.assert_allclose(mean, clips.mean(0), rtol=1e-5, atol=1e-6)
    expected = clips.std(0, correction=0)
    np.testing.assert_allclose(deviation, expected, rtol=1e-3, atol=1e-4 * float(clips.abs().max()))
