"""Compare this project with the artifacts that the study released; defines every comparison and bound.

``make parity`` prints the table, and the tests marked ``real`` use the same bounds. The comparisons are:

- features, with those that librosa computed for the study and with librosa itself
- predictions of the imported weights, with those of the released model
- frames that voice activity detection keeps from the raw recordings, with those of the released clips
"""

import csv
import itertools
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import numpy.typing as npt
import scipy.signal
import soundfile
import soxr
import torch

from ser_lightning.audio.audio import Audio
from ser_lightning.audio.folder import list_audio_files
from ser_lightning.audio.reader import read_audio, to_mono
from ser_lightning.audio.vad import detect
from ser_lightning.build import build
from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.cli.checkpoint_config import config_of
from ser_lightning.errors import InputError
from ser_lightning.features.spectral162 import Spectral162
from ser_lightning.labels import RAVDESS
from ser_lightning.predict.torch_scorer import TorchScorer, pad
from tests.configs import composed

Floats = npt.NDArray[np.float32]
# Runs a command, given the name of a module in ser_lightning.cli and the command-line arguments.
Run = Callable[..., None]

RATE = 16000  # Hz; sampling rate of the released clips and of the study's filterbanks
CLIPS = 360  # in the released test set
BLOCKS = {
    "zcr": slice(0, 1),
    "chroma": slice(1, 13),
    "mfcc": slice(13, 33),
    "rms": slice(33, 34),
    "mel": slice(34, 162),
}
# Option of the group features -> its name in features.npz.
SETTINGS = {"released": "released", "paper": "true_rate"}

# Bounds. The error of a feature block is its largest difference divided by its largest value.
FEATURE_ERROR = 1e-4
PROBABILITY_ERROR = 1e-3
# Clips that the released model predicts correctly, by batch size.
CORRECT = {1: 155, CLIPS: 228}
# Agreement of our voice activity detection with the study's, over all clips and in the worst clip.
FRAMES_ALIKE = 0.99
FRAMES_ALIKE_WORST = 0.90


class Line(NamedTuple):
    """A printed line of the table.

    Args:
        text: the line
        holds: whether all its values are within bounds

    """

    text: str
    holds: bool = True


class NotFoundError(Exception):
    """A file needed for the comparison is missing; the message says which variable to set."""


def features_of(option: str) -> Spectral162:
    """Build the features of ``features=<option>``."""
    features: Spectral162 = build("features", composed(f"features={option}")["features"])
    return features


def released_clips(reference: Path) -> list[Path]:
    """Return the paths of the released test clips, sorted by name.

    Raises:
        NotFoundError: some are missing

    """
    paths = sorted((reference / "test_audio").glob("*.flac"))
    if len(paths) != CLIPS:
        raise NotFoundError(
            f"{reference / 'test_audio'} holds {len(paths)} FLAC files, expected the {CLIPS} released test clips;"
            " set REFERENCE_ROOT to the folder that holds test_audio/, model.pt, features.npz and logits_alone.npz"
        )
    return paths


def read(path: Path) -> Floats:
    """Read a released clip, (samples,)."""
    wave, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE, path
    return wave


def librosa_features(wave: Floats, *, analysis_rate: int, n_chroma: int = 12) -> Floats:
    """Compute the features with the study's calls to librosa, (K, 150 + n_chroma)."""
    with warnings.catch_warnings():
        # The tests use waves shorter than a frame or without pitch, for which librosa warns.
        warnings.filterwarnings("ignore", message="n_fft=", category=UserWarning)
        warnings.filterwarnings("ignore", message="Trying to estimate tuning", category=UserWarning)
        y = librosa.resample(wave, orig_sr=RATE, target_sr=analysis_rate, res_type="soxr_hq")
        blocks = [
            librosa.feature.zero_crossing_rate(y),
            librosa.feature.chroma_stft(S=np.abs(librosa.stft(y)), sr=RATE, n_chroma=n_chroma),
            librosa.feature.mfcc(y=y, sr=RATE),
            librosa.feature.rms(y=y),
            librosa.feature.melspectrogram(y=y, sr=RATE),
        ]
    return np.concatenate(blocks).astype(np.float32).T


def relative_errors(features: Floats, expected: Floats) -> dict[str, float]:
    """Return the error of each block: the largest difference divided by the largest expected value.

    The error is infinite if the shapes differ, so that a different number of frames is never within bounds.
    """
    if features.shape != expected.shape:
        return dict.fromkeys(BLOCKS, np.inf)
    errors = {}
    for block, columns in BLOCKS.items():
        difference = np.abs(features[:, columns].astype(np.float64) - expected[:, columns]).max()
        scale = np.abs(expected[:, columns]).max()
        error = difference / scale if scale > 0 else (0.0 if difference == 0 else np.inf)
        errors[block] = float(error) if np.isfinite(error) else np.inf  # a maximum could drop NaN
    return errors


def pairs_with_reference(reference: Path, option: str) -> Iterator[tuple[Floats, Floats]]:
    """Yield our features and the stored ones for each clip in ``features.npz``."""
    features = features_of(option)
    with np.load(reference / "features.npz") as stored:
        keys = [key for key in stored.files if key.endswith(f"/{SETTINGS[option]}")]
        for key in keys:
            yield features(read(reference / "test_audio" / f"{key.split('/')[0]}.flac")), stored[key].T


def pairs_with_librosa(reference: Path, option: str) -> Iterator[tuple[Floats, Floats]]:
    """Yield our features and librosa's for each released test clip."""
    features = features_of(option)
    for path in released_clips(reference):
        wave = read(path)
        yield features(wave), librosa_features(wave, analysis_rate=features.analysis_rate)


def worst_errors(pairs: Iterable[tuple[Floats, Floats]]) -> dict[str, float]:
    """Return the largest error of each block over all clips; infinite without clips."""
    errors = [relative_errors(ours, expected) for ours, expected in pairs]
    return {block: max((error[block] for error in errors), default=np.inf) for block in BLOCKS}


class Predicted(NamedTuple):
    """Predictions of ``ser-predict`` for the released test clips with the imported weights.

    Args:
        correct: number of correct clips, by batch size
        difference: largest difference of a probability from the released model's, at batch size 1
        same: whether every predicted emotion equals the released model's, at batch size 1

    """

    correct: dict[int, int]
    difference: float
    same: bool


def predict(reference: Path, folder: Path, run: Run) -> Predicted:
    """Import the released weights and predict the released test clips.

    Args:
        reference: folder of the study's released files
        folder: output folder
        run: function that runs a command

    """
    released_clips(reference)
    checkpoint = folder / "released.ckpt"
    run("import_weights", f"{reference}/model.pt", "--output", str(checkpoint))
    clips, cut = reference / "test_audio", "audio.vad_mode=null"
    output = folder / "predictions.csv"
    words = [str(clips), "--model", str(checkpoint), "--set", cut, "--min-speech", "0"]
    run("predict", *words, "--output", str(output))
    table = {Path(row["path"]).stem: row for row in csv.DictReader(output.read_text().splitlines())}
    differences, same = [], []
    with np.load(reference / "logits_alone.npz") as expected:
        for stem, logits in zip(expected["utterance"], expected["logits"].astype(np.float64), strict=True):
            probabilities = np.exp(logits - logits.max())
            probabilities /= probabilities.sum()
            row = table[str(stem)]
            differences.append(np.abs([float(row[emotion]) for emotion in RAVDESS] - probabilities).max())
            same.append(row["prediction"] == RAVDESS[int(logits.argmax())])
    return Predicted(
        correct={size: count_correct(checkpoint, clips, cut, batch_size=size) for size in CORRECT},
        difference=float(np.max(differences, initial=0.0)) if differences else np.inf,
        same=all(same),
    )


def count_correct_in(clips: Path, *settings: str, reference: Path, run: Run) -> int:
    """Return how many clips of a folder the released weights predict correctly, each alone."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "released.ckpt"
        run("import_weights", f"{reference}/model.pt", "--output", str(checkpoint))
        return count_correct(checkpoint, clips, *settings, batch_size=1)


def count_correct(checkpoint: Path, clips: Path, *settings: str, batch_size: int) -> int:
    """Count the clips whose prediction equals the emotion in their name (third field, starting at 01).

    Unlike ``ser-predict``, it applies the downmix of training, and pads clips to the longest of a batch.

    Args:
        checkpoint: the imported weights
        clips: folder of the clips
        settings: changes of the config, ``key=value`` each
        batch_size: number of clips per batch

    """
    found = read_checkpoint(checkpoint)
    config = config_of(found, checkpoint, settings)
    scorer = TorchScorer(found, config, path=checkpoint, one_speaker=False)
    audio = build("audio", config["audio"])
    paths, _ = list_audio_files(clips)
    matrices = [scorer.extract(audio.load(path).wave) for path in paths]
    correct = 0
    for first in range(0, len(paths), batch_size):
        batch = slice(first, first + batch_size)
        with torch.inference_mode():
            predicted = scorer.model(*pad(matrices[batch])).argmax(1)
        targets = [int(path.stem.split("-")[2]) - 1 for path in paths[batch]]
        correct += int((predicted.numpy() == targets).sum())
    return correct


class Decisions(NamedTuple):
    """Frames of a raw clip that voice activity detection keeps.

    Args:
        source: the raw recording
        frames: (frames, samples), resampled by this project or a variant of it
        study: (frames,), frames kept by the study
        ours: (frames,), frames kept by this project or a variant of it
        remade: whether ``experiment=released`` reproduces the released clip exactly

    """

    source: Path
    frames: Floats
    study: npt.NDArray[np.bool_]
    ours: npt.NDArray[np.bool_]
    remade: bool

    @property
    def alike(self) -> float:
        """Fraction of frames with the same decision."""
        return float((self.study == self.ours).mean())


def recordings(ravdess: Path) -> dict[str, Path]:
    """Return the audio files of the corpus by name, for any folder layout."""
    return {path.stem: path for suffix in ("flac", "wav") for path in sorted(ravdess.rglob(f"*.{suffix}"))}


def recording_of(stem: str, raw: dict[str, Path], ravdess: Path) -> Path:
    """Return the raw recording of a clip.

    Raises:
        NotFoundError: it is not in the corpus

    """
    if stem not in raw:
        raise NotFoundError(f"{ravdess} lacks {stem}; set RAVDESS_ROOT to a complete copy of RAVDESS")
    return raw[stem]


def every_third(wave: Floats) -> Floats:
    """Resample from 48 to 16 kHz like pydub in the study: at this ratio, linear interpolation only drops samples."""
    return np.ascontiguousarray(wave[::3])


def dithered(wave: Floats) -> Floats:
    """Resample with soxr HQ and add fixed triangular dither of one 16-bit step."""
    wave = soxr.resample(wave, 48000, RATE, quality="HQ")
    noise = np.random.default_rng(0).random((2, *wave.shape), dtype=np.float32)
    return wave + (noise[0] - noise[1]) / np.float32(32768)


# Resamplers from 48 to 16 kHz, to find which one the study used.
RESAMPLERS: dict[str, Callable[[Floats], Floats]] = {
    "every third sample": every_third,
    "soxr VHQ": lambda wave: soxr.resample(wave, 48000, RATE, quality="VHQ"),
    "soxr LQ": lambda wave: soxr.resample(wave, 48000, RATE, quality="LQ"),
    "polyphase, scipy": lambda wave: scipy.signal.resample_poly(wave, 1, 3).astype(np.float32),
    "mean of three samples": lambda wave: wave[: len(wave) // 3 * 3].reshape(-1, 3, wave.shape[1]).mean(axis=1),
    "soxr HQ, rounded down": lambda wave: np.floor(soxr.resample(wave, 48000, RATE, quality="HQ") * 32768) / 32768,
    "soxr HQ, dithered": dithered,
}


def decide(reference: Path, ravdess: Path, *, resampler: Callable[[Floats], Floats] | None = None) -> list[Decisions]:
    """Prepare the raw recordings of the released test clips as the study did and as ``corrected`` does.

    Args:
        reference: folder of the study's released files
        ravdess: folder of the corpus, in any layout
        resampler: replaces the project's ``soxr``; resamples (samples, channels) from 48 to 16 kHz

    Raises:
        NotFoundError: a recording is not in the corpus, or not at 48 kHz

    """
    raw = recordings(ravdess)
    audio: Audio = build("audio", composed("experiment=released")["audio"])
    values: dict[str, int] = {"sampling_rate": RATE, "mode": audio.vad_mode or 0, "frame_ms": audio.frame_ms}
    decisions = []
    for path in released_clips(reference):
        source = recording_of(path.stem, raw, ravdess)
        wave, rate = read_audio(source)
        if rate != 3 * RATE:
            raise NotFoundError(f"{source} is of {rate} Hz; set RAVDESS_ROOT to the recordings of 48000 Hz")
        _, study = detect(every_third(wave).reshape(-1), **values)
        if resampler is None:
            mono = to_mono(wave, rate, sampling_rate=RATE, downmix=audio.downmix, resampler="soxr")
        else:
            mono = resampler(wave).reshape(-1).astype(np.float32)
        frames, ours = detect(mono, **values)
        # The number of frames can differ by one. Missing frames count as not kept.
        total = max(len(study), len(ours))
        decisions.append(
            Decisions(
                source=source,
                frames=np.pad(frames, ((0, total - len(frames)), (0, 0))),
                study=np.pad(study, (0, total - len(study))),
                ours=np.pad(ours, (0, total - len(ours))),
                remade=np.array_equal(audio.load(source).wave, read(path)),
            )
        )
    return decisions


def pooled(decisions: list[Decisions]) -> float:
    """Return the fraction of frames with the same decision, over all clips."""
    return sum(int((d.study == d.ours).sum()) for d in decisions) / sum(len(d.study) for d in decisions)


def run_apart(name: str, *words: str) -> None:
    """Run a command in a subprocess.

    Raises:
        NotFoundError: the command fails

    """
    code = f"from ser_lightning.cli.{name} import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotFoundError(f"{done.stderr.strip()} (in REFERENCE_ROOT or RAVDESS_ROOT)")


def bounded(what: str, measured: str, bound: str, holds: bool) -> Line:
    """Return a line with one value and its bound."""
    return Line(f"{what:48}{measured:>12}{bound:>12}  {'ok' if holds else 'BROKEN'}", holds)


def feature_lines(reference: Path) -> Iterator[Line]:
    """Compare the features, one line per block."""
    pairs = {"reference": pairs_with_reference, "librosa": pairs_with_librosa}
    columns = {(option, name): worst_errors(of(reference, option)) for option in SETTINGS for name, of in pairs.items()}
    yield Line("Features: largest difference of a block divided by its largest value, worst clip; inf: other frames")
    yield Line(f"{'':12}" + "".join(f"{option:>14}" for option, _ in columns) + f"{'bound':>12}")
    yield Line(f"{'':12}" + "".join(f"{'v. ' + name:>14}" for _, name in columns))
    for block in BLOCKS:
        errors = [column[block] for column in columns.values()]
        holds = max(errors) <= FEATURE_ERROR
        figures = "".join(f"{error:>14.1e}" for error in errors)
        yield Line(f"{block:12}{figures}{FEATURE_ERROR:>12.0e}  {'ok' if holds else 'BROKEN'}", holds)


def weight_lines(reference: Path) -> Iterator[Line]:
    """Compare the predictions."""
    with tempfile.TemporaryDirectory() as folder:
        got = predict(reference, Path(folder), run_apart)
    yield Line(f"\n{'Predictions of the released weights':48}{'measured':>12}{'bound':>12}")
    for size, expected in CORRECT.items():
        what = "correct, each clip alone" if size == 1 else f"correct, one batch of {size}"
        yield bounded(what, f"{got.correct[size]}/{CLIPS}", f"{expected}/{CLIPS}", got.correct[size] == expected)
    holds = got.difference <= PROBABILITY_ERROR
    yield bounded("probabilities, worst difference", f"{got.difference:.1e}", f"{PROBABILITY_ERROR:.0e}", holds)
    yield bounded("most probable emotion as released", "all" if got.same else "not all", "all", got.same)


def preparation_lines(reference: Path, ravdess: Path) -> Iterator[Line]:
    """Compare the kept frames, also for other resamplers."""
    ours = decide(reference, ravdess)
    remade = sum(d.remade for d in ours)
    total, worst = pooled(ours), min(d.alike for d in ours)
    yield Line(f"\n{'Preparation from the raw recordings':48}{'measured':>12}{'bound':>12}")
    yield bounded(
        "experiment=released makes the released clip", f"{remade}/{CLIPS}", f"{CLIPS}/{CLIPS}", remade == CLIPS
    )
    yield bounded("frames of soxr judged as the study's", f"{total:.2%}", f"{FRAMES_ALIKE:.0%}", total >= FRAMES_ALIKE)
    holds = worst >= FRAMES_ALIKE_WORST
    yield bounded("the same, worst clip", f"{worst:.2%}", f"{FRAMES_ALIKE_WORST:.0%}", holds)
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as cut:
        for clip in ours:
            (Path(whole) / clip.source.name).symlink_to(clip.source.absolute())
            wave = clip.frames[clip.study].reshape(-1)
            soundfile.write(Path(cut) / f"{clip.source.stem}.wav", wave, RATE, subtype="FLOAT")
        prepared = count_correct_in(Path(whole), reference=reference, run=run_apart)
        filtered = count_correct_in(Path(whole), "audio.resampler=soxr", reference=reference, run=run_apart)
        spared = count_correct_in(Path(cut), "audio=untrimmed", reference=reference, run=run_apart)
    holds = prepared == CORRECT[1]
    yield bounded("correct from the raw recordings, each alone", f"{prepared}/{CLIPS}", f"{CORRECT[1]}/{CLIPS}", holds)
    yield Line(f"{'the same by soxr':48}{f'{filtered}/{CLIPS}':>12}")
    yield Line(f"{'by soxr, with the frames that the study kept':48}{f'{spared}/{CLIPS}':>12}")
    yield Line(f"\nFrames judged as the study's ({sum(len(d.study) for d in ours)} in {CLIPS} clips), by resampler")
    names = ("all frames", "median", "quarter", "twentieth", "worst clip", "clips alike", "more", "fewer")
    yield Line(f"{'':24}" + "".join(f"{name:>12}" for name in names))
    yield Line(f"{'soxr HQ, ours':24}{distribution(ours)}")
    for name, resampler in RESAMPLERS.items():
        yield Line(f"{name:24}{distribution(decide(reference, ravdess, resampler=resampler))}")


def distribution(decisions: list[Decisions]) -> str:
    """Format the agreement over all frames, its quantiles over clips, and the numbers of frames gained and lost."""
    alike = np.array([d.alike for d in decisions])
    shares = (pooled(decisions), *np.quantile(alike, (0.5, 0.25, 0.05, 0)))
    counts = (
        int((alike == 1).sum()),
        sum(int((d.ours & ~d.study).sum()) for d in decisions),
        sum(int((d.study & ~d.ours).sum()) for d in decisions),
    )
    return "".join(f"{share:>12.2%}" for share in shares) + "".join(f"{count:>12}" for count in counts)


def main() -> int:
    """Print the table; return 0 if all values are within bounds, else 1."""
    reference, ravdess = os.environ.get("REFERENCE_ROOT"), os.environ.get("RAVDESS_ROOT")
    if not reference:
        print(
            "parity: set REFERENCE_ROOT to the folder of what the study released (test_audio/, model.pt, features.npz,"
            " logits_alone.npz), and RAVDESS_ROOT to the raw recordings to compare the preparation too",
            file=sys.stderr,
        )
        return 1
    sections = [feature_lines(Path(reference)), weight_lines(Path(reference))]
    if ravdess:
        sections.append(preparation_lines(Path(reference), Path(ravdess)))
    broken = 0
    try:
        for line in itertools.chain.from_iterable(sections):
            print(line.text, flush=True)
            broken += not line.holds
    except (NotFoundError, InputError, OSError) as error:
        print(f"parity: {error}", file=sys.stderr)
        return 1
    if not ravdess:
        print("\nThe preparation was not compared: set RAVDESS_ROOT to the raw recordings.")
    print(f"\n{broken} lines are out of bounds." if broken else "\nAll within bounds.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
