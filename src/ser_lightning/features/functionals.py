"""Statistics of the 162 features of a clip, in one vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ser_lightning.features.extractor import Floats
from ser_lightning.features.spectral162 import Spectral162
from ser_lightning.features.statistics import check_functionals, functional_names, summarize


@dataclass(frozen=True, kw_only=True)
class Functionals(Spectral162):
    """Statistics over time of the features of :class:`~ser_lightning.features.spectral162.Spectral162`.

    The features are ``zcr_mean``, ``chroma_01_mean`` ..., followed by those of the next statistic.

    Args:
        functionals: the statistics, from ``mean``, ``std``, ``min``, ``max``, ``median``, ``iqr``, ``skewness`` and
            ``kurtosis``

    Raises:
        InputError: a value is out of range

    """

    functionals: Sequence[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_functionals(self.functionals)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each feature."""
        return functional_names(super().names, self.functionals)

    def compute(self, wave: Floats) -> Floats:
        """Compute the features (1, F) of a valid wave (samples,) at the analysis rate."""
        return summarize(super().compute(wave), self.functionals)[None]
