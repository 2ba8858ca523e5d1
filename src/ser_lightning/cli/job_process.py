"""Entry point of a job's subprocess: ``ser-train`` for one run, terminated together with its parent process.

Started as ``python -m ser_lightning.cli.job_process`` with the command line of that run.
"""

import os
import signal
import sys

from ser_lightning.interrupts import JOB_PARENT, InterruptedRunError, end_with_parent, raise_on_first_signal


def main() -> None:
    """Train the run given by the command line."""
    raise_on_first_signal()
    try:
        parent = os.environ.pop(JOB_PARENT, None)
        if parent is not None:
            end_with_parent(int(parent), signal.SIGTERM)
        from ser_lightning.cli.train import main as train  # signals must be handled during slow imports

        train()
    except InterruptedRunError as error:
        print(f"ser-train: {error.message}", file=sys.stderr)
        sys.exit(error.code)


if __name__ == "__main__":
    main()
