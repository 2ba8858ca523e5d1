import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from ser_lightning.labels import RAVDESS
from ser_lightning.report.figures import (
    confusion_figure,
    curves_figure,
    forest_figure,
    save,
    svg,
)
from ser_lightning.report.statistics import paired_difference

SERIES = ("train/loss", "val/loss", "train/uar", "val/uar")
HISTORY = {name: [0.2, 0.4, 0.6] for name in SERIES}


def test_confusion_figure_shows_counts_colored_by_row_percent() -> None:
    matrix = np.diag(np.arange(8))

    axes = confusion_figure(matrix, RAVDESS, "test").axes[0]

    assert [text.get_text() for text in axes.texts] == [str(count) for count in matrix.flat]
    colours = axes.images[0].get_array()
    assert colours[0, 0] == 0  # a class without utterances is drawn as zero
    assert colours[3, 3] == colours[7, 7] == 100
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
