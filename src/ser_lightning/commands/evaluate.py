"""``ser-evaluate``: test a finished run again."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from ser_lightning.checkpoint import read_checkpoint, rebuild_model
from ser_lightning.commands import cli
from ser_lightning.commands.assemble import assemble_data
from ser_lightning.commands.stored import argument, offer_config
from ser_lightning.errors import InputError
from ser_lightning.evaluation import predict
from ser_lightning.runs import science_digest
from ser_lightning.split.split import SUBSETS


def main() -> None:
    """Console script ``ser-evaluate``."""
    cli.run("ser-evaluate", "evaluate", evaluate, before=_offer)


def _offer() -> None:
    folder = argument("run")
    if folder is not None:
        offer_config(_checkpoint_path(Path(folder), read_result(Path(folder))))


def read_result(folder: Path) -> dict[str, Any]:
    """Return the ``result.json`` of a run.

    Raises:
        InputError: the folder is no finished run

    """
    path = folder / "result.json"
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        result["digest"], result["metrics"], result["checkpoint"]
    except OSError as error:
        raise InputError(
            f"{folder} is no finished run: it has no result.json; give run=<folder that has one>"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error!r}); train the run again") from error
    return result


def _checkpoint_path(folder: Path, result: dict[str, Any]) -> Path:
    return folder / "checkpoints" / f"{result['checkpoint']}.ckpt"


def evaluate(config: DictConfig) -> int:
    """Print old and new figures; return 1 if the same configuration gives others."""
    plain = cli.plain(config, needs=("run",))
    folder = Path(plain.pop("run"))
    result = read_result(folder)
    path = _checkpoint_path(folder, result)
    torch.set_num_threads(plain["threads"])
    data = assemble_data(plain, progress=cli.progress("features"))
    data.prepare_data()
    data.setup()
    model = rebuild_model(replace(read_checkpoint(path), config=plain), path=path)
    same, equal = science_digest(plain) == result["digest"], True
    table = Table("subset", "metric", "result.json", "now", title=str(path))
    for subset in SUBSETS:
        now = predict(model, data.eval_dataloader(subset), device=torch.device("cpu")).summary()
        for name, value in now.items():
            before = result["metrics"][subset][name]
            equal &= value == before
            table.add_row(subset, name, repr(before), repr(value))
    Console(width=None if sys.stdout.isatty() else 400).print(table)
    if equal:
        print("equal, to the last digit")
    elif not same:
        print("different, and so is the configuration: that is no contradiction")
    else:
        print("DIFFERENT, though the configuration is the same: another corpus, machine or library version?")
    return int(same and not equal)
