"""The models that are fitted at once, against scikit-learn on clips of many kinds."""

import io
import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.svm import SVC

from ser_lightning.checkpoint import load_state
from ser_lightning.errors import InputError
from ser_lightning.model.dbn_svm import DBNSVM
from ser_lightning.model.fitting import ABSENT, Fitted
from ser_lightning.model.gmm import GMM
from ser_lightning.model.logistic import Logistic
from ser_lightning.model.svm import SVM

CLASSES, SIZE = 5, 12
COMMON = {"features": SIZE, "classes": CLASSES, "standardize": True, "class_weight": None, "folds": 3}
VALUES = {
    Logistic: {"c": [0.01, 0.1, 1], "max_iter": 2000, "tol": 1e-6},
    SVM: {"c": [0.1, 1, 10], "gamma": [0.3, 1, 3]},
    GMM: {"of_frames": False, "components": [1, 2, 3], "floor": [0.01, 0.3], "max_iter": 200},
    DBNSVM: {
        **{"hidden": [9, 7], "pretrain_epochs": 20, "pretrain_batch": 16, "pretrain_lr": [0.01, 0.1]},
        **{"fine_tune_steps": 20, "c": [0.1, 1, 10], "gamma": [0.3, 1, 3]},
    },
}
# Clips of each class.
COUNTS = {
    "even": [20, 20, 20, 20, 20],
    "rare": [40, 30, 2, 1, 20],
    "absent": [20, 0, 25, 30, 0],
    "two": [0, 25, 0, 0, 30],
}
every = pytest.mark.parametrize("cls", VALUES)
of_each_kind = pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)


class Clips:
    """Clips of one frame or several, whose features differ in scale, depend on each other and have heavy tails."""

    def __init__(self, counts: list[int], *, frames: int = 1, seed: int = 0, speakers: int = 6) -> None:
        generator = np.random.default_rng(seed)
        targets = generator.permutation(np.repeat(np.arange(len(counts)), counts))
        centres = np.random.default_rng(99).normal(size=(len(counts), SIZE))  # the same whatever the seed
        mixing = np.random.default_rng(98).normal(size=(SIZE, SIZE))
        lengths = generator.integers(1, frames + 1, size=len(targets))
        noise = generator.standard_t(4, size=(lengths.sum(), SIZE)) @ mixing / 2
        values = (np.repeat(centres[targets], lengths, axis=0) + noise) * 10.0 ** np.linspace(-2, 2, SIZE) + 5
        self.frames = torch.from_numpy(values.astype(np.float32))
        self.lengths, self.targets = torch.from_numpy(lengths), torch.from_numpy(targets)
        self.speakers = [f"{n}" for n in generator.integers(speakers, size=len(targets))]

    def fit(self, cls: type, *, seed: int = 0, **change):
        model = cls(**COMMON | VALUES[cls] | change)
        if model.standardize is not None:
            model.standardize.fit(self.frames.mean(0), self.frames.std(0))
        model.fit(frames=self.frames, lengths=self.lengths, targets=self.targets, groups=self.speakers, seed=seed)
        return model.eval()

    def vectors(self, model) -> np.ndarray:
        """What a model makes of each clip, by numpy."""
        frames = (self.frames - model.standardize.mean) / model.standardize.deviation
        clips = np.split(frames.double().numpy(), self.lengths.cumsum(0)[:-1])
        return np.stack([clip.mean(0) for clip in clips]).astype(np.float32).astype(np.float64)

    @torch.no_grad()
    def heard(self, model) -> torch.Tensor:
        """The logits of all clips, padded into one batch."""
        padded = torch.zeros(len(self.targets), SIZE, int(self.lengths.max()) + 1)
        for row, clip, length in zip(padded, self.frames.split(self.lengths.tolist()), self.lengths, strict=True):
            row[:, :length] = clip.T
        return model(padded, self.lengths)


def normalised(scores: np.ndarray, present: np.ndarray) -> torch.Tensor:
    """Scores of the classes that are present as log-probabilities of all."""
    logits = torch.full((len(scores), CLASSES), ABSENT, dtype=torch.float64)
    logits[:, present] = torch.from_numpy(scores).log_softmax(1)
    return logits.float()


@every
@of_each_kind
def test_the_logits_are_log_probabilities(cls, counts):
    model = Clips(counts).fit(cls)
    logits = Clips([30] * CLASSES, seed=1).heard(model)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits.double().exp().sum(1), torch.ones(len(logits)).double(), atol=1e-5, rtol=0)
    absent = [label for label, count in enumerate(counts) if count == 0]
    assert (logits[:, absent] == ABSENT).all()
    assert not set(logits.argmax(1).tolist()) & set(absent)


@every
def test_what_can_be_learned_is_learned(cls):
    model = Clips([40] * CLASSES).fit(cls)
    new = Clips([40] * CLASSES, seed=1)
    assert (new.heard(model).argmax(1) == new.targets).double().mean() > 0.5  # chance is 0.2
    assert 0.5 < model.choice.values()["uar"] <= 1


@of_each_kind
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("frames", [1, 6])
def test_logistic_is_scikit_learns(counts, class_weight, frames):
    clips, new = Clips(counts, frames=frames), Clips([30] * CLASSES, frames=frames, seed=1)
    model = clips.fit(Logistic, class_weight=class_weight)
    theirs = LogisticRegression(C=model.choice.values()["c"], class_weight=class_weight, max_iter=2000, tol=1e-6).fit(
        clips.vectors(model), clips.targets
    )
    logits = new.heard(model)
    expected = theirs.predict_proba(new.vectors(model))
    assert logits.double().softmax(1)[:, theirs.classes_].numpy() == pytest.approx(expected, abs=1e-6)
    assert (logits.argmax(1).numpy() == theirs.predict(new.vectors(model))).all()


@of_each_kind
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("seed", range(3))
def test_svm_is_scikit_learns(counts, class_weight, seed):
    clips, new = Clips(counts, seed=seed, frames=3), Clips([30] * CLASSES, seed=9, frames=3)
    model = clips.fit(SVM, class_weight=class_weight)
    chosen = model.choice.values()
    vectors = clips.vectors(model)
    gamma = chosen["gamma"] / (SIZE * vectors.var())
    theirs = SVC(C=chosen["c"], gamma=gamma, class_weight=class_weight, break_ties=True)
    theirs.fit(vectors, clips.targets)
    x, logits = new.vectors(model), new.heard(model)
    assert (logits.argmax(1).numpy() == theirs.predict(x)).all()
    assert model.machine.support.size(0) == len(theirs.support_)
    decision = theirs.decision_function(x)
    if decision.ndim == 2:
        scores = decision
    else:  # of two classes, a vote for one of them and how clear it was
        clear = decision / (3 * (np.abs(decision) + 1))
        scores = np.stack([(decision <= 0) - clear, (decision > 0) + clear], axis=1)
    temperature = model.machine.temperature.item()
    torch.testing.assert_close(logits, normalised(scores / temperature, theirs.classes_), atol=1e-5, rtol=1e-5)


def test_the_temperature_makes_held_out_clips_likelier():
    """Beside the raw scores, which are votes and so far from probabilities."""
    clips, new = Clips([40] * CLASSES), Clips([60] * CLASSES, seed=1)
    model = clips.fit(SVM)
    loss = torch.nn.functional.cross_entropy(new.heard(model), new.targets)
    before = new.heard(model).argmax(1)
    model.machine.temperature.fill_(1.0)
    assert loss < torch.nn.functional.cross_entropy(new.heard(model), new.targets) - 0.01
    assert torch.equal(new.heard(model).argmax(1), before)


@of_each_kind
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("of_frames", [False, True])
def test_gmm_is_scikit_learns(counts, class_weight, of_frames):
    clips, new = Clips(counts, frames=6), Clips([30] * CLASSES, frames=6, seed=1)
    model = clips.fit(GMM, class_weight=class_weight, of_frames=of_frames, components=[2])
    floor = model.choice.values()["floor"]
    standardized = [
        ((of.frames - model.standardize.mean) / model.standardize.deviation).double() for of in (clips, new)
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
    torch.testing.assert_close(new.heard(model), normalised(scores, np.array(present)), atol=1e-4, rtol=1e-5)


def test_gmm_of_clips_of_one_frame_is_the_same_either_way():
    clips = Clips(COUNTS["even"])
    torch.testing.assert_close(*(clips.heard(clips.fit(GMM, of_frames=of_frames)) for of_frames in (False, True)))


@every
def test_the_same_seed_gives_the_same_bits(cls):
    clips = Clips(COUNTS["rare"], frames=4)
    one, two, other = (clips.fit(cls, seed=seed).state_dict() for seed in (0, 0, 1))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    random = any(one[name].shape != other[name].shape or not torch.equal(one[name], other[name]) for name in one)
    assert random == (cls in (GMM, DBNSVM))


@every
def test_fitting_draws_nothing_from_the_global_generators_and_leaves_its_clips_alone(cls):
    clips = Clips(COUNTS["even"], frames=4)
    frames, states = clips.frames.clone(), (torch.get_rng_state(), np.random.get_state()[1].copy())
    clips.fit(cls)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
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
def test_every_value_is_alive(cls, change):
    clips = Clips(COUNTS["rare"], frames=4)
    usual, changed = (clips.heard(clips.fit(cls, **values)) for values in ({}, change))
    assert (usual - changed).abs().max() > 1e-3


def test_few_steps_are_told(caplog):
    """What stops it, tol and max_iter, is alive too."""
    clips = Clips(COUNTS["even"])
    clips.fit(Logistic)
    assert not caplog.messages
    early = clips.fit(Logistic, max_iter=2)
    (message,) = caplog.messages
    assert message.startswith("not converged: lbfgs failed to converge after 2 iteration")
    assert (clips.heard(early) - clips.heard(clips.fit(Logistic))).abs().max() > 1e-3
    rough = clips.fit(Logistic, tol=1.0)
    assert (clips.heard(rough) - clips.heard(clips.fit(Logistic))).abs().max() > 1e-3
    caplog.clear()
    clips.fit(GMM, max_iter=1, components=[3])
    assert any("not converged: " in message for message in caplog.messages)


def test_folds_hold_out_other_clips():
    clips = Clips(COUNTS["even"])
    assert len({clips.fit(SVM, folds=folds).choice.values()["uar"] for folds in (2, 3, 5)}) > 1


@every
def test_a_choice_is_the_best_of_the_held_out_clips(cls):
    """One candidate alone reaches what it reached among the others, and none reaches more."""
    clips = Clips(COUNTS["even"])
    chosen = clips.fit(cls).choice.values()
    uar = chosen.pop("uar")
    lists = {name: VALUES[cls][name] for name in chosen}
    alone = {
        values: clips.fit(cls, **{n: [v] for n, v in zip(lists, values, strict=True)}).choice.values()["uar"]
        for values in itertools.product(*lists.values())
    }
    best = max(alone.values())
    assert uar == best > min(alone.values())
    assert tuple(chosen.values()) == next(values for values, reached in alone.items() if reached == best)


@every
def test_no_speaker_is_on_both_sides_of_inner_validation(cls):
    """Every speaker says everything in a way of their own: whoever is held out cannot be understood."""
    clips = Clips([24] * CLASSES)
    position = torch.arange(len(clips.targets))
    clips.targets = position % CLASSES
    speaker = position // CLASSES % 4
    clips.speakers = [str(of) for of in speaker.tolist()]
    clips.frames = torch.nn.functional.one_hot((clips.targets + speaker) % CLASSES, SIZE).float()
    clips.frames[:, -4:] = torch.nn.functional.one_hot(speaker, 4).float()
    clips.frames += 0.01 * torch.randn(clips.frames.shape, generator=torch.Generator().manual_seed(0))
    uar = clips.fit(cls).choice.values()["uar"]
    clips.speakers = [str(n) for n in np.random.default_rng(0).integers(10, size=len(position))]  # as if others spoke
    if cls is not Logistic:  # which cannot tell them at all
        assert uar < clips.fit(cls).choice.values()["uar"] - 0.2
    assert uar < 0.3


@every
def test_without_groups_to_divide_the_first_values_are_taken_and_it_is_told(cls, caplog):
    clips = Clips(COUNTS["even"], speakers=1)
    model = clips.fit(cls)
    (message,) = [message for message in caplog.messages if "inner" in message]
    assert message.startswith("no inner validation: the training clips cannot be divided")
    chosen = model.choice.values()
    assert chosen.pop("uar") is None
    assert chosen == {name: VALUES[cls][name][0] for name in chosen}
    if cls in (SVM, DBNSVM):
        assert model.machine.temperature == 1


@every
def test_a_fold_that_leaves_one_emotion_to_learn_is_passed_over(cls):
    clips = Clips([20, 20, 0, 0, 0])
    clips.speakers = ["a" if target == 0 else "bc"[n % 2] for n, target in enumerate(clips.targets.tolist())]
    assert clips.fit(cls).choice.values()["uar"] is not None
    clips.speakers = ["a" if target == 0 else "b" for target in clips.targets.tolist()]
    assert clips.fit(cls).choice.values()["uar"] is None


@every
def test_clips_of_one_emotion_are_refused(cls):
    with pytest.raises(InputError, match="the training clips are all of one emotion; expected two at least"):
        Clips([0, 20, 0, 0, 0]).fit(cls)


@every
@of_each_kind
def test_a_state_finds_its_place_in_a_new_model(cls, counts):
    clips = Clips(counts, frames=4)
    model = clips.fit(cls)
    for load in (lambda to, state: load_state(to, state, path="x"), lambda to, state: to.load_state_dict(state)):
        new = cls(**COMMON | VALUES[cls])
        assert isinstance(new, Fitted)
        load(new, model.state_dict())
        assert torch.equal(clips.heard(new), clips.heard(model))
        assert new.choice.values() == model.choice.values()


def saved(state: dict) -> dict:
    """A state that has been on disk."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


SPOILT = {
    "missing": (SVM, lambda s: s.pop("machine.dual"), "lacks machine.dual"),
    "unknown": (SVM, lambda s: s.update({"machine.x": torch.zeros(1)}), "has unknown machine.x"),
    "misshaped": (SVM, lambda s: s.update({"machine.support": torch.zeros(7, SIZE + 1)}), "has misshaped machine."),
    "at odds": (SVM, lambda s: s.update({"machine.owner": s["machine.owner"][1:]}), "has misshaped machine."),
    "flat": (SVM, lambda s: s.update({"machine.support": torch.zeros(7)}), "has misshaped machine."),
    "huge": (
        SVM,
        lambda s: s.update(
            {
                "machine.support": torch.zeros(1, 1).expand(10**12, SIZE),
                "machine.dual": torch.zeros(1, 1).double().expand(CLASSES - 1, 10**12),
                "machine.owner": torch.zeros(1, dtype=torch.int64).expand(10**12),
            }
        ),
        r"has misshaped machine.dual \(4, 1000000000000\) for \(4, 0\)",
    ),
    "gmm": (GMM, lambda s: s.update({"mean": s["mean"][:, :, 1:]}), r"has misshaped log_weight|has misshaped mean"),
    "gmm at odds": (GMM, lambda s: s.update({"mean": torch.zeros(CLASSES, 9, SIZE)}), "has misshaped"),
    "logistic": (Logistic, lambda s: s.update({"weight": torch.zeros(CLASSES, 1)}), "has misshaped weight"),
    "dbn": (DBNSVM, lambda s: s.update({"weights.0": torch.zeros(9, 1)}), "has misshaped weights.0"),
}


@pytest.mark.parametrize(("cls", "spoil", "message"), SPOILT.values(), ids=SPOILT)
def test_a_state_that_makes_no_sense_is_refused(cls, spoil, message):
    state = Clips(COUNTS["even"]).fit(cls).state_dict()
    spoil(state)
    with pytest.raises(InputError, match=rf"^x\.ckpt is of another model: it {message}"):
        load_state(cls(**COMMON | VALUES[cls]), saved(state), path="x.ckpt")


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
def test_values_out_of_range_are_refused(cls, change, message):
    with pytest.raises(ValueError, match=message):
        cls(**COMMON | VALUES[cls] | change)
