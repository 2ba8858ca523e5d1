"""Speech encoders of the library transformers."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ser_lightning.errors import InputError, needs_extra, printable
from ser_lightning.file_digest import model_digest

Array = npt.NDArray[np.float32]

RATE = 16000  # Hz
CONVOLUTIONAL = ("wav2vec2", "hubert", "wavlm", "unispeech-sat", "data2vec-audio")  # their input is the wave
WHISPER = "whisper"  # its input is a log-mel spectrogram of a fixed number of frames
FAMILIES = (*CONVOLUTIONAL, WHISPER)
NOT_TRAINED = "masked_spec_embed"  # weight used in pretraining only, which some files lack


class EncoderSource(NamedTuple):
    """Where an encoder is loaded from.

    Args:
        name: name on the hub, or path of a folder
        revision: commit hash; None for a folder
        sha256: digest of a folder; None for the hub
        download: whether it may be downloaded

    """

    name: str
    revision: str | None
    sha256: str | None
    download: bool


class Loaded(NamedTuple):
    """An encoder in evaluation mode, and its feature extractor."""

    model: Any
    preprocess: Any


def find_source(name: str | None, *, revision: str | None, sha256: str | None, download: bool) -> EncoderSource:
    """Return where an encoder is loaded from, after checking that it is there and of a known family.

    Args:
        name: name on the hub, or path of a folder
        revision: commit hash
        sha256: expected digest of a folder
        download: whether it may be downloaded

    Raises:
        InputError: a value is missing or of the wrong form, or the encoder is missing, of another digest, or of an
            unknown family

    """
    if not name:
        raise InputError(
            "features.encoder is missing; give a name on the Hugging Face hub and features.revision=<commit hash>,"
            " or a local folder"
        )
    folder = Path(name).expanduser()
    if folder.is_dir():
        digest = model_digest(folder)
        if sha256 not in (None, digest):
            raise InputError(
                f"The encoder {printable(folder)} has the digest {digest}; features.sha256 requires {sha256}. Use the"
                " folder that the run was made with."
            )
        source = EncoderSource(str(folder), None, digest, False)
    elif not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith("."):
        raise InputError(
            f"features.encoder is {name!r}, which is no folder and no name on the Hugging Face hub; expected a"
            " local folder, or a name such as microsoft/wavlm-base-plus"
        )
    elif not re.fullmatch(r"[0-9a-f]{40}", revision or ""):
        raise InputError(
            f"features.revision is {revision!r}; expected the commit hash of {name}, 40 hexadecimal digits, from"
            f" https://huggingface.co/{name}/commits/main"
        )
    else:
        source = EncoderSource(name, revision, None, download)
    _config(source)
    return source


def shape_of(source: EncoderSource) -> tuple[int, int]:
    """Return the number of hidden states of an encoder and their width."""
    config = _config(source)
    if config.model_type == WHISPER:
        return config.encoder_layers + 1, config.d_model
    return config.num_hidden_layers + 1, config.hidden_size


def check_window(source: EncoderSource, window: float) -> None:
    """Check that the window is no longer than that of a Whisper encoder.

    Raises:
        InputError: it is longer

    """
    config = _config(source)
    if config.model_type == WHISPER:
        longest = config.max_source_positions / 50  # seconds, 50 frames each
        if window > longest:
            raise InputError(
                f"features.window is {window:g} s; expected at most the {longest:g} s of a Whisper encoder"
            )


@torch.inference_mode()
def hidden_states(source: EncoderSource, wave: Array, *, window: float) -> Array:
    """Return the hidden states of a recording, before the first layer and after each layer.

    Args:
        source: the encoder
        wave: (samples,) at 16 kHz, at least one
        window: length of the longest part that is encoded at once, seconds

    Returns:
        (states, K, width), one frame every 20 ms, without frames of padding

    """
    loaded = _load(source)
    encode = _whisper_states if loaded.model.config.model_type == WHISPER else _convolutional_states
    parts = np.array_split(wave, -(-len(wave) // round(window * RATE)))
    return np.concatenate([encode(loaded, part) for part in parts], axis=1)


def _whisper_states(loaded: Loaded, part: Array) -> Array:
    hop = loaded.preprocess.hop_length * loaded.model.conv2.stride[0]  # samples per frame
    values = loaded.preprocess(part, sampling_rate=RATE, return_tensors="pt").input_features  # padded to the window
    states = loaded.model(values, output_hidden_states=True).hidden_states
    real = -(-len(part) // hop)
    return torch.cat(states)[:, :real].numpy()


def _convolutional_states(loaded: Loaded, part: Array) -> Array:
    missing = _receptive_field(loaded.model.config) - len(part)
    if missing > 0:  # too short for a single frame
        part = np.pad(part, (0, missing))
    values = loaded.preprocess(part, sampling_rate=RATE, return_tensors="pt").input_values
    return torch.cat(loaded.model(values, output_hidden_states=True).hidden_states).numpy()


def _receptive_field(config: Any) -> int:
    """Return the number of samples from which the convolutions compute one frame."""
    length = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        length = (length - 1) * stride + kernel
    return length


@lru_cache
def _config(source: EncoderSource) -> Any:
    """Return the configuration of an encoder.

    Raises:
        InputError: transformers is not installed, the encoder cannot be found, or its family is unknown

    """
    config = _from_pretrained("AutoConfig", source)
    if config.model_type not in FAMILIES:
        raise InputError(
            f"The encoder {source.name} is of the type {config.model_type}; expected one of {', '.join(FAMILIES)}."
        )
    return config


@lru_cache(maxsize=1)
def _load(source: EncoderSource) -> Loaded:
    """Return an encoder, cached per process.

    Raises:
        InputError: it cannot be found, lacks weights, or expects another sampling rate

    """
    preprocess = _from_pretrained("AutoFeatureExtractor", source)
    if preprocess.sampling_rate != RATE:
        raise InputError(f"The encoder {source.name} expects {preprocess.sampling_rate} Hz; expected {RATE} Hz.")
    model, info = _from_pretrained("AutoModel", source, dtype=torch.float32, output_loading_info=True)
    missing = sorted(name for name in info["missing_keys"] if NOT_TRAINED not in name)
    if missing:
        raise InputError(
            f"The files of the encoder {source.name} lack {missing[0]} and {len(missing) - 1} more weights. Use a"
            " complete model of its type."
        )
    return Loaded((model.get_encoder() if model.config.model_type == WHISPER else model).eval(), preprocess)


def _from_pretrained(loader: str, source: EncoderSource, **arguments: Any) -> Any:
    """Load a part of an encoder with a loader of transformers, without executing code from the repository.

    Raises:
        InputError: transformers is not installed, or the part cannot be found or read

    """
    with needs_extra("features=huggingface", "encoder"):
        import transformers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        return getattr(transformers, loader).from_pretrained(
            source.name,
            revision=source.revision or "main",
            local_files_only=not source.download,
            trust_remote_code=False,
            **arguments,
        )
    except Exception as error:  # damaged files can make the library raise any exception
        raise InputError(_why_not_loaded(source, error)) from error


def _why_not_loaded(source: EncoderSource, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [repr(error)])[0][:160]
    if source.revision is None:
        return (
            f"The folder {printable(Path(source.name))} holds no speech encoder that transformers can read ({reason})."
            " Expected the files config.json, preprocessor_config.json and model.safetensors, as save_pretrained writes"
            " them."
        )
    return (
        f"The encoder {source.name} at revision {source.revision} cannot be loaded ({reason}). Download it with"
        f" features.download=true, or with: hf download {source.name} --revision {source.revision}"
    )
