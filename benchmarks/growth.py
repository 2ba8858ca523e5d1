"""Measure how cost grows with the corpus: RAVDESS once, twice, four and eight times, with slightly noisy copies.

``python -m benchmarks.growth`` prepares each size with a new feature cache, trains two epochs and draws the figure of
``docs/performance.md``. Each size runs in its own process, so that its memory is measured separately.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import soundfile
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser_lightning.build import build, config_folder
from ser_lightning.checkpoint import build_model
from ser_lightning.corpora.utterance import Scan, Utterance
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.preparation import Preparation
from ser_lightning.evaluation import EVALUATION_MODE
from ser_lightning.losses import EmotionLoss
from ser_lightning.memory import keep_freed_memory
from ser_lightning.report.figures import save
from ser_lightning.splits.random import RandomSplit
from ser_lightning.task import EmotionTask

SIZES = (1, 2, 4, 8)


class Repeated:
    """A corpus repeated several times; each repetition is a copy of the recordings with noise at -60 dB.

    Args:
        corpus: the corpus
        times: number of repetitions, including the original
        folder: folder for the copies

    """

    def __init__(self, *, corpus: Any, times: int, folder: Path) -> None:
        self.name, self.emotions = f"{corpus.name} x {times}", corpus.emotions
        self.corpus, self.times, self.folder = corpus, times, folder

    def scan(self) -> Scan:
        """List the recordings and their copies, and write missing copies."""
        utterances = self.corpus.scan().utterances
        return Scan(
            utterances=(*utterances, *(self.copy(u, n) for n in range(1, self.times) for u in utterances)), problems=()
        )

    def copy(self, utterance: Utterance, number: int) -> Utterance:
        """Return copy ``number`` of an utterance, and write its file if it is missing."""
        path = self.folder / f"{utterance.id}-copy{number}.flac"
        if not path.exists():
            wave, rate = soundfile.read(utterance.path, dtype="float32")
            noise = np.random.default_rng(number).standard_normal(wave.shape, dtype=np.float32)
            soundfile.write(path, wave + 1e-3 * noise, rate, subtype="PCM_16")
        return replace(utterance, id=path.stem, path=path)


def measure(times: int, copies: Path) -> dict[str, float]:
    """Prepare and train one size; return seconds and gigabytes."""
    keep_freed_memory()
    torch.set_num_threads(2)
    pl.seed_everything(0, verbose=False)
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        composed = compose("train", overrides=["experiment=corrected", "run_id=growth"])
    config: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as cache:
        settings = {name: config[name] for name in ("audio", "augment", "features")}
        preparation = Preparation(
            corpus=Repeated(corpus=build("corpus", config["corpus"]), times=times, folder=copies),
            split=RandomSplit(seed=42, train=0.6, val=0.15, test=0.25),
            **{name: build(name, section) for name, section in settings.items()},
            settings=settings,
            augment_first=False,
            feature_cache=cache,
            feature_workers=2,
            normalize="none",
            prior_clips=10,
        )
        preparation.scan()
        preparation.prepare()
        worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        preparing, seconds = own_memory(), preparation.seconds["prepare"]
        data = SpeechDataModule(
            preparation=preparation,
            batch_size=256,
            eval_batch_size=256,
            bucket=False,
            balance="none",
            eval_shuffle=False,
            seed=0,
        )
        data.prepare_data()
        data.setup()
        model = build_model(config, features=preparation.features.size, classes=8)
        ends: list[float] = []
        task = EmotionTask(
            model=model,
            optimizer=build("optim", config["optim"]),
            classes=8,
            evaluation=EVALUATION_MODE,
            loss=EmotionLoss(class_weights=False, label_smoothing=0.0),
        )
        ended = pl.callbacks.LambdaCallback(on_train_epoch_end=lambda *_: ends.append(time.perf_counter()))
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            callbacks=[ended],
            enable_model_summary=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
        trainer.fit(task, datamodule=data)
        return {
            **{"times": times, "clips": len(preparation.utterances), "rows": len(data.datasets["train"])},
            **{"prepare_seconds": seconds, "epoch_seconds": ends[1] - ends[0]},
            **{"worker_gb": worker, "preparing_gb": preparing, "training_gb": own_memory()},
        }


def own_memory() -> float:
    """Return the anonymous memory of this process in GB, without mapped files, which the system can reclaim."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) / 2**20


def draw(results: list[dict[str, float]], path: Path) -> None:
    """Draw time and memory over corpus size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    clips = [result["clips"] for result in results]
    for key, label in (("prepare_seconds", "prepare, cold feature cache"), ("epoch_seconds", "a training epoch")):
        left.plot(clips, [result[key] for result in results], "o-", label=label)
        left.annotate(
            f"{results[-1][key]:.0f} s",
            (clips[-1], results[-1][key]),
            (0, -20),
            textcoords="offset points",
            ha="center",
        )
    left.set(xscale="log", yscale="log", ylabel="seconds")
    for key, label in (
        ("training_gb", "training, without mapped files"),
        ("preparing_gb", "preparing, main process"),
        ("worker_gb", "preparing, a worker (peak)"),
    ):
        right.plot(clips, [result[key] for result in results], "o-", label=label)
    right.set(xscale="log", ylim=(0, None), ylabel="GB")
    for axes in (left, right):
        axes.set_xticks(clips, [f"{int(count)}" for count in clips])
        axes.minorticks_off()
        axes.set_xlabel("recordings")
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def main() -> None:
    """Measure every size and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/bench"), help="folder of growth.json and growth.png"
    )
    parser.add_argument("--one", nargs=2, metavar=("TIMES", "COPIES"), help="measure one size; used by itself")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(int(arguments.one[0]), Path(arguments.one[1]))))
        return
    if not os.environ.get("RAVDESS_ROOT"):
        raise SystemExit("set RAVDESS_ROOT to a copy of RAVDESS: growth is measured on real recordings")
    results = []
    with tempfile.TemporaryDirectory() as copies:
        for times in SIZES:
            command = [sys.executable, "-m", "benchmarks.growth", "--one", str(times), copies]
            process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - this module
            results.append(json.loads(process.stdout.splitlines()[-1]))
            print(results[-1], flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "growth.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(results, arguments.output / "growth.png")
    print(arguments.output / "growth.png")


if __name__ == "__main__":
    main()
