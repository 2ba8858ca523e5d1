"""Scores of a configuration under a protocol: computed from runs, and stored from one session to the next.

Runs are large and stay where they were made; their scores are small and are committed. A study that is continued on
another machine adds its scores to the stored ones.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from studies.study import Study, mean_sd

from ser_lightning import metrics
from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report.runs import LeftOut, read_runs
from ser_lightning.results import write_json


@dataclass(frozen=True, kw_only=True)
class Score:
    """Score of a configuration under a protocol.

    Args:
        values: seed -> ``accuracy`` and ``uar`` in percent, over the pooled test clips of all folds
        clips: number of test clips
        training_clips: number of training clips per fold, without augmented copies
        parameters: number of parameters of the network, or of fitted numbers of a classical model
        seconds: training time of the median run; None if it was not stored
        epochs: number of trained epochs of the median run
        unfinished: seeds with missing folds, which are excluded
        leaks: leaks found by the leak checks of the runs
        commits: commits of the code that trained the runs
        devices: devices that trained the runs
        torch: version of torch

    """

    values: Mapping[int, Mapping[str, float]]
    clips: int
    training_clips: int
    parameters: int
    seconds: float | None
    epochs: int
    unfinished: Sequence[int]
    leaks: Sequence[str]
    commits: Sequence[str]
    devices: Sequence[str]
    torch: str

    @classmethod
    def from_runs(cls, runs: pd.DataFrame, *, folds: int) -> Self | None:
        """Pool the folds of each seed and compute the metrics; return None if no seed is complete.

        Args:
            runs: runs of one configuration under one protocol
            folds: number of folds of the protocol; 1 if it has none

        """
        parts: dict[int, list[npt.NDArray[np.int64]]] = defaultdict(list)
        for run in runs.itertuples():
            parts[run.seed].append(np.asarray(run.confusion["test"]))
        complete = {
            seed: sum(matrices[1:], matrices[0]) for seed, matrices in sorted(parts.items()) if len(matrices) == folds
        }
        if not complete:
            return None
        return cls(
            values={
                seed: {"accuracy": 100 * metrics.accuracy(matrix), "uar": 100 * metrics.uar(matrix)}
                for seed, matrix in complete.items()
            },
            clips=int(next(iter(complete.values())).sum()),
            training_clips=runs.counts.iloc[0]["train"],
            parameters=int(runs.parameters.iloc[0]),
            seconds=median(seconds.get("train", 0.0) for seconds in runs.seconds),
            epochs=round(median(runs.epochs.tolist())),
            unfinished=sorted(set(parts) - set(complete)),
            leaks=sorted({audit["summary"] for audit in runs.audit if audit.get("leak")}),
            commits=sorted(set(map(_commit, runs.git))),
            devices=sorted(set(runs.device)),
            torch=", ".join(sorted({versions.get("torch", "unknown") for versions in runs.versions})),
        )

    def mean_sd(self, metric: str) -> str:
        """Return mean and sample standard deviation over seeds as text."""
        return mean_sd([values[metric] for values in self.values.values()])


def _commit(git: Mapping[str, Any]) -> str:
    return str(git.get("commit") or "unknown")[:12] + (" with uncommitted changes" if git.get("dirty") else "")


def origin(scores: Sequence[Score]) -> str:
    """Return a sentence with the commits, devices and torch versions of the runs."""
    commits = sorted({commit for score in scores for commit in score.commits})
    devices = sorted({device for score in scores for device in score.devices})
    torch = sorted({score.torch for score in scores})
    return f"Commit {', '.join(commits)}; trained on {', '.join(devices)}; torch {', '.join(torch)}."


def merge(stored: Mapping[str, Score], computed: Mapping[str, Score]) -> dict[str, Score]:
    """Replace stored scores by newly computed ones, unless these have fewer seeds."""
    better = {
        name: score
        for name, score in computed.items()
        if name not in stored or len(score.values) >= len(stored[name].values)
    }
    return {**stored, **better}


def setting(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that affect a run's result; those of Hydra itself are removed.

    >>> setting(["seed=1", "hydra.launcher.n_jobs=16", "corpus=emodb"])
    ['corpus=emodb', 'seed=1']
    """
    return sorted(word for word in overrides if not word.lstrip("+~").startswith(("hydra.", "hydra/")))


def write_scores(path: Path, scores: Mapping[str, Score], *, overrides: Sequence[str], command: str) -> None:
    """Write scores in the format of :func:`read_scores`.

    Args:
        path: the file to write
        scores: name -> score
        overrides: overrides of every run
        command: command that made the runs

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {name: asdict(scores[name]) for name in sorted(scores)}
    write_json(path, {"command": command, "overrides": setting(overrides), "unit": "percent", "scores": content})


def read_scores(path: Path, *, overrides: Sequence[str]) -> dict[str, Score]:
    """Read stored scores; return an empty dict if the file does not exist.

    Args:
        path: a file written by :func:`write_scores`
        overrides: overrides of every run; scores of runs with other overrides do not belong in the same table

    Raises:
        InputError: the file is damaged, or its scores have other overrides

    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stored = list(content["overrides"])
        scores = {name: _score(fields) for name, fields in content["scores"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a file of scores ({error!r}). Remove it or restore it from git.") from None
    if stored != setting(overrides):
        raise InputError(
            f"{path} has scores of runs with {' '.join(stored) or 'no override'}, but these runs have "
            f"{' '.join(setting(overrides)) or 'none'}. Choose another folder with --docs, or remove the file."
        )
    return scores


def _score(fields: Mapping[str, Any]) -> Score:
    values = {int(seed): dict(percent) for seed, percent in fields["values"].items()}
    return Score(**{**fields, "values": values})


def measure(study: Study, folds: Mapping[str, int]) -> tuple[dict[str, Score], list[LeftOut]]:
    """Return the scores of the runs in a study's folder, and the runs that were left out.

    Args:
        study: the study, with folder and seeds
        folds: name of a protocol, which is the folder of its runs -> number of its folds

    """
    if not study.folder.is_dir():
        return {}, []
    runs, _, left_out = read_runs(study.folder)
    counted = runs[runs.seed < study.seeds]
    scores = {
        name: Score.from_runs(counted[counted.path.str.startswith(f"{name}/")], folds=number)
        for name, number in folds.items()
    }
    return {name: score for name, score in scores.items() if score is not None}, left_out


def publish(study: Study, computed: Mapping[str, Score], page: Callable[[Mapping[str, Score]], str]) -> Path:
    """Write a page and its scores; return the path of the page.

    The folder of the runs receives the scores computed from it; ``--docs`` receives them merged with those stored
    there.

    Args:
        study: the study
        computed: name -> score, of the runs in the folder
        page: renders scores as text

    Raises:
        InputError: there are no scores, or the stored scores do not belong in the same table

    """
    written = []
    if computed:
        written.append(_write(study, computed, page(computed), numbers=study.folder, text=study.folder))
    if study.docs is not None:
        numbers = study.docs / "results"
        stored = read_scores(numbers / f"{study.name}.json", overrides=study.overrides)
        if scores := merge(stored, computed):
            written.append(_write(study, scores, page(scores), numbers=numbers, text=study.docs))
    if not written:
        raise InputError(f"{study.folder} has no seed with all its folds. Run without --table first.")
    return written[-1]


def _write(study: Study, scores: Mapping[str, Score], content: str, *, numbers: Path, text: Path) -> Path:
    write_scores(numbers / f"{study.name}.json", scores, overrides=study.overrides, command=study.command_for_all)
    with write_atomically(text / f"{study.name}.md") as file:
        file.write(content)
    return text / f"{study.name}.md"


def made_by(study: Study) -> str:
    """Return a sentence for the page with the command that continues the study."""
    return (
        f"Made by this command, in parts (`--sweeps`). The numbers of every seed are in {study.name}.json:\n\n"
        f"```sh\n{study.command_for_all}\n```"
    )
