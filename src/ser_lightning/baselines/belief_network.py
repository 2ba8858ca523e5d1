"""Stacked restricted Boltzmann machines: greedy pretraining and joint fine-tuning."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ser_lightning.errors import InputError

Layers = list[tuple[Tensor, Tensor]]  # weight (hidden, visible) and bias (hidden,) of each layer
SPREAD = 0.01  # standard deviation of the initial weights (Hinton 2010, section 8.1)


def top_layer(x: Tensor, layers: Layers) -> Tensor:
    """Return the activation probabilities of the topmost layer: (N, visible) -> (N, hidden)."""
    for weight, bias in layers:
        x = nn.functional.linear(x, weight, bias).sigmoid()
    return x


def pretrain(
    x: Tensor, *, hidden: Sequence[int], epochs: int, batch: int, rates: Sequence[float], generator: torch.Generator
) -> Layers:
    """Train stacked restricted Boltzmann machines greedily.

    The visible units of the first machine are Gaussian with variance 1; all others are binary.

    Args:
        x: (N, visible), standardized
        hidden: number of hidden units of each machine
        epochs: epochs for each machine
        batch: clips per batch
        rates: learning rate of the first machine, and of the others
        generator: random number generator of the initial weights, the sampling and the order of the clips

    Returns:
        The weight and bias of each layer.

    Raises:
        InputError: a machine diverged

    """
    layers: Layers = []
    for units in hidden:
        first = not layers
        layers.append(
            _train_machine(
                x, units=units, epochs=epochs, batch=batch, rate=rates[not first], gaussian=first, generator=generator
            )
        )
        x = top_layer(x, layers[-1:])
        if not x.isfinite().all():
            raise InputError(f"machine {len(layers)} of the belief network diverged; lower model.pretrain_lr")
    return layers


def _train_machine(
    x: Tensor, *, units: int, epochs: int, batch: int, rate: float, gaussian: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Train one machine by one-step contrastive divergence (Hinton 2002); return its weight and hidden bias.

    The hidden units are sampled, their reconstruction is not (Hinton 2010, section 3).
    """
    weight = SPREAD * torch.randn(units, x.size(1), generator=generator, dtype=x.dtype)
    bias, visible_bias = x.new_zeros(units), x.new_zeros(x.size(1))
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x), generator=generator), batch):
            visible = x[rows]
            hidden = nn.functional.linear(visible, weight, bias).sigmoid()
            sampled = (torch.rand(hidden.shape, generator=generator, dtype=x.dtype) < hidden).to(x.dtype)
            reconstruction = nn.functional.linear(sampled, weight.T, visible_bias)
            if not gaussian:
                reconstruction = reconstruction.sigmoid()
            hidden_again = nn.functional.linear(reconstruction, weight, bias).sigmoid()
            weight += rate / len(rows) * (hidden.T @ visible - hidden_again.T @ reconstruction)
            bias += rate * (hidden - hidden_again).mean(0)
            visible_bias += rate * (visible - reconstruction).mean(0)
    return weight, bias


def fine_tune(x: Tensor, targets: Tensor, layers: Layers, *, classes: int, steps: int) -> Layers:
    """Fine-tune the layers under a softmax layer, minimizing the cross-entropy by conjugate gradients.

    Args:
        x: (N, visible)
        targets: (N,), class index of each row
        layers: the pretrained layers
        classes: number of classes of the softmax layer, which is initialized with zeros and discarded afterward
        steps: maximum number of steps; 0 returns the layers unchanged

    Returns:
        The weight and bias of each layer, without the softmax layer.

    """
    from scipy.optimize import minimize

    if steps == 0:
        return layers
    softmax = x.new_zeros(classes, len(layers[-1][1])), x.new_zeros(classes)
    tensors = [tensor for layer in (*layers, softmax) for tensor in layer]
    shapes, sizes = [tensor.shape for tensor in tensors], [tensor.numel() for tensor in tensors]

    def unpack(flat: Tensor) -> Layers:
        parts = [part.view(shape) for part, shape in zip(torch.split(flat, sizes), shapes, strict=True)]
        return list(zip(parts[::2], parts[1::2], strict=True))

    def loss(values: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        with torch.enable_grad():
            flat = torch.from_numpy(values).clone().requires_grad_()
            *below, (weight, bias) = unpack(flat)
            value = nn.functional.cross_entropy(nn.functional.linear(top_layer(x, below), weight, bias), targets)
            (gradient,) = torch.autograd.grad(value, flat)
        return value.item(), gradient.numpy()

    start = torch.cat([tensor.flatten() for tensor in tensors]).numpy()
    result: Any = minimize(loss, start, jac=True, method="CG", options={"maxiter": steps})
    return unpack(torch.from_numpy(result.x))[:-1]
