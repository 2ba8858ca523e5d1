"""``ser-evaluate``: test a finished run again, or on another corpus."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from ser_lightning.checkpoint import read_checkpoint, rebuild_model
from ser_lightning.commands import cli
from ser_lightning.commands.across import evaluate_across, refuse_split
from ser_lightning.commands.assemble import assemble_data, assemble_evaluation
from ser_lightning.commands.stored import argument, offer_config
from ser_lightning.errors import InputError
from ser_lightning.evaluation import check_batches, predict
from ser_lightning.runs import check_checkpoint, complete, science_digest, write_json
from ser_lightning.split.split import SUBSETS

PARTS = ("corpus", "split", "audio", "augment", "features", "data", "model", "seed", "threads", "checkpoint")


def main() -> None:
    """Console script ``ser-evaluate``."""
    cli.run("ser-evaluate", "evaluate", evaluate, before=_offer)


def _offer() -> None:
    folder, other_corpus = argument("run"), argument("corpus") is not None
    if other_corpus:
        refuse_split(sys.argv[1:])
    if folder is not None:
        path = _checkpoint_path(Path(folder), read_result(Path(folder))["checkpoint"])
        offer_config(path, other_corpus=other_corpus)


def read_result(folder: Path) -> dict[str, Any]:
    """Return the ``result.json`` of a run.

    Raises:
        InputError: the folder is no finished run

    """
    path = folder / "result.json"
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        result["digest"], result["metrics"]
        check_checkpoint(result["checkpoint"])  # it becomes part of a path
    except OSError as error:
        raise InputError(
            f"{folder} is no finished run: it has no result.json; give run=<folder that has one>"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error!r}); train the run again") from error
    return result


def _checkpoint_path(folder: Path, which: str) -> Path:
    return folder / "checkpoints" / f"{which}.ckpt"


def evaluate(config: DictConfig) -> int:
    """Print old and new figures; return 1 if the same configuration gives others."""
    plain = cli.plain(config, needs=("run", *PARTS))
    folder, output = Path(plain.pop("run")), plain.pop("output")
    result = read_result(folder)
    check_checkpoint(plain["checkpoint"])
    path = _checkpoint_path(folder, plain["checkpoint"])
    torch.set_num_threads(cli.whole("threads", plain["threads"], least=1))
    of = {"run": str(folder), "digest": result["digest"], "checkpoint": plain["checkpoint"], "seed": plain["seed"]}
    if HydraConfig.get().runtime.choices.get("corpus") is not None:
        evaluate_across(plain, path=path, identity=of, output=output)
        return 0
    evaluation = assemble_evaluation(plain)
    data = assemble_data(plain, progress=cli.progress("features"))
    data.preparation.scan()
    check_batches(data, evaluation=evaluation)
    data.prepare_data()
    data.setup()
    checkpoint = read_checkpoint(path)
    changed = list(_changed(_flat(complete(checkpoint.config)), _flat(plain)))
    model = rebuild_model(replace(checkpoint, config=plain), path=path)
    same, equal = science_digest(plain) == result["digest"], True
    table = Table("subset", "metric", "result.json", "now", title=str(path))
    now = {}
    for subset in SUBSETS:
        loader = data.eval_dataloader(subset)
        now[subset] = predict(model, loader, evaluation=evaluation, device=torch.device("cpu")).summary()
        for name, value in now[subset].items():
            before = result["metrics"][subset][name]
            equal &= value == before
            table.add_row(subset, name, repr(before), repr(value))
    Console(width=None if sys.stdout.isatty() else 400).print(table)
    for line in changed:
        print(f"changed: {line}")
    if equal:
        print("equal, to the last digit")
    elif not same:
        print("different, and so is the configuration: that is no contradiction")
    else:
        print("DIFFERENT, though the configuration is the same: another corpus, machine or library version?")
    if output is not None:
        write_json(Path(output), of | {"changed": changed, "metrics": now, "config": plain})
        print(output)
    return int(same and not equal)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _changed(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Yield what the command line changed in words, but for what :func:`offer_config` changes itself."""
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and not (key.startswith("corpus.") and key.endswith(".download")):
            yield f"{key}: {json.dumps(before.get(key))} -> {json.dumps(now.get(key))}"
