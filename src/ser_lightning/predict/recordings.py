"""Read recordings as segments."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from ser_lightning.audio.sound import open_sound
from ser_lightning.errors import InputError
from ser_lightning.predict.segment import Segment
from ser_lightning.predict.splitting import Splitter


def read_segments(paths: Iterable[Path], splitter: Splitter, *, on_failure: Callable[[str], None]) -> Iterator[Segment]:
    """Yield the segments of recordings.

    Args:
        paths: sound files
        splitter: divides the recordings
        on_failure: receives the reason for each recording that cannot be used

    """
    for path in paths:
        # File names need not be valid UTF-8: invalid bytes are written as escapes.
        name = str(path).encode("utf-8", "backslashreplace").decode()
        try:
            yield from splitter.split(name, partial(open_sound, path))
        except InputError as error:
            on_failure(str(error))
