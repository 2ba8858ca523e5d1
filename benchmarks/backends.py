"""Compare the speed of the native kernels with librosa and torchaudio: ``python -m benchmarks.backends FOLDER``."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from threadpoolctl import threadpool_limits

from ser_lightning.audio.folder import list_audio_files
from ser_lightning.build import build, config_folder

CLIPS = 16  # evenly spaced over the folder
REPEATS = 5
OPTIONS = ("paper", "logmel", "functionals", "logmel_deltas", "mfcc", "stft", "spectrogram", "prosody")


def part(name: str, *overrides: str) -> dict[str, Any]:
    """Return one section of the config of ``ser-train``."""
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        config = compose("train", overrides=["run_id=bench", *overrides])
    return OmegaConf.to_container(config[name], resolve=True)  # type: ignore[return-value]


def compare(
    native: Callable[[np.ndarray], Any], reference: Callable[[np.ndarray], Any], waves: Sequence[np.ndarray]
) -> str:
    """Return the median milliseconds per clip of both functions, measured alternately, and their ratio."""
    seconds: list[list[float]] = [[], []]
    for repeat in range(REPEATS + 1):
        for times, function in zip(seconds, (native, reference), strict=True):
            start = time.perf_counter()
            for wave in waves:
                function(wave)
            if repeat:  # the first repeat is a warm-up for compilation and loading
                times.append((time.perf_counter() - start) / len(waves))
    ours, theirs = (1000 * statistics.median(times) for times in seconds)
    return f"{ours:8.2f} ms {theirs:8.2f} ms {theirs / ours:6.1f}x"


def main(folder: str) -> None:
    """Print one line per option of the features, and one for the pitch-shifted copies."""
    torch.set_num_threads(1)
    audio = build("audio", part("audio"))
    paths, _ = list_audio_files(folder)
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, min(CLIPS, len(paths))).astype(int)]
    waves = [audio.load(Path(path)).wave for path in chosen]
    print(f"{len(waves)} clips, {np.mean([len(wave) for wave in waves]) / audio.sampling_rate:.2f} s on average")
    with threadpool_limits(1):
        for option in OPTIONS:
            values = part("features", f"features={option}")
            native, reference = (build("features", values | {"backend": name}) for name in ("native", "librosa"))
            print(f"features={option:14} {compare(native, reference, waves)}", flush=True)
        values = part("augment", "augment=paper") | {"noise_sigma": None}
        native, reference = (
            partial(build("augment", values | {"backend": name}), utterance="") for name in ("native", "torchaudio")
        )
        print(f"{'pitch copies':23} {compare(native, reference, waves[:4])}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
