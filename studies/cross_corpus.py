"""``make cross-corpus``: train on one corpus, evaluate on another.

Networks are trained on each corpus with speaker folds; each is tested on its own fold and on all clips of every other
corpus. Finished runs are skipped on a rerun.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from studies.study import call, commits, exit_on_input_error, mean_sd, read_command_line

from ser_lightning import metrics
from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report.answer import SYNTHETIC, is_synthetic
from ser_lightning.report.runs import LeftOut, read_runs
from ser_lightning.report.tables import NOTHING, left_out_table, markdown
from ser_lightning.results import write_json

CORPORA = ("ravdess", "emodb", "emovo")
FOLDS = {"ravdess": 6, "emodb": 5, "emovo": 3, "crema_d": 6, "savee": 4, "synthetic": 4}  # number of speaker folds
RESULTS = "results"  # folder of the numbers, inside the folder of the page


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Result of networks trained on one corpus and tested on another, or on unseen speakers of their own.

    Args:
        trained: name of the training corpus
        tested: name of the test corpus
        emotions: emotions that both corpora have
        clips: number of test clips per seed
        left_out: emotion -> number of clips excluded because the networks do not know it
        values: seed -> metric -> percent; on the same corpus over the pooled test clips of all folds, on another corpus
            the mean over the networks of all folds
        unfinished: seeds with missing folds, which are excluded

    """

    trained: str
    tested: str
    emotions: Sequence[str]
    clips: int
    left_out: Mapping[str, int]
    values: Mapping[int, Mapping[str, float]]
    unfinished: Sequence[int]


def train(folder: Path, corpus: str, *, seeds: int, rest: Sequence[str]) -> None:
    """Train the runs of a corpus that are not finished."""
    call(
        *("ser-train", "--multirun", "experiment=corrected", f"corpus={corpus}", "split=speaker"),
        *(f"split.folds={FOLDS[corpus]}", f"split.fold=range({FOLDS[corpus]})", f"seed=range({seeds})"),
        *("run_id=fold-${split.fold}/seed-${seed}", f"name={folder.name}/{corpus}", f"output_root={folder.parent}"),
        *rest,
    )


def result_on(run: Path, other: str) -> Path:
    """Return the path of a run's result on another corpus."""
    return run / f"across-{other}.json"


def measure(folder: Path, corpus: str, other: str) -> None:
    """Evaluate the runs of a corpus on another corpus, unless that result exists."""
    for path in sorted((folder / corpus).glob("fold-*/seed-*/result.json")):
        figures = result_on(path.parent, other)
        if not figures.exists() or _read(figures)["digest"] != _read(path)["digest"]:
            call("ser-evaluate", str(path.parent), "--corpus", other, "--output", str(figures))


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def cell(folder: Path, runs: pd.DataFrame, trained: str, tested: str, *, seeds: int) -> Cell | None:
    """Combine the folds of each seed; return None if no seed is complete.

    Args:
        folder: folder of the study
        runs: runs trained on the corpus ``trained``, with paths relative to the folder of that corpus
        trained: name of a corpus
        tested: name of the same or another corpus
        seeds: number of seeds; runs with this seed or a higher one are ignored

    """
    parts: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for run in runs.itertuples():
        figures = result_on(folder / trained / run.path, tested)
        if run.seed < seeds and (trained == tested or figures.exists()):
            measured = {"emotions": run.emotions, "confusion_matrix": run.confusion["test"], "left_out": {}}
            parts[run.seed].append(measured if trained == tested else _read(figures))
    complete = {seed: folds for seed, folds in sorted(parts.items()) if len(folds) == FOLDS[trained]}
    if not complete:
        return None
    first = next(iter(complete.values()))
    sums = [np.sum([each["confusion_matrix"] for each in folds], axis=0) for folds in complete.values()]
    return Cell(
        trained=trained,
        tested=tested,
        emotions=tuple(first[0]["emotions"]),
        clips=int(sums[0].sum()) if trained == tested else int(np.sum(first[0]["confusion_matrix"])),
        left_out=first[0]["left_out"],
        values={seed: _values(folds, together=trained == tested) for seed, folds in complete.items()},
        unfinished=sorted(set(parts) - set(complete)),
    )


def _values(folds: Sequence[Mapping[str, Any]], *, together: bool) -> dict[str, float]:
    """Return accuracy and UAR in percent, over the pooled folds or as the mean over folds."""
    matrices = [np.asarray(each["confusion_matrix"]) for each in folds]
    measured = [np.sum(matrices, axis=0)] if together else matrices
    return {
        name: 100 * float(np.mean([metric(matrix) for matrix in measured]))
        for name, metric in (("accuracy", metrics.accuracy), ("uar", metrics.uar))
    }


def table(cells: Sequence[Cell], corpora: Sequence[str], metric: str) -> pd.DataFrame:
    """Return a table with one row per training corpus and one column per test corpus."""
    by_corpora = {(cell.trained, cell.tested): cell for cell in cells}

    def text(trained: str, tested: str) -> str:
        cell = by_corpora.get((trained, tested))
        if cell is None:
            return NOTHING
        return f"{mean_sd([values[metric] for values in cell.values.values()])} ({len(cell.emotions)})"

    rows = [(f"`{trained}`", *(text(trained, tested) for tested in corpora)) for trained in corpora]
    return pd.DataFrame(rows, columns=["trained \\ tested", *(f"`{tested}`" for tested in corpora)])


def write(folder: Path, corpora: Sequence[str], *, seeds: int, command: str, docs: Path | None) -> Path:
    """Write cross_corpus.json and, last, cross_corpus.md; return the path of cross_corpus.md.

    Raises:
        InputError: no corpus has a seed with all its folds

    """
    cells: list[Cell] = []
    every: list[pd.DataFrame] = []
    left_out: list[LeftOut] = []
    for trained in corpora:
        if (folder / trained).is_dir():
            runs, _, lacking = read_runs(folder / trained)
            every.append(runs)
            left_out += [LeftOut(f"{trained}/{item.path}", item.reason) for item in lacking]
            cells += [
                complete_cell for other in corpora if (complete_cell := cell(folder, runs, trained, other, seeds=seeds))
            ]
    if not cells:
        raise InputError(f"{folder} has no corpus with all its folds. Run without --table first.")
    every_run = pd.concat(every)
    content = {
        "command": command,
        "unit": "percent",
        "synthetic": is_synthetic(every_run),
        "cells": [
            {
                "trained": pair.trained,
                "tested": pair.tested,
                "emotions": list(pair.emotions),
                "clips": pair.clips,
            }
            | {
                "left_out": dict(pair.left_out),
                "seeds": {str(seed): value for seed, value in pair.values.items()},
            }
            for pair in cells
        ],
    }
    page = _page(cells, corpora, every_run, left_out, command=command)
    places = [(folder, folder), *([(docs, docs / RESULTS)] if docs else [])]
    for of_page, of_numbers in places:
        of_numbers.mkdir(parents=True, exist_ok=True)
        write_json(of_numbers / "cross_corpus.json", content)
        with write_atomically(of_page / "cross_corpus.md") as file:
            file.write(page)
    return folder / "cross_corpus.md"


def _page(
    cells: Sequence[Cell], corpora: Sequence[str], runs: pd.DataFrame, left_out: Sequence[LeftOut], *, command: str
) -> str:
    first = runs.iloc[0]
    missing = [f"{pair.trained} on {pair.tested} (seeds {', '.join(map(str, pair.unfinished))})" for pair in cells]
    missing = [text for text, pair in zip(missing, cells, strict=True) if pair.unfinished]
    lost = [
        f"{pair.trained} on {pair.tested}: {', '.join(f'{n} {name}' for name, n in sorted(pair.left_out.items()))}"
        for pair in cells
        if pair.left_out
    ]
    folds = ", ".join(f"{corpus} {FOLDS[corpus]}" for corpus in corpora)
    sizes = ", ".join(f"{pair.tested} {pair.clips}" for pair in cells if pair.trained == pair.tested)
    parts = [
        "# Trained on one corpus, tested on another",
        f"**{SYNTHETIC}**" if is_synthetic(runs) else "",
        "Networks of `corrected` trained on one corpus (rows) and tested on another (columns): UAR in percent, mean ±"
        " sample standard deviation over seeds, with the number of emotions in parentheses; chance is 100 divided by"
        f" it. On each corpus, one network is trained per speaker fold ({folds}). On the diagonal, the networks are"
        " tested on unseen speakers, with all folds pooled. Elsewhere, every network is tested on all clips of the"
        " other corpus with an emotion that it knows; its predictions are restricted to the emotions of both corpora,"
        " and the mean over folds is shown. Nothing is adapted: the features are standardized with the statistics of"
        " the training corpus.",
        markdown(table(cells, corpora, "uar")),
        "Accuracy:",
        markdown(table(cells, corpora, "accuracy")),
        f"Clips tested on the diagonal: {sizes}." if sizes else "",
        f"Clips left out because the networks do not know their emotion: {'; '.join(lost)}." if lost else "",
        f"Left out because folds are missing: {'; '.join(missing)}." if missing else "",
        "Left out:\n\n" + markdown(left_out_table(left_out)) if left_out else "",
        "## Origin",
        f"{len(runs)} runs of {first.epochs} epochs, dropout {first.choices.get('dropout')}; {commits(runs)}; torch "
        f"{first.versions.get('torch')}.",
        f"Made by:\n\n```sh\n{command}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def corpora_of(overrides: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Split a command line into the corpora of ``corpus=a,b,c`` (the default if missing) and the other overrides.

    Raises:
        InputError: a corpus has no speaker folds, or fewer than two corpora are given

    """
    words = [word.removeprefix("corpus=") for word in overrides if word.startswith("corpus=")]
    corpora = tuple(dict.fromkeys(words[-1].split(","))) if words else CORPORA
    for corpus in corpora:
        if corpus not in FOLDS:
            raise InputError(f"corpus={corpus}: expected two or more of {', '.join(FOLDS)}, joined by commas")
    if len(corpora) < 2:
        raise InputError(f"corpus={corpora[0]} is a single corpus; expected two or more of {', '.join(FOLDS)}")
    return corpora, [word for word in overrides if not word.startswith("corpus=")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not finished and write the table."""
    study = read_command_line(
        "cross_corpus",
        "Train on each corpus and test on each; write cross_corpus.md and cross_corpus.json. corpus=ravdess,emodb "
        f"names the corpora (default: {', '.join(CORPORA)}), found by their ROOT variables. Finished runs are skipped "
        "on a rerun.",
        arguments,
    )

    def run() -> None:
        corpora, rest = corpora_of(study.overrides)
        for corpus in corpora if not study.table else ():
            train(study.folder, corpus, seeds=study.seeds, rest=rest)
            for tested in corpora:
                if tested != corpus:
                    measure(study.folder, corpus, tested)
            write(study.folder, corpora, seeds=study.seeds, command=study.command, docs=study.docs)
        print(write(study.folder, corpora, seeds=study.seeds, command=study.command, docs=study.docs))

    exit_on_input_error("cross_corpus", run)


if __name__ == "__main__":
    main()
