"""Time of ``ser-predict`` to start with each kind of model, and to predict 1,000 recordings."""

import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.rows import Row, run_command

CLIPS = 1000
MODELS = {  # kind -> experiment, its overrides, and the target of a start in seconds
    "network": ("corrected", ["trainer.max_epochs=1"], 2.5),
    "classical": ("svm", [], 1.5),
    "encoder": ("encoder", [], 1.5),
}


class Seconds(NamedTuple):
    """Elapsed and processor time of a command."""

    wall: float
    processor: float


def timed(*words: str) -> Seconds:
    """Run ser-predict and return its time."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    run_command("predict", *words, quiet=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Seconds(time.perf_counter() - start, processor)


def prediction_rows(
    *, clips: Sequence[str], train: Callable[[str, Sequence[str]], Path], folder: Path, repeats: int, quick: bool
) -> Iterable[Row]:
    """Yield the start of ser-predict and the time of 1,000 recordings, before and after ser-export of the checkpoint.

    Args:
        clips: paths of recordings
        train: trains an experiment with overrides and returns its checkpoint
        folder: folder for all output
        repeats: number of starts that are measured
        quick: whether to leave out the 1,000 recordings

    """
    many = (list(clips) * -(-CLIPS // len(clips)))[:CLIPS]
    for kind, (experiment, words, target) in MODELS.items():
        checkpoint = train(experiment, words)
        checkpoint.with_suffix(".onnx").unlink(missing_ok=True)  # from an earlier call
        options = ["--model", str(checkpoint), "--output", f"{folder}/emotions.csv"]
        for name in (kind, f"{kind}, exported"):
            if name != kind:
                run_command("export", str(checkpoint), quiet=True)
            starts = [timed(clips[0], *options) for _ in range(repeats)]
            yield from both(f"ser-predict of one recording, {name}", starts, f"< {target:g} s")
            if not quick:
                links = linked(folder / f"many-{kind}", many)
                yield from both(f"ser-predict of {CLIPS} recordings, {name}", [timed(str(links), *options)], "< 15 s")


def linked(folder: Path, paths: list[str]) -> Path:
    """Return a folder of links to recordings, which may occur several times."""
    folder.mkdir(exist_ok=True)
    for number, path in enumerate(paths):
        link = folder / f"{number:04d}{Path(path).suffix}"
        if not link.is_symlink():
            link.symlink_to(Path(path).resolve())
    return folder


def both(work: str, runs: list[Seconds], target: str) -> Iterator[Row]:
    """Yield the median elapsed time and the median processor time of a command."""
    elapsed, processor = (median(each) for each in zip(*runs, strict=True))
    yield Row(work=work, baseline="", unit="s", plain=None, ours=elapsed, target=target)
    yield Row(work=f"{work}, processor time", baseline="", unit="s", plain=None, ours=processor)
