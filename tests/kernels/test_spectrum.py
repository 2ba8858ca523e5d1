"""Tests of the spectrum kernels against plain NumPy and librosa."""

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_lightning.kernels import spectrum as kernels
from ser_lightning.kernels.library import check_success
from ser_lightning.kernels.roots import roots

# Half of each has other prime factors.
LENGTHS = [
    2,
    4,
    6,
    10,
    14,
    22,
    62,
    96,
    194,
    250,
    512,
    1000,
    1922,
    1994,
    2048,
    4096,
]


def frames_of(count, n_fft, hop_length, seed=0):
    """Return overlapping views, as the features pass them to the kernels."""
    wave = np.random.default_rng(seed).standard_normal(n_fft + (count - 1) * hop_length).astype(np.float32)
    return np.lib.stride_tricks.sliding_window_view(wave, n_fft)[::hop_length]


@pytest.mark.parametrize("n_fft", LENGTHS)
@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_spectra_match_numpy(n_fft, count):
    frames = frames_of(count, n_fft, max(1, n_fft // 4))
    window = np.random.default_rng(1).uniform(0, 1, n_fft)
    expected = np.fft.rfft(frames * window)
    spectra = kernels.spectra(frames, window)
    assert spectra.dtype == np.complex64
    # The kernel transforms in double precision and rounds to single precision.
    np.testing.assert_allclose(spectra, expected, rtol=2e-7, atol=1e-14 * np.abs(expected).max())
    assert not spectra[:, [0, -1]].imag.any()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 4, 7, 96, 1024])
def test_roots_of_unity_match_numpy(n, kind):
    values, address = roots(n, kind)
    np.testing.assert_allclose(values @ [1, 1j], np.exp(-2j * np.pi * np.arange(n) / n), atol=8 * np.finfo(kind).eps)
    assert np.array_equal(values[0], [1, 0])
    assert values.dtype == kind
    assert values.ctypes.data == address
    if n % 4 == 0:
        assert np.array_equal(values[:: n // 4], [[1, 0], [0, -1], [-1, 0], [0, 1]])


@pytest.mark.parametrize("n_fft", [1, 2, 15, 16, 100, 2048])
def test_energies_match_numpy(n_fft):
    frames = frames_of(7, n_fft, 3)
    np.testing.assert_allclose(kernels.energies(frames), np.square(frames).sum(axis=1), rtol=1e-6)


@given(
    samples=st.integers(1, 900),
    n_fft=st.integers(1, 300).map(lambda half: 2 * half),
    hop_length=st.integers(1, 400),
    seed=st.integers(0, 99),
)
def test_crossings_match_numpy(samples, n_fft, hop_length, seed):
    wave = np.random.default_rng(seed).choice([-1, -1e-11, 0, 1e-3], samples).astype(np.float32)
    padded = np.pad(wave < -1e-10, n_fft // 2, mode="edge")
    starts = range(0, samples + 1, hop_length)
    expected = [np.count_nonzero(np.diff(padded[start : start + n_fft])) / n_fft for start in starts]
    got = kernels.zero_crossing_rate(wave, n_fft=n_fft, hop_length=hop_length)
    np.testing.assert_array_equal(got, np.array(expected, np.float32))


@pytest.mark.parametrize("bins", [1, 5, 8, 33, 1025])
def test_band_sums_match_numpy(bins):
    generator = np.random.default_rng(0)
    bank = generator.uniform(0, 1, (12, bins)).astype(np.float32)
    for row in bank:  # filters of various widths and positions, and an empty one
        row[: generator.integers(0, bins)] = 0
        row[generator.integers(0, bins) :] = 0
    bank[3] = 0
    power = generator.uniform(0, 1, (9, bins)).astype(np.float32)
    sums = kernels.band_sums(power, kernels.sparse_bands(bank))
    np.testing.assert_allclose(sums, power @ bank.T, rtol=1e-5, atol=1e-6)
    assert not sums[:, 3].any()


def test_filters_wider_than_spectrum_raise_value_error():
    bands = kernels.sparse_bands(np.ones((2, 16), np.float32))
    with pytest.raises(ValueError, match="beyond the 15 bins"):
        kernels.band_sums(np.ones((3, 15), np.float32), bands)


def pitches_of_librosa(spectrum, rate, height):
    """Return the pitches that ``librosa.estimate_tuning`` counts."""
    pitch, strength = librosa.piptrack(S=spectrum.T, sr=rate, threshold=height)
    found = pitch.T > 0
    pitch, strength = pitch.T[found], strength.T[found]
    return pitch[strength >= np.median(strength)]


@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize("seed", range(5))
def test_pitches_match_librosa_exactly(count, seed):
    spectrum = np.abs(kernels.spectra(frames_of(count, 2048, 512, seed), np.hanning(2048)))
    low, high = np.searchsorted(np.fft.rfftfreq(2048, 1 / 16000), (150.0, 4000.0))
    got = kernels.pitches(spectrum, low=low, high=high, height=0.1, sampling_rate=16000)
    np.testing.assert_array_equal(got, pitches_of_librosa(spectrum, 16000, 0.1))
    assert len(got) > 20 * count


def test_pitches_of_plateaus_and_silence():
    spectrum = np.zeros((2, 33), np.float32)
    spectrum[1, 5:7] = 1  # the first of equal neighbors is the peak
    spectrum[1, 20] = 0.05  # below the threshold
    spectrum[1, 32] = 9  # the last bin has no upper neighbor
    got = kernels.pitches(spectrum, low=1, high=32, height=0.1, sampling_rate=6400)
    assert len(got) == 1
    assert got[0] == pytest.approx(5.5 * 100)
    assert not len(kernels.pitches(spectrum[:1], low=1, high=32, height=0.1, sampling_rate=6400))


@pytest.mark.parametrize(("low", "high"), [(0, 5), (6, 5), (1, 33)])
def test_pitches_reject_bins_without_neighbors(low, high):
    with pytest.raises(ValueError, match=f"expected 1 <= low <= high < 33 but got {low} and {high}"):
        kernels.pitches(np.ones((2, 33), np.float32), low=low, high=high, height=0.1, sampling_rate=16000)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 300), n_chroma=st.sampled_from([1, 12, 24]))
def test_mode_of_deviations_matches_numpy_histogram(seed, count, n_chroma):
    edges = np.linspace(-0.5, 0.5, 101)
    generator = np.random.default_rng(seed)
    octaves = generator.uniform(0, 8, count).astype(np.float32)
    on_edges = generator.integers(-50, 51, count // 2) / 100 / n_chroma + 3
    octaves[: count // 2] = on_edges.astype(np.float32)
    deviation = np.mod(np.float32(n_chroma) * octaves, np.float32(1))
    deviation[deviation >= 0.5] -= 1
    counts, _ = np.histogram(deviation.astype(np.float64), edges)
    assert kernels.mode_of_deviations(octaves, n_chroma=n_chroma, edges=edges) == counts.argmax()


def test_wrong_dtype_or_layout_raises_type_error():
    frames = frames_of(4, 64, 16)
    window = np.ones(64)
    with pytest.raises(TypeError, match="expected rows of float32 without gaps but got float64"):
        kernels.spectra(frames.astype(np.float64), window)
    with pytest.raises(TypeError, match="expected rows of float64 without gaps but got float32"):
        kernels.spectra(frames, window.astype(np.float32))
    with pytest.raises(TypeError, match="without gaps but got float32 with"):
        kernels.energies(frames[:, ::2])
    with pytest.raises(TypeError, match="without gaps"):
        kernels.zero_crossing_rate(np.ones(100, np.float32)[::2], n_fft=8, hop_length=4)


def test_failed_allocation_raises_memory_error():
    with pytest.raises(MemoryError, match="working memory"):
        check_success(1, np.ones(3))


@pytest.mark.parametrize(("frame", "window"), [(997, 997), (1, 1), (0, 0), (512, 510), (512, 1024)])
def test_mismatched_frames_and_window_raise_value_error(frame, window):
    with pytest.raises(ValueError, match=f"got {frame} and \\({window},\\)"):
        kernels.spectra(np.zeros((2, frame), np.float32), np.ones(window))
