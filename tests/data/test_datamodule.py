import numpy as np
import pytest
import torch
from tests.data.test_feature_cache import AUDIO, AUGMENT, FEATURES, settings_of
from tests.models.test_cnn_bilstm import network

from ser_lightning.audio.audio import Audio
from ser_lightning.augment.mixup import Mixup
from ser_lightning.augment.spec_augment import SpecAugment
from ser_lightning.augment.waveform import WaveformCopies
from ser_lightning.corpora.synthetic import Synthetic
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.preparation import Preparation
from ser_lightning.errors import InputError
from ser_lightning.evaluation import EVALUATION_MODE, predict
from ser_lightning.features.spectral162 import Spectral162
from ser_lightning.models.layers import Standardize
from ser_lightning.splits.random import RandomSplit


@pytest.fixture
def make(synthetic_root, shared_folder):
    def make(**change) -> SpeechDataModule:
        values = {
            "corpus": Synthetic(root=synthetic_root, speakers=2, repetitions=1, workers=1, downmix="mean", merge=None),
            "split": RandomSplit(seed=42, train=0.6, val=0.15, test=0.25),
            "audio": Audio(**AUDIO),
            "augment": WaveformCopies(**AUGMENT),
            "features": Spectral162(**FEATURES | {"log": True, "standardize": True}),
            **{"augment_first": False, "feature_cache": shared_folder / "datamodule", "feature_workers": 1},
            **{"normalize": "none", "prior_clips": 10},
        }
        batches = {"batch_size": 8, "eval_batch_size": 4, "bucket": False, "eval_shuffle": False, "seed": 0}
        batches |= {"balance": "none"}
        values = {key: change.pop(key, value) for key, value in values.items()}
        settings = settings_of({name: values[name] for name in ("audio", "augment", "features")})
        preparation = Preparation(**values, settings=settings)
        module = SpeechDataModule(preparation=preparation, **batches | change)
        module.prepare_data()
        module.setup()
        return module

    return make


def test_subset_sizes_with_copies_only_in_training(make):
    data = make()
    assert {name: len(dataset) for name, dataset in data.datasets.items()} == {
        "train": 36 * 3,
        "val": 9,
        "test": 15,
    }
    for subset, dataset in data.datasets.items():
        assert set(dataset.utterances) == set(getattr(data.preparation.split, subset))
    batches = list(data.train_dataloader())
    assert sum(len(batch.target) for batch in batches) == 108
    assert sum(len(batch.target) for batch in data.val_dataloader()) == 9
    assert sum(len(batch.target) for batch in data.test_dataloader()) == 15


def test_targets_match_corpus_labels(make):
    data = make()
    emotion_of = {u.id: u.emotion for u in data.preparation.utterances}
    for dataset in data.datasets.values():
        named = [data.preparation.corpus.emotions[t] for t in dataset.targets.tolist()]
        assert named == [emotion_of[id_] for id_ in dataset.utterances]


def test_training_batches_and_statistics_have_no_leakage(make, tmp_path):
    """Set every frame outside the training set to NaN: training batches and statistics must not change."""
    data = make(feature_cache=tmp_path)
    clean = [batch.features.clone() for batch in data.train_dataloader()]
    mean, deviation = data.training_statistics()
    own = data.datasets["train"]
    mine = np.zeros(len(own.frames), dtype=bool)
    for offset, length in zip(own.offsets.tolist(), own.lengths.tolist(), strict=True):
        mine[offset : offset + length] = True
    assert (~mine).any()
    own.frames = np.where(mine[:, None], own.frames, np.float32(np.nan))
    for batch, before in zip(data.train_dataloader(), clean, strict=True):
        assert torch.equal(batch.features, before)
    after = data.training_statistics()
    assert torch.equal(after[0], mean)
    assert torch.equal(after[1], deviation)
    # No copies are computed of clips outside the training set.
    assert {id_ for id_, name in data.preparation.cache.open()[1] if name} == set(data.preparation.split.train)


def test_splits_share_one_feature_cache(make):
    one, two = make(), make(split=RandomSplit(seed=1, train=0.6, val=0.15, test=0.25))
    assert one.preparation.cache.folder == two.preparation.cache.folder
    assert one.preparation.split != two.preparation.split
    assert len(list(one.preparation.cache.folder.glob("*.f32"))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 16},
        {"eval_batch_size": 2},
        {"bucket": True},
        {"eval_shuffle": True},
        {"seed": 1},
        {"balance": "classes"},
    ],
)
def test_every_parameter_has_an_effect(make, change):
    def orders(data):
        loaders = [data.train_dataloader(), data.val_dataloader(), data.eval_dataloader("test")]
        return [[batch.row.tolist() for batch in loader] for loader in loaders]

    assert orders(make(**change)) != orders(make())


def test_eval_shuffle_keeps_one_order(make):
    loader = make(eval_shuffle=True, eval_batch_size=10).eval_dataloader("test")
    batches = [batch.row.tolist() for batch in loader]
    assert [len(batch) for batch in batches] == [10, 5]
    assert sorted(sum(batches, [])) == list(range(15)) != sum(batches, [])
    assert [batch.row.tolist() for batch in loader] == batches


@pytest.mark.parametrize("size", [1, 2, 4, 5, 7, 14, 15, 99])
@pytest.mark.parametrize("shuffle", [True, False])
def test_smallest_eval_batch_matches_loader(make, size, shuffle):
    data = make(eval_batch_size=size, eval_shuffle=shuffle)
    for subset in ("train", "val", "test"):
        assert data.smallest_eval_batch(subset) == min(len(b.target) for b in data.eval_dataloader(subset))


def test_unreadable_clip_raises_or_is_skipped(make, synthetic_root, tmp_path):
    corpus = Synthetic(root=synthetic_root, speakers=2, repetitions=1, workers=1, downmix="mean", merge=None)
    victim = corpus.scan().utterances[0]

    class OneBroken(Audio):
        def load(self, path, **of):
            if path == victim.path:
                raise InputError(f"cannot read {path} as audio")
            return super().load(path, **of)

    with pytest.raises(InputError, match=rf"{victim.id}.*corpus\.on_problem=skip"):
        make(audio=OneBroken(**AUDIO), corpus=corpus, feature_cache=tmp_path)
    corpus.on_problem = "skip"
    data = make(audio=OneBroken(**AUDIO), corpus=corpus, feature_cache=tmp_path)
    assert len(data.preparation.utterances) == 59
    assert victim.id not in data.preparation.split.subset_of()
    assert [problem.path for problem in data.preparation.problems] == [str(victim.path)]


@pytest.mark.parametrize("name", ["batch_size", "eval_batch_size", "feature_workers"])
def test_counts_below_one_raise_input_error(make, name):
    with pytest.raises(InputError, match=rf"data\.{name} is 0"):
        make(**{name: 0})


def test_features_are_finite_and_not_constant(make):
    frames = make().datasets["train"].frames
    assert np.isfinite(frames).all()
    assert np.ptp(frames, axis=0).min() > 0


def test_bucketing_does_not_change_predictions(make):
    model = network(masked=True)
    plain, bucketed = make(), make(bucket=True)
    for subset in ("val", "test"):
        loaders = [data.eval_dataloader(subset) for data in (plain, bucketed)]
        orders = [[batch.row.tolist() for batch in loader] for loader in loaders]
        assert orders[0] != orders[1]
        one, other = (
            predict(model, loader, evaluation=EVALUATION_MODE, device=torch.device("cpu")) for loader in loaders
        )
        np.testing.assert_allclose(one.logits, other.logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(one.target, other.target)


def test_balance_equalizes_classes_in_training_only(make):
    data, plain = make(balance="classes"), make()
    rows = [batch.row for batch in data.train_dataloader()]
    assert sum(map(len, rows)) == 36 * 3
    drawn = torch.cat([data.datasets["train"].targets[row] for row in rows]).bincount(minlength=8)
    counts = data.training_counts()
    assert counts == plain.training_counts()
    assert sum(counts) == 36 * 3
    assert max(counts) > 2 * min(counts)  # the corpus is imbalanced
    assert set(drawn.tolist()) == {13, 14}
    for subset in ("train", "val", "test"):
        loaders = [module.eval_dataloader(subset) for module in (data, plain)]
        one, other = ([batch.row.tolist() for batch in loader] for loader in loaders)
        assert one == other


def test_unknown_balance_raises_input_error(make):
    with pytest.raises(
        InputError, match=r"data\.balance is 'class'; expected none or classes; the nearest .* 'classes'"
    ):
        make(balance="class")


NONE = WaveformCopies(**AUGMENT | {"noise_sigma": None, "pitch_steps": []})
MASKS = SpecAugment(frequency_masks=2, frequency_width=40, time_masks=2, time_width=9, time_share=0.3)
EVERY_STEP = pytest.mark.parametrize("augment", [MASKS, Mixup(alpha=1.0)], ids=["spec_augment", "mixup"])


def epoch(data, number: int = 0) -> list:
    loader = data.train_dataloader()
    loader.batch_sampler.set_epoch(number)
    return list(loader)


@EVERY_STEP
def test_batch_augmentation_depends_on_seed_epoch_and_clips(make, augment):
    data, again = make(augment=augment), make(augment=augment)
    first = epoch(data)
    for one, two in zip(first, epoch(again), strict=True):
        assert torch.equal(one.features, two.features)
        assert torch.equal(one.row, two.row)
    epoch(data, 1)
    (alone, *_) = epoch(data)  # draws in between must not matter
    assert torch.equal(alone.features, first[0].features)
    # Another epoch or seed augments the same clips differently.
    loader = data.train_dataloader()
    rows = first[0].row.tolist()
    assert torch.equal(loader.dataset.__getitems__(rows).features, first[0].features)
    loader.batch_sampler.set_epoch(1)
    assert not torch.equal(_cut(loader.dataset.__getitems__(rows)), _cut(first[0]))
    assert not torch.equal(
        _cut(make(augment=augment, seed=1).train_dataloader().dataset.__getitems__(rows)), _cut(first[0])
    )


def _cut(batch) -> torch.Tensor:
    return batch.features[:, :9]


@EVERY_STEP
def test_batch_augmentation_does_not_affect_cache_or_evaluation(make, augment):
    data, plain = make(augment=augment), make(augment=NONE)
    assert data.preparation.cache.folder == plain.preparation.cache.folder
    before = data.datasets["train"].frames.copy()
    raw, augmented = epoch(plain), epoch(data)
    assert all(torch.equal(one.row, two.row) for one, two in zip(raw, augmented, strict=True))
    assert not all(torch.equal(one.features, two.features) for one, two in zip(raw, augmented, strict=True))
    np.testing.assert_array_equal(data.datasets["train"].frames, before)
    for subset in ("train", "val", "test"):
        for one, two in zip(data.eval_dataloader(subset), plain.eval_dataloader(subset), strict=True):
            assert torch.equal(one.features, two.features)
            assert two.shares is None is one.shares
    assert all(map(torch.equal, data.training_statistics(), plain.training_statistics()))


def test_masked_values_are_zero_after_standardization(make):
    data, plain = make(augment=MASKS), make(augment=NONE)
    standardize = Standardize(features=162)
    standardize.fit(*data.training_statistics())
    masked = 0
    for one, two in zip(epoch(data), epoch(plain), strict=True):
        changed = one.features != two.features
        assert not standardize(one.features.clone())[changed].any()
        assert torch.equal(one.target, two.target)
        assert torch.equal(one.lengths, two.lengths)
        assert one.shares is None
        masked += int(changed.sum())
    assert masked > 0


def test_mixup_mixes_labels_like_features(make):
    data = make(augment=Mixup(alpha=1.0))
    dataset, found = data.datasets["train"], set()
    for batch in epoch(data):
        assert batch.shares.shape == (len(batch.row), 8)
        torch.testing.assert_close(batch.shares.sum(1), torch.ones(len(batch.row)))
        own = dataset.targets[batch.row]
        augmented = data.preparation.augment.augment_batch(
            dataset.__getitems__(batch.row.tolist()).features,
            dataset.lengths[batch.row].numpy(),
            mean=data.training_statistics()[0],
            generator=np.random.default_rng([0, 0, *batch.row.tolist()]),
        )
        other, share = own[torch.from_numpy(augmented.partners)], augmented.shares[0]
        torch.testing.assert_close(
            batch.shares, (share * torch.eye(8)[own] + (1 - share) * torch.eye(8)[other]).float()
        )
        assert torch.equal(batch.target, own if share >= 0.5 else other)
        assert torch.equal(batch.features, augmented.features)
        found.add(bool(share >= 0.5))
    assert found == {True, False}
