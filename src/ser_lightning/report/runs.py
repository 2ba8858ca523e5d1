"""Read finished runs from their folders and check their metrics against their predictions."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ser_lightning.errors import InputError
from ser_lightning.metrics import Confusion, accuracy, macro_f1, uar
from ser_lightning.report.predictions import Clips, UnusableError, read_predictions
from ser_lightning.report.statistics import Pair
from ser_lightning.results import complete

FORMAT = 1
RECOMPUTED = {"accuracy": accuracy, "uar": uar, "macro_f1": macro_f1}
TOLERANCE = 1e-5  # result.json holds single-precision values; one utterance of 10,000 makes a larger difference


class LeftOut(NamedTuple):
    """A run folder that is excluded from the report, and the reason."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One finished run.

    Args:
        path: folder of the run, relative to the searched folder
        name: name of the experiment
        run_id: identifier of the run within the experiment
        seed: the seed of the run
        fold: the fold of the split; empty if the split has no folds
        choices: Hydra group -> option
        config: resolved config, nested
        emotions: label of each class, in order
        corpus: ``name``, ``digest``, ``utterances`` and ``problems`` of the corpus
        checkpoint: the evaluated checkpoint, ``"best"`` or ``"last"``
        metrics: subset -> metric -> fraction
        confusion: subset -> counts, true classes in rows
        clips: subset -> labels and predictions of its clips
        audit: results of the train/test leakage checks; empty in runs older than these checks
        seconds: stage -> seconds
        study_metric: subset -> metric as computed by the original study, in its percent; empty if not computed
        training_mode: subset -> metric -> fraction, for the training-mode predictions that ``study_metric`` counts;
            only in older runs, whose ``metrics`` are of other predictions
        evaluation_mode: subset -> metric -> fraction, for the same weights in evaluation mode; empty if ``metrics``
            already are in evaluation mode
        counts: subset -> number of utterances
        epochs: number of epochs trained
        history: series name -> value per epoch
        versions: package -> version
        git: ``commit`` and ``dirty``
        test_set: digest of the test utterances and their targets
        parameters: number of trainable parameters; 0 in runs that do not record it
        device: device used for training, such as ``cpu``

    """

    path: str
    name: str
    run_id: str
    seed: int
    fold: str
    choices: dict[str, str]
    config: dict[str, Any]
    emotions: tuple[str, ...]
    corpus: dict[str, Any]
    checkpoint: str
    metrics: dict[str, dict[str, float]]
    confusion: dict[str, Confusion]
    clips: dict[str, Clips]
    audit: dict[str, Any]
    seconds: dict[str, float]
    study_metric: dict[str, float]
    training_mode: dict[str, dict[str, float]]
    evaluation_mode: dict[str, dict[str, float]]
    counts: dict[str, int]
    epochs: int
    history: dict[str, list[float]]
    versions: dict[str, str]
    git: dict[str, Any]
    test_set: str
    parameters: int
    device: str

    @property
    def pair(self) -> Pair:
        """Key that pairs runs of different arms: the seed, or seed and fold if the split has folds."""
        return (self.seed, self.fold) if self.fold else self.seed


def read_runs(folder: str | Path) -> tuple[list[Run], list[LeftOut]]:
    """Read all runs below a folder.

    A run is a folder that holds ``result.json``, ``.hydra/config.yaml`` or ``checkpoints/``; hidden folders and folders
    inside a run are not searched. A run that is unfinished, damaged, of another format, or inconsistent with its own
    ``predictions.csv`` is left out, and the reason is recorded.

    Args:
        folder: a sweep folder, or the folder of one run

    Returns:
        the runs and the run folders left out, each in path order

    Raises:
        InputError: the folder does not exist or holds no finished run

    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Give the sweep folder that holds the runs.")
    runs, left_out = [], []
    for path in _run_folders(folder):
        shown = path.relative_to(folder).as_posix()
        try:
            runs.append(_read_run(path, shown))
        except UnusableError as unusable:
            left_out.append(LeftOut(shown, str(unusable)))
    if not runs:
        found = "; ".join(f"{item.path}: {item.reason}" for item in left_out[:5])
        more = f"; and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        raise InputError(
            f"{folder} holds no finished run to report. "
            + (f"Found {found}{more}." if found else "Found no run folder. Train first, or give another folder.")
        )
    return runs, left_out


def _run_folders(root: Path) -> Iterator[Path]:
    for current, folders, files in os.walk(root):
        path = Path(current)
        is_run = "result.json" in files or "checkpoints" in folders or (path / ".hydra/config.yaml").is_file()
        if is_run:
            yield path
        # A stray checkpoints folder in the sweep folder must not hide its runs, so the root is always searched.
        keep = [] if is_run and path != root else [name for name in folders if not name.startswith(".")]
        folders[:] = sorted(set(keep) - ({"checkpoints"} if is_run else set()))


def _read_run(folder: Path, shown: str) -> Run:
    result = _read_result(folder / "result.json")
    take = _Taker(result)
    if take("format", int) != FORMAT:
        raise UnusableError(f"result.json has format {result['format']}, this ser-report reads {FORMAT}")
    emotions = tuple(take("emotions", list))
    if not all(isinstance(emotion, str) for emotion in emotions) or len(set(emotions)) < len(emotions):
        raise UnusableError("result.json: expected emotions to be distinct names")
    metrics = {subset: values for subset, values in take("metrics", dict).items() if isinstance(values, dict)}
    if "test" not in metrics:
        raise UnusableError("result.json lacks metrics.test")
    clips = read_predictions(folder, emotions)
    confusion = {subset: found.confusion() for subset, found in clips.items()}
    written = take("confusion_matrix", dict)
    for subset in ("val", "test"):
        if subset in metrics:
            _agree(subset, metrics[subset], written.get(subset), confusion.get(subset))
    config = complete(take("config", dict))
    return Run(
        path=shown,
        name=take("name", str),
        run_id=take("run_id", str),
        seed=take("seed", int),
        fold=_fold(config),
        choices=take("choices", dict),
        config=config,
        emotions=emotions,
        corpus=_Taker(take("corpus", dict), "corpus.").all(name=str, digest=str, utterances=int, problems=list),
        checkpoint=take("checkpoint", str),
        metrics=metrics,
        confusion=confusion,
        clips=clips,
        audit=_audit(result),
        seconds=_seconds(result),
        study_metric=result.get("study_metric") or {},
        training_mode=result.get("training_mode_metrics") or {},
        evaluation_mode=result.get("evaluation_mode_metrics") or {},
        counts=take("counts", dict),
        epochs=take("epochs", int),
        history=take("history", dict),
        versions=take("versions", dict),
        git=take("git", dict) if result.get("git") is not None else {},
        test_set=_test_set(clips["test"], emotions),
        parameters=take("parameters", int) if "parameters" in result else 0,
        device=take("device", str) if "device" in result else "cpu",  # older versions trained on the CPU only
    )


def _fold(config: dict[str, Any]) -> str:
    split = config.get("split")
    fold = split.get("fold") if isinstance(split, dict) else None
    return "" if fold is None else str(fold)


def _audit(result: dict[str, Any]) -> dict[str, Any]:
    """Return the validated leak check section of a result; empty in runs older than the leak checks."""
    if not result.get("audit"):
        return {}
    audit: dict[str, Any] = _Taker(result)("audit", dict)
    take = _Taker(audit, "audit.")
    take("summary", str)
    for finding in take("findings", list):
        if not isinstance(finding, dict) or not {"name", "severity", "found", "sentence"} <= finding.keys():
            raise UnusableError("result.json: a finding of its audit is not one of name, severity, found and sentence")
    return audit


def _seconds(result: dict[str, Any]) -> dict[str, float]:
    seconds: dict[str, float] = _Taker(result)("seconds", dict) if result.get("seconds") else {}
    if not all(isinstance(value, int | float) for value in seconds.values()):
        raise UnusableError("result.json: expected numbers of seconds")
    return seconds


def _test_set(clips: Clips, emotions: tuple[str, ...]) -> str:
    lines = (f"{name},{emotions[target]}" for name, target in zip(clips.names, clips.target, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read_result(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnusableError("unfinished: no result.json") from None
    except OSError as error:
        raise UnusableError(f"result.json cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested without end
        raise UnusableError(f"result.json is damaged: {error}") from None
    if not isinstance(result, dict):
        raise UnusableError("result.json is damaged: not an object")
    return result


class _Taker:
    """Get the values of a JSON object by key, with a type check."""

    def __init__(self, values: dict[str, Any], prefix: str = "") -> None:
        self.values, self.prefix = values, prefix

    def __call__(self, key: str, kind: type) -> Any:
        if key not in self.values:
            raise UnusableError(f"result.json lacks {self.prefix}{key}")
        value = self.values[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            got = type(value).__name__
            raise UnusableError(f"result.json: expected {self.prefix}{key} to be {kind.__name__} but got {got}")
        return value

    def all(self, **kinds: type) -> dict[str, Any]:
        return {key: self(key, kind) for key, kind in kinds.items()}


def _agree(subset: str, metrics: dict[str, float], written: Any, confusion: Confusion | None) -> None:
    if confusion is None:
        raise UnusableError(f"predictions.csv has no row of {subset}, but result.json has its metrics")
    for name, metric in RECOMPUTED.items():
        stated, recomputed = metrics.get(name), metric(confusion)
        if not isinstance(stated, float | int):
            raise UnusableError(f"result.json lacks metrics.{subset}.{name}")
        if not abs(stated - recomputed) <= TOLERANCE:  # written this way so that NaN counts as a mismatch
            raise UnusableError(
                f"result.json says {subset} {name} {stated:.4f}, its predictions.csv gives {recomputed:.4f}"
            )
    if written != confusion.tolist():
        raise UnusableError(f"the {subset} confusion matrix of result.json is not that of predictions.csv")
