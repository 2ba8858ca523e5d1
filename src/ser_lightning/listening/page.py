"""Write the page of errors with players, which needs no other file."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ser_lightning.atomic import write_atomically
from ser_lightning.audio.reader import read_audio
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.listening.clip_errors import (
    ClipError,
    choose_clips,
    clip_errors,
    confusions,
    has_probabilities,
    read_clips,
)
from ser_lightning.listening.recordings import listener_rates, recording_folders, recordings_by_id
from ser_lightning.predict.splitting import open_waveform
from ser_lightning.predict.timeline_page import encode_audio
from ser_lightning.report.parts import LISTENERS
from ser_lightning.report.render import html_template, make_page
from ser_lightning.report.report import Report

NAME = "report_with_audio.html"  # listed in .gitignore
COMMITTED = ("docs", "results")


def check_not_committed(folder: Path) -> None:
    """Raise InputError if a folder lies in ``docs/results``, whose files are committed.

    Args:
        folder: folder for the page

    """
    parts = folder.resolve().parts
    if any(parts[at : at + len(COMMITTED)] == COMMITTED for at in range(len(parts))):
        raise InputError(
            f"{folder} is in docs/results, whose files are committed, and recordings must not be. "
            "Give another folder: --output <folder>."
        )


def check_recordings(folder: Path) -> None:
    """Raise InputError if the corpus of the first run of a sweep is published and its folder is missing.

    Args:
        folder: the sweep folder

    """
    for path in sorted(folder.rglob("result.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            name, config = str(result["corpus"]["name"]), dict(result["config"]["corpus"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # the report names a damaged run
        recording_folders(name, config)
        return


def write_errors_page(report: Report, folder: Path, *, most: int) -> Path:
    """Write the errors of the baseline arm as a page with players; return its path.

    Args:
        report: the report
        folder: folder for the page
        most: largest number of clips on the page

    Raises:
        InputError: the recordings are not there, the folder is in ``docs/results``, or ``most`` is below 1

    """
    check_not_committed(folder)
    if most < 1:
        raise InputError(f"--clips is {most}; expected at least 1")
    comparison = report.comparison
    run = comparison.runs_of(comparison.baseline).iloc[0]
    folders = recording_folders(run.corpus["name"], run.config["corpus"])
    recordings = recordings_by_id(folders, run.config["corpus"])
    clips = read_clips(comparison, comparison.baseline, report.folder)
    text = render_errors(
        clips,
        recordings,
        rates=listener_rates(recordings, folders),
        title=f"Errors of {run['name']}: {comparison.arm} = {comparison.baseline}",
        most=most,
    )
    with write_atomically(folder / NAME) as file:
        file.write(text)
    return folder / NAME


def render_errors(
    clips: pd.DataFrame,
    recordings: Mapping[str, Utterance],
    *,
    rates: Mapping[str, float],
    title: str,
    most: int,
) -> str:
    """Return the page of the errors of some clips.

    Args:
        clips: predictions of test clips, see :func:`ser_lightning.listening.clip_errors.read_clips`
        recordings: id -> recording
        rates: id -> percent of listeners who recognized the emotion, where known
        title: title of the page
        most: largest number of clips on the page

    Raises:
        InputError: a recording cannot be read

    """
    errors = [error for error in clip_errors(clips) if error.id in recordings]
    counts = confusions(clips)
    chosen = choose_clips(errors, counts, most=most)
    body = html_template("ser_lightning.listening", "errors.html.j2").render(
        title=title,
        clips=clips,
        names=sorted(clips.utterance.unique()),
        probabilities=has_probabilities(clips),
        missing=clips.utterance.nunique() - sum(name in recordings for name in clips.utterance.unique()),
        pairs=_pairs(clips, counts, errors, rates),
        speakers=_speakers(clips, rates),
        chosen=chosen,
        number=sum(map(len, chosen.values())),
        recordings=recordings,
        rates=rates,
        listeners=_compared(clips, rates),
        source=LISTENERS["intensity_source"] if any(u.corpus == "ravdess" for u in recordings.values()) else "",
        audio=lambda error: _audio(recordings[error.id]),
    )
    return make_page(Markup(body), title=title)  # noqa: S704 - the template escapes its values


def _pairs(
    clips: pd.DataFrame, counts: Mapping[tuple[str, str], int], errors: Sequence[ClipError], rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    total = clips.target.value_counts()
    return [
        {
            "target": target,
            "predicted": predicted,
            "errors": count,
            "share": 100 * count / total[target],
            "listeners": _mean([rates[e.id] for e in errors if e.pair == (target, predicted) and e.id in rates]),
        }
        for (target, predicted), count in counts.items()
    ]


def _speakers(clips: pd.DataFrame, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    rows = []
    for name, speaker_clips in clips.groupby("speaker"):
        wrong = Counter(zip(speaker_clips.target, speaker_clips.prediction, strict=True))
        (target, predicted), count = max(
            ((pair, count) for pair, count in wrong.items() if pair[0] != pair[1]),
            key=lambda item: item[1],
            default=(("", ""), 0),
        )
        rows.append(
            {
                "name": name,
                "gender": speaker_clips.gender.iloc[0],
                "accuracy": 100 * float((speaker_clips.target == speaker_clips.prediction).mean()),
                "confusion": f"{target} as {predicted} ({count})" if count else "-",
                "listeners": _mean([rates[clip] for clip in speaker_clips.utterance.unique() if clip in rates]),
            }
        )
    return sorted(rows, key=lambda row: row["accuracy"])


def _compared(clips: pd.DataFrame, rates: Mapping[str, float]) -> dict[str, float | None]:
    """Return the mean rate of listeners on clips that all runs answer right, and on the others."""
    right = (clips.prediction == clips.target).groupby(clips.utterance).all()
    return {
        "right": _mean([rates[name] for name in right.index[right] if name in rates]),
        "wrong": _mean([rates[name] for name in right.index[~right] if name in rates]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _audio(utterance: Utterance) -> str:
    wave, rate = read_audio(utterance.path, **utterance.segment)
    return encode_audio(lambda: open_waveform(wave.mean(axis=1, keepdims=True), rate))
