"""Set up the processes that train a run: one, or one for each device."""

import logging
import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only

from ser_lightning.interrupts import end_with_parent
from ser_lightning.memory import keep_freed_memory


def prepare_process(config: Mapping[str, Any]) -> None:
    """Configure memory and threads of this process, and silence Lightning's warnings about deliberate choices."""
    keep_freed_memory()
    # Deterministic mode would otherwise fill every new tensor before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(config["threads"])
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)
    for message in (
        ".*does not have many workers.*",  # gathering batches is faster than sending them between processes
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*GPU available but not used.*",
        ".*could not find the monitored key.*",  # happens before the first validation; the name is checked earlier
        ".*smaller than the logging interval.*",  # metrics are logged per epoch, not per step
        ".*isinstance\\(treespec, LeafSpec\\).*",  # raised by Lightning's own use of a deprecated torch function
    ):
        warnings.filterwarnings("ignore", message)


def is_first_process() -> bool:
    """Return whether this is the process that the user started, not one that Lightning started for another device."""
    rank: int = getattr(rank_zero_only, "rank", 0)
    return rank == 0


def follow_first_process() -> None:
    """End together with the first process, and log warnings only."""
    end_with_parent(os.getppid())
    close_log_file()
    logging.getLogger("ser_lightning").setLevel(logging.WARNING)


def close_log_file() -> None:
    """Close the log file of the run, because another process writes it, or because nothing is to be written."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, logging.FileHandler)]:
        root.removeHandler(handler)
        handler.close()
