"""Entry point of a job's subprocess: ``ser-train`` for one run, terminated together with its parent process.

Started as ``python -m ser_lightning.cli.job_process`` with the command line of that run.
"""

from ser_lightning.interrupts import run_as_job


def main() -> None:
    """Train the run given by the command line."""
    from ser_lightning.cli.train import main as train

    train()


if __name__ == "__main__":
    run_as_job(main)
