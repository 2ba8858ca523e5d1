"""Entry point of a job's subprocess: ``ser-train`` for one run, terminated together with its parent process.

Started as ``python -m ser_lightning.cli.job_process`` with the command line of that run.
"""

import os
import signal
import sys

from ser_lightning.interrupts import InterruptedRunError, end_with, hear_once

PARENT = "SER_LIGHTNING_JOB_PARENT"  # environment variable with the process id of the parent


def main() -> None:
    """Train the run given by the command line."""
    hear_once()
    try:
        parent = os.environ.pop(PARENT, None)
        if parent is not None:
            end_with(int(parent), signal.SIGTERM)
        from ser_lightning.cli.train import main as train  # signals must be handled during slow imports

        train()
    except InterruptedRunError as error:
        print(f"ser-train: {error.message}", file=sys.stderr)
        sys.exit(error.code)


if __name__ == "__main__":
    main()
