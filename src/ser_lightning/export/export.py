"""A checkpoint as an ONNX model, compared with the checkpoint."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.audio.audio import Audio
from ser_lightning.build import build, usable_backends
from ser_lightning.calibration.temperature import probabilities as softmax
from ser_lightning.checkpoint import Checkpoint
from ser_lightning.errors import InputError
from ser_lightning.export.front_ends import front_end
from ser_lightning.export.graph import OneClip, only_errors, trace
from ser_lightning.features.extractor import FeatureExtractor
from ser_lightning.file_digest import file_digest
from ser_lightning.predict.onnx_scorer import FEATURES, INSTALL, WAVEFORM, OnnxMetadata, OnnxScorer
from ser_lightning.predict.scorer import Scorer
from ser_lightning.predict.torch_scorer import TorchScorer

Floats = npt.NDArray[np.float32]

LIBRARIES = ("ser-lightning", "torch", "onnx", "onnxruntime", "numpy", "scikit-learn")
AUDIO = f"{Audio.__module__}.{Audio.__qualname__}"
FRONT_END, ENCODER = "/front_end/", "/front_end/encoder/"  # prefixes of the names of nodes


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """A checkpoint and its ONNX model.

    Args:
        content: the ONNX file
        metadata: the metadata in it
        scorer: the checkpoint
        audio: the audio processing, which is not part of the graph

    """

    content: bytes
    metadata: OnnxMetadata
    scorer: TorchScorer
    audio: Audio


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Differences between the answers of two models.

    Args:
        waveforms: number of waveforms
        difference: largest difference of a probability
        agreement: share of the waveforms with the same most probable emotion

    """

    waveforms: int
    difference: float
    agreement: float


def export_checkpoint(
    checkpoint: Checkpoint, *, path: Path, trust: Sequence[str], only_features: bool, tolerance: float
) -> Export:
    """Return a checkpoint as an ONNX model.

    Args:
        checkpoint: the checkpoint
        path: its file
        trust: packages of the user whose classes the checkpoint may name
        only_features: leave the features out of the graph, even where they can be in it
        tolerance: largest allowed difference of a probability, for the metadata

    Raises:
        InputError: onnx is not installed, or the model cannot be exported

    """
    config = usable_backends(checkpoint.config)
    if config["data"].get("eval_copies", False):
        raise InputError(
            f"{path} was trained with data.eval_copies=true: it averages over augmented copies of a recording, which an"
            " ONNX file cannot make"
        )
    if config["audio"].get("_target_") != AUDIO:
        raise InputError(f"{path} has the audio processing {config['audio'].get('_target_')!r}; expected {AUDIO}")
    if "download" in config["features"]:
        config["features"] = {**config["features"], "download": False}
    scorer = TorchScorer(checkpoint, config, path=path, one_speaker=False)
    extractor: FeatureExtractor = scorer.extract
    front = None if only_features else front_end(extractor)
    calibration, training_data = checkpoint.calibration, checkpoint.training_data
    metadata = OnnxMetadata(
        labels=checkpoint.emotions,
        input=FEATURES if front is None else WAVEFORM,
        sampling_rate=scorer.sampling_rate,
        input_rate=extractor.analysis_rate,
        temperature=scorer.temperature,
        calibration=None if calibration is None else calibration.as_plain(),
        training_data=None if training_data is None else training_data.as_plain(),
        audio={**config["audio"], "downmix": "mean"},
        features=config["features"],
        checkpoint_sha256=file_digest(path),
        tolerance=tolerance,
        versions={"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        card=_card(checkpoint, path),
    )
    graph = OneClip(scorer.model, front, temperature=scorer.temperature or 1.0)
    content = trace(graph, rate=extractor.analysis_rate, features=checkpoint.features)
    return Export(
        content=_with_metadata(content, metadata),
        metadata=metadata,
        scorer=scorer,
        audio=build("audio", metadata.audio, trust=trust),
    )


def quantize(content: bytes, metadata: OnnxMetadata) -> bytes:
    """Return a model with matrices of 8 bits instead of 32, except those that compute spectral features.

    Args:
        content: the ONNX file
        metadata: the metadata in it

    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    nodes = [node.name for node in onnx.load_from_string(content).graph.node]
    exact = [name for name in nodes if name.startswith(FRONT_END) and not name.startswith(ENCODER)]
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(content)
        with only_errors():  # it warns of double precision, which is not quantized
            quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True, nodes_to_exclude=exact)
        return _with_metadata(target.read_bytes(), replace(metadata, tolerance=None))


def compare(content: bytes, other: Scorer, waves: Sequence[Floats]) -> Comparison:
    """Compare an ONNX model with another model on waveforms.

    Args:
        content: the ONNX file
        other: the other model
        waves: (samples,) each, at the sampling rate of the models

    """
    exported, original = (probabilities(scorer, waves) for scorer in (open_content(content), other))
    return Comparison(
        waveforms=len(waves),
        difference=float(np.abs(exported - original).max()),
        agreement=float((exported.argmax(1) == original.argmax(1)).mean()),
    )


def open_content(content: bytes) -> OnnxScorer:
    """Return the scorer of an ONNX file in memory."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(content)
        return OnnxScorer(path, workers=1)


def probabilities(scorer: Scorer, waves: Sequence[Floats]) -> npt.NDArray[np.float64]:
    """Return the calibrated probabilities of waveforms (samples,), (B, C)."""
    return softmax(scorer.logits(waves), scorer.temperature)


def _with_metadata(content: bytes, metadata: OnnxMetadata) -> bytes:
    try:
        import onnx
    except ImportError as error:
        raise InputError(f"ser-export needs the library onnx. Install it: {INSTALL}") from error
    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, metadata.as_strings())
    written: bytes = model.SerializeToString()
    return written


def _card(checkpoint: Checkpoint, path: Path) -> str:
    """Return the model card of the run, or the facts that the checkpoint holds."""
    card = path.parent.parent / "MODEL_CARD.md"
    if card.is_file():
        return card.read_text(encoding="utf-8")
    config: Mapping[str, Any] = checkpoint.config
    corpus = config.get("corpus", {}).get("name") or "unknown"
    kind, features = (str(config[part]["_target_"]).rpartition(".")[2] for part in ("model", "features"))
    return (
        f"Speech emotion recognition: {', '.join(checkpoint.emotions)}. {kind} on {features}, trained on the corpus"
        f" {corpus}. A prediction is a label of that corpus for the sound of a recording, not a fact about a person."
        " On other speakers, languages and recording conditions than those of the corpus, more predictions are wrong."
    )
