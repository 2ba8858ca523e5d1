"""The encoder of Smart Turn 3.2: a Whisper-tiny encoder, trained further to find the ends of turns in conversation.

The file with its weights is part of the package ``pipecat-ai`` (BSD-2), which is searched but never imported.
"""

import hashlib
import importlib.util
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ser_lightning.errors import InputError
from ser_lightning.features.encoders.whisper import FRAME, HOP, RATE, WhisperEncoder, log_mel

Array = npt.NDArray[np.float32]

PACKAGE, VERSION = "pipecat-ai", "1.14.0"
FILE = "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
SHA256 = "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"
LAYERS, WIDTH, HEADS = 4, 384, 6
LONGEST = 8 * RATE  # samples of its input; shorter clips are padded at their start
VARIANCE_FLOOR = 1e-7  # added to the variance of the wave
INSTALL = f"pip install 'ser-lightning[encoder]' && pip install --no-deps {PACKAGE}=={VERSION}"


def find_model() -> Path:
    """Return the path of the ONNX file in the installed package.

    Raises:
        InputError: the package is not installed, or its file is of another version

    """
    spec = importlib.util.find_spec("pipecat")
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    paths = [path for folder in folders if (path := Path(folder) / FILE).is_file()]
    if not paths:
        raise InputError(
            f"the encoder smart_turn is not installed ({PACKAGE} has no file {FILE}); install it with: {INSTALL}"
        )
    digest = hashlib.sha256(paths[0].read_bytes()).hexdigest()
    if digest != SHA256:
        raise InputError(
            f"{paths[0]} is another version of the encoder (SHA-256 {digest[:12]}, expected {SHA256[:12]}). Install it:"
            f" {INSTALL}"
        )
    return paths[0]


def read_weights(path: Path) -> dict[str, Array]:
    """Return the weights of the encoder, dequantized, by their names in Whisper.

    The file has names for biases and normalizations, but not for matrices. A matrix takes its name from the bias that
    is added to its product. Key projections have no bias: they are the remaining products of the normalized input of a
    layer.

    Args:
        path: the ONNX file

    Raises:
        InputError: the library onnx is missing

    """
    try:
        import onnx
    except ImportError as error:
        raise InputError(
            f"The encoder smart_turn needs the library onnx to read its file. Install it: {INSTALL}"
        ) from error
    graph = onnx.load(path).graph
    constants = _constants(graph)
    source = _without_quantization(graph, constants)
    weights = {
        name: array for name, array in constants.items() if re.fullmatch(r"inner\.encoder\..*\.(weight|bias)", name)
    }
    biases: dict[str, str] = {}  # product -> name of its bias
    inputs: dict[str, str] = {}  # normalized input -> name of its layer
    for node in graph.node:
        if node.op_type == "Add":
            biases |= {source(a): b for a, b in (node.input, node.input[::-1]) if b in weights}
        elif node.op_type == "LayerNormalization" and ".self_attn_layer_norm." in node.input[1]:
            inputs[node.output[0]] = node.input[1].removesuffix("self_attn_layer_norm.weight")
    for node in graph.node:
        if node.op_type == "Conv":
            weights[node.input[2].removesuffix("bias") + "weight"] = constants[node.input[1]]
        elif node.op_type == "MatMul" and node.input[1] in constants:
            product, layer = node.output[0], inputs.get(source(node.input[0]))
            if product in biases:
                weights[biases[product].removesuffix("bias") + "weight"] = constants[node.input[1]].T
            elif layer is not None:
                weights[f"{layer}self_attn.k_proj.weight"] = constants[node.input[1]].T
    return {
        name.removeprefix("inner.encoder.").replace(".self_attn.", "."): np.ascontiguousarray(array, np.float32)
        for name, array in weights.items()
    }


def _constants(graph: Any) -> dict[str, Array]:
    """Return all constant tensors of a graph by name, those of 8 bits dequantized."""
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            values, scale, zero = (constants[name].astype(np.float32) for name in node.input)
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            shape = [-1 if n == axis else 1 for n in range(values.ndim)] if scale.ndim else []  # one scale per output
            constants[node.output[0]] = (values - zero.reshape(shape)) * scale.reshape(shape)
    return constants


def _without_quantization(graph: Any, constants: Mapping[str, Array]) -> Callable[[str], str]:
    """Return a function from the name of an activation to its name before it was quantized and dequantized."""
    before: dict[str, str] = {}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.output[0] not in constants:
            before[node.output[0]] = before.get(node.input[0], node.input[0])
    return lambda name: before.get(name, name)


def build_encoder() -> WhisperEncoder:
    """Return a new encoder with the weights of the file.

    Raises:
        InputError: the package or the library onnx is missing, or the file is of another version

    """
    return WhisperEncoder.from_weights(read_weights(find_model()), heads=HEADS)


load = lru_cache(build_encoder)  # the encoder of the features, one per process


@torch.inference_mode()
def hidden_states(wave: Array, *, crop: bool, last: int = LAYERS) -> Array:
    """Return the hidden states of a clip, before the first layer and after each layer.

    A clip of more than 8 s is divided into equal parts. The padded wave is normalized to zero mean and unit variance,
    as in the training of the encoder.

    Args:
        wave: (samples,) at 16 kHz, at least one
        crop: whether to leave out the frames of the padding
        last: the last layer to compute

    Returns:
        (last + 1, K, WIDTH), one frame every 20 ms, without the frames of the padding

    """
    parts = np.array_split(wave, -(-len(wave) // LONGEST))
    return np.concatenate([_states_of_part(part, crop=crop, last=last) for part in parts], axis=1)


def _states_of_part(part: Array, *, crop: bool, last: int) -> Array:
    padded = np.pad(part, (LONGEST - len(part), 0))
    padded = (padded - padded.mean()) / np.sqrt(padded.var() + VARIANCE_FLOOR)
    frames = -(-len(part) // FRAME)
    mel = log_mel(torch.from_numpy(padded)[None])
    if crop:
        mel = mel[:, :, -frames * FRAME // HOP :]
    states: Array = torch.cat(load()(mel, last=last))[:, -frames:].numpy()
    return states
