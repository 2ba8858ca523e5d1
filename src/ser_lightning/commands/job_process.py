"""The process of a job of a sweep: ``ser-train`` for one run, which ends with the process that started it.

It is ``python -m ser_lightning.commands.job_process`` with the command line of that run.
"""

import os
import signal
import sys

from ser_lightning.interrupts import InterruptedRunError, end_with, hear_once

PARENT = "SER_LIGHTNING_JOB_PARENT"  # environment variable: process id of the one that started this one


def main() -> None:
    """Train the run of the command line."""
    hear_once()
    try:
        parent = os.environ.pop(PARENT, None)
        if parent is not None:
            end_with(int(parent), signal.SIGTERM)
        from ser_lightning.commands.train import main as train  # seconds, in which a signal may come

        train()
    except InterruptedRunError as error:
        print(f"ser-train: {error.message}", file=sys.stderr)
        sys.exit(error.code)


if __name__ == "__main__":
    main()
