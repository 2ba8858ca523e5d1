"""Voice activity detection by WebRTC, to keep only the frames that contain speech."""

import numpy as np
import numpy.typing as npt
import webrtcvad

from ser_lightning.errors import InputError


def voiced_frames(
    wave: npt.NDArray[np.float32], *, sampling_rate: int, mode: int, frame_ms: int
) -> npt.NDArray[np.float32]:
    """Return the frames of a clip that WebRTC's detector classifies as speech, concatenated.

    Args:
        wave: as in :func:`detect`
        sampling_rate: as in :func:`detect`
        mode: as in :func:`detect`
        frame_ms: as in :func:`detect`

    Returns:
        (samples,), a multiple of the frame length; empty if no frame is speech

    """
    frames, voiced = detect(wave, sampling_rate=sampling_rate, mode=mode, frame_ms=frame_ms)
    kept: npt.NDArray[np.float32] = frames[voiced].reshape(-1)
    return kept


def detect(
    wave: npt.NDArray[np.float32], *, sampling_rate: int, mode: int, frame_ms: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Cut a clip into frames and classify each as speech or not.

    The last frame is zero-padded, as in the study.

    Args:
        wave: (samples,), full scale 1
        sampling_rate: Hz; 8000, 16000, 32000 or 48000
        mode: VAD aggressiveness, from 0 (least) to 3 (most)
        frame_ms: length of a frame in ms; 10, 20 or 30

    Returns:
        The frames, (frames, samples per frame); and a speech mask, (frames,).

    Source: the study's ``noise_removal``, mode 2 on 20 ms; webrtcvad.

    """
    frame = sampling_rate * frame_ms // 1000
    padded = np.pad(wave, (0, -len(wave) % frame)).reshape(-1, frame)  # (frames, frame)
    levels = padded * np.float32(32768)
    np.clip(np.rint(levels, out=levels), -32768, 32767, out=levels)
    pcm = levels.astype("<i2").tobytes()  # two bytes per sample
    is_speech = webrtcvad.Vad(mode).is_speech  # it adapts to its input, so every clip gets a new one
    voiced = [is_speech(pcm[at : at + 2 * frame], sampling_rate) for at in range(0, len(pcm), 2 * frame)]
    return padded, np.array(voiced, dtype=bool)


def check_vad(*, sampling_rate: int, mode: int, frame_ms: int) -> None:
    """Check that WebRTC's detector supports these settings.

    Raises:
        InputError: the detector does not support the rate, mode or frame length

    """
    for name, value, allowed in (
        ("sampling_rate", sampling_rate, (8000, 16000, 32000, 48000)),
        ("vad_mode", mode, (0, 1, 2, 3)),
        ("frame_ms", frame_ms, (10, 20, 30)),
    ):
        if value not in allowed:
            raise InputError(
                f"audio.{name} is {value!r}; WebRTC's voice activity detection takes one of {allowed}"
                " (audio=untrimmed goes without it)"
            )
