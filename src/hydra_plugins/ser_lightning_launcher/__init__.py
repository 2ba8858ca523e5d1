"""Hydra's entry to ``hydra/launcher=stacked``; Hydra accepts launchers of the package ``hydra_plugins`` alone."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StackedLauncher(Launcher):
    """Launcher that trains runs of one network as one, and the other runs as ``hydra/launcher=local`` does.

    Args:
        n_jobs: number of processes at a time, on a CPU also of stacks
        max_runs: largest number of runs of a stack; None for as many as fit
        batched: whether a stack is computed in the same operations; None for an accelerator only
        compiled: whether the training step of these operations is compiled
        save_every: seconds between two resume checkpoints of a stack

    """

    def __init__(
        self, *, n_jobs: int, max_runs: int | None, batched: bool | None, compiled: bool, save_every: float
    ) -> None:
        self.n_jobs, self.max_runs, self.save_every = n_jobs, max_runs, save_every
        self.batched, self.compiled = batched, compiled
        self.config: DictConfig
        self.task_function: TaskFunction
        self.hydra_context: HydraContext

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Receive the function of a job, and the config of the sweep."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs of a sweep."""
        from ser_lightning.cli.stacks import LauncherSettings, launch  # Hydra imports this module in every command

        settings: Any = LauncherSettings(
            n_jobs=self.n_jobs,
            max_runs=self.max_runs,
            batched=self.batched,
            compiled=self.compiled,
            save_every=self.save_every,
        )
        return launch(
            job_overrides,
            first=initial_job_idx,
            settings=settings,
            context=self.hydra_context,
            config=self.config,
            function=self.task_function,
        )
