import logging

import pytest

from ser_lightning.callbacks.record import forget_epochs, logged_epochs

TIME = "2026-01-01 00:00:00,000"
LINES = [
    f"{TIME} INFO 36/9/15 utterances",
    f"{TIME} DEBUG epoch 0 val/uar=0.1000",
    f"{TIME} DEBUG epoch 1 val/uar=0.2000",
    f"{TIME} INFO epoch 1 is no line of ours",
    f"{TIME} DEBUG epoch 12 val/uar=0.3000",
]


def test_forget_epochs_removes_log_lines_of_repeated_epochs(tmp_path):
    log = tmp_path / "train.log"
    assert logged_epochs(log, name="epoch") == set()
    forget_epochs(log, name="epoch", done=0)
    assert not log.exists()
    log.write_text("\n".join(LINES) + f"\n{TIME} DEBUG epo")  # killed in the middle of a line
    assert logged_epochs(log, name="epoch") == {0, 1, 12}
    forget_epochs(log, name="epoch", done=1)
    assert log.read_text().splitlines() == [LINES[0], LINES[1], LINES[3]]
    assert logged_epochs(log, name="epoch") == {0}


@pytest.fixture
def handler(tmp_path):
    handler = logging.FileHandler(tmp_path / "train.log")
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)
    handler.close()


def test_open_log_handler_continues_after_forget_epochs(tmp_path, handler):
    handler.setFormatter(logging.Formatter(f"{TIME} %(levelname)s %(message)s"))
    log = logging.getLogger("ser_lightning")
    log.warning("before")
    with (tmp_path / "train.log").open("a") as file:
        file.write(LINES[1] + "\n")
    forget_epochs(tmp_path / "train.log", name="epoch", done=0)
    log.warning("after")
    assert (tmp_path / "train.log").read_text() == f"{TIME} WARNING before\n{TIME} WARNING after\n"
