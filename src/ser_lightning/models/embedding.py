"""Embeddings of clips: what the output layer of a network is given."""

import torch
from torch import Tensor, nn

from ser_lightning.errors import InputError
from ser_lightning.models.ensemble import members_of


def embed(model: nn.Module, features: Tensor, lengths: Tensor, *, classes: int) -> Tensor:
    """Return the input of the output layer for each clip, (B, D); of an ensemble those of its networks, concatenated.

    Args:
        model: the network
        features: (B, K, F)
        lengths: (B,), number of frames of each clip
        classes: number of classes

    Raises:
        InputError: the model has no linear output layer

    """
    vectors: list[Tensor] = []
    for network in members_of(model):
        linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
        outputs = [module for module in linear if module.out_features == classes]
        if not outputs:
            raise InputError(f"a {type(network).__name__} has no linear output layer, and thus no embedding")
        inputs: list[Tensor] = []
        hook = outputs[-1].register_forward_pre_hook(lambda _, args, inputs=inputs: inputs.append(args[0]))
        try:
            network(features, lengths)
        finally:
            hook.remove()
        vectors.append(inputs[-1])
    return torch.cat(vectors, dim=1)
