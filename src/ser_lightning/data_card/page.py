"""Data card as terminal text, and as a page with figures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ser_lightning.atomic import write_atomically
from ser_lightning.data_card import describe
from ser_lightning.report.drawing import COLORS, GRID, SMALL, SOFT, WIDTH, label_positions, new_figure, open_axes
from ser_lightning.report.render import Panel, render_markdown, render_page
from ser_lightning.report.tables import NOTHING

MOST_SPEAKERS = 60  # in the figure and the table; more are in the JSON file only
LISTED = 12  # warnings on the terminal


def write_card(card: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write a data card as ``data_card.json`` and as ``data_card.html``, and return the paths.

    Args:
        card: result of :func:`~ser_lightning.data_card.describe.describe_corpus`
        folder: target folder; created if it does not exist

    """
    title = f"Data card of {card['corpus']}"
    panels = _panels(card)
    context = {
        "card": card,
        "emotions": _emotions_table(card),
        "speakers": _speakers_table(card),
        "measures": _measures_table(card),
        "associations": _associations_table(card),
        "agreement": _agreement_table(card),
        "kinds": pd.DataFrame([{"reason": kind, "count": str(n)} for kind, n in describe.problem_kinds(card).items()]),
        "facts": dict(facts(card)),
        "bounds": describe,
    }
    text = render_markdown("data_card.md.j2", panels, title=title, **context)
    texts = {
        "data_card.json": json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "data_card.html": render_page(text, panels, title=title),
    }
    for name, content in texts.items():
        with write_atomically(folder / name) as file:
            file.write(content)
    return [folder / name for name in texts]


def facts(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each fact that fits in one line."""
    rows, quantiles = card["rows"], card["quantiles"]
    speakers = f", {card['speakers']} speakers" if card["speakers"] else ", speakers not given"
    yield "size", f"{rows} clips, {card['hours']:.2f} h{speakers}, {len(card['emotions'])} emotions"
    yield (
        "emotions",
        ", ".join(_emotion_text(emotion, emotion_facts) for emotion, emotion_facts in card["emotions"].items()),
    )
    for key, name in describe.MEASURES.items():
        low, middle, high = (_short(quantiles[key][q]) for q in ("p5", "p50", "p95"))
        yield name, f"median {middle}, 5 % to 95 %: {low} to {high}"
    for key, name in (("sampling_rate", "sampling rates (Hz)"), ("channels", "channels"), ("suffix", "file formats")):
        yield name, ", ".join(f"{value} ({count})" for value, count in card[key].items())
    clipping, silence = card["clipping"], card["silence"]
    yield "clipping", f"{len(clipping['clips'])} clips; {100 * clipping['samples']:.4f} % of all samples at full scale"
    yield "silence", f"{len(silence['no_voiced_frame'])} clips unvoiced, {len(silence['mostly_silent'])} mostly silent"
    pairs = len(card["near_duplicates"])
    yield "duplicates", f"groups of identical audio: {len(card['duplicates'])}; pairs of near duplicates: {pairs}"
    if card["agreement"] is not None:
        mean, unanimous = (100 * card["agreement"][key] for key in ("mean", "unanimous"))
        yield "label agreement", f"{mean:.1f} % of the raters chose the label; {unanimous:.1f} % of clips unanimous"
    kinds = describe.problem_kinds(card)
    yield "left out", ", ".join(f"{reason} ({count})" for reason, count in kinds.items()) or "nothing"


def warning_lines(card: Mapping[str, Any]) -> list[str]:
    """Return the warnings for a terminal; the last line counts those that do not fit."""
    texts = [item["text"] for item in card["warnings"]]
    more = len(texts) - LISTED
    return texts[:LISTED] + ([f"{more} more warnings are on the page."] if more > 0 else [])


def _emotion_text(emotion: str, emotion_card: Mapping[str, Any]) -> str:
    genders = ", ".join(f"{count} {gender}" for gender, count in emotion_card["genders"].items())
    return f"{emotion} {emotion_card['rows']}" + (f" ({genders})" if genders else "")


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _emotions_table(card: Mapping[str, Any]) -> pd.DataFrame:
    genders = sorted({gender for emotion_facts in card["emotions"].values() for gender in emotion_facts["genders"]})
    return pd.DataFrame(
        [
            {"emotion": emotion, "clips": str(emotion_facts["rows"]), "hours": f"{emotion_facts['hours']:.2f}"}
            | ({"speakers": str(emotion_facts["speakers"])} if card["speakers"] else {})
            | {gender: str(emotion_facts["genders"].get(gender, 0)) for gender in genders}
            for emotion, emotion_facts in card["emotions"].items()
        ]
    )


def _speakers_table(card: Mapping[str, Any]) -> pd.DataFrame | None:
    if not 0 < card["speakers"] <= MOST_SPEAKERS:
        return None
    return pd.DataFrame(
        [
            {"speaker": speaker, "gender": speaker_facts["gender"] or NOTHING}
            | {emotion: str(count) for emotion, count in speaker_facts["emotions"].items()}
            for speaker, speaker_facts in card["by_speaker"].items()
        ]
    )


def _measures_table(card: Mapping[str, Any]) -> pd.DataFrame:
    names = {"p0": "least", "p5": "5 %", "p25": "25 %", "p50": "median", "p75": "75 %", "p95": "95 %", "p100": "most"}
    return pd.DataFrame(
        [
            {"of a clip": name} | {title: _short(card["quantiles"][key][q]) for q, title in names.items()}
            for key, name in describe.MEASURES.items()
        ]
    )


def _associations_table(card: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "condition": item["condition"],
                "measure": item["measure"],
                "strength": f"{item['value']:.2f}",
                "bound": f"{item['bound']:g}",
                "p": f"{item['p']:.3f}" if item["p"] >= 0.001 else "< 0.001",
                "": "warning" if item["strong"] else NOTHING,
            }
            for item in card["associations"]
        ]
    )


def _agreement_table(card: Mapping[str, Any]) -> pd.DataFrame | None:
    if card["agreement"] is None:
        return None
    means = card["agreement"]["emotions"]
    return pd.DataFrame(
        [{"emotion": name, "raters who agree (%)": f"{100 * mean:.1f}"} for name, mean in means.items()]
    )


def _panels(card: Mapping[str, Any]) -> dict[str, Panel]:
    panels = {"durations": Panel("Durations", _histogram_figure(card["histogram"]))}
    if 0 < card["speakers"] <= MOST_SPEAKERS:
        panels["speakers"] = Panel("Clips by speaker and emotion", _speakers_figure(card))
    for key, name in describe.MEASURES.items():
        ranges = {
            e: emotion_facts["quantiles"][key] for e, emotion_facts in card["emotions"].items() if emotion_facts["rows"]
        }
        panels[key] = Panel(f"By emotion: {name}", _ranges_figure(ranges, name))
    return panels


def _histogram_figure(histogram: Mapping[str, Sequence[float]]) -> Figure:
    figure = new_figure(WIDTH, 3.0)
    axes = figure.subplots()
    edges = np.array(histogram["edges"])
    axes.bar(edges[:-1], histogram["counts"], width=0.92 * np.diff(edges), align="edge", color=COLORS[0])
    axes.set_xlabel("duration (s)")
    axes.set_ylabel("clips")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=GRID)
    open_axes(axes)
    return figure


def _speakers_figure(card: Mapping[str, Any]) -> Figure:
    """Draw one dot per speaker and emotion whose area is the number of clips."""
    speakers, emotions = list(card["by_speaker"]), list(card["emotions"])
    counts = np.array([[card["by_speaker"][s]["emotions"][e] for e in emotions] for s in speakers])
    figure = new_figure(WIDTH, 1.4 + 0.24 * len(speakers))
    axes = figure.subplots()
    y, x = np.nonzero(counts)
    axes.scatter(x, y, s=150 * counts[y, x] / counts.max(), color=COLORS[0], linewidth=0)
    label_positions(axes, emotions, rotated=True)
    axes.set_yticks(range(len(speakers)), speakers, fontsize=SMALL)
    axes.set_xlim(-0.6, len(emotions) - 0.4)
    axes.set_ylim(len(speakers) - 0.4, -0.6)
    axes.set_ylabel("speaker")
    axes.grid(color=GRID)
    open_axes(axes)
    return figure


def _ranges_figure(ranges: Mapping[str, Mapping[str, float]], label: str) -> Figure:
    """Draw the median (dot), the middle half (thick) and the range of 5 % to 95 % (thin) of each emotion."""
    figure = new_figure(WIDTH, 1.2 + 0.3 * len(ranges))
    axes = figure.subplots()
    for row, quantiles in enumerate(ranges.values()):
        axes.hlines(row, quantiles["p5"], quantiles["p95"], color=SOFT, linewidth=1)
        axes.hlines(row, quantiles["p25"], quantiles["p75"], color=COLORS[0], linewidth=6)
        axes.scatter([quantiles["p50"]], [row], color=COLORS[1], s=30, zorder=3)
    axes.set_yticks(range(len(ranges)), list(ranges))
    axes.set_ylim(len(ranges) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.grid(axis="x", color=GRID)
    open_axes(axes)
    return figure
