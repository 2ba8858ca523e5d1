"""Evaluate a finished run on its test recordings under conditions such as noise, codecs and rooms."""

import copy
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ser_lightning.assemble import assemble_data, assemble_evaluation
from ser_lightning.atomic import write_atomically
from ser_lightning.audio.audio import Audio
from ser_lightning.build import build
from ser_lightning.checkpoint import read_checkpoint, rebuild_model
from ser_lightning.config_files import read_file
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.data.feature_cache import corpus_digest
from ser_lightning.data.speaker_normalization import ONLINE
from ser_lightning.errors import InputError, suggestion
from ser_lightning.evaluation import Evaluation, Predictions, check_batches, predict_subset
from ser_lightning.metrics import Counts
from ser_lightning.progress import show_progress
from ser_lightning.report.bootstrap import speaker_interval
from ser_lightning.report.robustness import FORMAT, NAME
from ser_lightning.results import versions
from ser_lightning.robustness.condition import Condition
from ser_lightning.robustness.degraded_audio import DegradedAudio, other_speakers
from ser_lightning.robustness.noise import Babble
from ser_lightning.run_card import write_model_card

IDENTITY = ("format", "identity", "corpus", "robustness_seed")  # keys that are equal in results that belong together


class Plan(NamedTuple):
    """The conditions to measure.

    Args:
        seed: seed of the random numbers of all conditions
        conditions: name -> condition
        values: name -> values of the condition without its levels, as in the config

    """

    seed: int
    conditions: dict[str, Condition]
    values: dict[str, dict[str, Any]]


def default_section() -> dict[str, Any]:
    """Return the content of ``conf/robustness.yaml``."""
    return copy.deepcopy(read_file("robustness"))


def make_plan(section: Mapping[str, Any], *, only: Sequence[str], trust: Sequence[str]) -> Plan:
    """Build the conditions of a config.

    Args:
        section: content of ``conf/robustness.yaml``, in which values may be changed
        only: names of conditions to measure; empty for all
        trust: packages of the user, whose classes may be named

    Raises:
        InputError: a condition is unknown or rejects a value

    """
    configs = section["conditions"]
    for name in only:
        if name not in configs:
            raise InputError(
                f"--condition {name}: no such condition; expected {', '.join(configs)}{suggestion(name, configs)}"
            )
    if type(section["seed"]) is not int:
        raise InputError(f"robustness.seed is {section['seed']!r}; expected a whole number")
    chosen = {name: config for name, config in configs.items() if not only or name in only}
    conditions = {name: build(f"robustness.conditions.{name}", config, trust=trust) for name, config in chosen.items()}
    values = {name: {key: value for key, value in chosen[name].items() if key != "levels"} for name in chosen}
    return Plan(section["seed"], conditions, values)


def measure_robustness(
    config: Mapping[str, Any],
    *,
    folder: Path,
    path: Path,
    result: Mapping[str, Any],
    plan: Plan,
    again: bool,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Evaluate a run at every level of every condition, and write ``robustness.json`` and the model card.

    The file is written after every level. Levels of the same run, checkpoint and condition that it already has are
    not computed again.

    Args:
        config: config of the run
        folder: folder of the run
        path: its checkpoint
        result: content of ``result.json``
        plan: the conditions
        again: compute all levels, also those that the file has
        report: receives one line per level

    Returns:
        the content of the file

    Raises:
        InputError: the run has no test clips, or a condition cannot be measured

    """
    tester = _Tester(config, path)
    former = {} if again else _read(folder / NAME)
    content = tester.without_condition(result, seed=plan.seed)
    if all(former.get(key) == content[key] for key in IDENTITY):
        content["conditions"] = former["conditions"]
    report(f"without a condition: UAR {100 * content['clean']['uar']:.1f} %")
    for name, condition in plan.conditions.items():
        if missing := condition.missing or tester.missing(condition):
            report(f"{name}: left out, {missing}")
            continue
        _measure_condition(content, name, condition, tester=tester, plan=plan, file=folder / NAME, report=report)
    _write(folder / NAME, content)
    write_model_card(folder, result, tester.corpus)
    return content


def _measure_condition(
    content: dict[str, Any],
    name: str,
    condition: Condition,
    *,
    tester: "_Tester",
    plan: Plan,
    file: Path,
    report: Callable[[str], None],
) -> None:
    """Add the levels of a condition to the content of the file, and write it after each."""
    former = content["conditions"].get(name, {})
    same = former.get("values") == plan.values[name]
    known = {entry["level"]: entry for entry in former.get("levels", [])} if same else {}
    section: dict[str, Any] = {"unit": condition.unit, "values": plan.values[name], "levels": []}
    content["conditions"][name] = section
    for level in condition.levels:
        if level not in known:
            audio = DegradedAudio.from_audio(
                tester.audio,
                condition,
                name=name,
                level=level,
                seed=plan.seed,
                tested=tester.tested,
                corpus=tester.corpus,
            )
            counts = tester.counts(tester.evaluate(audio))
            known[level] = {"level": level, **_entry(counts, np.array(content["speaker_clips"], float))}
        section["levels"].append(known[level])
        _write(file, content)
        report(f"{name} {level:g} {condition.unit}: UAR {100 * known[level]['uar']:.1f} %")


def _entry(counts: Counts, clips: Counts) -> dict[str, Any]:
    """Return the metrics of correct and all clips (speakers, 2, C), of which there must be ``clips`` (speakers, C)."""
    if not np.array_equal(counts[:, 1], clips):
        raise InputError("a condition left test clips without features; leave it out by --condition")
    total = counts.sum(0)
    recalls = total[0][total[1] > 0] / total[1][total[1] > 0]
    interval = speaker_interval(counts)
    return {
        "uar": float(recalls.mean()),
        "accuracy": float(total[0].sum() / total[1].sum()),
        "interval": None if interval is None else [edge / 100 for edge in interval],
        "correct": counts[:, 0].astype(int).tolist(),
    }


class _Tester:
    """Evaluates a run on its test clips, loaded in different ways.

    Args:
        config: config of the run
        path: its checkpoint

    Raises:
        InputError: the corpus does not fit the config, the run has no test clips, or it normalizes online

    """

    def __init__(self, config: Mapping[str, Any], path: Path) -> None:
        if config["data"]["normalize"] == ONLINE:
            raise InputError(
                f"{path} was trained with data.normalize={ONLINE}, whose statistics start from training clips;"
                " --robustness evaluates other runs only"
            )
        self.evaluation: Evaluation = assemble_evaluation(config)
        self.data: SpeechDataModule = assemble_data(config, progress=show_progress("features"))
        preparation = self.data.preparation
        preparation.scan()
        preparation.require(["test"])
        check_batches(self.data, evaluation=self.evaluation)
        if not isinstance(preparation.audio, Audio):
            raise InputError(f"{path}: --robustness needs ser_lightning.audio.audio.Audio; the run has its own audio")
        self.audio, self.corpus = preparation.audio, preparation.utterances
        self.emotions = preparation.corpus.emotions
        ids = {id_ for id_, _ in preparation.members["test"]}
        self.tested: list[Utterance] = [utterance for utterance in self.corpus if utterance.id in ids]
        self.speakers = sorted({utterance.speaker or "" for utterance in self.tested})
        checkpoint = read_checkpoint(path, trust=config["trust"])
        self.model = rebuild_model(replace(checkpoint, config=dict(config)), path=path)
        self.keys: Sequence[tuple[str, str]] = preparation.members["test"]

    def missing(self, condition: Condition) -> str:
        """Return why the corpus does not allow a condition, or an empty text."""
        if isinstance(condition, Babble) and not all(other_speakers(u, self.corpus) for u in self.tested):
            return "the corpus names no other speakers"
        return ""

    def evaluate(self, audio: Audio) -> Predictions:
        """Return the predictions on the test clips as ``audio`` loads them."""
        data = copy.copy(self.data)
        data.preparation = preparation = copy.copy(self.data.preparation)
        data.datasets, preparation.audio = {}, audio
        preparation.members = {"train": [], "val": [], "test": self.keys}
        with tempfile.TemporaryDirectory(prefix="ser-robustness-", ignore_cleanup_errors=True) as temporary:
            if audio is not self.audio:  # the features of the run itself may be in its feature cache
                preparation.cache_folder = Path(temporary)
            preparation.prepare()
            data.setup()
            predictions = predict_subset(
                self.model, data, "test", evaluation=self.evaluation, device=torch.device("cpu")
            )
        self.keys = preparation.members["test"]  # without clips that cannot be read
        return predictions

    def without_condition(self, result: Mapping[str, Any], *, seed: int) -> dict[str, Any]:
        """Return the content of ``robustness.json`` without conditions.

        Args:
            result: content of ``result.json``
            seed: seed of the conditions

        """
        clean = self.evaluate(self.audio)
        counts = self.counts(clean)
        return {
            "format": FORMAT,
            "identity": {key: result[key] for key in ("name", "run_id", "seed", "digest", "checkpoint")},
            "corpus": {"name": result["corpus"]["name"], "digest": corpus_digest(self.corpus)},
            "robustness_seed": seed,
            "equal": clean.confusion.tolist() == result["confusion_matrix"]["test"],
            "emotions": list(self.emotions),
            "clips": len(clean.target),
            "speakers": self.speakers,
            "speaker_clips": counts[:, 1].astype(int).tolist(),
            "clean": _entry(counts, counts[:, 1]),
            "conditions": {},
            "versions": versions(),
        }

    def counts(self, predictions: Predictions) -> Counts:
        """Return the correct and all test clips of each speaker and emotion, (speakers, 2, C)."""
        speaker_of = {utterance.id: self.speakers.index(utterance.speaker or "") for utterance in self.tested}
        speakers = np.array([speaker_of[id_] for id_, _ in self.keys])
        counts = np.zeros((len(self.speakers), 2, len(self.emotions)))
        correct, every = np.zeros_like(speakers), np.ones_like(speakers)
        np.add.at(counts, (speakers, correct, predictions.target), predictions.target == predictions.prediction)
        np.add.at(counts, (speakers, every, predictions.target), 1)
        return counts


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        content["conditions"].items()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error!r}); remove it, or give --again") from error
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with write_atomically(path) as file:
        json.dump(content, file, separators=(",", ":"), allow_nan=False)
        file.write("\n")
