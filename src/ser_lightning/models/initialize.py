"""Initial weights of networks."""

from torch import nn


def initialize_as_keras(network: nn.Module) -> None:
    """Initialize convolutions, fully connected layers and LSTMs as Keras does.

    Weights are uniform within Glorot's limits and biases are zero (Glorot & Bengio 2010, eq. 16). The recurrent weights
    of an LSTM are orthogonal, and the bias of its forget gate is one.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.LSTM):
            for name, parameter in layer.named_parameters():
                if name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(parameter)
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(parameter)
                else:
                    nn.init.zeros_(parameter)
                if name.startswith("bias_ih"):  # bias_hh, which torch adds to it, stays zero
                    nn.init.ones_(parameter.data[layer.hidden_size : 2 * layer.hidden_size])


def initialize_as_he(network: nn.Module) -> None:
    """Initialize convolutions and fully connected layers so that ReLU preserves the scale of the signal.

    Weights are normal with a variance of 2 / inputs and biases are zero (He et al. 2015, eq. 10). With torch's default
    initialization, which is made for no particular activation, the signal fades from layer to layer where there is no
    BatchNorm.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
