"""The classifier of a checkpoint, for Python scripts and notebooks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ser_lightning.build import build, usable_backends
from ser_lightning.calibration.temperature import probabilities
from ser_lightning.errors import InputError
from ser_lightning.predict import defaults
from ser_lightning.waveform import Waveform, check_rate, check_waveform, prepare_waveform

if TYPE_CHECKING:
    from ser_lightning.predict.segment import Segment, SegmentPrediction
    from ser_lightning.predict.splitting import Splitting

BATCH_SIZE = 32  # segments that are scored together


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Emotion of a recording.

    Args:
        label: the most probable label
        probabilities: label -> probability, in the order of the classes

    """

    label: str
    probabilities: dict[str, float]


class Classifier:
    """Emotion classifier of a checkpoint, with the audio processing and the features that it was trained with.

    Args:
        checkpoint: a checkpoint of ``ser-train`` or ``ser-import``; no code in it is executed
        trust: packages of yours whose classes the checkpoint may name

    Raises:
        InputError: the file is not such a checkpoint, is damaged, names a package that is not in ``trust``, or
            normalizes by speaker

    """

    def __init__(self, checkpoint: str | Path, *, trust: Sequence[str] = ()) -> None:
        from ser_lightning.checkpoint import read_checkpoint  # imports torch, which takes a second
        from ser_lightning.predict.torch_scorer import TorchScorer

        loaded = read_checkpoint(checkpoint, trust=trust)
        config = usable_backends(loaded.config)
        mode = config.get("data", {}).get("normalize", "none")
        if mode != "none":
            raise InputError(
                f"{checkpoint} was trained with data.normalize={mode}: its features are normalized by the clips of"
                " their speaker, whom a waveform does not name. Use ser-predict --one-speaker with several recordings."
            )
        self.checkpoint = Path(checkpoint)
        self._labels = loaded.emotions
        features = dict(config["features"])
        if "download" in features:
            features["download"] = False
        self._audio = build("audio", config["audio"], trust=trust)
        self._scorer = TorchScorer(loaded, {**config, "features": features}, path=checkpoint, one_speaker=False)
        self._training_data = loaded.training_data
        self.model = self._scorer.model

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions that it distinguishes, in the order of the classes."""
        return self._labels

    def predict(self, waveform: Waveform, sampling_rate: int) -> Prediction:
        """Predict the emotion of a recording.

        Args:
            waveform: (samples,) or (samples, channels), full scale 1
            sampling_rate: its sampling rate, Hz

        Raises:
            InputError: the waveform is empty, not finite, or not an array of floating point numbers

        """
        logits = self._scorer.logits([prepare_waveform(self._audio, waveform, sampling_rate)])
        (row,) = probabilities(logits, self._scorer.temperature).tolist()
        values = dict(zip(self._labels, row, strict=True))
        return Prediction(label=max(values, key=values.__getitem__), probabilities=values)

    def segments(
        self,
        waveform: Waveform,
        sampling_rate: int,
        *,
        whole: bool = False,
        window: float | None = None,
        hop: float | None = None,
        min_length: float | None = None,
        max_length: float | None = None,
        pause: float = defaults.PAUSE,
        min_speech: float = defaults.MIN_SPEECH,
        vad: str = defaults.VAD,
        channels: str = "mean",
        normalize_loudness: bool = False,
        name: str = "waveform",
    ) -> list["SegmentPrediction"]:
        """Predict the emotions of a recording of any length, as ``ser-predict`` does: one prediction per segment.

        Args:
            waveform: (samples,) or (samples, channels), full scale 1
            sampling_rate: its sampling rate, Hz
            whole: predict the recording at once
            window: length of sliding windows, seconds; None predicts utterances, unless ``hop`` is given
            hop: time between the starts of windows, seconds
            min_length: least length of an utterance, seconds; None is the default of ``ser-predict``
            max_length: greatest length of an utterance, seconds; a recording that is not longer is one segment
            pause: length of a pause that ends an utterance, seconds
            min_speech: seconds of speech below which the answer is ``no speech``
            vad: detector of speech, ``webrtc`` or ``silero`` (extra ``silero``)
            channels: ``mean``, ``left``, ``right``, ``each`` or the number of a channel, counted from 1
            normalize_loudness: scale the recording to the median level of the training clips
            name: path of the predictions

        Raises:
            InputError: an error of :meth:`predict`, or a value is out of range

        """
        from ser_lightning.predict.splitting import Splitter, make_splitting, open_waveform

        wave = check_waveform(waveform, sampling_rate)
        splitting = make_splitting(
            training_data=self._training_data,
            whole=whole,
            window=window,
            hop=hop,
            min_length=min_length,
            max_length=max_length,
            pause=pause,
            channels=channels,
            min_speech=min_speech,
            vad=vad,
            normalize_loudness=normalize_loudness,
        )
        segments = Splitter(splitting, self._audio).split(name, lambda: open_waveform(wave, int(sampling_rate)))
        return list(self._predict_segments(segments, splitting, batch_size=BATCH_SIZE))

    def stream(
        self,
        chunks: Iterable[npt.NDArray[np.floating[Any]]],
        sampling_rate: int,
        *,
        window: float | None = None,
        hop: float | None = None,
    ) -> Iterator["SegmentPrediction"]:
        """Yield a prediction for each segment of a signal as soon as the segment is complete.

        The predictions are those of ``ser-predict`` for a file of the same samples. Segments are utterances, of which
        the first waits until the signal is longer than the greatest length of one. With ``window`` or ``hop`` they are
        windows.

        Args:
            chunks: consecutive parts (n,) of the signal, of one channel, full scale 1
            sampling_rate: their sampling rate, Hz
            window: length of a window, seconds
            hop: time between the starts of consecutive windows, seconds

        Raises:
            InputError: a value is out of range, a chunk is no vector of finite floating point numbers, or the signal is
                empty

        """
        from ser_lightning.predict.pcm import waveform_sound
        from ser_lightning.predict.splitting import Splitter, make_splitting

        sound = waveform_sound(chunks, rate=check_rate(sampling_rate))
        splitting = make_splitting(training_data=self._training_data, window=window, hop=hop)
        segments = Splitter(splitting, self._audio).split_stream("stream", sound)
        yield from self._predict_segments(segments, splitting, batch_size=1)

    def _predict_segments(
        self, segments: Iterable["Segment"], splitting: "Splitting", *, batch_size: int
    ) -> Iterator["SegmentPrediction"]:
        from ser_lightning.predict.certainty import certainty_of
        from ser_lightning.predict.predictor import Predictor

        def fail(reason: str) -> None:
            raise InputError(reason)

        predictor = Predictor(
            self._scorer,
            self._audio,
            certainty=certainty_of(self._scorer, reject=0.0, sets=False),
            batch_size=batch_size,
            least_speech=splitting.least_speech,
            vad=splitting.vad,
            one_speaker=False,
        )
        for rows in predictor.predict(segments, on_failure=fail):
            yield from rows

    def embed(self, waveform: Waveform, sampling_rate: int) -> npt.NDArray[np.float32]:
        """Return a recording as a vector: the input of the output layer of the network, (D,).

        The vector of an ensemble is those of its networks, one after the other.

        Args:
            waveform: (samples,) or (samples, channels), full scale 1
            sampling_rate: its sampling rate, Hz

        Raises:
            InputError: an error of :meth:`predict`, or the model has no linear output layer

        """
        import torch

        from ser_lightning.models.embedding import embed

        try:
            with torch.inference_mode():
                (vector,) = embed(self.model, *self._batch(waveform, sampling_rate), classes=len(self._labels))
        except InputError as error:
            raise InputError(f"{self.checkpoint}: {error}") from error
        embedding: npt.NDArray[np.float32] = vector.numpy()
        return embedding

    def _batch(self, waveform: Waveform, sampling_rate: int) -> tuple[Any, Any]:
        import torch

        features = self._scorer.extract(prepare_waveform(self._audio, waveform, sampling_rate))
        return torch.from_numpy(features[None]), torch.tensor([len(features)])
