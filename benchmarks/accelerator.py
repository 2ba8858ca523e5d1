"""``make bench-gpu``: training speed on a CUDA device, and of training many seeds at once instead of one by one.

Uses the network of ``corrected`` on random clips with the number and lengths of RAVDESS's training clips.
"""

import argparse
import copy
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
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
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


class Stackable(nn.Module):
    """The network of ``corrected`` in operations supported by ``torch.func.vmap``, unlike cuDNN's LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(FEATURES, 60, 5, 2), nn.Conv1d(60, 40, 3, 2)
        self.forward_lstm, self.backward_lstm = nn.LSTM(40, 80), nn.LSTM(40, 80)
        self.norm = nn.BatchNorm1d(320, track_running_stats=False)
        self.mlp = nn.Sequential(
            *(nn.Linear(320, 60), nn.ReLU(), nn.Dropout(0.25), nn.Linear(60, 50), nn.ReLU(), nn.Dropout(0.25)),
            nn.Linear(50, CLASSES),
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, classes) of a batch (B, K, F)."""
        x = x.transpose(1, 2)
        for convolution in (self.first, self.second):
            x = F.max_pool1d(convolution(x), 5, 1)
            lengths = torch.div(lengths - convolution.kernel_size[0], 2, rounding_mode="floor") + 1 - 4
        steps = x.permute(2, 0, 1)  # (T, B, C)
        time_ = torch.arange(len(steps), device=x.device)[:, None]
        real = time_ < lengths  # (T, B)
        index = torch.where(real, lengths - 1 - time_, time_)
        reversed_steps = steps.gather(0, index[:, :, None].expand_as(steps))
        tops, means = [], []
        for lstm, inputs in ((self.forward_lstm, steps), (self.backward_lstm, reversed_steps)):
            y = _unroll(lstm, inputs)
            tops.append(torch.where(real[:, :, None], y, -torch.inf).amax(0))
            means.append(torch.where(real[:, :, None], y, 0.0).sum(0) / lengths[:, None])
        logits: Tensor = self.mlp(self.norm(torch.cat([*tops, *means], 1)))
        return logits


def _unroll(lstm: nn.LSTM, x: Tensor) -> Tensor:
    input_weight, hidden_weight, input_bias, hidden_bias = lstm.all_weights[0]
    given = x @ input_weight.T + (input_bias + hidden_bias)
    h = c = x.new_zeros(x.size(1), lstm.hidden_size)
    out = []
    for step in given:
        i, f, g, o = (step + h @ hidden_weight.T).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        out.append(h)
    return torch.stack(out)


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


def train_stacked(clips: ResidentDataset, models: list[nn.Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Train several networks for one epoch, all in the same step, each on its own batches.

    Returns:
        stacked parameters and buffers

    """
    params, buffers = stack_module_state(models)
    base = copy.deepcopy(models[0]).to("meta")
    optimizer = torch.optim.Adam(params.values(), fused=True)

    def loss(params: dict[str, Tensor], buffers: dict[str, Tensor], batch: tuple[Tensor, ...]) -> Tensor:
        features, lengths, target = batch
        return F.cross_entropy(functional_call(base, (params, buffers), (features, lengths)), target)

    step = vmap(grad(loss), randomness="different")
    for found in zip(*(batches(clips, seed=seed) for seed in range(len(models))), strict=True):
        longest = max(batch.features.size(1) for batch in found)
        features = torch.stack([F.pad(batch.features, (0, 0, 0, longest - batch.features.size(1))) for batch in found])
        lengths, target = (torch.stack(parts) for parts in zip(*((b.lengths, b.target) for b in found), strict=True))
        for name, gradient in step(params, buffers, (features, lengths, target)).items():
            params[name].grad = gradient
        optimizer.step()
    return params, buffers


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the median seconds of several repeats after one warm-up."""
    taken = []
    for _ in range(REPEATS + 1):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Run the benchmark, print a table and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the benchmark")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 4, 16, 64], help="networks trained at once")
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
        "one run, operations of vmap": seconds(partial(train_one, resident, Stackable().to(device), device), device),
    }
    for count in chosen.seeds:
        models: list[nn.Module] = [Stackable().to(device) for _ in range(count)]
        rows[f"{count} seeds stacked, of each"] = seconds(partial(train_stacked, resident, models), device) / count
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    for row, value in rows.items():
        print(f"{row:36} {value:9.4f} s an epoch")
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps({"device": name, "torch": torch.__version__, "seconds": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
