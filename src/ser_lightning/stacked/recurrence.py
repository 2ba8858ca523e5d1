"""The LSTM of several runs in batched steps, because no library has one with other weights for each run."""

from typing import Any

import torch
from torch import Tensor


def run_lstm(x: Tensor, input_weight: Tensor, hidden_weight: Tensor, input_bias: Tensor, hidden_bias: Tensor) -> Tensor:
    """Return the outputs of LSTMs that start from zeros.

    Args:
        x: (T, R, B, C), inputs
        input_weight: (R, 4H, C), as in ``torch.nn.LSTM``
        hidden_weight: (R, 4H, H)
        input_bias: (R, 4H)
        hidden_bias: (R, 4H)

    Returns:
        (T, R, B, H)

    """
    steps, runs, batch, channels = x.shape
    rows = x.transpose(0, 1).reshape(runs, steps * batch, channels)
    gates = rows @ input_weight.transpose(1, 2) + (input_bias + hidden_bias)[:, None]  # all steps in one product
    gates = gates.view(runs, steps, batch, -1).transpose(0, 1)  # (T, R, B, 4H)
    outputs: Tensor = _run_steps(gates, hidden_weight)[0]
    return outputs[1:]


# An operator of its own, of which torch.compile does not trace every step.
@torch.library.custom_op("ser_lightning::lstm", mutates_args=())
def _run_steps(gates: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run the steps of LSTMs, given what the inputs add to the gates; the gates are input, forget, cell and output.

    Args:
        gates: (T, R, B, 4H)
        weight: (R, 4H, H)

    Returns:
        outputs (T + 1, R, B, H) and cells (T + 1, R, B, H), the first of which are zero, and activations (T, R, B, 4H)

    """
    steps, runs, batch, width = gates.shape
    size = width // 4
    activations = torch.empty_like(gates, memory_format=torch.contiguous_format)
    cells = gates.new_zeros(steps + 1, runs, batch, size)
    outputs = gates.new_zeros(steps + 1, runs, batch, size)
    transposed = weight.transpose(1, 2)
    for t in range(steps):
        a = torch.baddbmm(gates[t], outputs[t], transposed, out=activations[t])
        a[..., : 2 * size].sigmoid_()
        a[..., 2 * size : 3 * size].tanh_()
        a[..., 3 * size :].sigmoid_()
        i, f, g, o = a.chunk(4, -1)
        torch.addcmul(f * cells[t], i, g, out=cells[t + 1])
        torch.mul(o, cells[t + 1].tanh(), out=outputs[t + 1])
    return outputs, cells, activations


@_run_steps.register_fake
def _(gates: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    steps, runs, batch, width = gates.shape
    outputs = gates.new_empty(steps + 1, runs, batch, width // 4)
    return outputs, torch.empty_like(outputs), gates.new_empty(gates.shape)


@torch.library.custom_op("ser_lightning::lstm_backward", mutates_args=())
def _run_back(
    gradient: Tensor, outputs: Tensor, cells: Tensor, activations: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the gates and of the weight, given that of the outputs."""
    size = outputs.size(-1)
    i, f, g, o = activations.chunk(4, -1)
    squashed = cells[1:].tanh()
    of_squashed = o * (1 - squashed.square())
    # What does not depend on the next step is computed for all steps at once: the gradients of the gates are these
    # factors, the first three times the gradient of the cell and the last times that of the output.
    factors = activations * (1 - activations)
    factors[..., :size] *= g
    factors[..., size : 2 * size] *= cells[:-1]
    factors[..., 2 * size : 3 * size] = i * (1 - g.square())
    factors[..., 3 * size :] *= squashed
    of_gates = torch.empty_like(activations)
    of_output, of_cell = torch.zeros_like(outputs[0]), torch.zeros_like(outputs[0])
    for t in reversed(range(len(activations))):
        of_output = of_output + gradient[t + 1]
        of_cell = torch.addcmul(of_cell, of_output, of_squashed[t])
        now, factor = (x[t].view(*of_output.shape[:-1], 4, size) for x in (of_gates, factors))
        torch.mul(of_cell[..., None, :], factor[..., :3, :], out=now[..., :3, :])
        torch.mul(of_output, factor[..., 3, :], out=now[..., 3, :])
        of_output, of_cell = of_gates[t] @ weight, of_cell * f[t]
    runs = weight.size(0)
    before = outputs[:-1].transpose(0, 1).reshape(runs, -1, size)
    of_weight = of_gates.transpose(0, 1).reshape(runs, -1, 4 * size).transpose(1, 2) @ before
    return of_gates, of_weight


@_run_back.register_fake
def _(gradient: Tensor, outputs: Tensor, cells: Tensor, activations: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return activations.new_empty(activations.shape), weight.new_empty(weight.shape)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)  # cells and activations have no gradient
    ctx.save_for_backward(*output, inputs[1])


def _backward(ctx: Any, gradient: Tensor, *_: None) -> tuple[Tensor, Tensor]:
    of_gates, of_weight = _run_back(gradient, *ctx.saved_tensors)
    return of_gates, of_weight


_run_steps.register_autograd(_backward, setup_context=_save)
