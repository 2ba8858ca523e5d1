"""Read recordings as segments."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ser_lightning.audio.reader import read_audio
from ser_lightning.errors import InputError, printable
from ser_lightning.predict.channels import Levels, choose_channels
from ser_lightning.predict.segment import Segment


def read_segments(paths: Iterable[Path], *, channels: str, on_failure: Callable[[str], None]) -> Iterator[Segment]:
    """Yield each recording as one segment per channel.

    Args:
        paths: sound files
        channels: see :func:`~ser_lightning.predict.channels.choose_channels`
        on_failure: receives the reason for each recording that cannot be used

    """
    for path in paths:
        try:
            wave, rate = read_audio(path)
            chosen = choose_channels(channels, Levels().add(wave), path=printable(path))
        except InputError as error:
            on_failure(str(error))
            continue
        for channel in chosen:
            yield Segment(
                # File names need not be valid UTF-8: invalid bytes are written as escapes.
                path=str(path).encode("utf-8", "backslashreplace").decode(),
                channel=channel.name,
                start=0.0,
                end=len(wave) / rate,
                wave=channel.of(wave),
                rate=rate,
                warnings=channel.warnings,
            )
