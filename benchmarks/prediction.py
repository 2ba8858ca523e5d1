"""Time of ``ser-predict`` to start with each kind of model, and to predict 1,000 recordings."""

import resource
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.bench import Bench, Row, run_command

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


def rows(bench: Bench) -> Iterable[Row]:
    """Yield the start of ser-predict and the time of 1,000 recordings, before and after ser-export of the checkpoint.

    Args:
        bench: the corpus, the folder and the number of repeats

    """
    clips = [str(path) for path in bench.path_of.values()]
    many = (clips * -(-CLIPS // len(clips)))[:CLIPS]
    for kind, (experiment, words, target) in MODELS.items():
        checkpoint = train(bench, experiment, words)
        checkpoint.with_suffix(".onnx").unlink(missing_ok=True)  # from an earlier call
        options = ["--model", str(checkpoint), "--output", f"{bench.folder}/emotions.csv"]
        for name in (kind, f"{kind}, exported"):
            if name != kind:
                run_command("export", str(checkpoint), quiet=True)
            starts = [timed(clips[0], *options) for _ in range(bench.repeats)]
            yield from both(f"ser-predict of one recording, {name}", starts, f"< {target:g} s")
            if not bench.quick:
                links = linked(bench.folder / f"many-{kind}", many)
                yield from both(f"ser-predict of {CLIPS} recordings, {name}", [timed(str(links), *options)], "< 15 s")


def train(bench: Bench, experiment: str, words: list[str]) -> Path:
    """Train an experiment shortly and return its checkpoint."""
    cache, folder = f"data.feature_cache={bench.feature_cache}", bench.folder / "outputs" / experiment
    bench.train(f"experiment={experiment}", *bench.corpus, cache, f"name={experiment}", *words)
    return next(folder.rglob("best.ckpt"))


def linked(folder: Path, paths: list[str]) -> Path:
    """Return a folder of links to recordings, which may occur several times."""
    folder.mkdir(exist_ok=True)
    for number, path in enumerate(paths):
        link = folder / f"{number:04d}{Path(path).suffix}"
        if not link.is_symlink():
            link.symlink_to(Path(path).resolve())
    return folder


def both(work: str, found: list[Seconds], target: str) -> Iterator[Row]:
    """Yield the median elapsed time and the median processor time of a command."""
    elapsed, processor = (median(each) for each in zip(*found, strict=True))
    yield Row(work=work, baseline="", unit="s", plain=None, ours=elapsed, target=target)
    yield Row(work=f"{work}, processor time", baseline="", unit="s", plain=None, ours=processor)
