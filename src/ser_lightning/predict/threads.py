"""Apply functions to recordings in several threads; decoding, resampling, features and networks release the GIL."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2**24  # samples that are read ahead, 64 MB


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_threads(function: Callable[[Item], Result], items: Sequence[Item], *, workers: int) -> list[Result]:
    """Return the results of a function for several items, in order.

    The first item is processed alone, so that what the function loads and caches is loaded once.

    Args:
        function: may be called by several threads at once
        items: its arguments
        workers: number of threads

    """
    if workers == 1 or len(items) < 3:
        return [function(item) for item in items]
    first = function(items[0])
    with ThreadPoolExecutor(workers) as pool:
        return [first, *pool.map(function, items[1:])]


class ReadAhead(Generic[Item, Result]):
    """Iterator over the results of a function, which reads and processes items ahead in other threads.

    Args:
        function: applied to each item
        items: read by one thread
        workers: number of threads that process items
        size: size of an item
        most: total size of the items that are ahead; a larger item is processed alone

    """

    def __init__(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        size: Callable[[Item], int],
        most: int = AHEAD,
    ) -> None:
        self.function, self.items, self.workers = function, items, workers
        self.size, self.most = size, most
        self.pending, self.stopped, self.changed = 0, False, Condition()
        self.queue: SimpleQueue[tuple[Future[Result], int] | BaseException | None] = SimpleQueue()

    def __iter__(self) -> Iterator[Result]:
        with ThreadPoolExecutor(self.workers) as pool:
            reader = Thread(target=self._read, args=(pool,), daemon=True)
            reader.start()
            try:
                while (entry := self.queue.get()) is not None:
                    if isinstance(entry, BaseException):
                        raise entry
                    future, size = entry
                    result = future.result()
                    self._add(-size)
                    yield result
            finally:
                self.stopped = True
                self._add(0)
                reader.join()

    def _add(self, size: int) -> None:
        with self.changed:
            self.pending += size
            self.changed.notify_all()

    def _read(self, pool: ThreadPoolExecutor) -> None:
        try:
            for item in self.items:
                size = self.size(item)
                with self.changed:
                    self.changed.wait_for(lambda: self.stopped or not self.pending or self.pending < self.most)
                if self.stopped:
                    return
                self._add(size)
                self.queue.put((pool.submit(self.function, item), size))
        except BaseException as error:
            self.queue.put(error)
        self.queue.put(None)
