"""Tests of the classical baselines against scikit-learn."""

import itertools
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.svm import SVC

from ser_lightning.baselines.baseline import ABSENT, Baseline, fit_baseline
from ser_lightning.baselines.clips import split_frames
from ser_lightning.baselines.dbn_svm import DBNSVM
from ser_lightning.baselines.gmm import GMM
from ser_lightning.baselines.layer_logistic import LayerLogistic
from ser_lightning.baselines.logistic import Logistic
from ser_lightning.baselines.search import GroupSearch
from ser_lightning.baselines.storage import dump_pipeline
from ser_lightning.baselines.svm import SVM
from ser_lightning.errors import InputError

CLASSES, SIZE = 5, 12
LAYERS = {"available": [0, 1, 3], "pooling": "mean_deviation", "layers": [[0, 1], [3, 1], [0, 1, 3]]}  # 2 units each
COMMON = {"standardize": True, "class_weight": None, "folds": 3}
VALUES = {
    Logistic: {"c": [0.01, 0.1, 1], "max_iter": 2000, "tol": 1e-6},
    LayerLogistic: {"c": [0.1, 1], "max_iter": 2000, "tol": 1e-6, **LAYERS},
    SVM: {"c": [0.1, 1, 10], "gamma": [0.3, 1, 3]},
    GMM: {"of_frames": False, "components": [1, 2, 3], "floor": [0.01, 0.3], "max_iter": 200},
    DBNSVM: {
        **{"hidden": [9, 7], "pretrain_epochs": 20, "pretrain_batch": 16, "pretrain_lr": [0.01, 0.1]},
        **{"fine_tune_steps": 20, "c": [0.1, 1, 10], "gamma": [0.3, 1, 3]},
    },
}
# Number of clips per class.
COUNTS = {
    "even": [20, 20, 20, 20, 20],
    "rare": [40, 30, 2, 1, 20],
    "absent": [20, 0, 25, 30, 0],
    "two": [0, 25, 0, 0, 30],
}
every = pytest.mark.parametrize("cls", VALUES)
of_each_kind = pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)


class Clips:
    """Clips of one or more frames, with correlated and heavy-tailed features of different scales."""

    def __init__(self, counts: list[int], *, frames: int = 1, seed: int = 0, speakers: int = 6) -> None:
        generator = np.random.default_rng(seed)
        targets = generator.permutation(np.repeat(np.arange(len(counts)), counts))
        centers = np.random.default_rng(99).normal(size=(len(counts), SIZE))  # independent of the seed
        mixing = np.random.default_rng(98).normal(size=(SIZE, SIZE))
        lengths = generator.integers(1, frames + 1, size=len(targets))
        noise = generator.standard_t(4, size=(lengths.sum(), SIZE)) @ mixing / 2
        values = (np.repeat(centers[targets], lengths, axis=0) + noise) * 10.0 ** np.linspace(-2, 2, SIZE) + 5
        self.frames = torch.from_numpy(values.astype(np.float32))
        self.lengths, self.targets = torch.from_numpy(lengths), torch.from_numpy(targets)
        self.speakers = [f"{n}" for n in generator.integers(speakers, size=len(targets))]

    def fit(self, cls: type, *, seed: int = 0, **change) -> Baseline:
        return fit_baseline(
            cls(**COMMON | VALUES[cls] | change),
            frames=self.frames,
            lengths=self.lengths,
            targets=self.targets,
            groups=self.speakers,
            seed=seed,
            classes=CLASSES,
        )

    def vectors(self, model: Baseline) -> np.ndarray:
        """Return the exact inputs of the model's classifier; others would change where its solver stops."""
        x = split_frames(self.frames.numpy(), self.lengths.numpy())
        for _, step in model.pipeline.steps[:-1]:
            x = step.transform(x)
        return x

    @torch.no_grad()
    def predicted_by(self, model) -> torch.Tensor:
        """Return the logits of all clips, padded into one batch."""
        padded = torch.zeros(len(self.targets), int(self.lengths.max()) + 1, SIZE)
        for row, clip, length in zip(padded, self.frames.split(self.lengths.tolist()), self.lengths, strict=True):
            row[:length] = clip
        return model(padded, self.lengths)


@cache
def fitted(cls: type, counts: tuple[int, ...], frames: int = 1) -> tuple[Clips, Baseline]:
    """Return clips and a model with the usual values fitted to them, shared by tests that change neither."""
    clips = Clips(list(counts), frames=frames)
    return clips, clips.fit(cls)


def normalized(scores: np.ndarray, present: np.ndarray) -> torch.Tensor:
    """Return log-probabilities of all classes from scores of those that are present."""
    logits = torch.full((len(scores), CLASSES), ABSENT, dtype=torch.float64)
    logits[:, present] = torch.from_numpy(scores).log_softmax(1)
    return logits.float()


@every
@of_each_kind
def test_logits_are_log_probabilities(cls, counts):
    _, model = fitted(cls, tuple(counts))
    logits = Clips([30] * CLASSES, seed=1).predicted_by(model)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits.double().exp().sum(1), torch.ones(len(logits)).double(), atol=1e-5, rtol=0)
    absent = [label for label, count in enumerate(counts) if count == 0]
    assert (logits[:, absent] == ABSENT).all()
    assert not set(logits.argmax(1).tolist()) & set(absent)


@every
def test_baselines_predict_unseen_clips_above_chance(cls):
    model = Clips([40] * CLASSES).fit(cls)
    new = Clips([40] * CLASSES, seed=1)
    assert (new.predicted_by(model).argmax(1) == new.targets).double().mean() > 0.5  # chance is 0.2
    assert 0.5 < model.chosen["uar"] <= 1


@pytest.mark.parametrize("frames", [1, 6])
def test_clip_vector_is_mean_of_standardized_frames(frames):
    clips, new = Clips(COUNTS["rare"], frames=frames), Clips([30] * CLASSES, frames=frames, seed=1)
    model = clips.fit(Logistic)
    mean, deviation = clips.frames.double().mean(0), clips.frames.double().std(0, correction=0)
    for expected, found in zip((mean, deviation), model.standardize, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    parts = ((new.frames.double() - mean) / deviation).split(new.lengths.tolist())
    assert new.vectors(model) == pytest.approx(np.stack([part.mean(0).numpy() for part in parts]), abs=1e-5)


@pytest.mark.parametrize("gamma", [0.3, 1])
def test_gamma_is_relative_to_sklearn_scale(gamma):
    clips = Clips(COUNTS["even"])
    model = clips.fit(SVM, gamma=[gamma])
    vectors, new = clips.vectors(model), Clips([30] * CLASSES, seed=1)
    theirs = SVC(C=model.chosen["c"], gamma=gamma / (SIZE * vectors.var())).fit(vectors, clips.targets)
    if gamma == 1:
        assert theirs._gamma == pytest.approx(SVC().fit(vectors, clips.targets)._gamma)
    found = model.pipeline[-1].decision_function(new.vectors(model)) * model.pipeline[-1].temperature_
    assert found == pytest.approx(theirs.decision_function(new.vectors(model)), abs=1e-2)


@of_each_kind
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("frames", [1, 6])
def test_logistic_matches_sklearn(counts, class_weight, frames):
    clips, new = Clips(counts, frames=frames), Clips([30] * CLASSES, frames=frames, seed=1)
    model = clips.fit(Logistic, class_weight=class_weight)
    theirs = LogisticRegression(C=model.chosen["c"], class_weight=class_weight, max_iter=2000, tol=1e-6).fit(
        clips.vectors(model), clips.targets
    )
    logits = new.predicted_by(model)
    expected = theirs.predict_proba(new.vectors(model))
    assert logits.double().softmax(1)[:, theirs.classes_].numpy() == pytest.approx(expected, abs=1e-6)
    assert (logits.argmax(1).numpy() == theirs.predict(new.vectors(model))).all()


@of_each_kind
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_svm_matches_sklearn(counts, class_weight):
    clips, new = Clips(counts, frames=3), Clips([30] * CLASSES, seed=9, frames=3)
    model = clips.fit(SVM, class_weight=class_weight)
    chosen = model.chosen
    vectors = clips.vectors(model)
    factor = (SIZE * vectors.var()) ** -0.5  # makes gamma relative to gamma="scale"
    theirs = SVC(C=chosen["c"], gamma=chosen["gamma"], class_weight=class_weight, break_ties=True)
    theirs.fit(factor * vectors, clips.targets)
    x, logits = factor * new.vectors(model), new.predicted_by(model)
    assert (logits.argmax(1).numpy() == theirs.predict(x)).all()
    search = model.pipeline[-1]
    assert len(search.classifier_.support_) == len(theirs.support_)
    decision = theirs.decision_function(x)
    scores = decision if decision.ndim == 2 else np.stack([np.zeros_like(decision), decision], axis=1)
    temperature = search.temperature_
    torch.testing.assert_close(logits, normalized(scores / temperature, theirs.classes_), atol=1e-5, rtol=1e-5)


def test_temperature_lowers_loss_on_unseen_clips():
    """The uncalibrated scores are votes, which are poor log-probabilities."""
    clips, new = Clips([40] * CLASSES), Clips([60] * CLASSES, seed=1)
    model = clips.fit(SVM)
    loss = torch.nn.functional.cross_entropy(new.predicted_by(model), new.targets)
    before = new.predicted_by(model).argmax(1)
    model.pipeline[-1].temperature_ = 1.0
    assert loss < torch.nn.functional.cross_entropy(new.predicted_by(model), new.targets) - 0.01
    assert torch.equal(new.predicted_by(model).argmax(1), before)


@of_each_kind
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("of_frames", [False, True])
def test_gmm_matches_sklearn(counts, class_weight, of_frames):
    clips, new = Clips(counts, frames=6), Clips([30] * CLASSES, frames=6, seed=1)
    model = clips.fit(GMM, class_weight=class_weight, of_frames=of_frames, components=[2])
    floor = model.chosen["floor"]
    standardized = [
        ((of.frames - model.standardize.mean) / model.standardize.deviation).float().double() for of in (clips, new)
    ]
    (x, of), (y, to) = (
        (frames.numpy(), np.repeat(np.arange(len(c.lengths)), c.lengths))
        if of_frames
        else (c.vectors(model), np.arange(len(c.lengths)))
        for c, frames in zip((clips, new), standardized, strict=True)
    )
    present = [label for label, count in enumerate(counts) if count]
    scores = np.zeros((len(new.targets), len(present)))
    for column, label in enumerate(present):
        units = x[clips.targets.numpy()[of] == label]
        number = min(2, len(units))
        units = np.repeat(units, 2, axis=0) if len(units) == 1 else units
        theirs = GaussianMixture(number, covariance_type="diag", reg_covar=floor, max_iter=200, random_state=0)
        scores[:, column] = np.bincount(to, weights=theirs.fit(units).score_samples(y))
        scores[:, column] += 0 if class_weight else np.log(counts[label])
    torch.testing.assert_close(new.predicted_by(model), normalized(scores, np.array(present)), atol=1e-4, rtol=1e-5)


def test_gmm_of_frames_has_no_effect_on_single_frame_clips():
    clips = Clips(COUNTS["even"])
    torch.testing.assert_close(
        *(clips.predicted_by(clips.fit(GMM, of_frames=of_frames)) for of_frames in (False, True))
    )


@every
def test_fit_is_reproducible_with_seed(cls):
    clips, model = fitted(cls, tuple(COUNTS["rare"]), 4)
    one, two, other = map(dump_pipeline, (model.pipeline, *(clips.fit(cls, seed=seed).pipeline for seed in (0, 1))))
    assert torch.equal(one, two)
    assert torch.equal(one, other) == (cls not in (GMM, DBNSVM))


@every
def test_fit_keeps_global_random_state_and_input(cls):
    clips = Clips(COUNTS["even"], frames=4)
    frames, state, (_, words, position, *_) = clips.frames.clone(), torch.get_rng_state(), np.random.get_state()
    words = words.copy()
    clips.fit(cls)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == words).all()
    assert np.random.get_state()[2] == position
    assert torch.equal(clips.frames, frames)


@pytest.mark.parametrize(
    ("cls", "change"),
    [
        *((cls, {"class_weight": "balanced"}) for cls in VALUES),
        *((cls, {"standardize": False}) for cls in VALUES if cls is not DBNSVM),
        *((cls, {"c": [0.03]}) for cls in (Logistic, SVM, DBNSVM)),
        *((cls, {"gamma": [0.05]}) for cls in (SVM, DBNSVM)),
        *((GMM, change) for change in ({"of_frames": True}, {"components": [5]}, {"floor": [2.0]})),
        *((DBNSVM, change) for change in ({"hidden": [9, 8]}, {"hidden": [9]}, {"pretrain_epochs": 0})),
        *((DBNSVM, change) for change in ({"pretrain_batch": 7}, {"pretrain_lr": [0.02, 0.1]})),
        *((DBNSVM, change) for change in ({"pretrain_lr": [0.01, 0.2]}, {"fine_tune_steps": 0})),
    ],
    ids=lambda of: of.__name__ if isinstance(of, type) else str(of),
)
@pytest.mark.slow
def test_every_parameter_has_an_effect(cls, change):
    clips, usual = fitted(cls, tuple(COUNTS["rare"]), 4)
    changed = clips.fit(cls, **change)
    assert (clips.predicted_by(usual) - clips.predicted_by(changed)).abs().max() > 1e-3


def test_convergence_failure_is_logged(caplog):
    """The stopping parameters tol and max_iter also have an effect."""
    clips = Clips(COUNTS["even"])
    clips.fit(Logistic)
    assert not caplog.messages
    early = clips.fit(Logistic, max_iter=2)
    (message,) = caplog.messages
    assert message.startswith("Not converged: lbfgs failed to converge after 2 iteration")
    assert (clips.predicted_by(early) - clips.predicted_by(clips.fit(Logistic))).abs().max() > 1e-3
    rough = clips.fit(Logistic, tol=1.0)
    assert (clips.predicted_by(rough) - clips.predicted_by(clips.fit(Logistic))).abs().max() > 1e-3
    caplog.clear()
    clips.fit(GMM, max_iter=1, components=[3])
    assert any("Not converged: " in message for message in caplog.messages)


def test_number_of_folds_changes_validation_uar():
    clips = Clips(COUNTS["even"])
    assert len({clips.fit(SVM, folds=folds).chosen["uar"] for folds in (2, 3, 5)}) > 1


@every
def test_search_chooses_candidate_with_best_validation_uar(cls):
    """Compare the search with separate fits of every candidate."""
    clips, model = fitted(cls, tuple(COUNTS["even"]))
    chosen = dict(model.chosen)
    uar = chosen.pop("uar")
    lists = {name: VALUES[cls][name] for name in chosen}
    candidates = list(itertools.product(*lists.values()))
    alone = [
        clips.fit(cls, **{n: [v] for n, v in zip(lists, values, strict=True)}).chosen["uar"] for values in candidates
    ]
    assert uar == max(alone) > min(alone)
    assert tuple(chosen.values()) == candidates[alone.index(uar)]


@every
def test_inner_validation_is_speaker_independent(cls):
    """Each speaker expresses emotions differently, so those of a held-out speaker cannot be predicted."""
    clips = Clips([24] * CLASSES)
    position = torch.arange(len(clips.targets))
    clips.targets = position % CLASSES
    speaker = position // CLASSES % 4
    clips.speakers = [str(of) for of in speaker.tolist()]
    clips.frames = torch.nn.functional.one_hot((clips.targets + speaker) % CLASSES, SIZE).float()
    clips.frames[:, -4:] = torch.nn.functional.one_hot(speaker, 4).float()
    clips.frames += 0.01 * torch.randn(clips.frames.shape, generator=torch.Generator().manual_seed(0))
    uar = clips.fit(cls).chosen["uar"]
    # Random speaker names put every true speaker on both sides.
    clips.speakers = [str(n) for n in np.random.default_rng(0).integers(10, size=len(position))]
    if cls not in (Logistic, LayerLogistic):  # which cannot fit this at all
        assert uar < clips.fit(cls).chosen["uar"] - 0.2
    assert uar < 0.3


@every
def test_single_speaker_uses_first_values_and_is_logged(cls, caplog):
    clips = Clips(COUNTS["even"], speakers=1)
    model = clips.fit(cls)
    (message,) = [message for message in caplog.messages if "inner validation" in message]
    assert "cannot be divided" in message
    chosen = dict(model.chosen)
    assert chosen.pop("uar") is None
    assert chosen == {name: VALUES[cls][name][0] for name in chosen}
    if cls in (SVM, DBNSVM):
        assert model.pipeline[-1].temperature_ == 1


@every
def test_folds_with_one_training_emotion_are_skipped(cls):
    clips = Clips([20, 20, 0, 0, 0])
    clips.speakers = ["a" if target == 0 else "bc"[n % 2] for n, target in enumerate(clips.targets.tolist())]
    assert clips.fit(cls).chosen["uar"] is not None
    clips.speakers = ["a" if target == 0 else "b" for target in clips.targets.tolist()]
    assert clips.fit(cls).chosen["uar"] is None


@every
def test_single_emotion_raises_input_error(cls):
    with pytest.raises(InputError, match="training clips all have the same emotion"):
        Clips([0, 20, 0, 0, 0]).fit(cls)


@pytest.mark.parametrize(
    ("cls", "change", "message"),
    [
        *((cls, {"folds": 1}, "model.folds is 1; expected at least 2") for cls in VALUES),
        *((cls, {"c": []}, r"model.c is \[\]; expected finite numbers above 0") for cls in (Logistic, SVM, DBNSVM)),
        (SVM, {"gamma": [1, 0]}, r"model.gamma is \[1, 0\]"),
        (SVM, {"c": [float("inf")]}, r"model.c is \[inf\]"),
        (GMM, {"components": [0]}, r"model.components is \[0\]"),
        (GMM, {"floor": [-1.0]}, r"model.floor is \[-1.0\]"),
        (GMM, {"max_iter": 0}, r"model.max_iter is \[0\]"),
        (Logistic, {"max_iter": 0}, r"model.max_iter is \[0\]"),
        (Logistic, {"tol": 0}, r"model.tol is \[0\]"),
        (DBNSVM, {"standardize": False}, "expected features.standardize=true"),
        (DBNSVM, {"hidden": []}, r"model.hidden is \[\]"),
        (DBNSVM, {"pretrain_lr": [0.1]}, r"model.pretrain_lr is \[0.1\]; expected two"),
        (DBNSVM, {"pretrain_epochs": -1}, "model.pretrain_epochs is -1; expected at least 0"),
        (DBNSVM, {"fine_tune_steps": -1}, "model.fine_tune_steps is -1; expected at least 0"),
    ],
    ids=str,
)
def test_invalid_values_raise_value_error(cls, change, message):
    with pytest.raises(ValueError, match=message):
        cls(**COMMON | VALUES[cls] | change)


@pytest.mark.parametrize("counts", [COUNTS["even"], COUNTS["rare"]], ids=["even", "rare"])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_shared_distances_match_one_svm_per_candidate(counts, class_weight):
    """The search computes all kernels from shared distances, which must only save time."""
    clips = Clips(counts, frames=3)
    model = clips.fit(SVM, class_weight=class_weight)
    search = model.pipeline[-1]
    x, held = (search.representation_.transform(of.vectors(model)) for of in (clips, Clips([6] * CLASSES, seed=1)))
    candidates = [{"C": c, "gamma": gamma} for c in (0.1, 10) for gamma in (0.3, 3)]
    fast = search._score_candidates(x, clips.targets.numpy(), held, candidates)
    plain = GroupSearch._score_candidates(search, x, clips.targets.numpy(), held, candidates)
    assert fast == pytest.approx(plain, abs=1e-3)  # libsvm stops at a tolerance of 1e-3


@every
@of_each_kind
def test_count_parameters_counts_fitted_values(cls, counts):
    _, model = fitted(cls, tuple(counts))
    classes = sum(count > 0 for count in counts)
    search = model.pipeline[-1]

    def machine(size: int) -> int:
        return len(search.classifier_.support_) * (size + classes - 1) + classes * (classes - 1) // 2

    expected = {
        Logistic: lambda: (SIZE + 1) * (classes if classes > 2 else 1),
        LayerLogistic: lambda: (4 * len(model.chosen["layers"]) + 1) * (classes if classes > 2 else 1),
        SVM: lambda: machine(SIZE),
        GMM: lambda: sum(m.n_components * (2 * SIZE + 1) for m in search.classifier_.mixtures_) + classes,
        DBNSVM: lambda: 9 * (SIZE + 1) + 7 * (9 + 1) + machine(7),
    }
    assert model.count_parameters() == expected[cls]()


@every
def test_logits_do_not_depend_on_batch(cls):
    clips, model = fitted(cls, tuple(COUNTS["even"]), 6)
    together = clips.predicted_by(model)
    alone = [model(clip[None], torch.tensor([len(clip)])) for clip in clips.frames.split(clips.lengths.tolist())]
    torch.testing.assert_close(torch.cat(alone), together, rtol=0, atol=2e-6)


def columns_of(layers: list[int]) -> list[int]:
    """Return the columns of layers whose means and deviations have two units each."""
    blocks = [LAYERS["available"].index(layer) for layer in layers]
    return [6 * statistic + 2 * block + unit for statistic in (0, 1) for block in blocks for unit in (0, 1)]


@pytest.mark.parametrize("layers", [[1], [3, 1], [0, 1, 3]])
def test_layers_select_columns_of_every_statistic(layers):
    clips, new = Clips(COUNTS["even"]), Clips(COUNTS["even"], seed=1)
    model = clips.fit(LayerLogistic, layers=[layers], c=[0.1])
    assert model.chosen["layers"] == layers
    columns = columns_of(layers)
    clips.frames, new_frames = clips.frames[:, columns], new.frames[:, columns]
    plain = clips.fit(Logistic, c=[0.1])
    with torch.no_grad():
        expected = plain(new_frames[:, None], new.lengths)
    torch.testing.assert_close(new.predicted_by(model), expected, atol=1e-4, rtol=1e-4)
    assert model.count_parameters() == CLASSES * (len(columns) + 1)


def test_layer_with_the_emotion_is_chosen():
    clips = Clips([30] * CLASSES)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(clips.frames.shape, generator=generator)
    noise[:, columns_of([3])] += 4 * torch.nn.functional.one_hot(clips.targets, CLASSES).float()[:, :4]
    clips.frames = noise
    assert clips.fit(LayerLogistic, layers=[[0], [1], [3]]).chosen["layers"] == [3]


@pytest.mark.parametrize("layers", [[], [[]], [[2]], [[1, 1]], [[0], [0, 4]]])
def test_layers_that_the_features_lack_are_refused(layers):
    with pytest.raises((ValueError, InputError), match=r"model\.layers"):
        LayerLogistic(**COMMON | VALUES[LayerLogistic] | {"layers": layers})


def test_features_that_are_no_layers_are_refused():
    with pytest.raises(InputError, match=r"features\.layers"):
        Clips(COUNTS["even"]).fit(LayerLogistic, available=[0, 1, 2, 3, 4], layers=[[1]])
