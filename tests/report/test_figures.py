import math
import re
from importlib.resources import files
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from ser_lightning.labels import RAVDESS
from ser_lightning.report.drawing import COLORS, arm_color, arm_marker
from ser_lightning.report.figures import confusion_figure, curves_figure, forest_figure, save, svg
from ser_lightning.report.panel_figures import (
    draw_accuracies,
    draw_confusion,
    draw_confusion_difference,
    draw_curves,
    draw_pairs,
)
from ser_lightning.report.statistics import paired_difference

SERIES = ("train/loss", "val/loss", "train/uar", "val/uar")
HISTORY = {name: [0.2, 0.4, 0.6] for name in SERIES}


def test_confusion_figure_shows_counts_colored_by_row_percent() -> None:
    matrix = np.diag(np.arange(8))

    axes = confusion_figure(matrix, RAVDESS, "test").axes[0]

    assert [text.get_text() for text in axes.texts] == [str(count) for count in matrix.flat]
    colors = axes.images[0].get_array()
    assert colors[0, 0] == 0  # a class without utterances is drawn as zero
    assert colors[3, 3] == colors[7, 7] == 100
    assert axes.images[0].get_clim() == (0, 100)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(RAVDESS)


def test_curves_figure_plots_loss_and_uar() -> None:
    figure = curves_figure(HISTORY, "run")

    loss, uar = figure.axes
    assert [line.get_ydata()[-1] for line in loss.lines] == [0.6, 0.6]
    assert [line.get_ydata()[-1] for line in uar.lines] == [60, 60]
    assert {line.get_linestyle() for line in uar.lines} == {"-", "--"}


def test_saved_figure_is_deterministic(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(curves_figure(HISTORY, "run"), tmp_path / "new" / name)

    one, two = ((tmp_path / "new" / name).read_bytes() for name in ("one", "two"))
    assert one.startswith(b"\x89PNG")
    assert one == two


def test_forest_figure_draws_each_difference_and_interval() -> None:
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


def test_svg_uses_page_color_and_unique_ids() -> None:
    one, two = (svg(curves_figure(HISTORY, "a <b>"), name=name, title='a "<b>"') for name in ("one", "two"))

    assert one == svg(curves_figure(HISTORY, "a <b>"), name="one", title='a "<b>"')
    assert one.startswith('<svg role="img" aria-label="a &quot;&lt;b&gt;&quot;"')
    ids = [set(re.findall(r'\bid="([^"]*)"', text)) for text in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    used = set(re.findall(r'(?:url\(#|href="#)([^")]*)', one))
    assert used
    assert used <= ids[0]
    assert "var(--ink)" in one
    assert "#000000" not in one
    assert " width=" not in one.partition(">")[0]  # the width follows the page
    ElementTree.fromstring(one)  # noqa: S314 - our own


# Linear RGB as seen by people without one kind of cone: Machado, Oliveira & Fernandes 2009, severity 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def linear_rgb(color: str) -> np.ndarray:
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Convert linear RGB to Oklab (Ottosson 2020), in which distances match perceived differences."""
    cones = [
        [0.41222147, 0.53633254, 0.05144599],
        [0.2119035, 0.68069955, 0.10739696],
        [0.08830246, 0.28171884, 0.6299787],
    ]
    axes = [
        [0.21045426, 0.79361779, -0.00407205],
        [1.9779985, -2.42859221, 0.45059371],
        [0.0259040, 0.78277177, -0.80867577],
    ]
    return np.array(axes) @ np.cbrt(np.clip(np.array(cones) @ rgb, 0, None))


def luminance(color: str) -> float:
    return float(linear_rgb(color) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("vision", VISION)
def test_eight_arms_have_eight_colors_that_color_blind_readers_can_distinguish(vision: str) -> None:
    seen = [oklab(np.clip(VISION[vision] @ linear_rgb(arm_color(arm)), 0, 1)) for arm in range(8)]

    distances = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in combinations(range(8), 2)}
    assert min(distances.values()) > 0.07  # a just noticeable difference is about 0.02


def test_colors_stand_out_from_the_light_and_the_dark_page() -> None:
    page = (files("ser_lightning.report") / "templates/page.html.j2").read_text()

    papers = re.findall(r"--paper: (#[0-9a-f]{6})", page)
    assert len(papers) == 2
    for paper in papers:
        for color in set(COLORS) - {"#000000"}:  # black becomes the color of the text
            low, high = sorted([luminance(color), luminance(paper)])
            assert (high + 0.05) / (low + 0.05) > 2.1


def test_sixty_four_arms_have_distinct_pairs_of_color_and_marker() -> None:
    assert len({(arm_color(arm), arm_marker(arm)) for arm in range(64)}) == 64


AUGMENTS = ("gain", "kaggle", "mixup", "paper", "snr", "spec_augment", "speed")


def test_curves_panel_draws_mean_and_range_over_common_epochs() -> None:
    higher = {name: [0.4, 0.6, 0.8, 0.9] for name in SERIES}

    figure = draw_curves({"none": [HISTORY, higher], "p25": [{}]}, "uar", "UAR (%)", factor=100)

    axes = figure.axes[0]
    assert axes.lines[0].get_ydata() == pytest.approx([30, 50, 70])
    assert len(axes.collections) == 2  # training and validation of the arm with two runs
    assert axes.collections[0].get_paths()[0].vertices[:, 1].max() == 80
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["none", "p25", "validation", "training", "lowest to highest run"]


def test_curves_panel_accepts_nan_loss(tmp_path: Path) -> None:
    broken = HISTORY | {"val/loss": [1.0, float("nan"), None]}

    save(draw_curves({"none": [broken, HISTORY]}, "loss", "loss", factor=1), tmp_path / "curves.png")

    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_paired_panel_joins_seeds_without_label_overlap() -> None:
    figure = draw_pairs({"none": {0: 60.0, 1: 61.0, 2: 70.0}, "p25": {0: 62.0, 1: 62.0}}, "accuracy", listeners=None)

    axes = figure.axes[0]
    assert [list(line.get_ydata()) for line in axes.lines[:2]] == [[60, 62], [61, 62]]
    assert math.isnan(axes.lines[2].get_ydata()[1])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["same seed", "mean"]
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    low, high = axes.get_ylim()
    assert heights["seed 1"] - heights["seed 0"] >= 0.04 * (high - low)


@pytest.mark.parametrize("arms", [("none", "p10", "p25", "p50"), ("none", *AUGMENTS), ("max_depth=3", "max_depth=12")])
def test_paired_panel_arm_labels_do_not_overlap(arms: tuple[str, ...]) -> None:
    figure = draw_pairs({arm: {0: 60.0, 1: 61.0} for arm in arms}, "accuracy", listeners=None)

    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(arms)
    # For rotated labels, compare their distance perpendicular to the text with the font height.
    slants = {label.get_rotation() for label in axes.get_xticklabels()}
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    if slants == {0.0}:
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    else:
        height = axes.get_xticklabels()[0].get_fontsize() * figure.dpi / 72
        assert all((right.x1 - left.x1) * np.sin(np.radians(45)) > height for left, right in pairwise(boxes))


def test_paired_panel_labels_folds_but_not_many_pairs() -> None:
    few = draw_pairs({"a": {(0, "0"): 1.0, (0, "1"): 2.0}, "b": {(0, "0"): 3.0}}, "accuracy", listeners=None)
    many = draw_pairs({"a": {seed: float(seed) for seed in range(11)}}, "accuracy", listeners=None)

    assert {text.get_text() for text in few.axes[0].texts} == {"0, fold 0", "0, fold 1"}
    assert not many.axes[0].texts


def test_paired_panel_joins_no_arms_without_a_common_seed() -> None:
    figure = draw_pairs({"a": {0: 60.0, 1: 61.0}, "b": {1: 62.0}, "c": {0: 63.0}}, "accuracy", listeners=None)

    joined = [
        (left, right)
        for line in figure.axes[0].lines
        for left, right in pairwise(line.get_ydata())
        if not math.isnan(left + right)
    ]
    assert joined == [(61, 62)]  # no line passes b from a to c
    alone = draw_pairs({"a": {0: 60.0}}, "accuracy", listeners=None)
    assert [text.get_text() for text in alone.legends[0].get_texts()] == ["mean"]


@pytest.mark.parametrize(("listeners", "where", "edge"), [(20.0, "below", 0), (99.0, "above", 1)])
def test_distant_listener_accuracy_leaves_the_axis_to_the_runs(listeners: float, where: str, edge: int) -> None:
    values = {"none": {0: 60.0, 1: 61.0}, "p25": {0: 60.5, 1: 62.0}}

    figure = draw_pairs(values, "accuracy", listeners=listeners)

    axes = figure.axes[0]
    low, high = axes.get_ylim()
    assert (62 - 60) / (high - low) > 0.5
    assert axes.lines[-1].get_ydata() == edge  # an arrow at the edge
    assert figure.legends[0].get_texts()[-1].get_text() == f"human listeners, {listeners:g} %, {where}"


@pytest.mark.parametrize("arms", [AUGMENTS, [f"a rather long name of arm {number}" for number in range(9)]])
def test_legends_fit_the_figure(arms: tuple[str, ...]) -> None:
    shares = pd.DataFrame({arm: {"sad": 10.0} for arm in arms})
    figures = [
        draw_accuracies(shares, {"sad": 58.0}),
        draw_curves({arm: [HISTORY] for arm in arms}, "loss", "loss", factor=1),
    ]

    for figure in figures:
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


def test_paired_panel_draws_listener_accuracy() -> None:
    figure = draw_pairs({"none": {0: 60.0}}, "accuracy", listeners=62.4)

    assert figure.axes[0].lines[-1].get_ydata() == [62.4, 62.4]
    assert figure.legends[0].get_texts()[-1].get_text() == "human listeners, 62.4 %"


def test_confusion_panel_shows_row_percent() -> None:
    matrix = np.diag(np.arange(8))
    matrix[1, 0] = 3

    axes = draw_confusion(matrix, RAVDESS).axes[0]

    texts = np.array([text.get_text() for text in axes.texts]).reshape(8, 8)
    assert texts[0].tolist() == [""] * 8  # a class without utterances is left blank
    assert texts[1, :2].tolist() == ["75", "25"]
    pixels = axes.images[0].get_array()
    assert pixels[1, 0, 3] == pytest.approx(0.75)
    assert pixels[7, 7, 3] == 1
    assert [label.get_text() for label in axes.get_yticklabels()] == list(RAVDESS)


def test_difference_panel_shows_points_and_fades_small_ones() -> None:
    arm, baseline = np.array([[3, 1], [1, 1]]), np.array([[4, 0], [1, 1]])

    axes = draw_confusion_difference(arm, baseline, ("a", "b")).axes[0]

    assert [text.get_text() for text in axes.texts] == ["-25", "+25", "", ""]
    pixels = axes.images[0].get_array()
    assert pixels[0, 0, :3].tolist() != pixels[0, 1, :3].tolist()
    assert pixels[..., 3].ravel().tolist() == [1, 1, 0, 0]
    pale = draw_confusion_difference(np.array([[51, 49], [1, 1]]), np.array([[50, 50], [1, 1]]), ("a", "b")).axes[0]
    assert pale.images[0].get_array()[0, 0, 3] == pytest.approx(0.05)


def test_accuracy_panel_draws_arms_and_known_listener_scores() -> None:
    shares = pd.DataFrame({"none": {"sad": 10.0, "normal": 20.0}, "p25": {"sad": math.nan, "normal": 30.0}})

    figure = draw_accuracies(shares, {"normal": 58.0})

    axes = figure.axes[0]
    lines = [drawn for drawn in axes.collections if hasattr(drawn, "get_segments")]
    dots = [drawn.get_offsets()[:, 0].filled(-1).tolist() for drawn in axes.collections if drawn not in lines]
    assert dots == [[10.0, 20.0], [-1, 30.0]]
    assert [line.get_segments()[0][:, 0].tolist() for line in lines] == [[58.0, 58.0]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["none", "p25", "human listeners"]


def test_svg_keeps_and_escapes_text() -> None:
    text = svg(draw_accuracies(pd.DataFrame({"none": {"sad & blue": 10.0}}), {}), name="a", title="shares")

    assert "sad &amp; blue</text>" in text
