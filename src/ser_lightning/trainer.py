"""Build Lightning's Trainer for a run."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from ser_lightning.build import build
from ser_lightning.callbacks.checkpoint_io import SafeCheckpointIO
from ser_lightning.callbacks.epoch_lines import EpochLines
from ser_lightning.callbacks.record import LoggedRows


def build_trainer(
    config: Mapping[str, Any],
    *,
    folder: Path,
    rows: LoggedRows,
    callbacks: Sequence[pl.Callback],
    epoch_name: str,
    resumed: bool,
) -> pl.Trainer:
    """Build the Trainer with the loggers and callbacks of the config and those that every run has.

    Args:
        config: config of the run
        folder: folder of the run
        rows: logger that stores the logged rows
        callbacks: callbacks that every run has
        epoch_name: name of an epoch in the printed lines
        resumed: whether the run is resumed

    """
    show_progress = config["trainer"]["enable_progress_bar"]
    show_bar = show_progress and sys.stdout.isatty()
    configured = [
        build(f"callbacks.{name}", part, trust=config["trust"])
        for name, part in config["callbacks"].items()
        # On resume the checkpoint already contains the learning rate that was found.
        if not (resumed and str(part.get("_target_")).endswith(".LearningRateFinder"))
    ]
    run = f"{config['name']}/{config['run_id']}"
    bar = [
        *([pl.callbacks.RichProgressBar(leave=False)] if show_bar else []),
        *([EpochLines(run=run, epoch_name=epoch_name, terminal=show_bar)] if show_progress else []),
    ]
    trainer: pl.Trainer = build(
        "trainer",
        config["trainer"] | {"enable_progress_bar": show_bar},
        logger=rows,
        callbacks=[*configured, *callbacks, *bar],
        plugins=[SafeCheckpointIO()],
        default_root_dir=str(folder),  # where Lightning writes its checkpoint when SLURM preempts the job
    )
    return trainer
