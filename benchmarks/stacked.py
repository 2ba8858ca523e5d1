"""``make bench-gpu``, first part: sweeps by ``hydra/launcher=stacked`` and by the ordinary launcher.

Every row is a whole command with its start and results, on synthetic speech of the size of RAVDESS. The most important
rows come first; a row that does not fit into the time that is left is skipped and named.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import torch

TRAIN = str(Path(sys.executable).with_name("ser-train"))
CORPUS = ["corpus=synthetic", "corpus.speakers=24"]  # 1440 clips, 3456 training clips with copies
STACKED, LOCAL = ["hydra/launcher=stacked"], ["hydra/launcher=local"]
COMPILED = [*STACKED, "hydra.launcher.compiled=true"]
SPEAKERS = [
    *("experiment=corrected", "dropout=none,p25", "seed=0,1,2"),
    *("split=speaker", "split.folds=6", "split.fold=range(6)"),
]
GENERALIST = ["experiment=generalist", "split.folds=6", "split.fold=range(6)", "seed=0,1,2"]
# Stacks whose time is divided into parts: name, overrides, largest number of runs, and whether the step is compiled.
PARTS = (
    ("corrected", ["experiment=corrected"], 40, False),
    ("corrected, compiled", ["experiment=corrected"], 40, True),
    ("generalist", [*GENERALIST[:2], "split.fold=0"], 18, False),
)


class Sweep(NamedTuple):
    """A sweep to measure.

    Args:
        name: name in the table
        words: its overrides
        epochs: number of epochs
        expected: seconds it may take, to skip it when less time is left

    """

    name: str
    words: list[str]
    epochs: int
    expected: float


def sweeps(runs: list[int], *, epochs: int, whole: int) -> list[Sweep]:
    """Return the sweeps of the table, the most important first; the first three have the cost of ``make dropout``."""
    corrected = ["experiment=corrected"]
    arms = [*corrected, "dropout=none,p25", "seed=range(20)"]
    return [
        Sweep("40 runs of corrected, stacked", [*arms, *STACKED], whole, 90),
        Sweep("40 runs of released, stacked", ["experiment=released", *arms[1:], *STACKED], whole, 90),
        Sweep("36 runs of corrected on speakers, stacked", [*SPEAKERS, *STACKED], whole, 90),
        Sweep("40 runs of corrected, compiled", [*arms, *COMPILED], whole, 90),
        Sweep("18 runs of generalist, stacked", [*GENERALIST, *STACKED], epochs, 90),
        Sweep("18 runs of generalist, compiled", [*GENERALIST, *COMPILED], epochs, 90),
        *(Sweep(f"{n} runs at once", [*corrected, f"seed=range({n})", *STACKED], epochs, 40) for n in runs),
        *(Sweep(f"{n} at once, compiled", [*corrected, f"seed=range({n})", *COMPILED], epochs, 50) for n in runs),
        Sweep("18 runs of generalist, one by one", [*GENERALIST, *LOCAL], 1, 60),
        Sweep("40 runs of corrected, one by one", [*arms, *LOCAL], whole, 240),
    ]


def measure(
    sweep: Sweep, *, folder: Path, corpus: list[str], words: list[str], jobs: int, end: float
) -> dict[str, float]:
    """Run a sweep; return its wall time, and the seconds of training per run and epoch, as its results state them.

    Raises:
        RuntimeError: the sweep fails
        TimeoutExpired: it has not ended at the time ``end``

    """
    root = folder / "runs"
    shutil.rmtree(root, ignore_errors=True)
    line = [TRAIN, "--multirun", *corpus, *sweep.words, f"trainer.max_epochs={sweep.epochs}", f"output_root={root}"]
    line += [
        f"data.feature_cache={folder / 'cache'}",
        f"corpus.root={folder / 'corpus'}",
        f"hydra.launcher.n_jobs={jobs}",
    ]
    start = time.perf_counter()
    process = subprocess.run(  # noqa: S603
        [*line, *words], capture_output=True, text=True, check=False, timeout=max(1, end - time.monotonic())
    )
    wall = time.perf_counter() - start
    results = [json.loads(path.read_text()) for path in root.rglob("result.json")]
    if process.returncode or not results:
        raise RuntimeError(" ".join(process.stderr.strip().splitlines()[-1:]))
    alone = [line for line in process.stderr.splitlines() if "not stacked" in line or "not compiled" in line]
    print("\n".join(alone), end="\n" if alone else "")
    epochs = [result["seconds"]["train"] / result["epochs"] for result in results]
    return {"runs": len(results), "wall": wall, "epoch_of_a_run": statistics.mean(epochs)}


class Stopwatch:
    """Seconds spent in functions, each without the functions inside it that are measured, too.

    Args:
        device: device to wait for before and after each call

    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds, self.running = device, {}, []  # type: ignore[var-annotated]
        self.wrapped: list[tuple[Any, str, Callable[..., Any]]] = []

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Measure a method of a class."""
        inner: Callable[..., Any] = getattr(owner, name)

        @wraps(inner)
        def timed(*args: Any, **options: Any) -> Any:
            with self.measure(part):
                return inner(*args, **options)

        self.wrapped.append((owner, name, inner))
        setattr(owner, name, timed)

    def restore(self) -> None:
        """Stop measuring methods."""
        for owner, name, inner in self.wrapped:
            setattr(owner, name, inner)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time of a block to a part, and subtract it from the part around it."""
        self._wait()
        start = time.perf_counter()
        self.running.append(part)
        yield
        self._wait()
        self.running.pop()
        elapsed = time.perf_counter() - start
        self.seconds[part] = self.seconds.get(part, 0.0) + elapsed
        if self.running:
            self.seconds[self.running[-1]] = self.seconds.get(self.running[-1], 0.0) - elapsed

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def parts(
    folder: Path, words: list[str], *, runs: int, epochs: int, device: torch.device, compiled: bool
) -> dict[str, float]:
    """Train a stack in this process and return the seconds of its parts."""
    jobs = _jobs(folder, words, runs=runs, epochs=epochs, device=device)
    from ser_lightning.stacked import arithmetic, batches, layers, networks, optimizer, run, training
    from ser_lightning.stacked.compiled import CompiledLosses

    shutil.rmtree(folder / "parts", ignore_errors=True)
    outcomes: list[tuple[str, str, str]] = []
    watch = Stopwatch(device)
    watch.wrap(run.StackTrainer, "_next_stage", "building runs, waiting for results")
    watch.wrap(batches.Gatherer, "of_all_runs", "gathering batches")
    watch.wrap(batches.Gatherer, "_augment", "batch augmentation")
    watch.wrap(training.Stack, "try_step", "trying the memory, first compilation")
    watch.wrap(arithmetic.BatchedArithmetic, "train_step", "backward pass and launches")
    if compiled:
        watch.wrap(CompiledLosses, "__call__", "forward pass, without dropout masks")
    else:
        watch.wrap(arithmetic.BatchedArithmetic, "_losses", "forward pass, without LSTM and dropout masks")
        watch.wrap(networks.StackedBiLSTM, "_pool", "LSTM, forward pass")
    watch.wrap(layers.StackedDropout, "draw", "dropout masks")
    watch.wrap(arithmetic.BatchedArithmetic, "validate", "validation")
    watch.wrap(optimizer.StackedOptimizer, "step", "optimizer")
    watch.wrap(training.Stack, "train_epoch", "schedules, metrics and history")
    watch.wrap(run.StackTrainer, "_finish", "checkpoints")
    trainer = run.StackTrainer(
        jobs=jobs,
        batched=True,
        compiled=compiled,
        max_runs=None,
        workers_count=8 if device.type == "cuda" else 1,
        checkpoint=folder / "parts" / ".stacks" / "a.ckpt",
        save_every=30,
        report=lambda *outcome: outcomes.append(outcome),
    )
    with watch.measure("start of workers and the rest"):
        trainer.train()
    watch.restore()
    if any(state != run.DONE for _, state, _ in outcomes):
        sys.exit(f"bench-gpu: {outcomes}")
    return dict(sorted(watch.seconds.items(), key=lambda item: -item[1]))


def _jobs(folder: Path, words: list[str], *, runs: int, epochs: int, device: torch.device) -> list[Any]:
    """Return the jobs of a stack that differ in their seeds."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from ser_lightning.build import config_folder
    from ser_lightning.stacked.jobs import Job

    jobs = []
    common = [
        f"output_root={folder / 'parts'}",
        f"data.feature_cache={folder / 'cache'}",
        f"corpus.root={folder / 'corpus'}",
        f"trainer.max_epochs={epochs}",
        f"trainer.accelerator={'gpu' if device.type == 'cuda' else 'cpu'}",
    ]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        for seed in range(runs):
            overrides = [*words, *common, f"seed={seed}", f"run_id={seed:03}x"]
            config: Any = OmegaConf.to_container(compose("train", overrides=overrides), resolve=True)
            jobs.append(Job(config=config, choices={"split": "random"}, overrides=[]))
    return jobs


def main() -> None:
    """Measure the rows, print a table and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stacked", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("outputs/bench/stacked"))
    parser.add_argument("--runs", type=int, nargs="+", default=[8, 40, 120], help="runs at once")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of a row")
    parser.add_argument("--whole", type=int, default=80, help="epochs of the rows with 36 and 40 runs")
    parser.add_argument("--minutes", type=float, default=9, help="time for all rows")
    parser.add_argument("--jobs", type=int, default=14, help="processes of the ordinary launcher, and for results")
    parser.add_argument("--corpus", nargs="+", default=CORPUS, help="overrides that choose the corpus")
    parser.add_argument("words", nargs="*", help="overrides of every run, such as trainer.accelerator=cpu")
    chosen = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and "trainer.accelerator=cpu" not in chosen.words:
        sys.exit("bench-gpu: torch finds no CUDA device; trainer.accelerator=cpu tries the benchmark without")
    folder, end = chosen.folder.absolute(), time.monotonic() + 60 * chosen.minutes
    first = Sweep("preparation", ["experiment=corrected", *LOCAL], 1, 0)
    table: dict[str, Any] = {
        first.name: measure(first, folder=folder, corpus=chosen.corpus, words=chosen.words, jobs=1, end=end)
    }
    part_seconds: dict[str, dict[str, float]] = {}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    content = {"device": name, "torch": torch.__version__, "rows": table, "parts": part_seconds}
    for name, words, most, compiled in PARTS:
        found = parts(
            folder,
            [*chosen.corpus, *words],
            runs=min(most, max(chosen.runs)),
            epochs=max(2, chosen.epochs // 2),
            device=device,
            compiled=compiled,
        )
        part_seconds[name] = found
        print(name, *(f"{part:46} {seconds:8.2f} s" for part, seconds in found.items()), sep="\n  ", flush=True)
    for sweep in sweeps(chosen.runs, epochs=chosen.epochs, whole=chosen.whole):
        if time.monotonic() + sweep.expected > end:
            print(f"{sweep.name:40} skipped: too little time is left")
            continue
        try:
            row = measure(sweep, folder=folder, corpus=chosen.corpus, words=chosen.words, jobs=chosen.jobs, end=end)
            print(f"{sweep.name:40} {row['wall']:8.1f} s, {row['epoch_of_a_run']:.4f} s an epoch of a run", flush=True)
            table[sweep.name] = row
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"{sweep.name:40} failed: {error}", flush=True)
            table[sweep.name] = {"failed": str(error)}
        (folder / "stacked.json").write_text(json.dumps(content, indent=2) + "\n")  # after each row, to lose none


if __name__ == "__main__":
    main()
