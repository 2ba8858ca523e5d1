"""Weights of several networks of one architecture in common arrays."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ser_lightning.errors import InputError


class NotStackableError(InputError):
    """Runs cannot be trained as one; the ordinary launcher trains them."""


class SharedWeights:
    """Weights, gradients and buffers of networks in common arrays, whose row r belongs to network r.

    The parameters and buffers of each network become views of its row, so that every network can still be used and
    saved alone, and always has the current weights. Frozen parameters stay with their networks.

    Args:
        models: the networks, on the same device

    Raises:
        NotStackableError: the networks differ in the names or shapes of their weights, or in what is frozen

    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self.models = list(models)
        shapes = [{name: tensor.shape for name, tensor in model.state_dict().items()} for model in models]
        if any(shape != shapes[0] for shape in shapes):
            raise NotStackableError("their networks differ in shape")
        if any(list(_trained(model)) != list(_trained(models[0])) for model in models):
            raise NotStackableError("their networks differ in what is frozen")
        self.values = torch.stack([_flat(model) for model in models])  # (R, P)
        self.gradients = torch.zeros_like(self.values)
        self.spans: dict[str, slice] = {}
        self.parameters: dict[str, nn.Parameter] = {}  # those of all networks, (R, ...)
        start = 0
        for name, parameter in _trained(models[0]).items():
            self.spans[name] = slice(start, start + parameter.numel())
            start += parameter.numel()
        for row, model in enumerate(models):
            for name, parameter in _trained(model).items():
                parameter.data = self.values[row, self.spans[name]].view(parameter.shape)
                parameter.grad = self.gradients[row, self.spans[name]].view(parameter.shape)

    def stacked(self, name: str) -> nn.Parameter:
        """Return one parameter of all networks, (R, ...), as a view; a copy if it is frozen."""
        if name not in self.spans:
            stack = torch.stack([model.get_parameter(name).detach() for model in self.models])
            return nn.Parameter(stack, requires_grad=False)
        shape = (len(self.models), *self.models[0].get_parameter(name).shape)
        self.parameters[name] = nn.Parameter(self.values[:, self.spans[name]].view(shape))
        return self.parameters[name]

    def backward(self, loss: Tensor) -> None:
        """Set the gradients to those of the parameters that :meth:`stacked` has returned."""
        gradients = torch.autograd.grad(loss, list(self.parameters.values()))
        slices = [
            self.gradients[:, self.spans[name]].view(parameter.shape) for name, parameter in self.parameters.items()
        ]
        torch._foreach_copy_(slices, gradients)

    def stacked_buffer(self, name: str) -> Tensor:
        """Return one buffer of all networks, (R, ...), of which the buffers of the networks become views."""
        stack = torch.stack([model.get_buffer(name) for model in self.models])
        owner, _, last = name.rpartition(".")
        for model, row in zip(self.models, stack, strict=True):
            model.get_submodule(owner)._buffers[last] = row
        return stack

    def release(self) -> None:
        """Give each network weights of its own again."""
        for model in self.models:
            for parameter in model.parameters():
                parameter.data, parameter.grad = parameter.data.clone(), None
            for module in model.modules():
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module._buffers[name] = buffer.clone()
                if isinstance(module, nn.RNNBase):
                    module.flatten_parameters()


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _flat(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(_trained(model).values()).detach()
