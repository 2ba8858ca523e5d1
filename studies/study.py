"""Shared code of the studies: the command line, running commands, and text about the runs."""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report.statistics import summarize

BIN = Path(sys.executable).parent
LEAKING = 4  # exit code of ser-audit if it found a leak


@dataclass(frozen=True, kw_only=True)
class Study:
    """Parsed command line of a study.

    Args:
        name: name of the study and of its page
        folder: folder of all runs
        seeds: number of runs of each arm, with seeds from 0
        docs: additional folder for the page
        table: whether to write the table without running anything
        overrides: overrides of every run
        sweeps: sweeps to run; empty for the default ones
        command: this command line, for the page
        command_for_all: the command line that runs all sweeps

    """

    name: str
    folder: Path
    seeds: int
    docs: Path | None
    table: bool
    overrides: Sequence[str]
    sweeps: Sequence[str]
    command: str
    command_for_all: str


def read_command_line(
    name: str, description: str, arguments: Sequence[str] | None, *, sweeps: Sequence[str] = ()
) -> Study:
    """Parse the command line of a study.

    Args:
        name: name of the module
        description: what the study does and writes
        arguments: the arguments; None for those of the process
        sweeps: names of the sweeps that can be chosen

    """
    parser = argparse.ArgumentParser(prog=f"python -m studies.{name}", description=description)
    parser.add_argument("folder", type=Path, help=f"folder of all runs, such as outputs/{name}_ravdess")
    parser.add_argument("--seeds", type=int, required=True, help="number of runs of each arm, with seeds from 0")
    parser.add_argument("--docs", type=Path, help="additional folder for the page, such as docs")
    parser.add_argument("--table", action="store_true", help="only write the table of the finished runs")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="overrides of every run, such as corpus=ravdess dropout=none"
    )
    if sweeps:
        parser.add_argument("--sweeps", default="", help=f"run only these, separated by commas: {', '.join(sweeps)}")
    parsed = parser.parse_intermixed_args(arguments)
    if parsed.seeds < 1:
        parser.error(f"--seeds is {parsed.seeds}; expected at least 1")
    asked = [word for word in getattr(parsed, "sweeps", "").split(",") if word]
    if unknown := [word for word in asked if word not in sweeps]:
        parser.error(f"--sweeps has {', '.join(unknown)}; expected some of {', '.join(sweeps)}")
    words = ["python", "-m", f"studies.{name}", str(parsed.folder), "--seeds", str(parsed.seeds)]
    return Study(
        **vars(parsed) | {"name": name, "sweeps": asked},
        command=shlex.join([*words, *(["--sweeps", ",".join(asked)] if asked else []), *parsed.overrides]),
        command_for_all=shlex.join([*words, *parsed.overrides]),
    )


class PageStudy(NamedTuple):
    """Parsed command line of a study that writes one page of the documentation.

    Args:
        folder: folder of all runs
        docs: folder of the page
        table: whether to write the page from committed results, without running anything
        overrides: overrides of every run
        command: this command line, for the page

    """

    folder: Path
    docs: Path
    table: bool
    overrides: Sequence[str]
    command: str


def read_page_command_line(name: str, description: str | None, arguments: Sequence[str] | None) -> PageStudy:
    """Parse the command line of a study that writes one page; see :func:`read_command_line`."""
    parser = argparse.ArgumentParser(prog=f"python -m studies.{name}", description=description)
    parser.add_argument("folder", type=Path, help=f"folder of all runs, such as outputs/{name}")
    parser.add_argument("--docs", type=Path, required=True, help="folder of the page, such as docs")
    parser.add_argument("--table", action="store_true", help="only write the page, from the results there are")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides of every run: corpus=ravdess")
    parsed = parser.parse_intermixed_args(arguments)
    words = ["python", "-m", f"studies.{name}", f"outputs/{name}", "--docs", "docs", *parsed.overrides]
    return PageStudy(**vars(parsed), command=shlex.join(words))


def write_compact_json(path: Path, content: object) -> None:
    """Write results as JSON on one line, atomically."""
    with write_atomically(path) as file:
        json.dump(content, file, separators=(",", ":"))
        file.write("\n")


def exit_on_input_error(name: str, study: Callable[[], None]) -> None:
    """Run a study; on invalid input, print one line and exit with code 1."""
    try:
        study()
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def call(command: str, *words: str) -> None:
    """Run one of the project's commands.

    Raises:
        InputError: the command failed

    """
    print(shlex.join([command, *words]), flush=True)
    code = subprocess.run([BIN / command, *words], check=False).returncode  # noqa: S603 - this project's own commands
    if code:
        raise InputError(
            f"{command} failed with exit code {code}. Fix the error above and rerun; finished runs are skipped."
        )


def run_audit(*words: str, output: Path) -> None:
    """Run ``ser-audit``, which may find leaks.

    Args:
        words: its arguments
        output: file for its findings

    Raises:
        InputError: the command failed

    """
    command = ["ser-audit", *words, f"output={output}"]
    print(shlex.join(command), flush=True)
    code = subprocess.run([BIN / command[0], *command[1:]], check=False, stdout=subprocess.DEVNULL).returncode  # noqa: S603 - this project's own command
    if code not in (0, LEAKING):
        raise InputError(f"ser-audit failed with exit code {code}; fix the error above")


def mean_sd(values: Sequence[float]) -> str:
    """Return mean and sample standard deviation as text.

    >>> mean_sd([61.0, 63.0])
    '62.0 ± 1.4'
    """
    summary = summarize(values)
    return f"{summary.mean:.1f}" + ("" if summary.sd is None else f" ± {summary.sd:.1f}")


def commits(runs: pd.DataFrame) -> str:
    """Return the commits and devices of the runs as text."""
    hashes = sorted({str(git.get("commit") or "unknown")[:12] for git in runs.git})
    dirty = " with uncommitted changes" if any(git.get("dirty") for git in runs.git) else ""
    devices = ", ".join(sorted(set(runs.device)))
    return f"commit {', '.join(hashes)}{dirty}; trained on {devices}"
