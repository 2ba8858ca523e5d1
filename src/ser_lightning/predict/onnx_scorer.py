"""Score waveforms with an ONNX file of ``ser-export``; imports neither torch nor scikit-learn."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.calibration.calibration import Calibration
from ser_lightning.errors import InputError
from ser_lightning.features.extractor import FeatureExtractor, prepare_wave
from ser_lightning.predict.threads import map_threads
from ser_lightning.recording_conditions import TrainingData

FORMAT = "2"
WAVEFORM, FEATURES = "waveform", "features"  # names of the graph's input
LOGITS, PROBABILITIES = "logits", "probabilities"  # names of its outputs
INSTALL = "pip install 'ser-lightning[onnx]'"


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxMetadata:
    """Metadata of a model in an ONNX file.

    Args:
        labels: class names, in the order of the logits
        input: ``waveform``, (1, samples) at ``input_rate``; or ``features``, (1, K, F)
        sampling_rate: rate of the waveforms from which the model predicts, after speech detection, Hz
        input_rate: rate at which the features are computed, Hz
        temperature: divides the logits before the softmax; None leaves them as they are
        calibration: what was fitted on validation clips, as plain values; None if nothing was
        training_data: conditions of the training clips, as plain values; None if they are unknown
        audio: config of the audio processing before the graph
        features: config of the features
        checkpoint_sha256: digest of the checkpoint
        tolerance: largest allowed difference of a probability from the checkpoint; None for weights of 8 bits
        versions: library -> version with which the file was made
        card: text on the model

    """

    labels: tuple[str, ...]
    input: str
    sampling_rate: int
    input_rate: int
    temperature: float | None
    calibration: dict[str, Any] | None
    training_data: dict[str, Any] | None
    audio: dict[str, Any]
    features: dict[str, Any]
    checkpoint_sha256: str
    tolerance: float | None
    versions: dict[str, str]
    card: str

    def as_strings(self) -> dict[str, str]:
        """Return the values as JSON by name, with the version of this format; text stays as it is."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {"ser_lightning": FORMAT} | {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in values.items()
        }


class OnnxScorer:
    """The model of an ONNX file; see :class:`~.scorer.Scorer`.

    Args:
        path: a file of ``ser-export``
        workers: number of threads, each of which computes one waveform at a time

    Raises:
        InputError: the file is missing, damaged or not of ``ser-export``, or onnxruntime is not installed

    """

    def __init__(self, path: str | Path, *, workers: int) -> None:
        self.session = _open(Path(path))
        self.metadata = _metadata(self.session, path)
        self.emotions = self.metadata.labels
        self.temperature = self.metadata.temperature
        calibration, training_data = self.metadata.calibration, self.metadata.training_data
        self.calibration = None if calibration is None else Calibration.from_plain(calibration)
        self.training_data = None if training_data is None else TrainingData.from_plain(training_data)
        self.sampling_rate = self.metadata.sampling_rate
        self.extract = _extractor(self.metadata)
        self.workers = workers if self.extract is None or self.extract.concurrent else 1

    def logits(self, waves: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
        """Return the logits (B, C) of waveforms (samples,)."""
        scores = map_threads(self._score, waves, workers=self.workers)
        return np.concatenate(scores).astype(np.float64) if scores else np.zeros((0, len(self.emotions)))

    def _score(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = self.session.run([LOGITS], {self.metadata.input: self._input(wave)[None]})[0]
        return logits

    def _input(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self.extract is not None:
            return self.extract(wave)
        return prepare_wave(wave, sampling_rate=self.sampling_rate, analysis_rate=self.metadata.input_rate)


def _open(path: Path) -> Any:
    """Return the inference session of a file."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{path} needs the library onnxruntime. Install it: {INSTALL}") from error
    if not path.is_file():
        raise InputError(f"there is no model {path}; give a file of ser-export")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors, which are raised
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # damaged files can make the library raise any exception
        reason = (str(error).splitlines() or [repr(error)])[0][:160]
        raise InputError(f"{path} cannot be read as ONNX ({reason}); export the checkpoint again") from error


def _metadata(session: Any, path: str | Path) -> OnnxMetadata:
    """Return the metadata of a file.

    Raises:
        InputError: the file is not of ``ser-export``, of another format, or its metadata are damaged

    """
    strings = session.get_modelmeta().custom_metadata_map
    if strings.get("ser_lightning") != FORMAT:
        raise InputError(
            f"{path} is no model of ser-export in format {FORMAT} (found {strings.get('ser_lightning')!r}); export the"
            " checkpoint with ser-export"
        )
    try:
        read = OnnxMetadata(
            **{name: strings[name] for name in ("input", "checkpoint_sha256", "card")},
            **{
                name: json.loads(strings[name])
                for name in (
                    *("temperature", "calibration", "training_data", "audio", "features", "tolerance", "versions"),
                )
            },
            labels=tuple(json.loads(strings["labels"])),
            sampling_rate=int(strings["sampling_rate"]),
            input_rate=int(strings["input_rate"]),
        )
        if read.input not in (WAVEFORM, FEATURES) or [each.name for each in session.get_inputs()] != [read.input]:
            raise ValueError(f"its input is {read.input!r}")
        if session.get_outputs()[0].shape[-1] != len(read.labels):
            raise ValueError(f"its first output has shape {session.get_outputs()[0].shape}")
        if read.temperature is not None and not 0 < read.temperature < math.inf:
            raise ValueError(f"its temperature is {read.temperature}")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error!r} in its metadata; export the checkpoint again") from error
    return read


def _extractor(metadata: OnnxMetadata) -> FeatureExtractor | None:
    """Return the extractor of the features, or None if the graph computes them."""
    if metadata.input == WAVEFORM:
        return None
    from ser_lightning.build import build, usable_backends  # imports Hydra

    config = usable_backends({"features": metadata.features})["features"]
    extractor: FeatureExtractor = build("features", config)
    return extractor
