"""``make torture``: kill runs at random moments, resume them, and compare the results with an uninterrupted run.

Every attempt of a run is a process forked from one that has imported everything, and is ended by a real SIGKILL: half
of them at a random moment in the run, half while a certain file is being written, which is detected by watching the
folder. A run is killed up to three times before it is allowed to finish. Linux only.
"""

import argparse
import ctypes
import gc
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor

from ser_lightning.checkpoint import load_plain
from ser_lightning.cli import train

EPOCHS = 6
TINY = (
    *("corpus=synthetic_small", "split=random", "dropout=p25", f"trainer.max_epochs={EPOCHS}", "data.batch_size=32"),
    *("optim.lr=0.01", "data.feature_workers=2", "threads=1", "model.hidden=16", "name=torture", "run_id=run"),
)
WARM, COLD = "shared feature cache", "feature cache of its own"
# The variants that are killed: correct evaluation; the study's evaluation, which draws random numbers and updates
# running statistics; runs that resample clips and mix batches every epoch and change their learning rate by epoch or by
# step, with one or two loggers; a run that is refitted; and, less often, one that computes its features first.
VARIANTS: dict[str, tuple[tuple[str, ...], str]] = {
    "evaluation mode": ((), WARM),
    "training mode": (("evaluation.training_mode=true", "evaluation.update_statistics=true", "checkpoint=last"), WARM),
    "drawn and scheduled": (
        (
            *("augment=mixup", "data.balance=classes", "loss.class_weights=true", "loss.label_smoothing=0.1"),
            *("scheduler=plateau", "scheduler.threshold=0.2"),
        ),
        WARM,
    ),
    "scheduled by step": (
        (
            *("scheduler=warmup_cosine", "callbacks=[default,learning_rate_monitor]", "logger=[tensorboard,csv]"),
            "callbacks.learning_rate_monitor.logging_interval=step",
            *("trainer.log_every_n_steps=1", "trainer.accumulate_grad_batches=2", "augment=spec_augment"),
        ),
        WARM,
    ),
    "refitted": (("split.refit=true", "scheduler=warmup_cosine", "callbacks=[default,early_stopping]"), WARM),
    "features first": ((), COLD),
}
WEIGHTS = (5, 5, 5, 5, 5, 2)
# Keys excluded from the comparison: durations, and the commit, which may change during the test.
APART = {"seconds", "ended", "git"}
PATIENCE = 300  # maximum seconds of a run that is not killed
_PR_SET_CHILD_SUBREAPER = 36  # from sys/prctl.h


def _writing(name: str) -> Callable[[Path], bool]:
    """Return a function that tells whether the temporary file of a file name exists in a run's folder."""
    folder, _, stem = name.rpartition("/")

    def watch(run: Path) -> bool:
        try:
            return any(entry.startswith(f".{stem}.") and entry.endswith(".tmp") for entry in os.listdir(run / folder))  # noqa: PTH208 - fast
        except OSError:
            return False

    return watch


def _between(run: Path) -> bool:
    """Return whether the best checkpoint of an epoch is written but the last checkpoint is not yet."""
    best, last = run / "checkpoints" / "best.ckpt", run / "checkpoints" / "last.ckpt"
    try:
        written = best.stat().st_mtime_ns
    except OSError:
        return False
    try:
        return written > last.stat().st_mtime_ns
    except OSError:
        return True


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "last.ckpt is written": _writing("checkpoints/last.ckpt"),
    "best.ckpt is written": _writing("checkpoints/best.ckpt"),
    "best.ckpt is new, last.ckpt old": _between,
    "predictions.csv is written": _writing("predictions.csv"),
    "a figure is written": lambda run: _writing("curves.png")(run) or _writing("confusion_matrix.png")(run),
    "MODEL_CARD.md is written": _writing("MODEL_CARD.md"),
    "result.json is written": _writing("result.json"),
    "figures are there": lambda run: (run / "curves.png").exists(),
}
TRAINING = ("last.ckpt is written", "best.ckpt is written", "best.ckpt is new, last.ckpt old")


class Torturer:
    """Kills runs in one folder and holds the expected results.

    Args:
        folder: folder for everything that is written
        seed: seed of the random moments

    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)  # noqa: S311 - not used for security
        self.run = folder / "now" / "torture" / "run"
        self.expected: dict[str, dict[str, Any]] = {}
        self.times: dict[str, list[float]] = {}
        self.fell: Counter[str] = Counter()
        self.orphans = 0

    def words(self, variant: str) -> list[str]:
        """Return the command line of a variant."""
        overrides, cache = VARIANTS[variant]
        where = self.folder / "cache" if cache == WARM else self.folder / "now" / ".feature_cache"
        places = (
            f"corpus.root={self.folder / 'corpus'}",
            f"data.feature_cache={where}",
            f"output_root={self.run.parents[1]}",
        )
        return [*TINY, *overrides, *places]

    def start(self, variant: str, *changes: str) -> int:
        """Fork a process that runs a variant; return its process id."""
        pid = os.fork()
        if pid:
            return pid
        try:
            with (self.folder / "lives.log").open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            sys.argv = ["ser-train", *self.words(variant), *changes]
            train.main()
        except SystemExit as ended:
            os._exit(ended.code if isinstance(ended.code, int) else 1)
        except BaseException:
            traceback.print_exc()
            os._exit(70)
        os._exit(0)

    def let_through(self, variant: str, *changes: str) -> list[float]:
        """Run to the end without killing; return the seconds at the end of each epoch and, last, of the run."""
        start, pid, times = time.perf_counter(), self.start(variant, *changes), list[float]()
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            now = time.perf_counter() - start
            times += [now] * (epochs_done(self.run) - len(times))
            if now > PATIENCE:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        if ended[1]:
            tail = "\n".join((self.folder / "lives.log").read_text().splitlines()[-30:])
            raise SystemExit(f"torture: a run that nobody killed ended with status {ended[1]}:\n{tail}")
        return [*times, time.perf_counter() - start]

    def clear(self) -> None:
        """Remove the run."""
        shutil.rmtree(self.folder / "now", ignore_errors=True)

    def prepare(self, variant: str) -> None:
        """Run a variant without killing it and store its duration and result."""
        if not self.expected:  # the first run creates the corpus and the feature cache
            self.let_through(variant, "trainer.max_epochs=1")
            self.clear()
        self.times[variant] = self.let_through(variant)
        self.expected[variant] = contents(self.run)
        self.clear()

    def kill(self, variant: str) -> bool:
        """Kill one attempt of a run; return whether it was still alive."""
        due = self.by_the_clock(variant) if self.random.random() < 0.5 else self.while_it_writes()
        pid = self.start(variant)
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if due():
                os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
                if os.WIFSIGNALED(status):
                    self.fell[where_it_fell(self.run)] += 1
                    self.bury()
                    return True
                return False
            time.sleep(0.0003)  # sleeping also makes the kernel prefer this process over those that only compute
        return False

    def by_the_clock(self, variant: str) -> Callable[[], bool]:
        """Return a function that tells when a random moment in the run has come.

        The moment is measured from the end of an epoch, because the speed of the machine varies during the test.
        """
        *epochs, end = self.times[variant]
        moment = self.random.uniform(0, end)
        before = [when for when in epochs if when <= moment]
        offset = moment - (before[-1] if before else 0)
        reached: list[float] = []

        def due() -> bool:
            if not reached and epochs_done(self.run) >= len(before):
                reached.append(time.perf_counter())
            return bool(reached) and time.perf_counter() - reached[0] >= offset

        return due

    def while_it_writes(self) -> Callable[[], bool]:
        """Return a function that tells when a random file is being written, or has just been written."""
        left = EPOCHS - epochs_done(self.run)
        name = self.random.choice([name for name in MOMENTS if left or name not in TRAINING])
        times = self.random.randint(1, left) if name == "last.ckpt is written" else 1
        linger = self.random.uniform(0, 0.004)
        seen = False

        def due() -> bool:
            nonlocal times, seen
            there = MOMENTS[name](self.run)
            times -= there and not seen
            seen = there
            if there and times <= 0:
                time.sleep(linger)
                return True
            return False

        return due

    def bury(self) -> None:
        """Wait for the children of the killed process, which must end by themselves."""
        until = time.monotonic() + 2
        while time.monotonic() < until:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                time.sleep(0.01)
        self.orphans += 1


def where_it_fell(run: Path) -> str:
    """Return a description of what a killed run was doing, judged by the files it left."""
    half = sorted(path.name for path in run.rglob(".*.tmp"))
    if half:
        return f"while {half[0][1:].rpartition('.tmp')[0].rpartition('.')[0]} was written"
    if (run / "result.json").exists():
        return "after the result"
    if (run / "predictions.csv").exists():
        return "between the files of the result"
    last = run / "checkpoints" / "last.ckpt"
    if not last.exists():
        return "in the first epoch" if (run / "checkpoints").exists() else "before training"
    return "in a later epoch" if epochs_done(run) < EPOCHS else "while the result was measured"


def epochs_done(run: Path) -> int:
    """Return the number of epochs in the log of a run."""
    return len(epoch_lines(run / "train.log"))


def epoch_lines(log: Path) -> list[str]:
    """Return the epoch lines of a log without their timestamps."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [words for line in lines if re.match("(refit )?epoch ", words := line.partition(" DEBUG ")[2])]


def contents(run: Path) -> dict[str, Any]:
    """Return the content of all files of a run in a comparable form."""
    values: dict[str, Any] = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name = path.relative_to(run).as_posix()
        if path.suffix == ".ckpt":
            values[name] = load_plain(path)
        elif path.suffix == ".json":
            values[name] = json.loads(path.read_text())
        elif path.name.startswith("events.out."):
            values.setdefault("tensorboard", []).extend(events(path))
        elif path.name == "train.log":
            values[name] = epoch_lines(path)
        elif path.name == "MODEL_CARD.md":
            values[name] = [line for line in path.read_text().splitlines() if not line.startswith("- commit:")]
        else:
            values[name] = path.read_bytes()
    values.get("tensorboard", []).sort(key=repr)
    return values


def events(path: Path) -> list[tuple[str, int, float | None]]:
    """Return tag, step and, for scalars, the value of every event in a TensorBoard file."""
    points = []
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            number = value.tensor.float_val[0] if value.tensor.float_val else None
            points.append((value.tag, event.step, number))
    return points


def differences(expected: Any, actual: Any, name: str = "") -> list[str]:
    """Return the names of all values that differ, except for times and the commit."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        missing = [f"{name}/{key}" for key in expected.keys() ^ actual.keys()]
        return missing + [
            line
            for key in expected.keys() & actual.keys()
            if key not in APART
            for line in differences(expected[key], actual[key], f"{name}/{key}")
        ]
    if isinstance(expected, Tensor) and isinstance(actual, Tensor):
        return [] if expected.dtype == actual.dtype and torch.equal(expected, actual) else [name]
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [line for i, (first, second) in pairs for line in differences(first, second, f"{name}[{i}]")]
    return [] if type(expected) is type(actual) and expected == actual else [name]


@dataclass(kw_only=True)
class Score:
    """Counts of kills, of kills whose runs ended with the expected result, and of runs."""

    kills: int = 0
    equal: int = 0
    runs: int = 0


def torture(folder: Path, *, kills: int, seed: int) -> bool:
    """Kill, resume and compare runs, and print the score; return whether all results are as expected."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # makes this process adopt orphans
    torturer, score = Torturer(folder, seed=seed), Score()
    while score.kills < kills:
        (variant,) = torturer.random.choices(list(VARIANTS), WEIGHTS)
        if variant not in torturer.expected:
            torturer.prepare(variant)
            print(f"never killed, {variant}: {torturer.times[variant][-1]:.1f} s", flush=True)
        wanted = min(torturer.random.randint(1, 3), kills - score.kills)
        suffered = 0
        while suffered < wanted and not (torturer.run / "result.json").exists():
            suffered += torturer.kill(variant)
        torturer.let_through(variant)
        unequal = differences(torturer.expected[variant], contents(torturer.run))
        score.kills += suffered
        score.runs += 1
        if unequal:
            print(f"DIFFERENT after {suffered} kills ({variant}): {', '.join(unequal[:10])}", flush=True)
            shutil.copytree(torturer.run, folder / f"different-{score.runs}")
        else:
            score.equal += suffered
        torturer.clear()
        if sys.stderr.isatty():
            print(f"\r{score.kills} kills", end="", file=sys.stderr, flush=True)
    print(f"{score.runs} runs; the kills fell")
    for where, count in torturer.fell.most_common():
        print(f"  {count:4d}  {where}")
    print(f"processes that outlived a killed run: {torturer.orphans}")
    print(f"{score.kills} kills, {score.equal} equal")
    return score.equal == score.kills and not torturer.orphans


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the output; emptied first")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    values = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("torture: forks and kills as Linux does; this is another system")
    shutil.rmtree(values.folder, ignore_errors=True)
    values.folder.mkdir(parents=True)
    _import_all()
    torch.set_num_threads(1)
    sys.exit(not torture(values.folder.absolute(), kills=values.kills, seed=values.seed))


def _import_all() -> None:
    """Import modules that a run imports late, so that forked processes need not import them again."""
    for name in (
        "hydra_plugins.hydra_joblib_launcher.joblib_launcher",
        "ser_lightning.train",
        "torch.utils.tensorboard",
    ):
        importlib.import_module(name)
    gc.freeze()  # forked processes share these objects; garbage collection would visit and so copy them


if __name__ == "__main__":
    main()
