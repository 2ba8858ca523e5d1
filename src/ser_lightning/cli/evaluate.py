"""``ser-evaluate``: evaluate a finished run on its own test clips or on another corpus."""

import json as json_format
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ser_lightning import config_files
from ser_lightning.cli.line import Json, Settings, Trust, make_app, run_app
from ser_lightning.errors import InputError, printable
from ser_lightning.memory import permanent_imports
from ser_lightning.output import STANDARD_OUTPUT, expand_user
from ser_lightning.output_checks import check_output

if TYPE_CHECKING:
    from ser_lightning.cli.robustness import Options
    from ser_lightning.reevaluate import FinishedRun, Reevaluation

JSON = ".json"
CAN = (
    "you can change how it is evaluated (evaluation, data.eval_shuffle, data.eval_batch_size, data.bucket,"
    " checkpoint), its input (corpus.root, audio, features), or the corpus (--corpus)"
)
SPLIT = (
    "a run is evaluated on the split that it was trained with, else training clips would be among the test clips;"
    f" {CAN}"
)
CROSS_CORPUS = "on another corpus the run is evaluated on all clips; leave out the split"
CORPUS = "give another corpus as --corpus {name}"

EPILOG = """
Examples:
  ser-evaluate outputs/corrected/dropout-p25/seed-0
  ser-evaluate outputs/released/dropout-p25/seed-0 --set evaluation.training_mode=false
  ser-evaluate outputs/released/dropout-p25/seed-0 --set data.eval_shuffle=false --set data.bucket=true
  ser-evaluate outputs/corrected/dropout-p25/seed-0 --corpus emodb --set corpus.root=/data/emodb --output emodb.json
  ser-evaluate outputs/corrected/dropout-p25/seed-0 --robustness --noise /data/demand

Any value of the configuration in the checkpoint can be changed: corpus.root, or how the run is measured
(evaluation.training_mode, evaluation.update_statistics, data.eval_shuffle, data.eval_batch_size; data.bucket=true with
data.eval_shuffle=false for batches sorted by length; checkpoint=best or last). What changed is listed.

With --corpus the checkpoint is measured on all clips of another corpus whose emotion it knows; there is no split.
Predictions are taken over the emotions that both have; what is left out is counted. --corpus emodb,emovo pools
several, --set 'corpus.merge={bored: neutral}' counts a label as another one.

With --robustness the test recordings are evaluated again with noise, babble, other levels, clipping, limited bandwidth,
codecs, reverberation, another speed, silence around them, and cut (conf/robustness.yaml). The results are written to
robustness.json beside result.json, which ser-report and the model card read. Levels that the file already has are not
computed again. --condition chooses conditions, --set 'robustness.conditions.babble.levels=[20,10]' changes levels.

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
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Measure on the test recordings with noise, codecs, rooms and others.")
    ] = False,
    condition: Annotated[
        list[str] | None,
        typer.Option("--condition", metavar="NAME", help="Only this condition; may be given several times."),
    ] = None,
    noise: Annotated[
        str | None, typer.Option("--noise", metavar="FOLDER", help="Noise recordings, mixed in at several levels.")
    ] = None,
    rooms: Annotated[
        str | None, typer.Option("--rooms", metavar="FOLDER", help="Impulse responses of rooms, as sound files.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Compute also the levels that robustness.json already has.")
    ] = False,
    settings: Settings = None,
    trust: Trust = None,
    json: Json = False,
) -> int:
    """Evaluate a finished run from its checkpoint alone and compare with its result.json, or on another corpus."""
    with permanent_imports("ser_lightning.reevaluate"):
        from ser_lightning.checkpoint import read_checkpoint
        from ser_lightning.cli.checkpoint_config import config_of_run
        from ser_lightning.cli.robustness import Options, divide
        from ser_lightning.reevaluate import FinishedRun
        from ser_lightning.results import check_checkpoint, read_result

    options = Options(settings=[], only=condition or [], noise=noise, rooms=rooms, again=again)
    options.check(robustness=robustness, corpora=corpus or [])
    if robustness:
        options, settings = divide(options, settings or [])
    folder = Path(expand_user(run))
    targets = [STANDARD_OUTPUT] * json + ([] if output is None else [output])
    outputs = [check_output(target, formats=(JSON,), default=JSON) for target in dict.fromkeys(targets)]
    result = read_result(folder)
    for target in outputs:
        target.check_differs([folder / "result.json"])
    path = _checkpoint_path(folder, result["checkpoint"])
    checkpoint = read_checkpoint(path, trust=trust or [])
    refused = {"split": CROSS_CORPUS if corpus else SPLIT}
    for setting in settings or []:
        key, _, value = setting.partition("=")
        if key == "corpus" and not value.startswith("{"):
            raise InputError(f"--set {printable(setting)}: {CORPUS.format(name=printable(value))}")
    config = config_of_run(checkpoint, path, settings or [], corpora=corpus or [], refused=refused)
    check_checkpoint(config["checkpoint"])
    quiet = any(target.is_standard_output for target in outputs)
    loaded = FinishedRun(folder, _checkpoint_path(folder, config["checkpoint"]), result, config)
    if corpus:
        values, failed = _on_corpus(loaded, quiet=quiet)
    elif robustness:
        values, failed = _robustness(loaded, options, quiet=quiet)
    else:
        values, failed = _again(loaded, quiet=quiet)
    identity = {"run": str(folder), "digest": result["digest"], "checkpoint": config["checkpoint"]}
    content = json_format.dumps(identity | {"seed": config["seed"]} | values, indent=1, allow_nan=False) + "\n"
    for target in outputs:
        target.write(content)
        if not target.is_standard_output and not quiet:
            print(target.name)
    return int(failed)


def _on_corpus(run: "FinishedRun", *, quiet: bool) -> tuple[dict[str, Any], bool]:
    from ser_lightning.cross_corpus import evaluate_on_corpus

    values = evaluate_on_corpus(run.config, path=run.path)
    if not quiet:
        _print_cross_corpus(values)
    return values, False


def _again(run: "FinishedRun", *, quiet: bool) -> tuple[dict[str, Any], bool]:
    from ser_lightning.reevaluate import reevaluate

    again = reevaluate(run.config, path=run.path, result=run.result)
    if not quiet:
        _print_comparison(again, run.path)
    values = {"changed": again.changed, "equal": again.equal, "metrics": again.metrics, "config": run.config}
    return values, again.same_config and not again.equal


def _robustness(run: "FinishedRun", options: "Options", *, quiet: bool) -> tuple[dict[str, Any], bool]:
    from ser_lightning.cli.robustness import evaluate_robustness
    from ser_lightning.report.robustness import NAME

    values = evaluate_robustness(run, options, quiet=quiet)
    if not quiet:
        print(run.folder / NAME)
        if not values["equal"]:
            print("Without a condition, the predictions differ: another corpus, machine or library version?")
    return values, not values["equal"]


def _checkpoint_path(folder: Path, which: str) -> Path:
    return folder / "checkpoints" / f"{which}.ckpt"


def _print_comparison(again: "Reevaluation", path: Path) -> None:
    from rich.table import Table

    from ser_lightning.cli.tables import plain_console

    table = Table("subset", "metric", "result.json", "now", title=str(path))
    for subset, name, value in again.rows():
        table.add_row(subset, name, repr(again.before[subset][name]), repr(value))
    plain_console().print(table)
    for line in again.changed:
        print(f"changed: {line}")
    if again.equal:
        print("The metrics are equal to the last digit.")
    elif again.same_config:
        print("The metrics differ, but the configuration is the same: another corpus, machine or library version?")
    else:
        print("The metrics differ, as expected: the configuration was changed.")


def _print_cross_corpus(result: Mapping[str, Any]) -> None:
    import numpy as np
    from rich.table import Table

    from ser_lightning.cli.tables import plain_console
    from ser_lightning.metrics import recall_per_class

    emotions, corpus = result["emotions"], result["corpus"]
    table = Table(
        *("true \\ predicted", *emotions, "recall"),
        title=f"{corpus['name']}: {result['clips']} of {corpus['utterances']} clips",
    )
    for emotion, row, recall in zip(
        emotions, result["confusion_matrix"], recall_per_class(np.array(result["confusion_matrix"])), strict=True
    ):
        table.add_row(emotion, *map(str, row), "" if np.isnan(recall) else f"{100 * recall:.1f} %")
    plain_console().print(table)
    print(f"predictions are taken over the {len(emotions)} emotions that network and corpus have in common")
    if result["left_out"]:
        counts = ", ".join(f"{count} {emotion}" for emotion, count in sorted(result["left_out"].items()))
        print(f"left out, because the network does not know them: {counts}")
    if result["never_predicted"]:
        print(f"never predicted, because the corpus has none: {', '.join(result['never_predicted'])}")
    shares = (result["metrics"]["accuracy"], result["metrics"]["uar"], 1 / len(emotions))
    accuracy, uar, chance = (f"{100 * share:.1f} %" for share in shares)
    print(f"accuracy {accuracy}  UAR {uar}  (by chance {chance})")


APP = make_app("ser-evaluate", evaluate, epilog=EPILOG)
