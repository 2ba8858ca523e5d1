"""``make stream``: measure the latency and the real-time factor of a stream, one core."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import soundfile
import torch

import ser_lightning as ser

CHUNK = 0.1  # seconds


def measure(model: str, recording: str, *, window: float, hop: float) -> str:
    """Return a line with the time from the end of each window to its answer, and the real-time factor.

    Args:
        model: checkpoint
        recording: sound file, of which the first channel is used
        window: seconds
        hop: seconds

    """
    samples, rate = soundfile.read(recording, dtype="float32", always_2d=True)
    wave = samples[:, 0]
    classifier = ser.load(model)
    classifier.predict(wave[:rate], rate)  # loads what is loaded on first use
    given_at = [0.0]

    def chunks() -> Iterator[npt.NDArray[np.float32]]:
        size = round(CHUNK * rate)
        for start in range(0, len(wave), size):
            given_at[0] = time.perf_counter()
            yield wave[start : start + size]

    latencies, cpu = [], time.process_time()
    for _ in classifier.stream(chunks(), rate, window=window, hop=hop):
        latencies.append(1000 * (time.perf_counter() - given_at[0]))
        given_at[0] = time.perf_counter()
    cpu = time.process_time() - cpu
    median, high = np.quantile(latencies, [0.5, 0.95])
    return (
        f"{len(wave) / rate:.1f} s in windows of {window:g} s every {hop:g} s: {len(latencies)} answers, latency median"
        f" {median:.0f} ms, 95 % {high:.0f} ms, processor time {1000 * cpu / len(latencies):.0f} ms an answer;"
        f" real-time factor {cpu / (len(wave) / rate):.3f} (of processor time)"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("model", help="checkpoint")
    parser.add_argument("recording", help="sound file")
    parser.add_argument("--window", type=float, default=3.0)
    parser.add_argument("--hop", type=float, default=1.0)
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sys.stdout.write(measure(parsed.model, parsed.recording, window=parsed.window, hop=parsed.hop) + "\n")


if __name__ == "__main__":
    main()
