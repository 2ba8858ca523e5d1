"""Tests of the hidden states of encoders of transformers, on tiny random models."""

import importlib.util
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

import torch
import transformers

from ser_lightning.build import build
from ser_lightning.errors import InputError
from ser_lightning.features.encoders.encoder import HuggingFaceEncoder
from ser_lightning.results import with_checkpoint_digest

SMALL = {
    **{"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24},
    **{"conv_dim": [8, 8], "conv_kernel": [10, 8], "conv_stride": [5, 64], "num_feat_extract_layers": 2},
    **{"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "vocab_size": 8},
}
WHISPER = {
    **{"d_model": 16, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_layers": 1},
    **{"decoder_attention_heads": 2, "decoder_ffn_dim": 24, "max_source_positions": 100, "vocab_size": 20},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "num_mel_bins": 80},
}
# Class -> its configuration. XLS-R is a wav2vec 2.0 with normalization before each layer.
MODELS = {
    "wav2vec2": ("Wav2Vec2", SMALL),
    "xls_r": ("Wav2Vec2", {**SMALL, "do_stable_layer_norm": True, "feat_extract_norm": "layer"}),
    "hubert": ("Hubert", SMALL),
    "wavlm": ("WavLM", SMALL),
    "unispeech": ("UniSpeechSat", SMALL),
    "data2vec": ("Data2VecAudio", {**SMALL, "conv_pos_kernel_size": 9, "num_conv_pos_embeddings": 2}),
    "whisper": ("Whisper", WHISPER),
}
COMMIT = "0" * 40


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Return the folders of tiny random encoders, one of each class."""
    made = {}
    for name, (cls, values) in MODELS.items():
        torch.manual_seed(len(made))
        made[name] = tmp_path_factory.mktemp(name)
        config = getattr(transformers, f"{cls}Config")(**values)
        getattr(transformers, f"{cls}Model")(config).save_pretrained(made[name])
        if cls == "Whisper":
            preprocess = transformers.WhisperFeatureExtractor(feature_size=80, chunk_length=2)
        else:
            preprocess = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
        preprocess.save_pretrained(made[name])
    return made


@pytest.fixture(params=MODELS)
def folder(request, folders) -> Path:
    return folders[request.param]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Fail any access to the network, also by way of a cache of this machine."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def encoder(folder: Path | str, **changed) -> HuggingFaceEncoder:
    values = {
        **{"sampling_rate": 16000, "encoder": str(folder), "revision": None, "sha256": None, "download": False},
        **{"layers": None, "pooling": "frames", "window": 2, "standardize": True},
    }
    return HuggingFaceEncoder(**values | changed)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.1, size=max(1, round(16000 * seconds))).astype(np.float32)


@torch.inference_mode()
def expected_states(folder: Path, wave: np.ndarray) -> np.ndarray:
    """Return the hidden states as a user of transformers computes them, (states, K, width)."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    values = transformers.AutoFeatureExtractor.from_pretrained(folder)(wave, sampling_rate=16000, return_tensors="pt")
    if model.config.model_type == "whisper":
        states = model.get_encoder()(values.input_features, output_hidden_states=True).hidden_states
        return torch.cat(states)[:, : -(-len(wave) // 320)].numpy()
    return torch.cat(model(values.input_values, output_hidden_states=True).hidden_states).numpy()


def test_states_equal_those_of_transformers(folder):
    wave = noise(1.5)
    found = encoder(folder).hidden_states(wave)
    expected = expected_states(folder, wave)
    assert found.shape == expected.shape == (4, len(found[0]), 16)
    assert 70 <= len(found[0]) <= 75  # 50 frames per second
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found[1:] - found[:-1]).max(axis=(1, 2)).min() > 1e-3  # the states differ


def test_layers_select_states(folder):
    wave = noise(1)
    states = encoder(folder).hidden_states(wave)
    found = encoder(folder, layers=[3, 1])
    np.testing.assert_array_equal(found(wave), np.concatenate([states[3], states[1]], axis=1))
    assert found.names[0], found.names[-1] == ("layer3_000", "layer1_015")


def test_pooling_is_mean_and_deviation_over_real_frames(folder):
    wave = noise(0.6)
    frames, vector = encoder(folder)(wave), encoder(folder, pooling="mean_deviation")(wave)
    assert 25 <= len(frames) <= 30  # of the 100 frames of the window
    assert vector.shape == (1, 2 * frames.shape[1])
    np.testing.assert_allclose(vector[0], np.concatenate([frames.mean(0), frames.std(0)]), atol=1e-5)


def test_recording_longer_than_the_window_is_divided_into_equal_parts(folder):
    wave = noise(5)
    parts = np.array_split(wave, 3)
    expected = np.concatenate([expected_states(folder, part) for part in parts], axis=1)
    np.testing.assert_allclose(encoder(folder).hidden_states(wave), expected, atol=1e-5)
    pooled = encoder(folder, pooling="mean_deviation", layers=[2])(wave)[0]
    np.testing.assert_allclose(pooled, np.concatenate([expected[2].mean(0), expected[2].std(0)]), atol=1e-5)


@pytest.mark.parametrize("samples", [1, 100, 399, 33000])
def test_clips_of_any_length_have_finite_features(folder, samples):
    for wave in (noise(samples / 16000), np.zeros(samples, np.float32)):
        frames = encoder(folder)(wave)
        assert len(frames) >= 1
        assert np.isfinite(frames).all()


def test_features_do_not_depend_on_other_clips(folder):
    clips = [noise(seconds, seed) for seed, seconds in enumerate((1, 0.3, 1.9))]
    features = encoder(folder, pooling="mean_deviation")
    forward = [features(clip) for clip in clips]
    unpickled = pickle.loads(pickle.dumps(features))  # noqa: S301 - as for a worker process
    backward = [unpickled(clip) for clip in reversed(clips)][::-1]
    np.testing.assert_array_equal(forward, backward)


def test_waves_are_resampled(folders):
    wave = noise(1)
    assert abs(len(encoder(folders["wavlm"], sampling_rate=8000)(wave)) - 2 * 50) <= 3


@pytest.mark.parametrize("layers", [[], [4], [1, 1], [-1]])
def test_missing_layers_are_refused(folder, layers):
    with pytest.raises(InputError, match=r"features\.layers .* from 0 to 3"):
        encoder(folder, layers=layers)


def test_whisper_window_is_limited(folders):
    with pytest.raises(InputError, match=r"features\.window is 2\.5 s"):
        encoder(folders["whisper"], window=2.5)
    with pytest.raises(InputError, match=r"features\.window"):
        encoder(folders["wavlm"], window=0)


def test_encoder_missing_without_network_is_one_line_with_the_remedy():
    with pytest.raises(InputError, match=r"features\.download=true") as refused:
        encoder("microsoft/wavlm-base-plus", revision=COMMIT)
    assert COMMIT in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(InputError, match="hf download microsoft/wavlm-base-plus"):
        encoder("microsoft/wavlm-base-plus", revision=COMMIT, download=True)


def test_encoder_in_the_local_cache_of_the_hub_is_found(tmp_path, folders):
    wave = noise(1)
    snapshot = tmp_path / "hub" / "models--tiny--wavlm" / "snapshots" / COMMIT
    shutil.copytree(folders["wavlm"], snapshot)
    found = encoder("tiny/wavlm", revision=COMMIT)
    np.testing.assert_array_equal(found(wave), encoder(folders["wavlm"])(wave))
    assert found.identity == {"name": "tiny/wavlm", "revision": COMMIT}


@pytest.mark.parametrize("revision", [None, "main", "abc"])
def test_hub_name_needs_a_commit_hash(revision):
    with pytest.raises(InputError, match=r"features\.revision .*microsoft/wavlm-base-plus/commits/main"):
        encoder("microsoft/wavlm-base-plus", revision=revision)


@pytest.mark.parametrize("name", [None, "", "wavlm", "./missing/folder", "/missing/folder"])
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match=r"features\.encoder is"):
        build("features", _section(name))


def _section(name: object) -> dict:
    return {
        "_target_": f"{HuggingFaceEncoder.__module__}.{HuggingFaceEncoder.__name__}",
        **{"sampling_rate": 16000, "encoder": name, "revision": None, "sha256": None, "download": False},
        **{"layers": None, "pooling": "frames", "window": 30, "standardize": True},
    }


def test_folders_that_hold_no_encoder_are_refused(tmp_path, folders):
    with pytest.raises(InputError, match=r"config\.json"):
        encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="bert"):
        encoder(tmp_path)
    without = tmp_path / "without"
    shutil.copytree(folders["hubert"], without)
    (without / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"preprocessor_config\.json"):
        encoder(without)(noise(1))


def test_model_without_all_weights_is_refused(tmp_path, folders):
    """Transformers would fill the missing weights with random numbers."""
    deeper = tmp_path / "deeper"
    shutil.copytree(folders["wavlm"], deeper)
    config = json.loads((deeper / "config.json").read_text())
    (deeper / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    with pytest.raises(InputError, match="lack"):
        encoder(deeper)(noise(1))


def test_run_records_the_digest_of_a_folder(tmp_path, folders):
    copied = tmp_path / "copied"
    shutil.copytree(folders["hubert"], copied)
    config = {"init_from": None, "init_from_sha256": None, "features": _section(str(copied))}
    before = with_checkpoint_digest(config)["features"]
    assert before["sha256"] == encoder(copied).sha256 == encoder(folders["hubert"]).sha256
    assert with_checkpoint_digest({**config, "features": before})["features"] == before
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert with_checkpoint_digest(config)["features"]["sha256"] != before["sha256"]
    with pytest.raises(InputError, match=r"features\.sha256"):
        build("features", before)
