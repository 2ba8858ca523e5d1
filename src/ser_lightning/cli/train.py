"""``ser-train``: train one run or, with ``--multirun``, a sweep."""

import os
from functools import partial
from pathlib import Path

from ser_lightning.cli import hydra_app
from ser_lightning.cli.job import Command, start
from ser_lightning.cli.sweep import listing_failures
from ser_lightning.errors import FULL_ERROR
from ser_lightning.interrupts import signals_as_exceptions


def main() -> None:
    """Run the console script ``ser-train``."""
    command = Command(pid=os.getpid(), cwd=str(Path.cwd()), full_error=os.environ.get(FULL_ERROR) == "1")
    with signals_as_exceptions(), listing_failures("ser-train"):
        hydra_app.run("ser-train", "train", partial(start, command=command))
