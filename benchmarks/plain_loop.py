"""Train the plain network with a plain loop, in a separate process, and print the seconds of each epoch."""

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from benchmarks.plain import Network
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ser_lightning.assemble import assemble_data


def collate(longest: int | None, clips: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Pad clips to the longest of the batch or, if ``longest`` is given, to that many frames."""
    x = nn.utils.rnn.pad_sequence([clip.T for clip, _ in clips], batch_first=True).transpose(1, 2)
    if longest is not None:
        x = nn.functional.pad(x, (0, longest - x.size(2)))
    return x, torch.tensor([clip.size(1) for clip, _ in clips]), torch.tensor([target for _, target in clips])


def main(config: dict[str, Any], epochs: int) -> list[float]:
    """Train and return the seconds of each epoch, including validation."""
    data = assemble_data(config, progress=lambda results, _: results)
    data.prepare_data()
    data.setup()
    model = config["model"]
    masked = model["masked"]
    mean, deviation = data.training_statistics() if config["features"]["standardize"] else (None, None)
    clips = {
        name: [
            (torch.from_numpy(d.frames[o : o + n].T.copy()), t)
            for o, n, t in zip(d.offsets.tolist(), d.lengths.tolist(), d.targets.tolist(), strict=True)
        ]
        for name, d in data.datasets.items()
    }
    longest = None if masked else max(clip.size(1) for part in clips.values() for clip, _ in part)
    loaders: dict[str, DataLoader[Any]] = {
        name: DataLoader(part, 256, shuffle=name == "train", collate_fn=partial(collate, longest))  # type: ignore[arg-type]  # any sequence is a dataset
        for name, part in clips.items()
    }
    torch.manual_seed(0)
    network = Network(
        **{key: model[key] for key in ("channels", "kernel_sizes", "strides", "hidden", "masked")},
        mean=mean,
        deviation=deviation,
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        for name in ("train", "val"):
            network.train(name == "train")
            correct = total = loss_sum = 0.0
            for x, lengths, target in loaders[name]:
                with torch.set_grad_enabled(name == "train"):
                    logits = network(x, lengths)
                    loss = nn.functional.cross_entropy(logits, target)
                if name == "train":
                    optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                    optimizer.step()
                loss_sum += loss.item() * len(target)
                correct += (logits.argmax(1) == target).sum().item()
                total += len(target)
            print(f"{name} loss {loss_sum / total:.4f} accuracy {correct / total:.4f}", file=sys.stderr)
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin), int(sys.argv[1]))))
