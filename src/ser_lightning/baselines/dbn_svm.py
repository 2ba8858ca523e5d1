"""Deep belief network with a support vector machine on its topmost layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.special import expit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline

from ser_lightning.baselines.belief_network import fine_tune, pretrain
from ser_lightning.baselines.clips import Vectors, vector_steps
from ser_lightning.baselines.search import Labels, check_grid
from ser_lightning.baselines.svm import KernelScale, SVCSearch, unfitted_machine


@dataclass(frozen=True, kw_only=True)
class DBNSVM:
    """Stacked restricted Boltzmann machines with a support vector machine on top.

    The paper describes the features (``features=prosody``), a deep belief network that is fine-tuned by conjugate
    gradients, and the support vector machine on its topmost layer, with separate models for men and women, on CASIA.
    All values and the following choices are reconstructed: the first Boltzmann machine has Gaussian visible units of
    variance 1 for the standardized features, the others have binary ones; each is trained greedily by one step of
    contrastive divergence; fine-tuning adds a softmax layer, minimizes its cross-entropy and keeps the layers below.
    Men and women share one model.

    In inner validation, the network is trained again for each fold, without the held-out clips.

    Args:
        standardize: standardize the frames first; must be true
        hidden: number of hidden units of each Boltzmann machine
        pretrain_epochs: epochs of pretraining for each machine
        pretrain_batch: clips per batch in pretraining
        pretrain_lr: learning rate of the first machine, and of the others
        fine_tune_steps: maximum number of conjugate gradient steps; 0 for no fine-tuning
        c: error costs (scikit-learn's ``C``) to choose from
        gamma: kernel coefficients to choose from, in multiples of scikit-learn's ``scale``
        class_weight: ``balanced`` gives every class the same weight in the support vector machine
        folds: number of folds of the inner validation, over speakers

    Raises:
        ValueError: a value is out of range, or ``standardize`` is false

    Source: Zhu et al. 2017, Sensors 17(7), 1694; Hinton, Osindero & Teh 2006; Hinton 2010, "A practical guide to
    training restricted Boltzmann machines".

    """

    standardize: bool
    hidden: Sequence[int]
    pretrain_epochs: int
    pretrain_batch: int
    pretrain_lr: Sequence[float]
    fine_tune_steps: int
    c: Sequence[float]
    gamma: Sequence[float]
    class_weight: Literal["balanced"] | None
    folds: int

    def __post_init__(self) -> None:
        """Check the values."""
        if not self.standardize:
            raise ValueError("its first machine takes features of variance 1; expected features.standardize=true")
        check_grid(self.folds, hidden=self.hidden, pretrain_lr=self.pretrain_lr, pretrain_batch=[self.pretrain_batch])
        check_grid(self.folds, c=self.c, gamma=self.gamma)
        if len(self.pretrain_lr) != 2:
            raise ValueError(
                f"model.pretrain_lr is {list(self.pretrain_lr)}; expected two: of the first machine, of the others"
            )
        for name, value in (("pretrain_epochs", self.pretrain_epochs), ("fine_tune_steps", self.fine_tune_steps)):
            if value < 0:
                raise ValueError(f"model.{name} is {value}; expected at least 0")

    def pipeline(self, *, seed: int) -> Pipeline:
        """Return the unfitted pipeline."""
        network = DeepBeliefNetwork(
            hidden=list(self.hidden),
            epochs=self.pretrain_epochs,
            batch_size=self.pretrain_batch,
            learning_rates=list(self.pretrain_lr),
            fine_tune_steps=self.fine_tune_steps,
            random_state=seed,
        )
        search = SVCSearch(
            representation=Pipeline([("network", network), ("scale", KernelScale())]),
            classifier=unfitted_machine(class_weight=self.class_weight),
            grid={"C": list(self.c), "gamma": list(self.gamma)},
            folds=self.folds,
            calibrate=True,
        )
        return Pipeline([*vector_steps(standardize=self.standardize), ("classify", search)])


class DeepBeliefNetwork(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Transformer that returns the activations of the topmost of several stacked restricted Boltzmann machines.

    scikit-learn's ``BernoulliRBM`` supports only binary visible units and persistent contrastive divergence, and has no
    fine-tuning.

    Args:
        hidden: number of hidden units of each machine
        epochs: epochs of pretraining for each machine
        batch_size: clips per batch in pretraining
        learning_rates: learning rate of the first machine, and of the others
        fine_tune_steps: maximum number of conjugate gradient steps
        random_state: seed of the initial weights, the sampling and the order of the clips

    """

    def __init__(
        self,
        *,
        hidden: Sequence[int],
        epochs: int,
        batch_size: int,
        learning_rates: Sequence[float],
        fine_tune_steps: int,
        random_state: int,
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rates = learning_rates
        self.fine_tune_steps = fine_tune_steps
        self.random_state = random_state

    def fit(self, x: Vectors, y: Labels) -> "DeepBeliefNetwork":
        """Pretrain the machines one after another, then fine-tune them together.

        Raises:
            InputError: a machine diverged

        """
        classes, labels = np.unique(y, return_inverse=True)
        rows = torch.from_numpy(np.asarray(x, dtype=np.float64))
        layers = pretrain(
            rows,
            hidden=self.hidden,
            epochs=self.epochs,
            batch=self.batch_size,
            rates=self.learning_rates,
            generator=torch.Generator().manual_seed(self.random_state),
        )
        layers = fine_tune(rows, torch.from_numpy(labels), layers, classes=len(classes), steps=self.fine_tune_steps)
        self.weights_ = [weight.numpy().copy() for weight, _ in layers]
        self.biases_ = [bias.numpy().copy() for _, bias in layers]
        return self

    def transform(self, x: Vectors) -> Any:
        """Return the activation probabilities of the topmost layer, (N, hidden)."""
        for weight, bias in zip(self.weights_, self.biases_, strict=True):
            x = expit(x @ weight.T + bias)
        return x
