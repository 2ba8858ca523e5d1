"""``make bench``: compare this project's speed and memory with the study's approach, as ratios.

Because machines are shared and noisy, each repeat measures both sides in turn, and the median of the repeats is
reported. Absolute times depend on the machine; compare the ratios.
"""

import argparse
import json
import os
import platform
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile
import torch
import torchaudio
from benchmarks import plain
from benchmarks.prediction import prediction_rows
from benchmarks.rows import BIN, Row, run_command, show
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from threadpoolctl import threadpool_limits
from torch import Tensor

from ser_lightning.assemble import assemble_data, assemble_preparation
from ser_lightning.audio.reader import read_audio
from ser_lightning.augment.pitch import analyze, pitch_shift
from ser_lightning.build import build, config_folder
from ser_lightning.checkpoint import build_model
from ser_lightning.features.stft import STFT, padded_window
from ser_lightning.kernels.spectrum import spectra
from ser_lightning.memory import keep_freed_memory

EPOCHS = 80
TRANSFORM = STFT(n_fft=2048, hop_length=512, win_length=2048, window="hann", center=True)
PARTS = ("clip", "prepare", "warm_start", "training", "prediction", "starts", "memory")


class Bench:
    """The measurements and their shared state.

    Args:
        corpus: overrides that select the corpus and its split
        repeats: number of repeats of every measurement
        quick: whether to run a subset that takes less than two minutes
        folder: folder for all output, including the feature cache of the measured commands

    """

    def __init__(self, *, corpus: Sequence[str], repeats: int, quick: bool, folder: Path) -> None:
        self.corpus, self.repeats, self.quick, self.folder = corpus, repeats, quick, folder
        self.feature_cache = folder / "feature_cache"
        preparation = assemble_preparation(self.config("paper"), progress=lambda results, _: results)
        preparation.scan()
        self.split = preparation.split
        self.path_of = {utterance.id: utterance.path for utterance in preparation.utterances}
        self.audio = preparation.audio

    def config(self, experiment: str, *more: str) -> dict[str, Any]:
        """Return the resolved config of an experiment on the corpus."""
        words = [
            f"experiment={experiment}",
            *self.corpus,
            f"data.feature_cache={self.feature_cache}",
            "run_id=bench",
            *more,
        ]
        with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
            return OmegaConf.to_container(compose("train", overrides=words), resolve=True)  # type: ignore[return-value]

    def fill_cache(self, experiment: str) -> None:
        """Fill the feature cache of an experiment."""
        cache = f"data.feature_cache={self.feature_cache}"
        run_command("prepare", f"experiment={experiment}", *self.corpus, cache, "data_card=null", quiet=True)

    def sample(self, subset: str, count: int) -> list[Path]:
        """Return some clips of a subset, evenly spaced."""
        ids = getattr(self.split, subset)
        return [self.path_of[ids[i]] for i in np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int)]

    def waves(self, count: int) -> list[np.ndarray]:
        """Return some training clips reduced to speech, (samples,) at 16 kHz."""
        return [self.audio.load(path).wave for path in self.sample("train", count)]

    def compare(self, *works: Callable[[], Any]) -> list[float]:
        """Return the median seconds of each function, measured alternately."""
        took: list[list[float]] = [[] for _ in works]
        for _ in range(self.repeats):
            for seconds, work in zip(took, works, strict=True):
                start = time.perf_counter()
                work()
                seconds.append(time.perf_counter() - start)
        return [statistics.median(seconds) for seconds in took]

    # Preparation

    def prepare(self) -> Iterable[Row]:
        """Measure ``ser-prepare`` from raw recordings to cached features of ``paper``, including start-up."""
        n_train, n_rest = len(self.split.train), len(self.split.val) + len(self.split.test)
        train, others = self.sample("train", plain.BATCH), self.sample("test", plain.BATCH * n_rest // n_train)
        whole = n_train / len(train)
        runs = [0]

        def command(*more: str) -> None:
            runs[0] += 1
            cache = f"data.feature_cache={self.folder}/cold{runs[0]}"
            run_command("prepare", "experiment=paper", *self.corpus, cache, *more, quiet=True)

        def by(torchaudio_pitch: bool) -> None:
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                plain.prepare(train, others, folder=Path(folder), torchaudio_pitch=torchaudio_pitch)

        plain.features(self.waves(1)[0])  # warm-up, because librosa compiles on first use
        note = (
            f"baseline: {len(train)} training and {len(others)} other clips, times {whole:.0f}; ours: all, start-up too"
        )
        seconds, ours = self.compare(lambda: by(False), lambda: command("data_card=null"))
        floor = self.preparation_floor()
        yield Row(
            work="prepare the paper set, cold feature cache",
            baseline="librosa's pitch shift",
            unit="s",
            plain=seconds * whole,
            ours=ours,
            floor=floor,
            target=">= 6x",
            note=note,
        )
        if not self.quick:
            (seconds,) = self.compare(lambda: by(True))
            yield Row(
                work="prepare the paper set, cold feature cache",
                baseline="the study's way (torchaudio)",
                unit="s",
                plain=seconds * whole,
                ours=ours,
                floor=floor,
                target=">= 30x",
                note=note,
            )

        (with_card,) = self.compare(lambda: command(f"data_card={self.folder}/card"))
        yield Row(
            work="prepare the paper set with its data card, cold feature cache",
            baseline="",
            unit="s",
            plain=None,
            ours=with_card,
        )

    def preparation_floor(self) -> float:
        """Return the seconds for decoding the files and transforming the frames of all copies, on two cores."""
        train, frames = self.sample("train", 48), [TRANSFORM.frames(wave) for wave in self.waves(48)]
        start = time.perf_counter()
        for path in train:
            read_audio(path)
        read = (time.perf_counter() - start) / len(train)
        start = time.perf_counter()
        for f in frames:
            spectra(f, padded_window(TRANSFORM))
        transform = (time.perf_counter() - start) / len(frames)
        total = len(self.split.train) + len(self.split.val) + len(self.split.test)
        return (total * read + (total + 3 * len(self.split.train)) * transform) / 2

    def warm_start(self) -> Iterable[Row]:
        """Measure a second start up to the first batch, without imports."""
        self.fill_cache("paper")
        code = (
            "import json, sys, time\nfrom ser_lightning.assemble import assemble_data\n"
            "import ser_lightning.train\nconfig = json.load(sys.stdin)\nstart = time.perf_counter()\n"
            "data = assemble_data(config, progress=lambda results, _: results)\ndata.prepare_data()\ndata.setup()\n"
            "next(iter(data.train_dataloader()))\nprint(time.perf_counter() - start)"
        )
        config = json.dumps(self.config("paper"))
        took = [float(python("-c", code, given=config)) for _ in range(self.repeats)]
        yield Row(
            work="second start, warm feature cache, to the first batch",
            baseline="",
            unit="s",
            plain=None,
            ours=statistics.median(took),
            target="< 2 s beyond imports",
        )

    # One clip, one thread

    def clip(self) -> Iterable[Row]:
        """Measure the features and the pitch shift of a clip on one thread."""
        waves = self.waves(20 if self.quick else 60)
        extract = build("features", self.config("paper")["features"])
        extract(waves[0]), plain.features(waves[0])  # warm-up; the tests check that both results are equal
        frames, window = [TRANSFORM.frames(wave) for wave in waves], padded_window(TRANSFORM)
        with threadpool_limits(1):
            seconds, ours = self.compare(
                lambda: [plain.features(wave) for wave in waves], lambda: [extract(wave) for wave in waves]
            )
            (floor,) = self.compare(lambda: [spectra(f, window) for f in frames])
        yield Row(
            work="162 features of a clip, one thread",
            baseline="librosa",
            unit="ms",
            plain=1e3 * seconds / len(waves),
            ours=1e3 * ours / len(waves),
            target=">= 10x",
            floor=1e3 * floor / len(waves),
            note="floor: the Fourier transforms alone",
        )
        few = waves[: 5 if self.quick else 20]
        with threadpool_limits(1):
            seconds, ours = self.compare(
                lambda: [librosa.effects.pitch_shift(wave, sr=plain.RATE, n_steps=3) for wave in few],
                lambda: [pitch_shift(analyze(wave), sampling_rate=plain.RATE, steps=3) for wave in few],
            )
        yield Row(
            work="pitch shift by 3 semitones, one thread",
            baseline="librosa",
            unit="ms",
            plain=1e3 * seconds / len(few),
            ours=1e3 * ours / len(few),
            target=">= 2x",
        )
        if not self.quick:  # building torchaudio's resampling kernel takes 15 seconds
            transform = torchaudio.transforms.PitchShift(plain.RATE, 3)
            tensors = [torch.from_numpy(wave) for wave in few[:3]]
            with torch.no_grad(), threadpool_limits(1):
                transform(tensors[0])
                (warm,) = self.compare(lambda: [transform(tensor) for tensor in tensors])
            yield Row(
                work="pitch shift by 3 semitones, one thread",
                baseline="torchaudio, warm",
                unit="ms",
                plain=1e3 * warm / len(tensors),
                ours=1e3 * ours / len(few),
                target=">= 100x",
            )

    # Training

    def training(self) -> Iterable[Row]:
        """Measure a training epoch with all features enabled, and 80-epoch runs per hour."""
        count = 3 if self.quick else 6
        plain_seconds = {}
        for experiment, baseline, target in (
            ("released", "plain loop, padded to the longest clip", ">= 2x"),
            ("corrected", "plain loop, pack_padded_sequence", ">= 3x"),
        ):
            self.fill_cache(experiment)
            config = json.dumps(self.config(experiment))
            words = [f"experiment={experiment}", *self.corpus, f"data.feature_cache={self.feature_cache}", "threads=2"]
            theirs, ours = [], []
            for repeat in range(1 if self.quick else self.repeats):
                took = json.loads(python("-m", "benchmarks.plain_loop", str(count), given=config))
                theirs.append(statistics.median(took[1:]))
                name = f"{experiment}{repeat}"
                self.train(*words, f"name={name}", f"trainer.max_epochs={count}")
                ours.append(statistics.median(epoch_seconds(self.folder / "outputs" / name)))
            plain_seconds[experiment] = statistics.median(theirs)
            yield Row(
                work=f"training epoch of {experiment}, two threads",
                baseline=baseline,
                unit="s",
                plain=plain_seconds[experiment],
                ours=statistics.median(ours),
                target=target,
                floor=self.training_floor(experiment),
                note="validation, logging, progress bar, checkpoint on",
            )
        if self.quick:
            return
        words = ["experiment=corrected", *self.corpus, f"data.feature_cache={self.feature_cache}", "seed=0,1"]
        rates = []
        for repeat in range(self.repeats):
            seconds = [
                self.train("--multirun", *words, f"name=sweep{repeat}-{n}", f"trainer.max_epochs={n}") for n in (2, 10)
            ]
            pair = seconds[0] + (EPOCHS - 2) * (seconds[1] - seconds[0]) / 8
            rates.append(2 * 3600 / pair)
        yield Row(
            work=f"{EPOCHS}-epoch runs of corrected per hour, ser-train --multirun",
            unit="runs/h",
            baseline="the plain loop, one run after another",
            plain=3600 / (EPOCHS * plain_seconds["corrected"]),
            ours=statistics.median(rates),
            target=">= 2.5x",
            note=f"ours from sweeps of 2 and 10 epochs, start-up counted; the plain loop's {EPOCHS} epochs without it",
        )

    def train(self, *words: str) -> float:
        """Run ser-train in a pseudo-terminal, so that progress bars are drawn; return the seconds."""
        start = time.perf_counter()
        leader, follower = pty.openpty()
        command = [str(BIN / "ser-train"), *words, f"output_root={self.folder}/outputs"]
        child = subprocess.Popen(command, stdout=follower, stderr=follower, stdin=subprocess.DEVNULL)  # noqa: S603
        os.close(follower)
        output = bytearray()
        try:
            while part := os.read(leader, 65536):
                output += part
        except OSError:
            pass  # on Linux, reading from a closed pseudo-terminal raises an error
        os.close(leader)
        if child.wait() != 0:
            raise SystemExit(f"ser-train {' '.join(words)} failed:\n{output.decode(errors='replace')[-2000:]}")
        return time.perf_counter() - start

    def training_floor(self, experiment: str) -> float:
        """Return the seconds for the arithmetic of the unpadded frames at the speed of a large matrix product."""
        config = self.config(experiment)
        data = assemble_data(config, progress=lambda results, _: results)
        data.prepare_data()
        data.setup()
        model, hidden = config["model"], int(config["model"]["hidden"])
        inputs, operations = 162, 0.0
        lengths = data.datasets["train"].lengths.double()
        for channels, kernel, stride in zip(model["channels"], model["kernel_sizes"], model["strides"], strict=True):
            lengths = (lengths - kernel) / stride + 1
            backward = 2 if inputs == 162 else 3  # the input of the network needs no gradient
            operations += backward * 2 * kernel * inputs * channels * float(lengths.sum())
            lengths, inputs = lengths - 4, channels
        operations += 3 * 2 * 2 * 4 * hidden * (inputs + hidden) * float(lengths.sum())
        torch.set_num_threads(os.cpu_count() or 1)
        a = torch.randn(1024, 1024)
        a @ a
        start = time.perf_counter()
        for _ in range(10):
            a @ a
        return operations / (10 * 2 * 1024**3 / (time.perf_counter() - start))

    # Memory

    def memory(self) -> Iterable[Row]:
        """Measure the peak resident memory of any process, including mapped files."""
        base = [*self.corpus, "experiment=released", f"output_root={self.folder}/memory"]
        cache = "data.feature_cache=${output_root}/feature_cache"
        for command, work, words, target in (
            ("prepare", "ser-prepare", [cache, "data_card=null"], "<= 1 a worker"),
            ("prepare", "ser-prepare with its data card", [cache], "<= 1 a worker"),
            ("train", "ser-train", [cache, "trainer.max_epochs=2"], "<= 1.5 a run"),
        ):
            # Run from a small process, because a forked child starts with the peak of its parent.
            code = (
                "import resource, subprocess, sys\n"
                "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
            )
            kilobytes = float(python("-c", code, str(BIN / f"ser-{command}"), *base, *words, given=""))
            yield Row(
                work=f"peak memory of a process, {work}",
                baseline="",
                unit="GB",
                plain=None,
                ours=kilobytes / 2**20,
                target=target,
            )

    # Prediction

    def prediction(self) -> Iterable[Row]:
        """Measure the prediction of a 3-second recording, in a warm process and by a cold command."""
        path = self.folder / "clip.wav"
        wave = np.concatenate(self.waves(8))[: 3 * plain.RATE]
        soundfile.write(path, wave, plain.RATE, subtype="PCM_16")
        config = self.config("corrected", "audio=untrimmed")
        extract, audio = build("features", config["features"]), build("audio", config["audio"])
        model = build_model(config, features=extract.size, classes=8).eval()
        values = {key: config["model"][key] for key in ("channels", "kernel_sizes", "strides", "hidden", "masked")}
        network = plain.Network(
            **values, mean=model.get_buffer("standardize.mean"), deviation=model.get_buffer("standardize.deviation")
        ).eval()

        def ours() -> Tensor:
            matrix = torch.from_numpy(extract(audio.load(path).wave))[None]
            logits: Tensor = model(matrix, torch.tensor([matrix.size(1)]))
            return logits.softmax(1)

        def theirs() -> Tensor:
            matrix = torch.from_numpy(plain.features(librosa.load(path, sr=plain.RATE)[0]))[None]
            logits: Tensor = network(matrix, torch.tensor([matrix.size(2)]))
            return logits.softmax(1)

        with torch.inference_mode(), threadpool_limits(1):
            ours(), theirs()
            seconds, took = self.compare(lambda: [theirs() for _ in range(20)], lambda: [ours() for _ in range(20)])
        yield Row(
            work="prediction of a 3 s clip, warm process",
            baseline="librosa + plain network",
            unit="ms",
            plain=1e3 * seconds / 20,
            ours=1e3 * took / 20,
            target=">= 5x",
        )
        words = [
            "experiment=corrected",
            *self.corpus,
            f"data.feature_cache={self.feature_cache}",
            "name=cold",
            "trainer.max_epochs=1",
        ]
        self.train(*words)
        checkpoint = next((self.folder / "outputs" / "cold").rglob("last.ckpt"))
        words = [str(path), "--model", str(checkpoint), "--output", f"{self.folder}/emotions.csv"]
        (cold,) = self.compare(lambda: run_command("predict", *words, quiet=True))
        yield Row(
            work="prediction of a 3 s clip, cold command",
            baseline="",
            unit="s",
            plain=None,
            ours=cold,
            target="< 4 s",
        )

    def starts(self) -> Iterable[Row]:
        """Measure ser-predict with each kind of model, for one recording and for 1,000."""
        return prediction_rows(
            clips=[str(path) for path in self.path_of.values()],
            train=self.train_briefly,
            folder=self.folder,
            repeats=self.repeats,
            quick=self.quick,
        )

    def train_briefly(self, experiment: str, words: Sequence[str]) -> Path:
        """Train an experiment and return its checkpoint."""
        cache, folder = f"data.feature_cache={self.feature_cache}", self.folder / "outputs" / experiment
        self.train(f"experiment={experiment}", *self.corpus, cache, f"name={experiment}", *words)
        return next(folder.rglob("best.ckpt"))


def epoch_seconds(run: Path) -> list[float]:
    """Return the seconds of each epoch but the first, from the timestamps of the run's TensorBoard events."""
    (folder,) = run.rglob("tensorboard")
    reader = EventAccumulator(str(folder))
    reader.Reload()
    ends = [event.wall_time for event in reader.Scalars("train/loss")]
    return [end - start for start, end in pairwise(ends)]


def python(*words: str, given: str) -> str:
    """Run code in a new interpreter and return the last line that it printed."""
    process = subprocess.run(  # noqa: S603 - code from this file
        [sys.executable, *words], input=given, capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise SystemExit(f"{words} failed:\n{process.stderr}")
    return process.stdout.splitlines()[-1]


def main() -> None:
    """Run the benchmark, print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a subset, in under two minutes")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement; the median counts")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure")
    parser.add_argument("--output", type=Path, default=Path("outputs/bench"), help="folder of bench.json")
    arguments = parser.parse_args()
    keep_freed_memory()
    root = os.environ.get("RAVDESS_ROOT")
    if root and not arguments.quick:
        corpus = ["corpus=ravdess", "split=released", f"corpus.root={Path(root).resolve()}"]
    else:
        corpus = ["corpus=synthetic", "split=random"]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(corpus=corpus, repeats=arguments.repeats, quick=arguments.quick, folder=Path(folder))
        rows: list[Row] = []
        for part in arguments.only:
            for row in getattr(bench, part)():
                rows.append(row)
                ratio = "" if row.ratio is None else f", {row.ratio:.1f}x"
                print(f"{row.work}: {row.ours:.3g} {row.unit}{ratio}", file=sys.stderr, flush=True)
        clips = len(bench.path_of)
    show(rows, f"{corpus[0].removeprefix('corpus=')}, {clips} clips, medians of {arguments.repeats}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "bench.json"
    content = {
        "corpus": corpus[0],
        "clips": clips,
        "repeats": arguments.repeats,
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "torch": torch.__version__},
        "rows": [asdict(row) | {"ratio": row.ratio} for row in rows],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
