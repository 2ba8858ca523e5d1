"""Train the runs of a stack epoch by epoch."""

from collections.abc import Sequence

import torch

from ser_lightning.stacked.arithmetic import Arithmetic, BatchedArithmetic, SequentialArithmetic, Values
from ser_lightning.stacked.finish import log_of
from ser_lightning.stacked.optimizer import StackedOptimizer
from ser_lightning.stacked.runs import StackedRun
from ser_lightning.stacked.weights import SharedWeights


class Stack:
    """Runs that are trained at once, all after the same number of epochs.

    Args:
        runs: the runs
        device: device on which they are trained
        batched: compute all runs in the same operations instead of one after another
        compiled: compile the training step of these operations

    Raises:
        NotStackableError: the networks differ, or have no stacked form

    """

    def __init__(self, runs: Sequence[StackedRun], *, device: torch.device, batched: bool, compiled: bool) -> None:
        self.runs, self.device, self.batched, self.compiled = list(runs), device, batched, compiled
        for run in self.runs:
            run.task.to(device)
        self.weights = SharedWeights([run.task.model for run in self.runs])
        self.optimizer = StackedOptimizer(
            self.weights, [run.schedule for run in self.runs], clip=[run.clip for run in self.runs]
        )
        self.arithmetic = self._arithmetic()

    def _arithmetic(self) -> Arithmetic:
        tasks, train = [run.task for run in self.runs], [run.train_loader for run in self.runs]
        val = [run.data.val_dataloader() for run in self.runs if run.validates]
        if self.batched:
            return BatchedArithmetic(tasks, self.weights, train=train, val=val, compiled=self.compiled)
        return SequentialArithmetic(tasks, self.weights, train=train, val=val)

    def try_step(self) -> None:
        """Compute the gradients of one step and forget them, to find out whether the memory suffices.

        A compiled step is computed several times: first without compiling it, and later to record its CUDA graph.

        Raises:
            torch.OutOfMemoryError: it does not
            RuntimeError: the step cannot be compiled

        """
        buffers = [{name: b.clone() for name, b in run.task.model.named_buffers()} for run in self.runs]
        largest = [max(run.rows_of_epoch(), key=len) for run in self.runs]
        try:
            for _ in range(4 if self.compiled else 1):
                self.arithmetic.train_step(largest, [run.key(0) for run in self.runs])
        finally:
            for run, before in zip(self.runs, buffers, strict=True):
                for name, buffer in run.task.model.named_buffers():
                    buffer.copy_(before[name])
        self.arithmetic.train_values()

    def train_epoch(self) -> list[bool | str]:
        """Train and validate an epoch.

        Returns:
            for each run, whether it has ended; or the reason why it cannot go on

        """
        for run in self.runs:
            run.begin_epoch()
        batches = [run.rows_of_epoch() for run in self.runs]
        for step in range(max(map(len, batches))):
            rows = [run_batches[step] if step < len(run_batches) else [] for run_batches in batches]
            self.weights.gradients.zero_()
            self.arithmetic.train_step(rows, [run.key(step) for run in self.runs])
            self.optimizer.step([bool(run_rows) for run_rows in rows])
            for run, run_rows in zip(self.runs, rows, strict=True):
                if run_rows:
                    run.schedule.after_step(step)
        train = self.arithmetic.train_values()
        val: Sequence[Values] = self.arithmetic.validate() if self.arithmetic.val else [{} for _ in self.runs]
        outcomes: list[bool | str] = []
        for run, of_train, of_val, epoch in zip(self.runs, train, val, batches, strict=True):
            if isinstance(of_train, str) or isinstance(of_val, str):
                outcomes.append(of_train if isinstance(of_train, str) else str(of_val))
                continue
            with log_of(run.stage.log_file):
                outcomes.append(run.end_epoch(of_train, of_val, steps=len(epoch)))
        return outcomes

    def without(self, ended: Sequence[StackedRun]) -> "Stack | None":
        """Return the stack of the runs that go on, if any; all runs have weights of their own again."""
        self.weights.release()
        names = [run.name for run in ended]
        kept = [row for row, run in enumerate(self.runs) if run.name not in names]
        if not kept:
            return None
        stack = Stack(
            [self.runs[row] for row in kept], device=self.device, batched=self.batched, compiled=self.compiled
        )
        for row, before in enumerate(kept):
            stack.optimizer.load_state_of(row, self.optimizer.state_of(before))
        return stack
