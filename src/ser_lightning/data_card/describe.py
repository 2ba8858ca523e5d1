"""Description of a corpus: its rows and audio, and warnings about what could ruin a study.

A condition of recording that depends on the emotion lets a network recognize the condition instead of the voice. The
strength of such a dependence is Cramer's V for a category and eta squared for a number. A warning needs a strength of
at least :data:`STRONGEST_V` or :data:`STRONGEST_ETA`, and a p-value below :data:`LARGEST_P`, because many rare
categories have a high Cramer's V by chance.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ser_lightning.corpora.utterance import Problem, Utterance
from ser_lightning.data_card.clip_audio import ClipAudio
from ser_lightning.splits.near_duplicates import Contents

FORMAT = 1
STRONGEST_V = 0.3  # a medium effect for two categories (Cohen, 1988)
STRONGEST_ETA = 0.14  # a large effect (Cohen, 1988)
LARGEST_P = 0.001
CLIPPED = 0.001  # share of the samples at full scale from which a clip counts as clipped
MOSTLY_SILENT = 0.1  # share of voiced frames below which a clip counts as mostly silent
QUANTILES = (0, 5, 25, 50, 75, 95, 100)  # percent
BINS = 20
MEASURES = {  # key -> name
    "seconds": "duration (s)",
    "rms_db": "loudness, RMS (dBFS)",
    "noise_floor_db": "noise floor (dBFS)",
    "rolloff_hz": "bandwidth, 95 % roll-off (Hz)",
}
CATEGORIES = {  # key -> name
    "corpus": "corpus",
    "speaker": "speaker",
    "gender": "gender",
    "statement": "statement",
    "language": "language",
    "folder": "file folder",
    "suffix": "file format",
    "sampling_rate": "sampling rate",
    "channels": "channels",
}


def describe_corpus(
    utterances: Sequence[Utterance],
    problems: Sequence[Problem],
    *,
    name: str,
    emotions: Sequence[str],
    audio: Mapping[str, ClipAudio],
    contents: Contents,
) -> dict[str, Any]:
    """Describe a corpus as values that JSON can represent.

    Args:
        utterances: the usable recordings, at least one
        problems: what was refused or left out
        name: name of the corpus
        emotions: labels, in the order of the tables
        audio: utterance id -> measurements
        contents: identical recordings and near duplicates

    """
    rows = _rows(utterances, audio)
    duplicates, near = _duplicates(utterances, contents)
    card = {
        "format": FORMAT,
        "corpus": name,
        "rows": len(rows),
        "hours": rows.seconds.sum() / 3600,
        "speakers": int(rows.speaker.nunique()),
        "emotions": {emotion: _describe_emotion(rows[rows.emotion == emotion]) for emotion in emotions},
        "by_speaker": _describe_speakers(rows, emotions),
        "quantiles": {key: _quantiles(rows[key]) for key in MEASURES},
        "histogram": _histogram(rows.seconds),
        **{key: _counts(rows[key]) for key in ("sampling_rate", "channels", "suffix")},
        "clipping": {
            "samples": float((rows.clipped * rows.samples).sum() / rows.samples.sum()),
            "clips": rows.id[rows.clipped >= CLIPPED].tolist(),
        },
        "silence": {
            "no_voiced_frame": rows.id[rows.voiced == 0].tolist(),
            "mostly_silent": rows.id[(rows.voiced > 0) & (rows.voiced < MOSTLY_SILENT)].tolist(),
        },
        "duplicates": duplicates,
        "near_duplicates": near,
        "agreement": _describe_agreement(rows, emotions),
        "problems": [[problem.path, problem.reason] for problem in problems],
        "associations": _associations(rows),
    }
    return card | {"warnings": [{"check": check, "text": text} for check, text in _warnings(rows, card)]}


def _rows(utterances: Sequence[Utterance], audio: Mapping[str, ClipAudio]) -> pd.DataFrame:
    """Return a table with one row per utterance: its annotation, its place and its measurements."""
    fields = ("id", "corpus", "emotion", "speaker", "gender", "statement", "language", "agreement")
    rows = pd.DataFrame([{field: getattr(u, field) for field in fields} for u in utterances])
    rows["folder"] = [str(utterance.path.parent) for utterance in utterances]
    rows["suffix"] = [utterance.path.suffix.lower() for utterance in utterances]
    if all(utterance.emotion in utterance.path.parts for utterance in utterances):
        rows["folder"] = None  # the folders are the labels, as in corpus=folders
    measured = pd.DataFrame([audio[utterance.id] for utterance in utterances], columns=ClipAudio._fields)
    measured["samples"] = measured.seconds * measured.sampling_rate * measured.channels
    return pd.concat([rows, measured], axis="columns")


def _describe_emotion(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "hours": rows.seconds.sum() / 3600,
        "speakers": int(rows.speaker.nunique()),
        "genders": _counts(rows.gender),
        "quantiles": {key: _quantiles(rows[key]) for key in MEASURES},
    }


def _describe_speakers(rows: pd.DataFrame, emotions: Sequence[str]) -> dict[str, Any]:
    return {
        str(speaker): {
            "gender": next(iter(clips.gender.dropna()), None),
            "rows": len(clips),
            "emotions": {emotion: int((clips.emotion == emotion).sum()) for emotion in emotions},
        }
        for speaker, clips in rows.groupby("speaker")
    }


def _describe_agreement(rows: pd.DataFrame, emotions: Sequence[str]) -> dict[str, Any] | None:
    rated = rows.dropna(subset=["agreement"])
    if rated.empty:
        return None
    means = rated.groupby("emotion").agreement.mean()
    return {
        "rows": len(rated),
        "mean": float(rated.agreement.mean()),
        "unanimous": float((rated.agreement == 1).mean()),
        "emotions": {emotion: float(means[emotion]) for emotion in emotions if emotion in means},
    }


def _quantiles(values: "pd.Series[float]") -> dict[str, float] | None:
    if values.empty:
        return None
    return {f"p{q}": float(value) for q, value in zip(QUANTILES, np.percentile(values, QUANTILES), strict=True)}


def _histogram(values: "pd.Series[float]") -> dict[str, list[float]]:
    counts, edges = np.histogram(values, bins=BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _counts(values: "pd.Series[Any]") -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}


def _duplicates(
    utterances: Sequence[Utterance], contents: Contents
) -> tuple[list[list[str]], list[tuple[str, str, float]]]:
    """Return the groups of identical recordings, and the pairs of near duplicates with their correlation."""
    ids = defaultdict(list)
    for utterance in utterances:
        if utterance.content in contents.samples:
            ids[contents.samples[utterance.content]].append(utterance.id)
    near = [
        (ids[first][0], ids[second][0], value)
        for first, second, value in contents.near
        if first in ids and second in ids
    ]
    return [group for group in ids.values() if len(group) > 1], near


def _associations(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the strength of the dependence between the emotion and each condition that varies."""
    from scipy import stats  # slow to import

    associations = []
    for key, name in CATEGORIES.items():
        counts = pd.crosstab(rows.emotion, rows[key])  # without rows that lack the value
        if min(counts.shape) > 1:
            value = stats.contingency.association(counts.to_numpy(), method="cramer")
            p = stats.chi2_contingency(counts).pvalue
            associations.append((name, "Cramer's V", value, p, STRONGEST_V))
    for key, name in MEASURES.items():
        groups = [clips.to_numpy() for _, clips in rows.groupby("emotion")[key] if len(clips) > 1]
        values = np.concatenate(groups) if groups else np.empty(0)
        if len(groups) > 1 and np.ptp(values) > 0:
            mean = values.mean()
            between = sum(len(group) * (group.mean() - mean) ** 2 for group in groups)
            eta = between / ((values - mean) ** 2).sum()
            p = stats.f_oneway(*groups).pvalue if any(np.ptp(group) for group in groups) else 0.0
            associations.append((name, "eta squared", eta, p, STRONGEST_ETA))
    return [
        {
            "condition": name,
            "measure": measure,
            "value": float(value),
            "p": float(p),
            "bound": bound,
            "strong": bool(value >= bound and p < LARGEST_P),
        }
        for name, measure, value, p, bound in associations
    ]


def _warnings(rows: pd.DataFrame, card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of each check that found something, and what it found."""
    yield from _speaker_warnings(rows, card)
    if rows.gender.nunique() > 1:
        for emotion, facts in card["emotions"].items():
            if len(facts["genders"]) == 1:
                text = f"All speakers of {emotion} have one gender, {next(iter(facts['genders']))}."
                yield "emotion of one gender", text
    for item in card["associations"]:
        if item["strong"]:
            text = (
                f"The emotion is tied to the {item['condition']}: {item['measure']} {item['value']:.2f}, bound"
                f" {item['bound']:g}. Check whether the recording or the voice is the reason."
            )
            yield "condition tied to the emotion", text
    yield from _duplicate_warnings(rows, card)
    for check, clips, text in (
        ("clipping", card["clipping"]["clips"], f"with at least {CLIPPED:.1%} of their samples at full scale"),
        ("no voiced frame", card["silence"]["no_voiced_frame"], "without any voiced frame"),
        ("mostly silent", card["silence"]["mostly_silent"], f"with less than {MOSTLY_SILENT:.0%} voiced frames"),
    ):
        if clips:
            yield check, f"{_number(len(clips), 'clip')} {text}, such as {clips[0]}."


def _speaker_warnings(rows: pd.DataFrame, card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not card["speakers"]:
        yield "no speakers", "The corpus gives no speakers: leakage over speakers cannot be checked."
    if card["speakers"] > 1:
        for emotion, facts in card["emotions"].items():
            if facts["speakers"] == 1:
                speaker = rows.speaker[rows.emotion == emotion].dropna().iloc[0]
                text = f"Only speaker {speaker} has the emotion {emotion}: no unseen speaker can be tested on it."
                yield "emotion of one speaker", text
        lonely = {
            speaker: next(emotion for emotion, count in facts["emotions"].items() if count)
            for speaker, facts in card["by_speaker"].items()
            if sum(count > 0 for count in facts["emotions"].values()) == 1
        }
        if lonely and len(card["emotions"]) > 1:
            first = ", ".join(f"{speaker} ({emotion})" for speaker, emotion in list(lonely.items())[:3])
            more = f" and {len(lonely) - 3} more" if len(lonely) > 3 else ""
            text = f"{_number(len(lonely), 'speaker')} with one emotion only: {first}{more}. The voice gives it away."
            yield "speaker of one emotion", text


def _duplicate_warnings(rows: pd.DataFrame, card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    emotion_of = dict(zip(rows.id, rows.emotion, strict=True))
    for group in card["duplicates"]:
        if len({emotion_of[id_] for id_ in group}) > 1:
            labels = " and ".join(f"{id_} ({emotion_of[id_]})" for id_ in group[:2])
            yield "identical audio with different emotions", f"Identical audio with different emotions: {labels}."
    for check, items, noun in (
        ("identical audio", card["duplicates"], "group"),
        ("near duplicates", card["near_duplicates"], "pair"),
    ):
        if items:
            text = f"{_number(len(items), noun)} of {check}, such as {' and '.join(items[0][:2])}."
            yield check, f"{text} A random split can separate them."


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def problem_kinds(card: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of problems of each kind, the most frequent first."""
    kinds = (Problem(path=path, reason=reason).kind for path, reason in card["problems"])
    return dict(Counter(kinds).most_common())
