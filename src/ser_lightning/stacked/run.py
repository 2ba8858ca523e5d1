"""Train the runs of a stack: from their configs to their ``result.json``."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ser_lightning.atomic import write_atomically
from ser_lightning.build import resolve_backends
from ser_lightning.callbacks.folder_guard import FolderGuard
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.feature_cache import corpus_digest
from ser_lightning.errors import InputError
from ser_lightning.evaluation import check_batches
from ser_lightning.refit import Stage
from ser_lightning.results import finished, versions, with_checkpoint_digest
from ser_lightning.run_folder import (
    LOG,
    Unfinished,
    check_same_data,
    find_unfinished,
    last_checkpoint,
    log_subsets,
    start_folder,
    write_run_split,
)
from ser_lightning.stacked.finish import Ending, SharedData, finish_in_worker, finish_run, log_of, start_workers
from ser_lightning.stacked.resume import State, read_states, restore_run, save_stack
from ser_lightning.stacked.runs import Snapshot, StackedRun
from ser_lightning.stacked.training import Stack
from ser_lightning.stacked.weights import NotStackableError
from ser_lightning.train import build_task, check_own_code, identity_of, own_folder, prepare_process
from ser_lightning.trainer_options import check_options

log = logging.getLogger(__name__)

DONE, FAILED, LEFT = "done", "failed", "left"
Report = Callable[[str, str, str], None]  # folder of a run, one of the states above, reason


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run of a stack.

    Args:
        config: resolved config
        choices: chosen options of the config groups
        overrides: overrides of the command line

    """

    config: dict[str, Any]
    choices: dict[str, Any]
    overrides: list[str]


@dataclass(kw_only=True)
class StackTrainer:
    """Trains jobs as stacks and reports what became of each.

    Args:
        jobs: the jobs, which agree in their networks, data options and device
        together: compute all runs in the same operations; None for an accelerator only
        at_once: largest number of runs at once; None for as many as fit
        workers_count: processes that write results while other runs train; without ``together``, none
        checkpoint: the resume checkpoint; others in its folder are read, too
        save_every: seconds between two resume checkpoints
        report: receives the outcome of each run

    """

    jobs: Sequence[Job]
    together: bool | None
    at_once: int | None
    workers_count: int
    checkpoint: Path
    save_every: float
    report: Report
    device: torch.device = field(init=False)
    data: SharedData = field(init=False, default_factory=SharedData)
    workers: ProcessPoolExecutor | None = field(init=False, default=None)
    endings: dict[str, Future[None]] = field(init=False, default_factory=dict)  # results that workers write, by folder
    open: dict[str, ExitStack] = field(init=False, default_factory=dict)  # locks of the folders
    states: dict[str, State] = field(init=False, default_factory=dict)  # of runs that are resumed

    def train(self) -> None:
        """Train, evaluate and save all runs."""
        config = self.jobs[0].config
        prepare_process(config)
        self.device = device_of(config["trainer"])
        _make_deterministic(config["trainer"])
        if self.together is None:
            self.together = self.device.type != "cpu"
        saved = read_states(sorted(self.checkpoint.parent.glob("*.ckpt")))
        with ExitStack() as opened:
            opened.callback(self._release_folders)
            if self.together and self.workers_count:
                self.workers = opened.enter_context(start_workers(self.workers_count))
            runs = [run for job in self.jobs if (run := self._begin(job, saved)) is not None]
            by_epoch: dict[int, list[StackedRun]] = {}
            for run in runs:
                by_epoch.setdefault(run.epoch, []).append(run)
            for group in by_epoch.values():
                self._train_parts(group)
            self._await_endings()
        self.checkpoint.unlink(missing_ok=True)

    def _release_folders(self) -> None:
        for folder in self.open.values():
            folder.close()

    def _begin(self, job: Job, saved: Mapping[tuple[str, str], State]) -> StackedRun | None:
        """Build a run and start its folder; None if it is finished, or not for a stack."""
        folder = str(job.config["folder"])
        self.open[folder] = ExitStack()
        try:
            run = self._build(job, saved)
        except NotStackableError as error:
            self._close(folder, LEFT, str(error))
        except InputError as error:
            self._close(folder, FAILED, str(error))
        else:
            if run is None:
                self._close(folder, DONE)
            return run
        return None

    def _build(self, job: Job, saved: Mapping[tuple[str, str], State]) -> StackedRun | None:
        config = with_checkpoint_digest(resolve_backends(job.config))
        folder = Path(config["folder"])
        identity = identity_of(config, choices=job.choices, overrides=job.overrides)
        check_options(config)
        if (result := finished(folder, config)) is not None:
            check_own_code(result, config, folder=folder)
            return None
        guard = self.open[str(folder)].enter_context(own_folder(folder, below=Path(config["output_root"])))
        if find_unfinished(folder, identity["digest"]) is not None:
            raise NotStackableError("it was begun alone and is resumed from its own checkpoint")
        stage = Stage(log_file=folder / LOG)
        data = self.data.of_run(config, stage)
        task, initialization = build_task(config, data)
        data.preparation.require(stage.subsets)
        check_batches(data, evaluation=task.evaluation)
        state = saved.get((str(folder), identity["digest"]))
        self._start_folder(config, folder, identity, data, state=state, stage=stage, guard=guard)
        task.fit_statistics(data)
        run = StackedRun(
            config=config,
            folder=folder,
            stage=stage,
            guard=guard,
            identity=identity,
            data=data,
            task=task,
            initialization=initialization,
        )
        if state is not None:
            restore_run(run, state)
            self.states[str(folder)] = state
        return run

    def _start_folder(
        self,
        config: dict[str, Any],
        folder: Path,
        identity: Mapping[str, Any],
        data: SpeechDataModule,
        *,
        state: State | None,
        stage: Stage,
        guard: FolderGuard,
    ) -> None:
        unfinished = None
        if state is not None:
            unfinished = Unfinished(
                path=last_checkpoint(folder),
                epochs=len(state["epochs"]),
                corpus=state["corpus"],
                versions=state["versions"],
            )
            corpus = corpus_digest(data.preparation.utterances)
            check_same_data(unfinished, folder=folder, corpus=corpus, versions=versions())
        with log_of(folder):
            start_folder(
                folder,
                config,
                identity["overrides"],
                unfinished=unfinished,
                log_file=stage.log_file,
                epoch_name=stage.name,
            )
            write_run_split(folder / "split.csv", data.preparation)
            log_subsets(data)

    def _close(self, folder: str, state: str, reason: str = "") -> None:
        self.open.pop(folder).close()
        self.report(folder, state, " ".join(reason.split()))

    def _train_parts(self, runs: Sequence[StackedRun]) -> None:
        """Train runs in parts that fit into the memory of the device, found by trial."""
        size = min(len(runs), self.at_once or len(runs))
        remaining = list(runs)
        while remaining:
            part = remaining[:size]
            try:
                stack = Stack(part, device=self.device, together=bool(self.together))
                if self.device.type != "cpu":
                    stack.try_step()
            except NotStackableError as error:
                for run in remaining:
                    self._close(str(run.folder), LEFT, str(error))
                return
            except torch.OutOfMemoryError:
                size = len(part) // 2
                torch.cuda.empty_cache()
                log.info("%d runs at once do not fit into the memory of %s", len(part), self.device)
                if size < 2:
                    for run in remaining:
                        self._close(str(run.folder), LEFT, f"two runs do not fit into the memory of {self.device}")
                    return
                continue
            log.info("%d runs at once on %s", len(part), self.device)
            self._train_stack(stack)
            remaining = remaining[len(part) :]

    def _train_stack(self, stack: Stack) -> None:
        for row, run in enumerate(stack.runs):
            state = self.states.pop(str(run.folder), None)
            if state is not None:
                stack.optimizer.load_state_of(row, state["optimizer"])
        saved = time.monotonic()
        remaining: Stack | None = stack
        while remaining is not None:
            remaining = self._train_epoch(remaining)
            if remaining is not None and time.monotonic() - saved >= self.save_every:
                save_stack(remaining, self.checkpoint)
                saved = time.monotonic()

    def _train_epoch(self, stack: Stack) -> Stack | None:
        """Train an epoch, finish the runs that end, and return the stack of the others."""
        start = time.perf_counter()
        outcomes = stack.train_epoch(log_of)
        share = (time.perf_counter() - start) / len(stack.runs)
        for run in stack.runs:
            run.seconds += share
        if not any(outcomes):
            return stack
        ended = {run.name: outcome for run, outcome in zip(stack.runs, outcomes, strict=True) if outcome}
        last = [run.snapshot() if ended.get(run.name) is True else None for run in stack.runs]
        remaining = stack.without([run for run in stack.runs if run.name in ended])
        for run, snapshot in zip(stack.runs, last, strict=True):
            if snapshot is not None:
                self._finish(run, snapshot)
            elif run.name in ended:
                self._close(str(run.folder), FAILED, str(ended[run.name]))
        return remaining

    def _finish(self, run: StackedRun, last: Snapshot) -> None:
        """Write the checkpoints and all results of a run, in a worker if there are any."""
        assert run.best is not None  # noqa: S101 - the first epoch is the best so far
        for which, snapshot in (("best", run.best), ("last", last)):
            _write_checkpoint(run, snapshot, which)
        ending = Ending(
            config=run.config,
            stage=run.stage,
            identity=dict(run.identity),
            initialization=run.initialization,
            epochs=list(run.task.epochs),
            rows=run.rows,
            seconds=run.seconds,
            device=str(self.device),
        )
        if self.workers is None:
            finish_run(ending, task=run.task, data=run.data)
            self._close(str(run.folder), DONE)
        else:
            self.endings[str(run.folder)] = self.workers.submit(finish_in_worker, ending)

    def _await_endings(self) -> None:
        """Wait until the results of all runs are written."""
        for folder, ending in self.endings.items():
            try:
                ending.result()
            except InputError as error:
                self._close(folder, FAILED, str(error))
            else:
                self._close(folder, DONE)


def _write_checkpoint(run: StackedRun, snapshot: Snapshot, which: str) -> None:
    """Write a checkpoint that Lightning and all commands read."""
    checkpoint: dict[str, Any] = {
        "epoch": snapshot.epoch,
        "global_step": snapshot.step,
        "pytorch-lightning_version": versions()["pytorch-lightning"],
        "state_dict": {name: tensor.cpu() for name, tensor in snapshot.state.items()},
    }
    run.task.on_save_checkpoint(checkpoint)
    checkpoint["epochs"] = checkpoint["epochs"][: snapshot.epoch + 1]
    with write_atomically(last_checkpoint(run.folder).with_name(f"{which}.ckpt"), "wb") as file:
        torch.save(checkpoint, file)


def device_of(options: Mapping[str, Any]) -> torch.device:
    """Return the device that the options of a Trainer choose.

    Raises:
        NotStackableError: no such device can be used

    """
    if options["accelerator"] == "cpu" or not torch.cuda.is_available():
        if options["accelerator"] in ("gpu", "cuda") or torch.accelerator.is_available():
            raise NotStackableError("stacks need a CUDA device or a CPU, and there is another accelerator")
        return torch.device("cpu")
    return torch.device("cuda", 0)


def _make_deterministic(options: Mapping[str, Any]) -> None:
    """Use deterministic algorithms as Lightning's Trainer does."""
    chosen = options["deterministic"]
    if chosen:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS is not deterministic
        torch.use_deterministic_algorithms(True, warn_only=chosen == "warn")
