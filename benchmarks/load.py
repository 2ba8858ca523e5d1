"""``make load``: send recordings to ser-serve from many clients at once, and watch errors, latency and memory."""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil

SERVE = "from ser_lightning.cli.serve import main; main()"


@contextmanager
def service(model: str, *, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run ser-serve on a free port and yield its address and process."""
    words = [sys.executable, "-c", SERVE, "--model", model, "--port", "0"]
    log = folder / "log"
    with log.open("w") as file, subprocess.Popen(words, stderr=file) as process:  # noqa: S603 - this project's own command
        try:
            while not (started := re.search(r"ser-serve: (http\S+)\n", log.read_text())):
                if process.poll() is not None:
                    raise RuntimeError(f"ser-serve ended: {log.read_text()}")
                time.sleep(0.2)
            yield started[1], psutil.Process(process.pid)
        finally:
            process.terminate()


def load(url: str, process: psutil.Process, recording: Path, *, clients: int, requests: int) -> Iterator[str]:
    """Yield lines about the requests: a line about memory for each tenth of them, and the totals."""
    content = recording.read_bytes()

    def send(client: httpx.Client) -> tuple[int, float]:
        start = time.perf_counter()
        response = client.post(f"{url}/predict", files={"file": (recording.name, content)})
        return response.status_code, time.perf_counter() - start

    responses: list[tuple[int, float]] = []
    memory = []
    start = time.perf_counter()
    with (
        ThreadPoolExecutor(clients) as pool,
        httpx.Client(timeout=600, limits=httpx.Limits(max_connections=clients)) as client,
    ):
        for part in range(10):
            count = requests * (part + 1) // 10 - requests * part // 10
            responses += pool.map(lambda _: send(client), range(count))
            memory.append(process.memory_info().rss / 1e6)
            yield f"{len(responses)} requests, {memory[-1]:.0f} MB, {process.num_fds()} open files"
    seconds = time.perf_counter() - start
    codes = Counter(code for code, _ in responses)
    median, high = np.quantile([each for _, each in responses], [0.5, 0.99])
    cpu = sum(process.cpu_times()[:2])
    yield (
        f"{clients} clients, {requests} requests: {dict(codes)}; {requests / seconds:.1f} requests/s; latency median"
        f" {median:.2f} s, 99 % {high:.2f} s; {1000 * cpu / requests:.0f} ms of processor time a request; memory"
        f" {memory[0]:.0f} MB after a tenth, {memory[-1]:.0f} MB at the end"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and load the service."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("model", help="checkpoint")
    parser.add_argument("recording", type=Path, help="the recording that every request sends")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=10_000)
    parsed = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as folder,
        service(parsed.model, folder=Path(folder)) as (url, process),
    ):
        for line in load(url, process, parsed.recording, clients=parsed.clients, requests=parsed.requests):
            print(line, flush=True)


if __name__ == "__main__":
    main()
