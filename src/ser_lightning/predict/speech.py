"""Find and measure speech, by the detector that is asked for."""

import numpy as np
import numpy.typing as npt
import soxr

from ser_lightning.audio import silero
from ser_lightning.audio.audio import Audio, LoadedClip
from ser_lightning.audio.vad import WebRTCDetector, detect
from ser_lightning.errors import InputError
from ser_lightning.predict import defaults
from ser_lightning.predict.spans import Detector

VAD_RATE, VAD_MODE, VAD_FRAME_MS = 16000, 2, 20  # for models that were trained without voice activity detection


def check_detector(vad: str) -> None:
    """Check the name of a detector and that its package is installed.

    Raises:
        InputError: they are not as needed

    """
    if vad not in defaults.VADS:
        raise InputError(f"--vad is {vad!r}; expected {' or '.join(defaults.VADS)}")
    if vad == "silero":
        silero.open_silero()


def make_detector(audio: Audio, vad: str) -> Detector:
    """Return a detector of speech for a signal at the model's sampling rate.

    Args:
        audio: the audio processing of the model
        vad: ``webrtc``, with the settings of training, or ``silero``

    Raises:
        InputError: the package of the detector is not installed

    """
    if vad == "silero":
        return silero.SileroDetector(rate=audio.sampling_rate)
    frame_ms = VAD_FRAME_MS if audio.vad_mode is None else audio.frame_ms
    mode = VAD_MODE if audio.vad_mode is None else audio.vad_mode
    return WebRTCDetector(rate=audio.sampling_rate, mode=mode, frame_ms=frame_ms)


def seconds_of_speech(
    wave: npt.NDArray[np.float32], rate: int, *, converted: LoadedClip, audio: Audio, vad: str
) -> float:
    """Return the seconds of speech in a segment.

    Args:
        wave: its samples (samples,)
        rate: their sampling rate, Hz
        converted: the segment as the model takes it
        audio: the settings by which it was converted
        vad: see :func:`make_detector`

    """
    if vad == "silero":
        return silero.seconds_of_speech(wave, rate)
    if audio.vad_mode is not None:
        return 0.0 if converted.without_speech else len(converted.wave) / audio.sampling_rate
    mono = converted.wave
    if audio.sampling_rate != VAD_RATE:
        mono = soxr.resample(mono, audio.sampling_rate, VAD_RATE, quality="HQ")
    _, voiced = detect(mono, sampling_rate=VAD_RATE, mode=VAD_MODE, frame_ms=VAD_FRAME_MS)
    return int(voiced.sum()) * VAD_FRAME_MS / 1000
