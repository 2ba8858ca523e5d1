"""Draw the picture of the README from the published results: ``make pictures``."""

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure

from ser_lightning.report.drawing import COLORS, GRID, SOFT, new_figure, open_axes

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "protocols.json"
CHANCE = 12.5  # percent, eight emotions
PROTOCOLS = {  # protocol -> what is new in its test set
    "kfold": "nothing: ten random folds",
    "random": "nothing: 60/15/25 at random",
    "take": "the utterance",
    "speaker": "the speaker",
    "speaker_statement": "the speaker and the sentence",
}


def mean_uar(protocol: str) -> float:
    """Return the published UAR of a protocol in percent, the mean over its seeds."""
    values = json.loads(RESULTS.read_text(encoding="utf-8"))["scores"][protocol]["values"].values()
    return float(sum(seed["uar"] for seed in values) / len(values))


def protocols_figure() -> Figure:
    """Draw the UAR of one configuration under several protocols; those with a leak have another color."""
    figure = new_figure(7.2, 2.7)
    axes = figure.add_subplot()
    leaky = ("kfold", "random")
    for place, name in enumerate(PROTOCOLS):
        value = mean_uar(name)
        axes.barh(place, value, color=COLORS[1] if name in leaky else COLORS[0], height=0.68)
        axes.annotate(f"{value:.1f}", (value, place), (4, 0), textcoords="offset points", va="center")
        note = "other take of test clips in training" if name in leaky else ""
        axes.annotate(note, (CHANCE + 1, place), va="center", color="white", fontsize=9)
    axes.set_yticks(range(len(PROTOCOLS)), list(PROTOCOLS.values()))
    axes.invert_yaxis()
    axes.set_xlim(0, 80)
    axes.axvline(CHANCE, color=SOFT, linestyle=":", linewidth=1)
    axes.set_xlabel("UAR on RAVDESS, %; the same network and training (dotted: chance)")
    axes.set_title("What is new in the test set?", loc="left", fontsize=11)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    open_axes(axes)
    return figure


if __name__ == "__main__":
    protocols_figure().savefig(Path(sys.argv[1]) / "protocols.png", dpi=110, metadata={"Software": None})
