"""Entry point of the subprocess of a stack: trains the runs of a file, terminated together with its parent process.

Started as ``python -m ser_lightning.cli.stack_process REQUEST``. The request is a JSON file; the
answer is a file with a line of JSON for every run that has ended.
"""

import json
import sys
from pathlib import Path

from ser_lightning.interrupts import run_as_job
from ser_lightning.memory import permanent_imports


def main() -> None:
    """Train the runs of a request."""
    with permanent_imports("ser_lightning.stacked.run"):
        from ser_lightning.stacked.finish import log_to_terminal
        from ser_lightning.stacked.jobs import Job
        from ser_lightning.stacked.run import StackTrainer

    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answer = Path(request["answer"])
    log_to_terminal()

    def report(folder: str, state: str, reason: str) -> None:
        with answer.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"folder": folder, "state": state, "reason": reason}) + "\n")

    trainer = StackTrainer(
        jobs=[Job(**job) for job in request["jobs"]],
        batched=request["batched"],
        compiled=request["compiled"],
        max_runs=request["max_runs"],
        workers_count=request["workers_count"],
        checkpoint=Path(request["checkpoint"]),
        save_every=request["save_every"],
        report=report,
    )
    trainer.train()


if __name__ == "__main__":
    run_as_job(main)
