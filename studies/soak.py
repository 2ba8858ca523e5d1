"""``make soak``: run many short runs in one sweep and check that its resource use does not grow with their number.

Runs ``ser-train --multirun`` as a user would and observes it from outside through ``/proc``. Linux only.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import pandas as pd

from ser_lightning.report.tables import markdown

BIN = Path(sys.executable).parent
TINY = (
    *("corpus=synthetic_small", "split=random", "trainer.max_epochs=2", "data.batch_size=32", "model.hidden=16"),
    *("name=soak", "run_id=seed-${seed}"),
)
ROWS = 10
# Tolerated difference between the first and the last quarter of the samples: noise, not a leak.
SLACK = {"memory": 0.10, "descriptors": 2, "threads": 2}
WARM_UP = 0.2  # share of the runs to ignore, in which memory pools fill and modules are imported


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Resources held by the processes of a sweep after a number of runs.

    Args:
        runs: number of finished runs
        processes: number of processes
        memory: resident memory of all processes, in MiB
        descriptors: open files of all processes
        threads: threads of all processes
        disk: size of the largest finished run, in KiB
        files: number of files of the finished run with the most files
        folders: number of folders in the sweep that are not finished runs

    """

    runs: int
    processes: int
    memory: float
    descriptors: int
    threads: int
    disk: float
    files: int
    folders: int


def descendants(pid: int) -> list[int]:
    """Return the process ids of a process and all its descendants."""
    ids = [pid]
    for process in ids:
        for thread in _listed(f"/proc/{process}/task"):
            try:
                ids += [int(child) for child in Path(f"/proc/{process}/task/{thread}/children").read_text().split()]
            except OSError:
                continue  # the thread has ended
    return ids


def _listed(folder: str | Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - only names are needed
    except OSError:
        return []


def sample(pid: int, sweep: Path) -> Sample:
    """Measure the resources of a running sweep."""
    processes = descendants(pid)
    memory = threads = 0
    for process in processes:
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        memory += int(values.get("VmRSS", "0 kB").split()[0])
        threads += int(values.get("Threads", "0"))
    finished = [path.parent for path in sweep.glob("*/result.json")]
    sizes = [[file.stat().st_size for file in run.rglob("*") if file.is_file()] for run in finished]
    return Sample(
        runs=len(finished),
        processes=len(processes),
        memory=memory / 1024,
        descriptors=sum(len(_listed(f"/proc/{process}/fd")) for process in processes),
        threads=threads,
        disk=max((sum(files) for files in sizes), default=0) / 1024,
        files=max(map(len, sizes), default=0),
        folders=sum(path.is_dir() for path in sweep.iterdir()) - len(finished) if sweep.is_dir() else 0,
    )


def soak(folder: Path, *, runs: int) -> tuple[list[Sample], int]:
    """Run the sweep; return a sample after every run, and the exit code."""
    places = [
        f"output_root={folder}",
        f"corpus.root={folder / '.corpus'}",
        f"data.feature_cache={folder / '.feature_cache'}",
    ]
    words = [str(BIN / "ser-train"), "--multirun", *TINY, *places, f"seed=range({runs})"]
    samples: list[Sample] = []
    with (folder / "soak.log").open("w") as log:
        sweep = subprocess.Popen(words, stdout=log, stderr=log)  # noqa: S603 - fixed arguments
        while sweep.poll() is None:
            now = len(list((folder / "soak").glob("*/result.json")))
            if now > (samples[-1].runs if samples else 0):
                samples.append(sample(sweep.pid, folder / "soak"))
            time.sleep(0.05)
    return samples, sweep.returncode


def grown(samples: Sequence[Sample]) -> list[str]:
    """Return the resources that grew with the number of runs, ignoring the warm-up."""
    measured = [
        point
        for point in samples
        if point.runs > WARM_UP * samples[-1].runs and point.processes == samples[-2].processes
    ]
    part = max(1, len(measured) // 4)
    growing = []
    for what in ("memory", "descriptors", "threads", "disk", "files", "folders"):
        early, late = (
            _median(getattr(point, what) for point in points) for points in (measured[:part], measured[-part:])
        )
        slack = SLACK["memory"] * early if what in ("memory", "disk") else SLACK.get(what, 1)
        if late > early + slack:
            growing.append(f"{what} {early:.0f} -> {late:.0f}")
    return growing


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def table(samples: Sequence[Sample]) -> str:
    """Return about ten of the samples as a Markdown table."""
    step = max(1, len(samples) // ROWS)
    selected = [*samples[:-1:step], samples[-1]] if len(samples) > 1 else list(samples)
    header = (
        *("runs done", "processes", "memory, MiB", "open files", "threads", "disk a run, KiB", "files a run"),
        "folders of unfinished runs",
    )
    rows = [tuple(f"{value:.0f}" for value in astuple(point)) for point in selected]
    return markdown(pd.DataFrame(rows, columns=header))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the output; emptied first")
    parser.add_argument("--runs", type=int, default=200)
    values = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("soak: looks at processes through /proc; this system has none")
    folder = values.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    samples, code = soak(folder, runs=values.runs)
    if code or not samples or samples[-1].runs < values.runs - 2:
        tail = "\n".join((folder / "soak.log").read_text().splitlines()[-20:])
        sys.exit(f"soak: the sweep ended with {code}:\n{tail}")
    print(table(samples))
    growth = grown(samples)
    print(f"{values.runs} runs, grown with their number: {', '.join(growth) or 'nothing'}")
    sys.exit(bool(growth))


if __name__ == "__main__":
    main()
