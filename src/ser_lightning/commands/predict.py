"""``ser-predict``: the emotion of any recording."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from ser_lightning.atomic import write_atomically
from ser_lightning.audio.folder import find_audio
from ser_lightning.build import build
from ser_lightning.checkpoint import read_checkpoint, rebuild_model
from ser_lightning.commands import cli
from ser_lightning.commands.stored import argument, offer_config
from ser_lightning.data.batch import FeatureDataset
from ser_lightning.errors import InputError


def main() -> None:
    """Console script ``ser-predict``."""
    cli.run("ser-predict", "predict", predict, before=_offer)


def _offer() -> None:
    path = argument("checkpoint")
    if path is not None:
        # There, checkpoint says which one heads the result; and a recording is always heard in evaluation mode.
        offer_config(path, without=("checkpoint", "evaluation"))


def predict(config: DictConfig) -> int:
    """Write the probabilities of each recording; return the exit code."""
    plain = cli.plain(
        config,
        needs=(
            "checkpoint",
            "input",
            "output",
        ),
    )
    torch.set_num_threads(plain["threads"])
    checkpoint = read_checkpoint(plain["checkpoint"])
    model = rebuild_model(replace(checkpoint, config=plain), path=plain["checkpoint"])
    audio, extract = build("audio", plain["audio"]), build("features", plain["features"])
    batch_size = plain["data"]["batch_size"]
    if type(batch_size) is not int or batch_size < 1:
        raise InputError(f"data.batch_size is {batch_size!r}; expected a whole number of at least 1")
    paths = find_audio(plain["input"])
    rows: list[list[str]] = []
    failures: list[str] = []
    batch: list[tuple[Path, np.ndarray]] = []
    for path in cli.progress("recordings")(paths, len(paths)):
        try:
            batch.append((path, extract(audio.load(path).wave)))
        except InputError as error:
            failures.append(str(error))
        if len(batch) == batch_size:
            rows += _classify(model, batch, checkpoint.emotions)
            batch = []
    if batch:
        rows += _classify(model, batch, checkpoint.emotions)
    if rows:
        with write_atomically(plain["output"]) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "prediction", *checkpoint.emotions])
            writer.writerows(rows)
        print(f"{len(rows)} of {len(paths)} recordings: {plain['output']}")
    return cli.report_failures("ser-predict", failures, total=len(paths))


@torch.inference_mode()
def _classify(
    model: torch.nn.Module, clips: list[tuple[Path, np.ndarray]], emotions: tuple[str, ...]
) -> list[list[str]]:
    lengths = np.array([matrix.shape[1] for _, matrix in clips])
    dataset = FeatureDataset(
        frames=np.concatenate([matrix.T for _, matrix in clips]),
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        targets=np.zeros(len(clips), dtype=np.int64),
        utterances=[str(path) for path, _ in clips],
    )
    features, frames, *_ = dataset[list(range(len(clips)))]
    probabilities = model(features, frames).double().softmax(1)
    return [
        [str(path), emotions[int(p.argmax())], *(f"{value:.6f}" for value in p.tolist())]
        for (path, _), p in zip(clips, probabilities, strict=True)
    ]
