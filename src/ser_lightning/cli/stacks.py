"""``hydra/launcher=stacked``: train the runs of a sweep that can be stacked as one, and the others one by one."""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ser_lightning.cli import hydra_app
from ser_lightning.cli.job import STACK_REASONS
from ser_lightning.cli.overrides import quote_text, restore_typed_text, typed_overrides
from ser_lightning.cli.processes import JobProcess, run_processes
from ser_lightning.cli.sweep import RUNNING, report_state
from ser_lightning.errors import InputError
from ser_lightning.results import finished, with_checkpoint_digest
from ser_lightning.stacked.grouping import group_runs

FOLDER = ".stacks"  # resume checkpoints, in the folder of the sweep
LEFT, FAILED = "left", "failed"


@dataclass(frozen=True, kw_only=True)
class LauncherSettings:
    """Options of the launcher; see ``conf/hydra/launcher/stacked.yaml``."""

    n_jobs: int
    max_runs: int | None
    batched: bool | None
    compiled: bool
    save_every: float

    def __post_init__(self) -> None:
        for name, value in (("n_jobs", self.n_jobs), ("max_runs", self.max_runs)):
            if value is not None and (type(value) is not int or value < 1):
                raise InputError(f"hydra.launcher.{name} is {value!r}; expected a whole number of at least 1")
        if type(self.compiled) is not bool:
            raise InputError(f"hydra.launcher.compiled is {self.compiled!r}; expected true or false")
        if isinstance(self.save_every, bool) or not isinstance(self.save_every, int | float) or self.save_every < 0:
            raise InputError(f"hydra.launcher.save_every is {self.save_every!r}; expected a number of seconds")


class SweepJob(NamedTuple):
    """A job of the sweep.

    Args:
        number: its number in the sweep
        overrides: the overrides it is composed with
        config: its config with Hydra's own section
        plain: its resolved config; None if it cannot be resolved, which its own command reports

    """

    number: int
    overrides: Sequence[str]
    config: DictConfig
    plain: dict[str, Any] | None


def launch(
    job_overrides: Sequence[Sequence[str]],
    *,
    first: int,
    settings: LauncherSettings,
    context: HydraContext,
    config: DictConfig,
    function: TaskFunction,
) -> list[JobReturn]:
    """Run the jobs of a sweep.

    Args:
        job_overrides: overrides of each job
        first: number of the first job
        settings: options of the launcher
        context: loads the configs of the jobs
        config: config of the sweep
        function: runs one job

    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    jobs = [
        _compose(first + index, overrides, context, config) for index, overrides in enumerate(map(list, job_overrides))
    ]
    stacked = _train_stacks(jobs, settings=settings, sweep=Path(str(config.hydra.sweep.dir)).absolute())
    others = [job for job in jobs if job.number not in stacked]
    results = _one_by_one(others, settings, context, config, function)
    returns = {job.number: result for job, result in zip(others, results, strict=True)}
    for job in jobs:
        if job.number in stacked:
            returns[job.number] = _finished_job(job, context, function)
    return [returns[job.number] for job in jobs]


def _compose(number: int, overrides: list[str], context: HydraContext, config: DictConfig) -> SweepJob:
    """Compose the config of a job as Hydra's launchers do."""
    composed: Any = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(composed):
        composed.hydra.job.id, composed.hydra.job.num = f"{composed.hydra.job.name}_{number}", number
    with _hydra_config(composed):
        try:
            task = composed.copy()
            with open_dict(task):
                del task["hydra"]
            restore_typed_text(task, typed_overrides(composed.hydra.overrides.task))
            plain = hydra_app.plain(task)
        except (InputError, OmegaConfBaseException):
            plain = None
    return SweepJob(number, overrides, composed, plain)


@contextmanager
def _hydra_config(composed: DictConfig) -> Iterator[None]:
    """Make a config Hydra's current one."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(composed)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def _train_stacks(jobs: Sequence[SweepJob], *, settings: LauncherSettings, sweep: Path) -> set[int]:
    """Train what can be stacked; return the numbers of the jobs that have ended."""
    ended = {job.number for job in jobs if job.plain is not None and _is_finished(job)}
    resolved = [job for job in jobs if job.plain is not None and job.number not in ended]
    groups = group_runs([_plain(job) for job in resolved])
    _print_others({_plain(resolved[index])["run_id"]: reason for index, reason in groups.others.items()})
    for stack in groups.stacks:
        members = [resolved[index] for index in stack]
        outcomes = _train_stack(members, settings=settings, sweep=sweep)
        left = {_plain(job)["run_id"]: outcomes[_folder(job)]["reason"] for job in members if _is(job, outcomes, LEFT)}
        _print_others(left)
        trained = [job for job in members if not _is(job, outcomes, LEFT)]
        STACK_REASONS.update(
            {_folder(job): outcomes[_folder(job)]["reason"] if _is(job, outcomes, FAILED) else "" for job in trained}
        )
        ended |= {job.number for job in trained}
    return ended


def _is_finished(job: SweepJob) -> bool:
    """Return whether the result of a job exists; its stack or its own command reports one that cannot be used."""
    try:
        return finished(Path(_folder(job)), with_checkpoint_digest(_plain(job))) is not None
    except InputError:
        return False


def _print_others(others: Mapping[str, str]) -> None:
    """Print for each reason which runs are trained one by one."""
    for reason in dict.fromkeys(others.values()):
        runs = [run for run, why in others.items() if why == reason]
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        print(f"ser-train: not stacked: {runs[0]}{more}: {reason}", file=sys.stderr)


def _train_stack(jobs: Sequence[SweepJob], *, settings: LauncherSettings, sweep: Path) -> dict[str, dict[str, str]]:
    """Train a stack, on a CPU in several processes; return the outcome of each run by its folder."""
    parts = min(settings.n_jobs, len(jobs) // 2) if uses_cpu(_plain(jobs[0])) else 1
    divided = [jobs[part::parts] for part in range(parts)]
    for job in jobs:
        config = _plain(job)
        entry = {"number": job.number, "folder": _folder(job), "epochs": config["trainer"]["max_epochs"]}
        report_state(job.config.hydra.callbacks.sweep.journal, {**entry, "state": RUNNING, "reason": ""})
    outcomes: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="ser_lightning-") as folder:
        requests = [
            _write_request(
                part, Path(folder) / f"{index}.json", settings=settings, sweep=sweep, workers=settings.n_jobs // parts
            )
            for index, part in enumerate(divided)
        ]
        cwd = str(jobs[0].config.hydra.runtime.cwd)
        module = "ser_lightning.cli.stack_process"
        reasons = run_processes(
            [JobProcess(words=[str(path)], cwd=cwd, full_error=False, module=module) for path in requests]
        )
        for part, path, reason in zip(divided, requests, reasons, strict=True):
            answer = path.with_suffix(".jsonl")
            lines = answer.read_text(encoding="utf-8").splitlines() if answer.exists() else []
            outcomes |= {outcome["folder"]: outcome for outcome in map(json.loads, lines)}
            died = {"state": FAILED, "reason": f"{reason or 'its stack ended without a result'}; rerun to resume"}
            outcomes |= {_folder(job): died for job in part if _folder(job) not in outcomes}
    return outcomes


def _write_request(
    jobs: Sequence[SweepJob], path: Path, *, settings: LauncherSettings, sweep: Path, workers: int
) -> Path:
    """Write the request for a process that trains a stack, with the number of its processes that write results."""
    name = hashlib.sha256(json.dumps([_folder(job) for job in jobs]).encode()).hexdigest()[:16]
    request = {
        "jobs": [{"config": _plain(job), "choices": _choices(job), "overrides": _overrides(job)} for job in jobs],
        "answer": str(path.with_suffix(".jsonl")),
        "checkpoint": str(sweep / FOLDER / f"{name}.ckpt"),
        "batched": settings.batched,
        "compiled": settings.compiled,
        "max_runs": settings.max_runs,
        "workers_count": min(workers, len(jobs)),
        "save_every": settings.save_every,
    }
    path.write_text(json.dumps(request), encoding="utf-8")
    return path


def uses_cpu(config: Mapping[str, Any]) -> bool:
    """Return whether runs are trained on a CPU, judged without torch by the devices of the system."""
    return config["trainer"]["accelerator"] == "cpu" or not any(Path("/dev").glob("nvidia[0-9]*"))


def _plain(job: SweepJob) -> dict[str, Any]:
    assert job.plain is not None  # noqa: S101 - jobs without a resolved config are not stacked
    return job.plain


def _folder(job: SweepJob) -> str:
    return str(_plain(job)["folder"])


def _choices(job: SweepJob) -> Any:
    return OmegaConf.to_container(job.config.hydra.runtime.choices)


def _overrides(job: SweepJob) -> list[str]:
    """Return the overrides of the run that corresponds to a job, as its own command would have them."""
    words = [word for word in typed_overrides(job.config.hydra.overrides.task) if not word.startswith("run_id=")]
    return [*words, f"run_id={quote_text(str(_plain(job)['run_id']))}"]


def _is(job: SweepJob, outcomes: Mapping[str, Mapping[str, str]], state: str) -> bool:
    return outcomes[_folder(job)]["state"] == state


def _finished_job(job: SweepJob, context: HydraContext, function: TaskFunction) -> JobReturn:
    """Return the result of a job that a stack has finished, as its own launcher would."""
    with _hydra_config(job.config):
        return run_job(
            hydra_context=context,
            config=job.config,
            task_function=function,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def _one_by_one(
    jobs: Sequence[SweepJob],
    settings: LauncherSettings,
    context: HydraContext,
    config: DictConfig,
    function: TaskFunction,
) -> list[JobReturn]:
    """Run jobs as ``hydra/launcher=local`` does."""
    if not jobs:
        return []
    from hydra_plugins.hydra_joblib_launcher._core import execute_job  # type: ignore[import-untyped]
    from joblib import Parallel, delayed

    state = Singleton.get_state()
    return list(
        Parallel(n_jobs=settings.n_jobs, backend="loky")(
            delayed(execute_job)(job.number, job.overrides, context, config, function, state) for job in jobs
        )
    )
