"""``ser-evaluate``: command line for evaluating a finished run."""

from collections.abc import Sequence
from typing import Annotated

import typer

from ser_lightning import config_files
from ser_lightning.cli.line import Json, Settings, Trust, make_app, run_app

EPILOG = """
Examples:
  ser-evaluate outputs/corrected/dropout-p25/seed-0
  ser-evaluate outputs/released/dropout-p25/seed-0 --set evaluation.training_mode=false
  ser-evaluate outputs/released/dropout-p25/seed-0 --set data.eval_shuffle=false --set data.bucket=true
  ser-evaluate outputs/corrected/dropout-p25/seed-0 --corpus emodb --set corpus.root=/data/emodb --output emodb.json

Any value of the configuration in the checkpoint can be changed: corpus.root, or how the run is measured
(evaluation.training_mode, evaluation.update_statistics, data.eval_shuffle, data.eval_batch_size; data.bucket=true with
data.eval_shuffle=false for batches sorted by length; checkpoint=best or last). What changed is listed.

With --corpus the checkpoint is measured on all clips of another corpus whose emotion it knows; there is no split.
Predictions are taken over the emotions that both have; what is left out is counted. --corpus emodb,emovo pools
several, --set 'corpus.merge={bored: neutral}' counts a label as another one.

Ends with 1 if the same configuration gives another result than result.json.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script ``ser-evaluate``."""
    run_app(APP, "ser-evaluate", arguments)


def _complete_corpora(incomplete: str) -> list[str]:
    start = incomplete[: incomplete.rfind(",") + 1]
    return [f"{start}{name}" for name in config_files.options("corpus") if name != "pooled"]


def evaluate(  # noqa: PLR0917 - Typer passes options by name
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a finished run, with its result.json.")],
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            "--corpus",
            metavar="NAME",
            autocompletion=_complete_corpora,
            help="Measure on another corpus; several, given again or joined by commas, are pooled.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="A .json file for the figures; - is standard output."),
    ] = None,
    settings: Settings = None,
    trust: Trust = None,
    json: Json = False,
) -> int:
    """Evaluate a finished run from its checkpoint alone and compare with its result.json, or on another corpus."""
    from ser_lightning.cli.evaluate_run import evaluate_run

    return evaluate_run(run, corpora=corpus or [], output=output, settings=settings or [], json=json, trust=trust or [])


APP = make_app("ser-evaluate", evaluate, epilog=EPILOG)
