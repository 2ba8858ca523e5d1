"""Entry point of the subprocess of a stack: trains the runs of a file, terminated together with its parent process.

Started as ``python -m ser_lightning.cli.stack_process REQUEST``. The request is a JSON file; the
answer is a file with a line of JSON for every run that has ended.
"""

import json
import os
import signal
import sys
from pathlib import Path

from ser_lightning.interrupts import JOB_PARENT, InterruptedRunError, end_with_parent, raise_on_first_signal


def main() -> None:
    """Train the runs of a request."""
    raise_on_first_signal()
    try:
        parent = os.environ.pop(JOB_PARENT, None)
        if parent is not None:
            end_with_parent(int(parent), signal.SIGTERM)
        request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        answer = Path(request["answer"])
        from ser_lightning.stacked.finish import log_to_terminal  # signals must be handled during slow imports
        from ser_lightning.stacked.jobs import Job
        from ser_lightning.stacked.run import StackTrainer

        log_to_terminal()

        def report(folder: str, state: str, reason: str) -> None:
            with answer.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"folder": folder, "state": state, "reason": reason}) + "\n")

        trainer = StackTrainer(
            jobs=[Job(**job) for job in request["jobs"]],
            batched=request["batched"],
            max_runs=request["max_runs"],
            workers_count=request["workers_count"],
            checkpoint=Path(request["checkpoint"]),
            save_every=request["save_every"],
            report=report,
        )
        trainer.train()
    except InterruptedRunError as error:
        print(f"ser-train: {error.message}", file=sys.stderr)
        sys.exit(error.code)


if __name__ == "__main__":
    main()
