"""Read recordings as segments."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from ser_lightning.audio.sound import open_sound
from ser_lightning.errors import InputError
from ser_lightning.predict.inputs import valid_text
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
        try:
            yield from splitter.split(valid_text(path), partial(open_sound, path))
        except InputError as error:
            on_failure(str(error))
