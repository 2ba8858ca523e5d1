"""What a configuration reaches under a protocol: measured of its runs, and kept from one session to the next.

Runs are large and stay where they were made; their scores are small and are committed. A study that is gone on with
elsewhere adds its scores to those that are kept.
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
from studies.study import Study, mean_sd

from ser_lightning import metrics
from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report.runs import LeftOut, Run, read_runs
from ser_lightning.runs import write_json


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a configuration reaches under a protocol.

    Args:
        values: seed -> ``accuracy`` and ``uar`` in percent, over the test clips of all folds together
        clips: that are tested
        taught: that a fold learns from, without copies
        parameters: of the network, or numbers that a classical model keeps
        seconds: to train, of the median run; None where that was not kept
        epochs: that were trained, of the median run
        unfinished: seeds of which a fold is missing; they are not counted
        leaks: what the audit of the runs found
        commits: of the code that trained the runs
        devices: that trained the runs
        torch: version

    """

    values: Mapping[int, Mapping[str, float]]
    clips: int
    taught: int
    parameters: int
    seconds: float | None
    epochs: int
    unfinished: Sequence[int]
    leaks: Sequence[str]
    commits: Sequence[str]
    devices: Sequence[str]
    torch: str

    @classmethod
    def of(cls, runs: Sequence[Run], *, folds: int) -> Self | None:
        """Put the folds of each seed together and measure them as one; None if no seed has them all.

        Args:
            runs: of one configuration under one protocol
            folds: of the protocol; 1 if it has none

        """
        parts: dict[int, list[npt.NDArray[np.int64]]] = defaultdict(list)
        for run in runs:
            parts[run.seed].append(np.asarray(run.confusion["test"]))
        whole = {seed: sum(found[1:], found[0]) for seed, found in sorted(parts.items()) if len(found) == folds}
        if not whole:
            return None
        return cls(
            values={
                seed: {"accuracy": 100 * metrics.accuracy(matrix), "uar": 100 * metrics.uar(matrix)}
                for seed, matrix in whole.items()
            },
            clips=int(next(iter(whole.values())).sum()),
            taught=runs[0].counts["train"],
            parameters=runs[0].parameters,
            seconds=median(run.seconds.get("train", 0.0) for run in runs),
            epochs=round(median(run.epochs for run in runs)),
            unfinished=sorted(set(parts) - set(whole)),
            leaks=sorted({run.audit["summary"] for run in runs if run.audit.get("leak")}),
            commits=sorted({_commit(run) for run in runs}),
            devices=sorted({run.device for run in runs}),
            torch=", ".join(sorted({run.versions.get("torch", "unknown") for run in runs})),
        )

    def mean_sd(self, metric: str) -> str:
        """Return mean and sample standard deviation over seeds, in words."""
        return mean_sd([values[metric] for values in self.values.values()])


def _commit(run: Run) -> str:
    return str(run.git.get("commit") or "unknown")[:12] + (" with uncommitted changes" if run.git.get("dirty") else "")


def origin(scores: Sequence[Score]) -> str:
    """Return of which code the runs are and what trained them, in a sentence."""
    commits = sorted({one for score in scores for one in score.commits})
    devices = sorted({one for score in scores for one in score.devices})
    torch = sorted({score.torch for score in scores})
    return f"Commit {', '.join(commits)}; trained on {', '.join(devices)}; torch {', '.join(torch)}."


def merge(kept: Mapping[str, Score], found: Mapping[str, Score]) -> dict[str, Score]:
    """Put scores found now in the place of those kept, unless they are of fewer seeds."""
    better = {name: one for name, one in found.items() if name not in kept or len(one.values) >= len(kept[name].values)}
    return {**kept, **better}


def setting(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that make a run another one; where it is launched does not.

    >>> setting(["seed=1", "hydra.launcher.n_jobs=16", "corpus=emodb"])
    ['corpus=emodb', 'seed=1']
    """
    return sorted(word for word in overrides if not word.lstrip("+~").startswith(("hydra.", "hydra/")))


def write_scores(path: Path, scores: Mapping[str, Score], *, overrides: Sequence[str], command: str) -> None:
    """Write scores so that :func:`read_scores` reads them.

    Args:
        path: of the file
        scores: name -> score
        overrides: of every run
        command: that made the runs

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = {name: asdict(scores[name]) for name in sorted(scores)}
    write_json(path, {"command": command, "overrides": setting(overrides), "unit": "percent", "scores": shown})


def read_scores(path: Path, *, overrides: Sequence[str]) -> dict[str, Score]:
    """Read scores that were kept; none if the file is not there.

    Args:
        path: of a file of :func:`write_scores`
        overrides: of every run; scores of runs with others do not belong into the same table

    Raises:
        InputError: the file is damaged, or its scores are of other overrides

    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        had = list(content["overrides"])
        scores = {name: _score(fields) for name, fields in content["scores"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a file of scores ({error!r}); remove it, or take it from git again") from None
    if had != setting(overrides):
        raise InputError(
            f"{path} holds scores of runs with {' '.join(had) or 'no override'}, these have "
            f"{' '.join(setting(overrides)) or 'none'}: they do not belong into one table. Give another --docs, or "
            "remove the file"
        )
    return scores


def _score(fields: Mapping[str, Any]) -> Score:
    values = {int(seed): dict(percent) for seed, percent in fields["values"].items()}
    return Score(**{**fields, "values": values})


def measure(study: Study, folds: Mapping[str, int]) -> tuple[dict[str, Score], list[LeftOut]]:
    """Return the scores of the runs in a study's folder, and what cannot be counted.

    Args:
        study: with folder and seeds
        folds: name of a protocol, which is the folder of its runs -> number of its folds

    """
    runs, left_out = read_runs(study.folder) if study.folder.is_dir() else ([], [])
    counted = [run for run in runs if run.seed < study.seeds]
    found = {
        name: Score.of([run for run in counted if run.path.startswith(f"{name}/")], folds=number)
        for name, number in folds.items()
    }
    return {name: one for name, one in found.items() if one is not None}, left_out


def publish(study: Study, found: Mapping[str, Score], page: Callable[[Mapping[str, Score]], str]) -> Path:
    """Write a page and the scores behind it; return the path of the page.

    The folder of the runs gets those that were found in it; ``--docs`` gets them beside those that it kept before.

    Args:
        study: which
        found: name -> score, of the runs in the folder
        page: makes the text

    Raises:
        InputError: there is no score at all, or what was kept does not belong into the same table

    """
    written = []
    if found:
        written.append(_write(study, found, page(found), numbers=study.folder, text=study.folder))
    if study.docs is not None:
        numbers = study.docs / "results"
        kept = read_scores(numbers / f"{study.name}.json", overrides=study.overrides)
        if scores := merge(kept, found):
            written.append(_write(study, scores, page(scores), numbers=numbers, text=study.docs))
    if not written:
        raise InputError(
            f"{study.folder} holds nothing that is complete, with all its folds; run without --table first"
        )
    return written[-1]


def _write(study: Study, scores: Mapping[str, Score], content: str, *, numbers: Path, text: Path) -> Path:
    write_scores(numbers / f"{study.name}.json", scores, overrides=study.overrides, command=study.whole)
    with write_atomically(text / f"{study.name}.md") as file:
        file.write(content)
    return text / f"{study.name}.md"


def made_by(study: Study) -> str:
    """Return the command that goes on where a table ends, for its page."""
    return (
        f"Made by this, a part at a time (`--sweeps`); the numbers of every seed are in {study.name}.json:\n\n"
        f"```sh\n{study.whole}\n```"
    )
