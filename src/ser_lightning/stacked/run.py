"""Train the runs of a stack: from their configs to their ``result.json``."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ser_lightning.build import resolve_backends
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.feature_cache import corpus_digest
from ser_lightning.errors import InputError
from ser_lightning.evaluation import check_batches
from ser_lightning.process import prepare_process
from ser_lightning.refit import Training, start_stage, trainings
from ser_lightning.results import finished, versions, with_checkpoint_digest
from ser_lightning.run_folder import (
    Unfinished,
    check_same_data,
    find_unfinished,
    last_checkpoint,
    log_subsets,
)
from ser_lightning.stacked.device import device_of, make_deterministic
from ser_lightning.stacked.finish import SharedData, TrainedRun, finish_in_worker, finish_run, log_of, start_workers
from ser_lightning.stacked.jobs import ActiveJob, Job
from ser_lightning.stacked.resume import State, read_states, restore_run, save_stack
from ser_lightning.stacked.runs import Snapshot, StackedRun
from ser_lightning.stacked.training import Stack
from ser_lightning.stacked.weights import NotStackableError
from ser_lightning.train import build_task, check_own_code, identity_of, own_folder
from ser_lightning.trainer_options import check_options

log = logging.getLogger(__name__)

DONE, FAILED, LEFT = "done", "failed", "left"
Report = Callable[[str, str, str], None]  # folder of a run, one of the states above, reason


@dataclass(kw_only=True)
class StackTrainer:
    """Trains jobs as stacks and reports what became of each.

    Args:
        jobs: the jobs, which agree in their networks, data options and device
        batched: compute all runs in the same operations; None for an accelerator only
        compiled: compile the training step of these operations
        max_runs: largest number of runs at once; None for as many as fit
        workers_count: processes that write results while other runs train; without ``batched``, none
        checkpoint: the resume checkpoint; others in its folder are read, too
        save_every: seconds between two resume checkpoints
        report: receives the outcome of each run

    """

    jobs: Sequence[Job]
    batched: bool | None
    compiled: bool
    max_runs: int | None
    workers_count: int
    checkpoint: Path
    save_every: float
    report: Report
    device: torch.device = field(init=False)
    data: SharedData = field(init=False, default_factory=SharedData)
    workers: ProcessPoolExecutor | None = field(init=False, default=None)
    active: dict[str, ActiveJob] = field(init=False, default_factory=dict)  # jobs that have not ended, by folder
    states: dict[str, State] = field(init=False, default_factory=dict)  # of stages that are resumed, by folder
    saved: dict[tuple[str, str], State] = field(init=False, default_factory=dict)  # all states that were saved

    def train(self) -> None:
        """Train, evaluate and save all runs."""
        config = self.jobs[0].config
        prepare_process(config)
        try:
            self.device = device_of(config["trainer"])
        except NotStackableError as error:
            for job in self.jobs:
                self.report(str(job.config["folder"]), LEFT, str(error))
            return
        make_deterministic(config["trainer"])
        if self.batched is None:
            self.batched = self.device.type != "cpu"
        self.saved = read_states(sorted(self.checkpoint.parent.glob("*.ckpt")))
        with ExitStack() as opened:
            opened.callback(self._release_folders)
            if self.batched and self.workers_count:
                self.workers = opened.enter_context(start_workers(self.workers_count))
            runs = [self._begin(job) for job in self.jobs]
            while any(runs):
                groups: dict[tuple[str, int], list[StackedRun]] = {}
                for run in runs:
                    if run is not None:
                        groups.setdefault((run.stage.name, run.epoch), []).append(run)
                for group in groups.values():
                    self._train_parts(group)
                runs = [self._next_stage(folder) for folder in list(self.active)]
        self.checkpoint.unlink(missing_ok=True)

    def _release_folders(self) -> None:
        for job in self.active.values():
            job.lock.close()

    def _begin(self, job: Job) -> StackedRun | None:
        """Build the first stage of a run; None if it is finished, or not for a stack."""
        folder = Path(job.config["folder"])
        lock = ExitStack()
        try:
            config = with_checkpoint_digest(resolve_backends(job.config))
            identity = identity_of(config, choices=job.choices, overrides=job.overrides)
            check_options(config)
            if (result := finished(folder, config)) is not None:
                check_own_code(result, config, folder=folder)
                self.report(str(folder), DONE, "")
                return None
            guard = lock.enter_context(own_folder(folder, below=Path(config["output_root"])))
        except InputError as error:
            self.report(str(folder), FAILED, " ".join(str(error).split()))
            return None
        stages = trainings(config, folder=folder)
        self.active[str(folder)] = ActiveJob(identity=identity, guard=guard, lock=lock, stages=stages)
        return self._next_stage(str(folder))

    def _next_stage(self, folder: str) -> StackedRun | None:
        """Build the next stage of a run, given the result of the one before; None if the run has ended."""
        job = self.active[folder]
        try:
            result = None if job.result is None else job.result.result()
            training = job.stages.send(result)
            return self._build(job, training)
        except StopIteration:
            self._close(folder, DONE)
        except NotStackableError as error:
            self._close(folder, LEFT, str(error))
        except InputError as error:
            self._close(folder, FAILED, str(error))
        return None

    def _build(self, job: ActiveJob, training: Training) -> StackedRun:
        config, folder, stage = training
        digest = job.identity["digest"]
        if find_unfinished(folder, digest) is not None:
            raise NotStackableError("it was begun alone and is resumed from its own checkpoint")
        data = self.data.of_run(config, stage)
        task, initialization = build_task(config, data)
        check_batches(data, evaluation=task.evaluation)
        state = self.saved.get((str(folder), digest))
        self._start_folder(training, job.identity, data, state=state)
        task.fit_statistics(data)
        run = StackedRun(
            config=config,
            folder=folder,
            stage=stage,
            guard=job.guard,
            identity=job.identity,
            data=data,
            task=task,
            initialization=initialization,
        )
        if state is not None:
            restore_run(run, state)
            self.states[str(folder)] = state
        return run

    def _start_folder(
        self, training: Training, identity: Mapping[str, Any], data: SpeechDataModule, *, state: State | None
    ) -> None:
        folder, unfinished = training.folder, None
        if state is not None:
            unfinished = Unfinished(
                path=last_checkpoint(folder),
                epochs=len(state["epochs"]),
                corpus=state["corpus"],
                versions=state["versions"],
            )
            corpus = corpus_digest(data.preparation.utterances)
            check_same_data(unfinished, folder=folder, corpus=corpus, versions=versions())
        with log_of(training.stage.log_file):
            start_stage(training, data.preparation, overrides=identity["overrides"], unfinished=unfinished)
            log_subsets(data)

    def _close(self, folder: str, state: str, reason: str = "") -> None:
        self.active.pop(folder).lock.close()
        self.report(folder, state, " ".join(reason.split()))

    def _train_parts(self, runs: Sequence[StackedRun]) -> None:
        """Train runs in parts that fit into the memory of the device, found by trial."""
        size = min(len(runs), self.max_runs or len(runs))
        remaining = list(runs)
        while remaining:
            part = remaining[:size]
            try:
                compiled = bool(self.batched) and self.compiled
                stack = Stack(part, device=self.device, batched=bool(self.batched), compiled=compiled)
                if self.device.type != "cpu" or compiled:
                    stack.try_step()
            except NotStackableError as error:
                for run in remaining:
                    self._close(run.key_of_job, LEFT, str(error))
                return
            except torch.OutOfMemoryError:
                size = len(part) // 2
                torch.cuda.empty_cache()
                log.info("%d runs at once do not fit into the memory of %s", len(part), self.device)
                if size < 2:
                    for run in remaining:
                        self._close(run.key_of_job, LEFT, f"two runs do not fit into the memory of {self.device}")
                    return
                continue
            except RuntimeError as error:
                if not compiled:
                    raise
                log.warning("the step is not compiled, because torch fails: %s", str(error).partition("\n")[0])
                self.compiled = False
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
        outcomes = stack.train_epoch()
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
                self._close(run.key_of_job, FAILED, str(ended[run.name]))
        return remaining

    def _finish(self, run: StackedRun, last: Snapshot) -> None:
        """Write the checkpoints and all results of a run, in a worker if there are any."""
        assert run.best is not None  # noqa: S101 - the first epoch is the best so far
        for which, snapshot in (("best", run.best), ("last", last)):
            run.write_checkpoint(snapshot, which)
        trained = TrainedRun(
            training=Training(run.config, run.folder, run.stage),
            identity=dict(run.identity),
            initialization=run.initialization,
            epochs=list(run.task.history.epochs),
            rows=run.rows,
            seconds=run.seconds,
            device=str(self.device),
        )
        if self.workers is None:
            result: Future[dict[str, Any]] = Future()
            try:
                result.set_result(finish_run(trained, task=run.task, data=run.data))
            except InputError as error:  # such as a folder that was removed; the other runs go on
                result.set_exception(error)
        else:
            result = self.workers.submit(finish_in_worker, trained)
        self.active[run.key_of_job].result = result
