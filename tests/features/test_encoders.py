"""Tests of the hidden states of pretrained encoders."""

import importlib.util

import numpy as np
import pytest

from ser_lightning.errors import InputError

if importlib.util.find_spec("pipecat") is None or importlib.util.find_spec("onnx") is None:
    pytest.skip("the encoder is not installed: pip install --no-deps pipecat-ai==1.14.0", allow_module_level=True)

import onnx
import onnxruntime
import torch

from ser_lightning.features.encoders import smart_turn, whisper
from ser_lightning.features.encoders.encoder import SmartTurn

VALUES = {
    "sampling_rate": 16000,
    "layers": [1, 2, 3],
    "pooling": "mean_deviation",
    "crop": True,
    "standardize": True,
}


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """Three seconds of noise with a changing level."""
    generator = np.random.default_rng(0)
    noise = generator.normal(scale=0.1, size=48000)
    return (noise * (1 + np.sin(np.arange(48000) / 4000))).astype(np.float32)


@pytest.fixture(scope="module")
def float_session() -> tuple[onnxruntime.InferenceSession, list[str]]:
    """Return the ONNX file without the quantization of its activations, and its outputs: the hidden states."""
    model = onnx.load(smart_turn.find_model())
    constants = {tensor.name for tensor in model.graph.initializer}
    before: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] not in constants:
            before[node.output[0]] = before.get(node.input[0], node.input[0])
    nodes = [node for node in model.graph.node if node.output[0] not in before]
    for node in nodes:
        for n, name in enumerate(node.input):
            node.input[n] = before.get(name, name)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    norms = [node for node in nodes if node.op_type == "LayerNormalization"]
    states = [node.input[0] for node in norms if ".self_attn_layer_norm." in node.input[1]]
    states += [node.output[0] for node in norms if node.input[1] == "inner.encoder.layer_norm.weight"]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in states)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # The optimizer would turn the float products back into 8-bit ones.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options), states


def test_states_equal_those_of_the_onnx_file(float_session, clip):
    session, names = float_session
    padded = np.pad(clip, (smart_turn.LONGEST - len(clip), 0))
    padded = (padded - padded.mean()) / np.sqrt(padded.var() + 1e-7)
    mel = whisper.log_mel(torch.from_numpy(padded)[None])
    expected = np.concatenate(session.run(names, {"input_features": mel.numpy()}))[:, -150:]
    assert len(names) == smart_turn.LAYERS + 1
    found = smart_turn.hidden_states(clip, crop=False)
    assert found.shape == expected.shape == (5, 150, smart_turn.WIDTH)
    scale = np.abs(expected).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


def test_log_mel_equals_the_package(clip):
    path = smart_turn.find_model().parents[1] / "_whisper_features.py"
    spec = importlib.util.spec_from_file_location("whisper_features", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    padded = np.pad(clip, (smart_turn.LONGEST - len(clip), 0))
    expected = module.compute_whisper_log_mel_features(padded, do_normalize=False)
    np.testing.assert_allclose(whisper.log_mel(torch.from_numpy(padded)[None])[0], expected, atol=1e-4)


def test_parameters_are_those_of_whisper_tiny():
    assert sum(parameter.numel() for parameter in smart_turn.load().parameters()) == 7785984


@pytest.mark.parametrize("seconds", [0.0001, 1.0, 8.0, 8.1, 20.0])
def test_clips_of_any_length_have_features(seconds):
    wave = np.random.default_rng(1).normal(scale=0.1, size=max(1, round(16000 * seconds))).astype(np.float32)
    vector = SmartTurn(**VALUES)(wave)
    frames = SmartTurn(**VALUES | {"pooling": "frames"})(wave)
    assert vector.dtype == frames.dtype == np.float32
    assert vector.shape == (1, 2304)
    assert frames.shape[1] == 1152
    assert abs(frames.shape[0] - seconds * 50) <= 2
    assert np.isfinite(vector).all()
    np.testing.assert_allclose(vector[0, :1152], frames.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(vector[0, 1152:], frames.std(axis=0), atol=1e-4)


def test_level_of_clip_does_not_matter(clip):
    encoder = SmartTurn(**VALUES)
    np.testing.assert_allclose(encoder(clip), encoder(clip * np.float32(4)), atol=0.02)


@pytest.mark.parametrize("changed", [{"layers": [4]}, {"crop": False}, {"pooling": "frames"}, {"sampling_rate": 8000}])
def test_every_option_changes_the_features(changed, clip):
    before, after = SmartTurn(**VALUES)(clip), SmartTurn(**VALUES | changed)(clip)
    assert before.shape != after.shape or not np.allclose(before, after, atol=1e-3)


@pytest.mark.parametrize("layers", [[], [5], [1, 1], [-1]])
def test_layers_out_of_range_are_refused(layers):
    with pytest.raises(InputError, match=r"features\.layers"):
        SmartTurn(**VALUES | {"layers": layers})


def test_file_of_another_version_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "pipecat" / smart_turn.FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another version")
    (tmp_path / "pipecat" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="another version"):
        smart_turn.find_model()
