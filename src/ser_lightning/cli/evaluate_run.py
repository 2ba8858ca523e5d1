"""Evaluate a finished run again, on its own test clips or on another corpus."""

import json as json_format
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ser_lightning.assemble import assemble_data, assemble_evaluation
from ser_lightning.build import usable_backends
from ser_lightning.checkpoint import read_checkpoint, rebuild_model
from ser_lightning.cli.checkpoint_config import config_of, require_parts
from ser_lightning.cli.cross_corpus import evaluate_on_corpus
from ser_lightning.cli.settings import require_int
from ser_lightning.errors import InputError, printable
from ser_lightning.evaluation import check_batches, predict
from ser_lightning.output import STANDARD_OUTPUT, check_output, expand_user
from ser_lightning.progress import show_progress
from ser_lightning.results import check_checkpoint, science_digest
from ser_lightning.splits.split import SUBSETS

JSON = ".json"
PARTS = ("corpus", "split", "audio", "augment", "features", "data", "model", "seed", "threads", "checkpoint")
CAN = (
    "what can be changed is how it is measured (evaluation, data.eval_shuffle, data.eval_batch_size, data.bucket,"
    " checkpoint), what it is measured on (corpus.root, audio, features), or the corpus (--corpus)"
)
SPLIT = (
    "a run is evaluated on the split that it was trained with, else training clips would be among the test clips;"
    f" {CAN}"
)
ACROSS = "on another corpus all clips are measured, nothing is trained; leave out the split"
CORPUS = "another corpus is given as --corpus {name}"


def evaluate_run(
    run: str,
    *,
    corpora: Sequence[str],
    output: str | None,
    settings: Sequence[str],
    json: bool,
    trust: Sequence[str] = (),
) -> int:
    """Print the metrics of a run; return 1 if an unchanged configuration gives other metrics than ``result.json``.

    Args:
        run: the run folder
        corpora: other corpora to evaluate on; empty for the run's own clips
        output: JSON file for the metrics
        settings: changes to the config of the checkpoint, each ``key=value``
        json: write the metrics to standard output
        trust: packages of the user whose classes the checkpoint may name

    Raises:
        InputError: the run cannot be evaluated with these arguments

    """
    folder = Path(expand_user(run))
    targets = [STANDARD_OUTPUT] * json + ([] if output is None else [output])
    outputs = [check_output(target, formats=(JSON,), default=JSON) for target in dict.fromkeys(targets)]
    result = read_result(folder)
    for target in outputs:
        target.check_differs([folder / "result.json"])
    path = _checkpoint_path(folder, result["checkpoint"])
    checkpoint = read_checkpoint(path, trust=trust)
    refused = {"split": ACROSS if corpora else SPLIT}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key == "corpus" and not value.startswith("{"):
            raise InputError(f"--set {printable(setting)}: {CORPUS.format(name=printable(value))}")
    config = config_of(checkpoint, path, settings, corpora=corpora, refused=refused)
    require_parts(config, PARTS, path)
    check_checkpoint(config["checkpoint"])
    path = _checkpoint_path(folder, config["checkpoint"])
    torch.set_num_threads(require_int("threads", config["threads"], least=1))
    quiet = any(target.is_standard_output for target in outputs)
    if corpora:
        code, found = 0, evaluate_on_corpus(config, path=path, quiet=quiet)
    else:
        code, found = _evaluate_again(config, path=path, result=result, quiet=quiet)
    identity = {"run": str(folder), "digest": result["digest"], "checkpoint": config["checkpoint"]}
    content = json_format.dumps(identity | {"seed": config["seed"]} | found, indent=1, allow_nan=False) + "\n"
    for target in outputs:
        target.write(content)
        if not target.is_standard_output and not quiet:
            print(target.name)
    return code


def read_result(folder: Path) -> dict[str, Any]:
    """Read the ``result.json`` of a run.

    Raises:
        InputError: the folder is not a finished run, or the file cannot be read

    """
    path = folder / "result.json"
    try:
        result: dict[str, Any] = json_format.loads(path.read_text(encoding="utf-8"))
        result["digest"], result["metrics"]
        check_checkpoint(result["checkpoint"])  # validated because it becomes part of a path
    except OSError as error:
        hint = "; values of the configuration are given as --set key=value" if "=" in str(folder) else ""
        raise InputError(
            f"{printable(folder)} is no finished run: it has no result.json; give a run folder that has one{hint}"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{printable(path)} cannot be read ({error!r}); train the run again") from error
    return result


def _checkpoint_path(folder: Path, which: str) -> Path:
    return folder / "checkpoints" / f"{which}.ckpt"


def _evaluate_again(
    config: Mapping[str, Any], *, path: Path, result: Mapping[str, Any], quiet: bool
) -> tuple[int, dict[str, Any]]:
    """Evaluate a run on its own clips and compare with its result; return the exit code and the metrics."""
    evaluation = assemble_evaluation(config)
    data = assemble_data(config, progress=show_progress("features"))
    data.preparation.scan()
    check_batches(data, evaluation=evaluation)
    data.prepare_data()
    data.setup()
    checkpoint = read_checkpoint(path, trust=config["trust"])
    changed = list(_changed(_flat(usable_backends(checkpoint.config)), _flat(config)))
    model = rebuild_model(replace(checkpoint, config=dict(config)), path=path)
    same, equal = science_digest(config) == result["digest"], True
    table = Table("subset", "metric", "result.json", "now", title=str(path))
    now = {}
    for subset in SUBSETS:
        loader = data.eval_dataloader(subset)
        now[subset] = predict(model, loader, evaluation=evaluation, device=torch.device("cpu")).summary()
        for name, value in now[subset].items():
            before = result["metrics"][subset][name]
            equal &= value == before
            table.add_row(subset, name, repr(before), repr(value))
    if not quiet:
        Console(width=None if sys.stdout.isatty() else 400).print(table)
        for line in changed:
            print(f"changed: {line}")
        print(_verdict(equal=equal, same=same))
    figures = {"changed": changed, "equal": equal, "metrics": now, "config": dict(config)}
    return int(same and not equal), figures


def _verdict(*, equal: bool, same: bool) -> str:
    if equal:
        return "The metrics are equal to the last digit."
    if not same:
        return "The metrics differ, as expected: the configuration was changed."
    return "The metrics differ, but the configuration is the same: another corpus, machine or library version?"


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _changed(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Yield the keys that the settings changed, except ``download``, which is always disabled here."""
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and not (key.startswith("corpus.") and key.endswith(".download")):
            yield f"{key}: {json_format.dumps(before.get(key))} -> {json_format.dumps(now.get(key))}"
