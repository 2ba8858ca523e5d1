"""Draw the pictures of the documentation: ``make pictures``.

That of the README is made from published results, the timeline from a recording of synthetic speech.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from matplotlib.figure import Figure

import ser_lightning as ser
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


def draw_timeline(path: Path) -> None:
    """Draw the timeline of six synthetic utterances with pauses, predicted by the model of the package."""
    with tempfile.TemporaryDirectory() as folder:
        utterances = ser.load_corpus("synthetic_small", root=folder)[::10]
        clips = [soundfile.read(utterance.path) for utterance in utterances]
        rate = clips[0][1]
        recording = Path(folder, "synthetic.wav")
        soundfile.write(recording, np.concatenate([part for clip, _ in clips for part in (clip, np.zeros(rate))]), rate)
        words = ["ser-predict", str(recording), "--output", f"{folder}/rows.csv", "--timeline", str(path)]
        subprocess.run(words, check=True)  # noqa: S603 - the words are ours


if __name__ == "__main__":
    output = Path(sys.argv[1])
    protocols_figure().savefig(output / "protocols.png", dpi=110, metadata={"Software": None})
    draw_timeline(output / "timeline.png")
