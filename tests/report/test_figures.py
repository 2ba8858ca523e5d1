from pathlib import Path

import numpy as np
import pytest

from ser_lightning.emotions import RAVDESS
from ser_lightning.report.figures import (
    arms_confusion_figure,
    arms_curves_figure,
    confusion_figure,
    curves_figure,
    forest_figure,
    paired_figure,
    save,
)
from ser_lightning.report.statistics import paired_difference

SERIES = ("train/loss", "val/loss", "train/uar", "val/uar")
HISTORY = {name: [0.2, 0.4, 0.6] for name in SERIES}


def test_a_confusion_matrix_shows_counts_and_is_coloured_by_row() -> None:
    matrix = np.diag(np.arange(8))

    axes = confusion_figure(matrix, RAVDESS, "test").axes[0]

    assert [text.get_text() for text in axes.texts] == [str(count) for count in matrix.flat]
    colours = axes.images[0].get_array()
    assert colours[0, 0] == 0  # a class without utterances has no share
    assert colours[3, 3] == colours[7, 7] == 100
    assert axes.images[0].get_clim() == (0, 100)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(RAVDESS)


@pytest.mark.parametrize("arms", [1, 2, 4])
def test_arms_share_one_colour_scale(arms: int) -> None:
    figure = arms_confusion_figure({f"a{n}": np.eye(8, dtype=int) * (n + 1) for n in range(arms)}, RAVDESS, "test")

    panels = [axes for axes in figure.axes if axes.images and axes.get_title()]
    assert [axes.get_title() for axes in panels] == [f"a{n}" for n in range(arms)]
    assert {axes.images[0].get_clim() for axes in panels} == {(0, 100)}


def test_curves_of_a_run() -> None:
    figure = curves_figure(HISTORY, "run")

    loss, uar = figure.axes
    assert [line.get_ydata()[-1] for line in loss.lines] == [0.6, 0.6]
    assert [line.get_ydata()[-1] for line in uar.lines] == [60, 60]
    assert {line.get_linestyle() for line in uar.lines} == {"-", "--"}


def test_arms_curves_draw_the_mean_in_a_band_over_common_epochs() -> None:
    higher = {name: [0.4, 0.6, 0.8, 0.9] for name in SERIES}

    figure = arms_curves_figure({"none": [HISTORY, higher], "p25": [{}]}, "arms")

    uar = figure.axes[1]
    assert uar.lines[0].get_ydata() == pytest.approx([30, 50, 70])
    assert len(uar.collections) == 2  # training and validation of the arm with two runs
    assert uar.collections[0].get_paths()[0].vertices[:, 1].max() == 80
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:2] == ["none (2 runs)", "p25 (1 run)"]
    assert "lowest to highest" in legend[-1]


def test_a_diverged_loss_can_be_drawn(tmp_path: Path) -> None:
    broken = HISTORY | {"val/loss": [1.0, float("nan"), None]}

    save(arms_curves_figure({"none": [broken, HISTORY]}, "arms"), tmp_path / "curves.png")


def test_seeds_are_joined_and_their_names_do_not_overlap() -> None:
    figure = paired_figure({"none": {0: 60.0, 1: 61.0, 2: 70.0}, "p25": {0: 62.0, 1: 62.0}}, "accuracy", "title")

    axes = figure.axes[0]
    assert [len(line.get_xdata()) for line in axes.lines] == [2, 2, 1]
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    low, high = axes.get_ylim()
    assert heights["seed 1"] - heights["seed 0"] >= 0.04 * (high - low)


def test_a_figure_is_saved_as_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(curves_figure(HISTORY, "run"), tmp_path / "new" / name)

    one, two = ((tmp_path / "new" / name).read_bytes() for name in ("one", "two"))
    assert one.startswith(b"\x89PNG")
    assert one == two


def test_a_forest_has_a_dot_and_an_interval_for_each_difference() -> None:
    wide = paired_difference({0: 4.0, 1: 1.0}, {0: 1.0, 1: 2.0})  # 3 and -1: mean 1
    alone = paired_difference({0: 4.0}, {0: 1.0})
    none = paired_difference({0: 4.0}, {1: 1.0})
    panels = {"one": {"a": {"accuracy": wide, "UAR": alone}, "b": {"accuracy": none}}, "two": {"c": {"UAR": wide}}}

    figure = forest_figure(panels, "points")

    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "b", "c"]
    intervals = [drawn for drawn in left.collections if hasattr(drawn, "get_segments")]
    dots = [drawn for drawn in left.collections if drawn not in intervals]
    assert [dot.get_offsets().tolist() for dot in dots] == [
        [[1.0, pytest.approx(-0.12)]],
        [[3.0, pytest.approx(0.12)]],
    ]
    (interval,) = intervals
    assert interval.get_segments()[0][:, 0].tolist() == pytest.approx(wide.interval)
    assert [axes.get_title() for axes in (left, right)] == ["one", "two"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["accuracy", "UAR"]
