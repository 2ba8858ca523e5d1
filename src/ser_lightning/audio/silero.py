"""Voice activity detection by Silero's network, on frames of 32 ms."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.audio.resample import Resampler
from ser_lightning.errors import InputError

RATE = 16000  # Hz
FRAME, CONTEXT = 512, 64  # samples of a frame, and those before it that the network also takes
FRAMES = 16  # to classify at once; always as many, so that the numbers do not depend on the blocks
STATE = (1, 1, 128)
BEGIN, GO_ON = 0.5, 0.35  # probabilities from which speech begins, and goes on: the defaults of silero-vad
FILE = Path("data") / "silero_vad_16k_sequence.onnx"  # classifies several frames in one call
INSTALL = "pip install 'ser-lightning[silero]'"


class SileroDetector:
    """Classify the frames of a signal that comes in blocks, by Silero's network.

    Args:
        rate: sampling rate of the signal, Hz; any

    Raises:
        InputError: silero-vad or onnxruntime is not installed

    """

    frame_s = FRAME / RATE

    def __init__(self, *, rate: int) -> None:
        self.session = open_silero()
        self.resampler = Resampler(rate, RATE, "soxr")
        self.rest = np.zeros(CONTEXT, np.float32)  # starts with the context of the next frame
        self.hidden = self.cell = np.zeros(STATE, np.float32)
        self.speech = False  # of the last frame

    def feed(self, samples: npt.NDArray[np.float32]) -> list[bool]:
        """Return whether each of the frames that the next samples (n,) complete is speech."""
        return self._detect(self.resampler.feed(samples), frames=FRAMES)

    def finish(self) -> list[bool]:
        """Return whether the rest is speech, zero-padded to a frame."""
        flags = self._detect(self.resampler.finish(), frames=FRAMES)
        return flags + self._detect(np.zeros((CONTEXT - len(self.rest)) % FRAME, np.float32), frames=1)

    def _detect(self, samples: npt.NDArray[np.float32], *, frames: int) -> list[bool]:
        """Classify the next frames, in calls of a fixed number of frames."""
        wave = np.concatenate([self.rest, samples])
        size, flags, at = frames * FRAME, [], 0
        while len(wave) - CONTEXT - at >= size:
            part = np.lib.stride_tricks.sliding_window_view(wave[at : at + CONTEXT + size], CONTEXT + FRAME)[::FRAME]
            inputs = {"input": np.ascontiguousarray(part), "h": self.hidden, "c": self.cell}
            probabilities, self.hidden, self.cell = self.session.run(["speech_probs", "hn", "cn"], inputs)
            flags += [self._decide(probability) for probability in probabilities.reshape(-1).tolist()]
            at += size
        self.rest = wave[at:].copy()
        return flags

    def _decide(self, probability: float) -> bool:
        self.speech = probability >= (GO_ON if self.speech else BEGIN)
        return self.speech


def seconds_of_speech(wave: npt.NDArray[np.float32], rate: int) -> float:
    """Return the seconds of speech in a waveform (samples,), in whole frames."""
    detector = SileroDetector(rate=rate)
    return sum(detector.feed(wave) + detector.finish()) * detector.frame_s


@cache
def open_silero() -> Any:
    """Return the inference session of the network in the package silero-vad, without importing it and so torch.

    Raises:
        InputError: silero-vad or onnxruntime is not installed

    """
    spec = find_spec("silero_vad")
    folders = [] if spec is None else spec.submodule_search_locations or []
    path = next((Path(folder) / FILE for folder in folders if (Path(folder) / FILE).is_file()), None)
    if path is None or find_spec("onnxruntime") is None:
        missing = "silero-vad 6.2.3 or later" if path is None else "onnxruntime"
        raise InputError(f"--vad silero needs {missing}, which is not installed. Install it: {INSTALL}")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
