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
from ser_lightning.errors import InputError, shown

FRAMES = 2**17  # a batch, padding included: beside a recording of minutes, 256 clips would be padded to gigabytes


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
    plain = cli.plain(config, needs=("checkpoint", "input", "output", "model", "audio", "features", "data", "threads"))
    torch.set_num_threads(cli.whole("threads", plain["threads"], least=1))
    checkpoint = read_checkpoint(plain["checkpoint"])
    model = rebuild_model(replace(checkpoint, config=plain), path=plain["checkpoint"])
    audio, extract = build("audio", plain["audio"]), build("features", plain["features"])
    batch_size = cli.whole("data.batch_size", plain["data"].get("batch_size"), least=1)
    paths, failures = find_audio(plain["input"])
    total = len(paths) + len(failures)
    rows: list[list[str]] = []
    batch: list[tuple[Path, np.ndarray]] = []
    for path in cli.progress("recordings")(paths, len(paths)):
        try:
            clip = path, extract(audio.load(path).wave)
        except InputError as error:
            failures.append(str(error))
            continue
        if batch and (len(batch) == batch_size or _padded([*batch, clip]) > FRAMES):
            rows += _classify(model, batch, checkpoint.emotions)
            batch = []
        batch.append(clip)
    if batch:
        rows += _classify(model, batch, checkpoint.emotions)
    if rows:
        with write_atomically(plain["output"]) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "prediction", *checkpoint.emotions])
            writer.writerows(rows)
        print(f"{len(rows)} of {total} recordings: {shown(plain['output'])}")
    return cli.report_failures("ser-predict", failures, total=total)


def _padded(clips: list[tuple[Path, np.ndarray]]) -> int:
    """Frames of a batch of clips with their padding."""
    longest: int = max(matrix.shape[1] for _, matrix in clips)
    return len(clips) * longest


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
        # Not every name is text: bytes that are no UTF-8 are written as their escapes.
        [
            str(path).encode("utf-8", "backslashreplace").decode(),
            emotions[int(p.argmax())],
            *(f"{value:.6f}" for value in p.tolist()),
        ]
        for (path, _), p in zip(clips, probabilities, strict=True)
    ]
