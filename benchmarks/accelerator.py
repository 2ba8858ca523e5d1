"""``make bench-gpu``, second part: training speed on a CUDA device; ``benchmarks.stacked`` measures many runs at once.

Uses the network of ``corrected`` on random clips with the number and lengths of RAVDESS's training clips.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn
from torch.nn import functional as F

from ser_lightning.build import build, config_folder
from ser_lightning.data.batch import Batch, FeatureDataset
from ser_lightning.data.resident import ResidentDataset
from ser_lightning.data.sampler import BatchSampler

CLIPS, FEATURES, CLASSES, BATCH = 3456, 162, 8, 256
REPEATS = 3


def dataset() -> FeatureDataset:
    """Return random clips, as many as the study's training set has, with similar lengths."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(40, 120, CLIPS)
    return FeatureDataset(
        frames=rng.standard_normal((int(lengths.sum()), FEATURES), dtype=np.float32),
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        targets=rng.integers(0, CLASSES, CLIPS),
        utterances=[str(i) for i in range(CLIPS)],
    )


def batches(clips: FeatureDataset | ResidentDataset, *, seed: int) -> Iterator[Batch]:
    """Return the batches of one epoch."""
    lengths = clips.lengths.tolist()
    sampler = BatchSampler(lengths=lengths, batch_size=BATCH, shuffle=True, reshuffle=True, bucket=False, seed=seed)
    return (clips.__getitems__(rows) for rows in sampler)


def ours(device: torch.device) -> nn.Module:
    """Build the network of ``corrected``."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose("train", overrides=["experiment=corrected", "dropout=p25", "run_id=bench"])
    config: dict[str, Any] = OmegaConf.to_container(composed.model, resolve=True)  # type: ignore[assignment]
    model: nn.Module = build("model", config, features=FEATURES, classes=CLASSES, standardize=True)
    return model.to(device)


def train_one(clips: FeatureDataset | ResidentDataset, model: nn.Module, device: torch.device) -> None:
    """Train a network for one epoch."""
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    for batch in batches(clips, seed=0):
        logits = model(batch.features.to(device), batch.lengths.to(device))
        optimizer.zero_grad()
        F.cross_entropy(logits, batch.target.to(device)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the median seconds of several repeats after one warm-up."""
    times = []
    for _ in range(REPEATS + 1):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Run the benchmark, print a table and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the benchmark")
    parser.add_argument("--json", type=Path, default=Path("outputs/bench/accelerator.json"))
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "bench-gpu: torch finds no CUDA device; python -m benchmarks.accelerator --device cpu tries it without"
        )
    device = torch.device(chosen.device)
    clips = dataset()
    resident = ResidentDataset(clips, device=device)
    rows = {
        "one run, clips on the host": seconds(partial(train_one, clips, ours(device), device), device),
        "one run, clips on the device": seconds(partial(train_one, resident, ours(device), device), device),
    }
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    for row, value in rows.items():
        print(f"{row:36} {value:9.4f} s an epoch")
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps({"device": name, "torch": torch.__version__, "seconds": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
