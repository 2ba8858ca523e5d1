"""Progress bars."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def show_progress(description: str) -> Callable[[Any, int], Any]:
    """Return a wrapper around an iterable that shows a progress bar on stderr."""

    def wrap(results: Any, total: int) -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            yield from bar.track(results, total=total, description=description)

    return wrap
