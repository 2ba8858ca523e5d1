"""Part of ``make unseen``: systems trained on one or two corpora and tested on another one."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from studies.study import call

from ser_lightning.report.tables import markdown

CORPORA = ("ravdess", "emodb", "emovo")
# One speaker, the first, is left out of the training, because a run needs test clips of its own.
SPLIT = ("split=loso", "split.fold=0", "split.refit=true", "seed=0")


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Result of a system on a corpus that it was not trained on.

    Args:
        uar: UAR in percent on all clips of the corpus with an emotion that the training corpora have
        accuracy: accuracy in percent on the same clips
        emotions: emotions that training and test corpora share
        clips: number of clips
        commit: commit of the code
        device: device that trained the run

    """

    uar: float
    accuracy: float
    emotions: Sequence[str]
    clips: int
    commit: str
    device: str


def tasks() -> list[tuple[tuple[str, ...], str]]:
    """Return training corpora and test corpus of each task: one for one, then two for one."""
    singles = [((one,), other) for one in CORPORA for other in CORPORA if one != other]
    pairs = [(tuple(one for one in CORPORA if one != other), other) for other in CORPORA]
    return singles + pairs


def run_task(folder: Path, words: Sequence[str], trained: Sequence[str], tested: str, *, rest: Sequence[str]) -> None:
    """Train on corpora and evaluate on another one, unless that is done.

    Args:
        folder: folder of the runs of a system
        words: overrides that select the system
        trained: training corpora
        tested: the test corpus
        rest: more overrides

    """
    run = _run(folder, trained)
    corpus = (
        [f"corpus={trained[0]}"]
        if len(trained) == 1
        else ["corpus=pooled", f"corpus/parts=[{','.join(trained)}]", "corpus.downmix=mean"]
    )
    if not (run / "result.json").exists():
        call(
            *("ser-train", *words, *corpus, *SPLIT, f"name={folder.parent.name}", f"run_id={folder.name}/{run.name}"),
            f"output_root={folder.parent.parent}",
            *rest,
        )
    if not _figures(run, tested).exists():
        call("ser-evaluate", str(run), "--corpus", tested, "--output", str(_figures(run, tested)))


def measure_task(folder: Path, trained: Sequence[str], tested: str) -> Transfer | None:
    """Return the result of a task; None if it has not been run."""
    run = _run(folder, trained)
    if not _figures(run, tested).exists():
        return None
    found, result = (_read(path) for path in (_figures(run, tested), run / "result.json"))
    return Transfer(
        uar=100 * found["metrics"]["uar"],
        accuracy=100 * found["metrics"]["accuracy"],
        emotions=found["emotions"],
        clips=found["clips"],
        commit=str(result["git"].get("commit") or "unknown")[:12] + "+" * bool(result["git"].get("dirty")),
        device=result["device"],
    )


def available(trained: Sequence[str], tested: str) -> bool:
    """Return whether the environment variables of all corpora of a task are set."""
    return all(os.environ.get(f"{name.upper()}_ROOT") for name in (*trained, tested))


def name_of(trained: Sequence[str], tested: str) -> str:
    """Return the name of a task, such as ``ravdess+emodb->emovo``."""
    return f"{'+'.join(trained)}->{tested}"


def transfer_table(found: Mapping[str, Transfer], system: str) -> str:
    """Return the Markdown table of a system, one row per task; empty if nothing was run.

    Args:
        found: ``<system>/<task>`` -> result
        system: name of the system

    """
    rows = [
        {
            "trained on": ", ".join(trained),
            "tested on": tested,
            "UAR": f"{one.uar:.1f}",
            "accuracy": f"{one.accuracy:.1f}",
            "emotions": str(len(one.emotions)),
            "clips": str(one.clips),
            "trained by": one.device,
        }
        for trained, tested in tasks()
        if (one := found.get(f"{system}/{name_of(trained, tested)}"))
    ]
    return markdown(pd.DataFrame(rows)) if rows else ""


def choose(found: Mapping[str, Transfer], systems: Sequence[str], tested: str) -> str | None:
    """Return the system with the highest mean UAR on the transfers between the corpora that are not tested.

    Args:
        found: ``<system>/<task>`` -> result
        systems: the systems to choose from
        tested: the test corpus, whose figures have no influence

    Returns:
        the system; None if a result is missing

    """
    others = [
        name_of(trained, other) for trained, other in tasks() if len(trained) == 1 and tested not in (*trained, other)
    ]
    if not all(f"{system}/{task}" in found for system in systems for task in others):
        return None
    return max(systems, key=lambda system: sum(found[f"{system}/{task}"].uar for task in others))


def _run(folder: Path, trained: Sequence[str]) -> Path:
    return folder / f"trained_on_{'_'.join(trained)}"


def _figures(run: Path, tested: str) -> Path:
    return run / f"across-{tested}.json"


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
