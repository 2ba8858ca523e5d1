"""Reading ahead and working in threads: order, errors, limits, and equal answers."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.export.conftest import sounds

from ser_lightning.build import build
from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.errors import InputError
from ser_lightning.predict.certainty import Certainty
from ser_lightning.predict.predictor import Predictor
from ser_lightning.predict.segment import Segment
from ser_lightning.predict.threads import ReadAhead, map_threads
from ser_lightning.predict.torch_scorer import TorchScorer


def ahead(function, items, **change) -> ReadAhead:
    return ReadAhead(function, items, **{"workers": 3, "size": lambda item: 1, "most": 100} | change)


def slow_square(number: int) -> int:
    time.sleep(0.002 * (number % 3))
    return number * number


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_keep_the_order_of_the_items(workers):
    numbers = list(range(50))
    expected = [number * number for number in numbers]
    assert list(ahead(slow_square, iter(numbers), workers=workers)) == expected
    assert map_threads(slow_square, numbers, workers=workers) == expected


def test_no_more_is_read_ahead_than_allowed():
    read = []

    def items():
        for number in range(20):
            read.append(number)
            yield number

    found = iter(ahead(slow_square, items(), most=5))
    for taken in range(1, 20):
        next(found)
        time.sleep(0.01)
        assert len(read) <= taken + 6  # five ahead, and the one that waits


def test_item_larger_than_the_limit_is_processed():
    assert list(ahead(slow_square, [1, 2, 3], size=lambda item: 1000)) == [1, 4, 9]


def test_error_of_the_items_is_raised_after_their_results():
    def items():
        yield 1
        raise InputError("damaged")

    found = iter(ahead(slow_square, items()))
    assert next(found) == 1
    with pytest.raises(InputError, match="damaged"):
        next(found)


def test_error_of_the_function_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda number: 1 // number, [1, 0, 1]))
    with pytest.raises(ZeroDivisionError):
        map_threads(lambda number: 1 // number, [1, 0, 1, 1], workers=2)


def test_threads_end_when_the_results_are_not_read_to_the_end():
    before = threading.active_count()
    found = iter(ahead(slow_square, iter(range(1000)), most=3))
    next(found)
    found.close()
    assert threading.active_count() == before


def test_answers_do_not_depend_on_the_number_of_workers(trained):
    path = Path(trained / "checkpoints" / "best.ckpt")
    checkpoint = read_checkpoint(path)
    audio = build("audio", {**checkpoint.config["audio"], "downmix": "mean"})
    waves = [sounds(8000 + 997 * number, seed=number) for number in range(12)]
    segments = [
        Segment(path=str(n), channel="mono", start=0.0, end=1.0, duration=1.0, wave=wave, rate=16000 + 100 * n)
        for n, wave in enumerate(waves)
    ]
    answers = []
    for workers in (1, 3):
        scorer = TorchScorer(checkpoint, checkpoint.config, path=path, one_speaker=False, workers=workers)
        predictor = Predictor(
            scorer,
            audio,
            certainty=Certainty(emotions=scorer.emotions, temperature=scorer.temperature),
            batch_size=5,
            least_speech=0,
            vad="webrtc",
            one_speaker=False,
            workers=workers,
        )
        failures: list[str] = []
        found = [row for rows in predictor.predict(segments, on_failure=failures.append) for row in rows]
        assert not failures
        assert [row.path for row in found] == [segment.path for segment in segments]
        answers.append([list(row.probabilities.values()) for row in found])
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)
