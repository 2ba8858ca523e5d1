"""Resume checkpoints of a stack: one file with the state of all its runs."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ser_lightning.atomic import write_atomically
from ser_lightning.checkpoint import load_plain
from ser_lightning.data.feature_cache import corpus_digest
from ser_lightning.errors import InputError
from ser_lightning.results import versions
from ser_lightning.stacked.runs import Snapshot, StackedRun
from ser_lightning.stacked.training import Stack

log = logging.getLogger(__name__)
State = Mapping[str, Any]


def save_stack(stack: Stack, path: Path) -> None:
    """Write the state of all runs of a stack, atomically.

    Args:
        stack: the stack, after a complete epoch
        path: the file

    """
    states = [_state(run, stack.optimizer.state_of(row)) for row, run in enumerate(stack.runs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path, "wb") as file:
        torch.save({"runs": states}, file)


def _state(run: StackedRun, optimizer: State) -> dict[str, Any]:
    best = run.best
    return {
        "folder": str(run.folder),
        "digest": run.identity["digest"],
        "corpus": corpus_digest(run.data.preparation.utterances),
        "versions": versions(),
        "epochs": list(run.task.history.epochs),
        "weights": run.task.state_dict(),
        "optimizer": dict(optimizer),
        "schedule": run.schedule.state_dict(),
        "stopping": [callback.state_dict() for callback in run.stopping],
        "best": None if best is None else {"epoch": best.epoch, "step": best.step, "state": best.state},
        "best_score": run.best_score,
        "rows": [[values, step] for values, step in run.rows],
        "seconds": run.seconds,
    }


def read_states(paths: Sequence[Path]) -> dict[tuple[str, str], State]:
    """Return the newest state of each run, by its folder and digest; log files that cannot be read."""
    newest: dict[tuple[str, str], State] = {}
    for path in paths:
        try:
            states: list[State] = load_plain(path)["runs"]
        except (InputError, KeyError, TypeError, OSError) as error:
            log.warning("%s: skipped", str(error).partition(";")[0])
            continue
        for state in states:
            key = (state["folder"], state["digest"])
            if key not in newest or len(newest[key]["epochs"]) < len(state["epochs"]):
                newest[key] = state
    return newest


def restore_run(run: StackedRun, state: State) -> None:
    """Restore a run before its stack is built; the state of its optimizer is restored by the stack."""
    run.task.load_state_dict(state["weights"])
    run.task.history.epochs = list(state["epochs"])
    run.schedule.load_state_dict(state["schedule"])
    for callback, callback_state in zip(run.stopping, state["stopping"], strict=True):
        callback.load_state_dict(callback_state)
    run.best = None if state["best"] is None else Snapshot(**state["best"])
    run.best_score, run.seconds = state["best_score"], state["seconds"]
    run.rows = [(dict(values), step) for values, step in state["rows"]]
