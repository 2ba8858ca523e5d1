"""Inspect, prepare and clean up the folder of a run, and find a checkpoint to resume from."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ser_lightning.atomic import remove_leftovers, write_atomically
from ser_lightning.callbacks.record import forget_epochs
from ser_lightning.checkpoint import KEY, RESUME, load_plain, previous
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.preparation import Preparation
from ser_lightning.errors import InputError
from ser_lightning.results import science_digest
from ser_lightning.splits.refit import ValidationInTraining
from ser_lightning.splits.split import SUBSETS, write_rows, write_split

log = logging.getLogger(__name__)

LOG = "train.log"
SELECTION = "selection"  # subfolder of the first training of a run with split.refit
LOGGER_FOLDERS = ("tensorboard", "csv", "wandb", "mlflow")
RESULTS = ("predictions.csv", "confusion_matrix.png", "curves.png", "calibration.png", "MODEL_CARD.md")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """An unfinished run that can be resumed.

    Args:
        path: the checkpoint to resume from
        epochs: number of completed epochs
        corpus: digest of the corpus it was trained on
        versions: library -> version it was trained with

    """

    path: Path
    epochs: int
    corpus: str
    versions: Mapping[str, str]


def last_checkpoint(folder: Path) -> Path:
    """Return the path of the newest checkpoint of a run."""
    return folder / "checkpoints" / "last.ckpt"


def find_unfinished(folder: Path, digest: str, *, averaged: bool = False) -> Unfinished | None:
    """Return the newest usable checkpoint of a folder, or ``None`` to start from scratch; log unusable checkpoints.

    Args:
        folder: folder of the run
        digest: digest of the configuration
        averaged: whether a callback replaces the weights after the last epoch. A checkpoint of the last epoch without
            the replaced weights is then skipped, because Lightning would train no further and never replace them.

    Raises:
        InputError: the folder holds an unfinished run of another configuration

    """
    last = last_checkpoint(folder)
    paths = [path for path in (last, previous(last)) if path.exists()]
    for path in paths:
        try:
            raw = _read(path)
        except InputError as error:
            log.warning("%s", _skipped(error))
            continue
        stored = science_digest(raw[KEY]["config"])
        if stored != digest:
            raise InputError(
                f"{folder} holds an unfinished run of another configuration (digest {stored}, this one is {digest});"
                " choose another name= or run_id=, or remove the folder"
            )
        if averaged and not raw[RESUME]["finished"] and raw["epoch"] + 1 >= raw[KEY]["config"]["trainer"]["max_epochs"]:
            continue
        try:
            load_plain(last.with_name("best.ckpt"))
        except (InputError, OSError) as error:
            log.warning("%s", _skipped(error))
            break  # the best checkpoint is lost and can only be restored by training again
        resume_state = raw[RESUME]
        return Unfinished(
            path=path, epochs=raw["epoch"] + 1, corpus=resume_state["corpus"], versions=resume_state["versions"]
        )
    if paths:
        log.warning("no checkpoint in %s can be used: the run starts from the beginning", last.parent)
    return None


def _skipped(error: Exception) -> str:
    return f"{str(error).partition(';')[0]}: skipped"


def _read(path: Path) -> dict[str, Any]:
    raw = load_plain(path)
    if not isinstance(raw, dict) or not {KEY, RESUME, "epoch", "loops", "optimizer_states", "callbacks"} <= raw.keys():
        raise InputError(f"{path} has no training state to resume from")
    progress = raw["loops"]["fit_loop"]["epoch_progress"]["total"]
    if progress["processed"] != progress["ready"]:
        raise InputError(f"{path} was written in the middle of an epoch, where a run cannot resume exactly")
    return raw


def check_same_data(run: Unfinished, *, folder: Path, corpus: str, versions: Mapping[str, str]) -> None:
    """Check that an unfinished run continues on the data it was trained on; warn if library versions changed.

    Args:
        run: the unfinished run
        folder: folder of the run
        corpus: digest of the corpus now
        versions: library -> version now

    Raises:
        InputError: the corpus has changed

    """
    if run.corpus != corpus:
        raise InputError(
            f"{folder} holds an unfinished run on another corpus (its clips have changed since); choose another name="
            " or run_id=, or remove the folder"
        )
    changed = [
        f"{name} {old} -> {versions.get(name)}" for name, old in run.versions.items() if versions.get(name) != old
    ]
    if changed:
        log.warning("libraries have changed since the run began, its last digits may too: %s", ", ".join(changed))


def start_folder(
    folder: Path,
    config: Mapping[str, Any],
    overrides: Sequence[str],
    *,
    unfinished: Unfinished | None,
    log_file: Path,
    epoch_name: str,
) -> None:
    """Remove leftovers that the run does not resume from, and write its config and overrides.

    Args:
        folder: folder of the run, or of a stage of it
        config: resolved config
        overrides: overrides of the command line
        unfinished: the run to resume
        log_file: log file, from which the epochs that are trained again are removed
        epoch_name: name of an epoch in the log file

    """
    remove_leftovers(folder)
    for name in LOGGER_FOLDERS:  # rewritten from the rows stored in the checkpoint
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in [*(folder / name for name in RESULTS), *folder.glob("hpc_ckpt_*.ckpt")]:
        path.unlink(missing_ok=True)
    if unfinished is None:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    else:
        if unfinished.path != last_checkpoint(folder):
            unfinished.path.replace(last_checkpoint(folder))  # replaces the unusable newest checkpoint
        log.info("resuming after epoch %d of %d", unfinished.epochs, config["trainer"]["max_epochs"])
    forget_epochs(log_file, name=epoch_name, done=unfinished.epochs if unfinished else 0)
    for name, content in (("config", dict(config)), ("overrides", list(overrides))):
        with write_atomically(folder / ".hydra" / f"{name}.yaml") as file:
            file.write(OmegaConf.to_yaml(OmegaConf.create(content)))


def finish_folder(folder: Path) -> None:
    """Remove files that only an unfinished run needs."""
    remove_leftovers(folder)
    for path in [previous(last_checkpoint(folder)), *folder.glob("hpc_ckpt_*.ckpt")]:
        path.unlink(missing_ok=True)


def resume_hint(folder: Path) -> str:
    """Return a message that tells what an interrupted run has completed and how to resume it."""
    path = last_checkpoint(folder)
    if not path.exists():
        path = last_checkpoint(folder / SELECTION)
    try:
        epochs = int(_read(path)["epoch"]) + 1
    except (InputError, OSError):
        return "interrupted before the end of the first epoch; the same command starts from the beginning"
    return f"interrupted; the same command resumes after epoch {epochs}, from {path}"


def write_run_split(path: Path, preparation: Preparation) -> None:
    """Write the subset of each clip or, with ``data.augment_first``, of each augmented copy.

    A refit trains on the validation clips too, but the file says which they are.
    """
    strategy, split = preparation.split_strategy, preparation.split
    if isinstance(strategy, ValidationInTraining):
        split = strategy.drawn(preparation.utterances)
    if preparation.augment_first:
        write_rows(path, preparation.members, preparation.utterances)
    else:
        write_split(path, split, preparation.utterances)


def log_subsets(data: SpeechDataModule) -> None:
    """Log the sizes of the subsets and the number of excluded files."""
    preparation = data.preparation
    if preparation.problems or preparation.without_speech:
        log.info(
            "%d files left out, %d clips not trimmed (no speech detected, or shorter than audio.offset_s)",
            len(preparation.problems),
            len(preparation.without_speech),
        )
    sizes = "/".join(str(len(getattr(preparation.split, subset))) for subset in SUBSETS)
    log.info("%s utterances to train/val/test; %d training clips with copies", sizes, len(data.datasets["train"]))
    if preparation.augment_first:
        log.info(
            "data.augment_first: augmented copies are split like clips, so that validation and test contain them too"
        )
