"""Windows cut out of clips of different lengths."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from ser_lightning.models.windows import cut_windows


def counted(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Build clips in which the value of each frame is its number, starting at 1."""
    clips = [torch.arange(1.0, length + 1)[:, None] for length in lengths]
    return pad_sequence(clips, batch_first=True), torch.tensor(lengths)


def starts(cut: torch.Tensor) -> list[list[int]]:
    return (cut[:, :, 0, 0].int() - 1).tolist()


def test_windows_are_spread_evenly_over_the_clip():
    cut = cut_windows(*counted(10, 4, 7), size=4, count=3, stagger=None)
    assert cut.shape == (3, 3, 4, 1)
    assert starts(cut) == [[0, 3, 6], [0, 0, 0], [0, 1, 3]]
    assert cut[0, 2, :, 0].tolist() == [7, 8, 9, 10]


def test_staggered_windows_are_centered_within_the_clip():
    cut = cut_windows(*counted(20, 12, 9, 8), size=8, count=3, stagger=2)
    assert starts(cut) == [[4, 6, 8], [0, 2, 4], [0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("stagger", [None, 2])
def test_short_clip_is_repeated(stagger):
    cut = cut_windows(*counted(3, 1), size=7, count=2, stagger=stagger)
    for window in cut[0, :, :, 0].tolist():
        assert window == [1, 2, 3, 1, 2, 3, 1]
    assert (cut[1] == 1).all()


def test_single_window_starts_at_the_first_frame():
    assert starts(cut_windows(*counted(9), size=4, count=1, stagger=None)) == [[0]]
