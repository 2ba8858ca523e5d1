"""Shared fixtures: a small synthetic corpus, commands run in this process and a trained run."""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

# Set before importing libraries that read it: pytest workers share the cores, and more threads would slow them down.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as the package does; some tests import onnxruntime before it

import hypothesis
import numpy as np
import pytest
import soundfile
from filelock import FileLock

hypothesis.settings.register_profile("tests", deadline=None)  # timings depend on the load of the machine
hypothesis.settings.load_profile("tests")

# Read here and then removed from the environment, so that only tests that request these fixtures depend on them.
RAVDESS_ROOT = os.environ.get("RAVDESS_ROOT")
REFERENCE_ROOT = os.environ.get("REFERENCE_ROOT")
EMODB_ROOT = os.environ.get("EMODB_ROOT")
EMOVO_ROOT = os.environ.get("EMOVO_ROOT")


def pytest_collection_finish() -> None:
    """Exempt the objects of all imported modules from garbage collection, which otherwise visits millions of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_roots() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAVDESS", "REFERENCE", "EMODB", "EMOVO", "CREMA_D", "SAVEE", "TESS"):
            patch.delenv(f"{name}_ROOT", raising=False)
        yield


class Outcome(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def ravdess_root() -> Path:
    if RAVDESS_ROOT is None:
        pytest.skip("RAVDESS_ROOT does not name a copy of RAVDESS")
    return Path(RAVDESS_ROOT)


@pytest.fixture(scope="session")
def reference_root() -> Path:
    if REFERENCE_ROOT is None:
        pytest.skip("REFERENCE_ROOT does not name what the study released")
    return Path(REFERENCE_ROOT)


@pytest.fixture(scope="session")
def emodb_root() -> Path:
    if EMODB_ROOT is None:
        pytest.skip("EMODB_ROOT does not name a copy of EmoDB")
    return Path(EMODB_ROOT)


@pytest.fixture(scope="session")
def emovo_root() -> Path:
    if EMOVO_ROOT is None:
        pytest.skip("EMOVO_ROOT does not name a copy of EMOVO")
    return Path(EMOVO_ROOT)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder shared by the pytest workers of one session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def synthetic_root(shared_folder: Path) -> Path:
    """Return the folder of the corpus ``synthetic_small``, which the first worker creates."""
    from ser_lightning import load_corpus

    root = shared_folder / "synthetic"
    load_corpus("synthetic_small", root=root)
    return root


def run_command(command: str, *words: str) -> tuple[int, None]:
    module = import_module(f"ser_lightning.cli.{command}")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr("sys.argv", [f"ser-{command}", *words])
        try:
            module.main()
        finally:
            for logger in (logging.getLogger(), logging.getLogger("ser_lightning")):
                for handler in list(logger.handlers):
                    if isinstance(handler, logging.FileHandler):
                        handler.close()
                        logger.removeHandler(handler)
    return (ended.value.code if isinstance(ended.value.code, int) else 0), None


def without_calibration(checkpoint: Path, folder: Path) -> Path:
    """Return a copy of a checkpoint whose probabilities are those of predictions.csv."""
    from ser_lightning.checkpoint import complete_checkpoint

    path = folder / "uncalibrated.ckpt"
    path.write_bytes(checkpoint.read_bytes())
    complete_checkpoint(path, calibration=None)
    return path


def settings(*words: str) -> list[str]:
    """Put ``--set`` before each word."""
    return [part for word in words for part in ("--set", word)]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process."""

    def run(name: str, *words: str) -> Outcome:
        capfd.readouterr()
        code, _ = run_command(name, *words)
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return run


@pytest.fixture
def succeed(command: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Run a command that exits with 0."""

    def run(*words: str) -> Outcome:
        done = command(*words)
        assert done.code == 0, done.err
        return done

    return run


@pytest.fixture
def refused(command: Callable[..., Outcome]) -> Callable[..., str]:
    """Run a command that exits with 1, and return the only line of its standard error."""

    def run(*words: str) -> str:
        done = command(*words)
        assert done.code == 1, done.err
        (line,) = done.err.splitlines()
        return line

    return run


@pytest.fixture(scope="session")
def small(small_with_logs: list[str]) -> list[str]:
    """Overrides that shorten any experiment to a second or two; without TensorBoard and calibration."""
    return [*small_with_logs, "logger=[]", "calibrate=false"]


@pytest.fixture(scope="session")
def small_with_logs(synthetic_root: Path, shared_folder: Path) -> list[str]:
    """Overrides that shorten any experiment to a few seconds."""
    return [
        "corpus=synthetic_small",
        f"corpus.root={synthetic_root}",
        f"data.feature_cache={shared_folder / 'feature_cache'}",
        "split=random",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        "data.batch_size=32",
    ]


@pytest.fixture(scope="session")
def trained(small_with_logs: list[str], shared_folder: Path) -> Path:
    """Folder of a finished run of ``corrected``, shared by all workers: read only."""
    folder = shared_folder / "trained" / "corrected" / "dropout-p25" / "seed-0"
    with FileLock(shared_folder / "trained.lock"):
        if not (folder / "result.json").exists():
            code, _ = run_command(
                "train", "experiment=corrected", *small_with_logs, f"output_root={shared_folder / 'trained'}"
            )
            assert code == 0
    return folder


@pytest.fixture(scope="session")
def emodb_made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic clips under about 130 EmoDB names: up to two per speaker and emotion, which sets the brightness."""
    from ser_lightning.corpora.definitions.emodb import EMODB
    from ser_lightning.corpora.definitions.listed import listed

    root = tmp_path_factory.mktemp("emodb")
    kept: dict[str, list[str]] = {}
    for name in listed("emodb"):
        kept.setdefault(name[:2] + name[5], []).append(name)
    for number, name in enumerate(name for names in kept.values() for name in names[:2]):
        generator = np.random.default_rng(number)
        length = generator.integers(8000, 14000)
        glide = np.interp(
            np.arange(length), np.linspace(0, length, 8), generator.uniform(0.8, 1.2, 8)
        )  # makes every clip different
        phase = 2 * np.pi * np.cumsum((110 if int(name[:2]) % 2 else 200) * glide) / 16000
        bright = 300 + 300 * list(EMODB.codes["emotion"]).index(name[5])
        wave = 0.1 * np.sum([np.sin(k * phase) * np.exp(-150 * k / bright) for k in range(1, 25)], axis=0)
        wave *= 1 + 0.5 * np.sin(np.arange(length) / generator.uniform(500, 900))
        soundfile.write(root / f"{name}.flac", wave + 0.001 * generator.standard_normal(length), 16000)
    return root


@pytest.fixture(scope="session")
def emodb_small(emodb_made_up: Path, shared_folder: Path) -> list[str]:
    """Overrides that shorten a run on ``emodb_made_up`` to a few seconds."""
    return [
        "corpus=emodb",
        f"corpus.root={emodb_made_up}",
        "corpus.on_problem=skip",
        f"data.feature_cache={shared_folder / 'feature_cache'}",
        "split=speaker",
        "split.folds=5",
        "augment=none",
        "trainer.max_epochs=1",
        "data.batch_size=32",
    ]


def reduce_draws(patch: pytest.MonkeyPatch) -> None:
    """Reduce the number of bootstrap draws, for tests that do not check the intervals."""
    from ser_lightning.report import bootstrap, contrasts

    for interval in (bootstrap.cluster_interval, bootstrap.mean_interval):
        patch.setattr(contrasts, interval.__name__, partial(interval, draws=100))


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    reduce_draws(monkeypatch)
