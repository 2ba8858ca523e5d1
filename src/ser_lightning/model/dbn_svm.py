"""Deep belief network and support vector machine."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ser_lightning.model.belief_network import Layers, fine_tune, pretrain, top_layer
from ser_lightning.model.fitting import Choice, check_clips, check_lists, clip_means, frames_in_a_row, frozen
from ser_lightning.model.layers import Standardize
from ser_lightning.model.support_vectors import SupportVectorMachine


class DBNSVM(nn.Module):
    """Restricted Boltzmann machines on each other, a support vector machine on the topmost.

    Published are the statistics it takes (``features=prosody``), a deep belief network that is fine-tuned by conjugate
    gradients, and that a support vector machine decides; on CASIA, men and women apart. Reconstructed are all numbers
    and these choices: the first machine sees the standardised features as Gaussian units of variance 1, the others see
    units that are on or off; each is trained greedily by one step of contrastive divergence; fine-tuning lays a softmax
    on top, lowers its cross-entropy and keeps the layers below. Men and women are not kept apart.

    In inner validation the network learns anew, from the clips that are not held out.

    Args:
        features: rows of the input
        classes: logits of the output
        standardize: remove mean and deviation of the training set from each row first; it must be so
        hidden: units of each machine
        pretrain_epochs: passes over the clips for each machine
        pretrain_batch: clips a step
        pretrain_lr: learning rate of the first machine, and of the others
        fine_tune_steps: of conjugate gradients, at most; 0 for none
        c: costs of an error (scikit-learn's C) to choose from
        gamma: of the kernel, in multiples of scikit-learn's ``scale``, to choose from
        class_weight: ``balanced``: every class counts alike in the support vector machine; else every clip
        folds: of inner validation, over speakers

    Raises:
        ValueError: a number out of its range, features that are not standardised

    Source: Zhu et al. 2017, Sensors 17(7), 1694; Hinton, Osindero & Teh 2006; Hinton 2010, "A practical guide to
    training restricted Boltzmann machines".

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        hidden: Sequence[int],
        pretrain_epochs: int,
        pretrain_batch: int,
        pretrain_lr: Sequence[float],
        fine_tune_steps: int,
        c: Sequence[float],
        gamma: Sequence[float],
        class_weight: Literal["balanced"] | None,
        folds: int,
    ) -> None:
        super().__init__()
        if not standardize:
            raise ValueError("its first machine takes features of variance 1; expected features.standardize=true")
        check_lists(folds, hidden=hidden, pretrain_lr=pretrain_lr, pretrain_batch=[pretrain_batch])
        if len(pretrain_lr) != 2:
            raise ValueError(
                f"model.pretrain_lr is {list(pretrain_lr)}; expected two: of the first machine, of the others"
            )
        for name, value in (("pretrain_epochs", pretrain_epochs), ("fine_tune_steps", fine_tune_steps)):
            if value < 0:
                raise ValueError(f"model.{name} is {value}; expected at least 0")
        self.classes, self.hidden = classes, list(hidden)
        self.epochs, self.batch, self.rates = pretrain_epochs, pretrain_batch, list(pretrain_lr)
        self.steps = fine_tune_steps
        self.standardize = Standardize(features=features)
        self.weights = nn.ParameterList(frozen(units, inputs) for inputs, units in pairwise([features, *hidden]))
        self.biases = nn.ParameterList(frozen(units) for units in hidden)
        self.machine = SupportVectorMachine(
            features=hidden[-1], classes=classes, c=c, gamma=gamma, class_weight=class_weight, folds=folds
        )

    @property
    def choice(self) -> Choice:
        """What inner validation chose."""
        return self.machine.choice

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the log-probabilities of each clip.

        Args:
            features: (B, F, K), zero beyond each clip's end
            lengths: (B,), frames of each clip

        Returns:
            (B, classes)

        """
        x = clip_means(frames_in_a_row(features, lengths), lengths, standardize=self.standardize)
        layers = list(zip(self.weights, self.biases, strict=True))
        logits: Tensor = self.machine(top_layer(x.double(), layers).float())
        return logits

    @torch.no_grad()
    def fit(self, *, frames: Tensor, lengths: Tensor, targets: Tensor, groups: Sequence[str], seed: int) -> None:
        """Train the network and fit what decides; see :class:`~ser_lightning.model.fitting.Fitted`.

        Raises:
            InputError: a machine diverged

        """
        check_clips(targets)
        x = clip_means(frames, lengths, standardize=self.standardize).double()
        learned: list[Layers] = []

        def represent(train: Tensor) -> Tensor:
            learned.append(self._learn(x[train], targets[train], seed=seed))
            return top_layer(x, learned[-1]).float()

        self.machine.fit(represent, targets=targets, groups=groups)
        for weight, bias, (new_weight, new_bias) in zip(self.weights, self.biases, learned[-1], strict=True):
            weight.copy_(new_weight)
            bias.copy_(new_bias)

    def _learn(self, x: Tensor, targets: Tensor, *, seed: int) -> Layers:
        """Return the layers that some clips make: (N, F), (N,)."""
        layers = pretrain(
            x,
            hidden=self.hidden,
            epochs=self.epochs,
            batch=self.batch,
            rates=self.rates,
            generator=torch.Generator().manual_seed(seed),
        )
        return fine_tune(x, targets, layers, classes=self.classes, steps=self.steps)
