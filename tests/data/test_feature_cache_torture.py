"""Stress tests of the feature cache: killed and concurrent builders, full disks, changed clips, other versions."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.data.test_feature_cache import ALL, feature_cache, silent

from ser_lightning.corpora.audio_files import sha256
from ser_lightning.data import cache_file
from ser_lightning.data import feature_cache as module
from ser_lightning.errors import InputError

# A builder in its own process. Each clip but the first takes ``seconds``; if negative, it waits until there is a file
# ``go`` in ``corpus``.
BUILDER = """
import logging, sys, time
from pathlib import Path
from tests.data.test_feature_cache import ALL, feature_cache
from tests.data.test_feature_cache_torture import listed
from ser_lightning.audio.audio import Audio
from ser_lightning.data import cache_file, feature_cache as module

folder, corpus, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
workers, cache_file.INDEX_INTERVAL = map(int, sys.argv[4:])
logging.basicConfig(format="%(message)s", stream=sys.stderr)
load = Audio.load
def slow(self, path, **of):
    if path.stem != "a":
        time.sleep(max(0, seconds))
        while seconds < 0 and not (corpus / "go").exists():
            time.sleep(0.01)
    return load(self, path, **of)
Audio.load = slow
def progress(results, total):
    for result in results:
        print(result.id, flush=True)
        yield result
utterances = listed(corpus)
print("started", flush=True)
failures = feature_cache(folder, utterances).ensure(ALL, workers=workers, progress=progress)
print("done", failures, flush=True)
"""
COPIES = sum(map(len, ALL.values()))


def listed(corpus: Path):
    """Return the utterances of a folder of clips."""
    from ser_lightning.corpora.utterance import Utterance

    of = {"corpus": "c", "speaker": "01", "gender": "male", "emotion": "calm", "intensity": "normal"}
    return [
        Utterance(id=path.stem, path=path, statement="01", digest=sha256(path), **of)
        for path in sorted(corpus.glob("*.wav"))
    ]


class Builder:
    """A subprocess that builds a feature cache."""

    def __init__(self, folder: Path, corpus: Path, *, seconds: float = 0.0, workers: int = 1, saved: int = 1) -> None:
        words = [sys.executable, "-c", BUILDER, str(folder), str(corpus), str(seconds), str(workers), str(saved)]
        self.process = subprocess.Popen(  # killed by the ``build`` fixture
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def until(self, line: str) -> None:
        for said in self.process.stdout:
            if said.strip() == line:
                return
        raise AssertionError(f"it ended without saying {line!r}: {self.process.stderr.read()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)
        self.process.stdout.close()
        self.process.stderr.close()

    def children(self) -> list[int]:
        pid = self.process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


@pytest.fixture
def build(tmp_path: Path, utterances) -> Iterator[Callable[..., Builder]]:
    """Return a function that starts builders of one feature cache, and kill them all after the test."""
    started: list[Builder] = []

    def start(**how: float) -> Builder:
        started.append(Builder(tmp_path / "cache", utterances[0].path.parent, **how))
        return started[-1]

    yield start
    for builder in started:
        builder.kill()


@pytest.fixture
def clean(tmp_path: Path, utterances) -> bytes:
    """Return the frames of a feature cache that was built without disturbance."""
    whole = feature_cache(tmp_path / "clean", utterances)
    whole.ensure(ALL, workers=1, progress=silent)
    return whole.file.data.read_bytes()


def complete(folder: Path, utterances) -> bytes:
    """Check that a feature cache is complete and return its frames."""
    s = feature_cache(folder, utterances)
    frames, rows, _ = s.open()
    assert len(rows) == COPIES
    assert np.isfinite(frames).all()
    return s.file.data.read_bytes()


def test_killed_builder_keeps_finished_clips_and_is_resumed(tmp_path, utterances, clean, build):
    folder = tmp_path / "cache"
    s = feature_cache(folder, utterances)
    builder = build(seconds=0.2)
    builder.until("c")  # a and b are saved by now
    builder.kill()
    _, rows, _ = s.open()
    assert {("a", ""), ("b", "pitch+3")} <= set(rows)
    assert len(rows) < COPIES
    seen = []
    s.ensure(ALL, workers=1, progress=lambda results, total: seen.append(total) or results)
    assert seen[0] <= 2
    assert complete(folder, utterances) == clean


@pytest.mark.slow
def test_repeatedly_killed_builder_finishes(tmp_path, utterances, clean, build):
    """A concurrent reader sees a valid feature cache or none."""
    folder = tmp_path / "cache"
    s = feature_cache(folder, utterances)
    rng = np.random.default_rng(0)
    for _ in range(3):
        builder = build(seconds=0.02)
        builder.until("started")
        end = time.monotonic() + rng.uniform(0, 0.5)
        while time.monotonic() < end:
            if s.file.index.exists():
                frames, rows, _ = s.open()
                for row in rows.values():
                    assert clean[row.offset * 162 * 4 :].startswith(
                        frames[row.offset : row.offset + row.frames].tobytes()
                    )
        builder.kill()
    s.ensure(ALL, workers=1, progress=silent)
    assert complete(folder, utterances) == clean


def test_second_builder_logs_and_waits_for_the_first(tmp_path, utterances, clean, build):
    folder = tmp_path / "cache"
    first = build(seconds=-1)
    first.until("a")
    second = build()
    said = second.process.stderr.readline()
    assert f"{folder}/" in said
    assert "waiting for it" in said
    (utterances[0].path.parent / "go").touch()
    assert second.end() == (0, "started\ndone {}\n", "")  # everything was already built
    assert first.end() == (0, "b\nc\nd\ndone {}\n", "")
    assert complete(folder, utterances) == clean


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_waiting_builder_takes_over_after_kill(tmp_path, utterances, clean, build, workers):
    folder = tmp_path / "cache"
    first = build(seconds=-1, workers=workers)
    if workers == 1:
        first.until("a")
    else:  # all clips are returned in one chunk, so none is printed yet
        while len(first.children()) < workers:
            time.sleep(0.01)
    second = build()
    assert "waiting for it" in second.process.stderr.readline()
    family = first.children()
    assert len(family) == (workers if workers > 1 else 0)
    first.kill()
    (utterances[0].path.parent / "go").touch()
    code, out, err = second.end()
    assert code == 0, err
    # Workers of a killed builder must exit by themselves: they could otherwise wait forever and, with old versions of
    # filelock, keep the lock.
    end = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in family):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert out.split()[-1] == "{}"
    assert complete(folder, utterances) == clean


@pytest.fixture
def little_space() -> Iterator[None]:
    """Limit the files of this process to 100 kB, which simulates a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_raises_input_error_and_keeps_finished_clips(tmp_path, utterances, clean, monkeypatch, request):
    monkeypatch.setattr(cache_file, "INDEX_INTERVAL", 1)
    folder = tmp_path / "cache"
    s = feature_cache(folder, utterances)
    request.getfixturevalue("little_space")
    with pytest.raises(InputError, match=rf"{s.folder}: File too large.*data\.feature_cache"):
        s.ensure(ALL, workers=1, progress=silent)
    frames, rows, _ = s.open()
    assert 0 < len(rows) < COPIES
    assert frames.nbytes <= 100_000
    assert not list(s.folder.glob("*.tmp"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before[1], before[1]))
    s.ensure(ALL, workers=1, progress=silent)
    assert complete(folder, utterances) == clean


def test_full_disk_ends_prepare_with_one_line_error(command, small, tmp_path):
    assert command("prepare", *small, f"output_root={tmp_path}").code == 0  # builds the corpus
    words = [sys.executable, "-c", "from ser_lightning.cli.prepare import main; main()"]
    overrides = [word for word in small if not word.startswith("data.feature_cache")]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    done = subprocess.run(
        [*words, *overrides, f"data.feature_cache={tmp_path}/cache", f"output_root={tmp_path}"],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"ser-prepare: Cannot write the feature cache {tmp_path}/cache/")
    assert "File too large" in done.stderr


def test_changed_clip_gets_its_own_feature_cache(tmp_path, utterances):
    s = feature_cache(tmp_path / "cache", utterances)
    s.ensure(ALL, workers=1, progress=silent)
    before = s.open()[0].copy()
    path = utterances[1].path
    soundfile.write(path, -soundfile.read(path)[0][:4000], 16000)
    changed = feature_cache(tmp_path / "cache", listed(path.parent))
    assert changed.folder != s.folder
    changed.ensure(ALL, workers=1, progress=silent)
    np.testing.assert_array_equal(s.open()[0], before)
    assert changed.open()[1]["b", ""].frames < s.open()[1]["b", ""].frames


@pytest.mark.parametrize("workers", [1, 2])
def test_clip_changed_after_scan_is_not_cached(tmp_path, utterances, workers):
    soundfile.write(utterances[1].path, np.full(9000, 0.1), 16000)
    s = feature_cache(tmp_path / "cache", utterances)
    failures = s.ensure(ALL, workers=workers, progress=silent)
    assert failures == {"b": f"{utterances[1].path} has changed since the corpus was listed"}
    assert {id_ for id_, _ in s.open()[1]} == {"a", "c", "d"}


def damage_format(s) -> str:
    index = json.loads(s.file.index.read_text())
    s.file.index.write_text(json.dumps(index | {"format": 0}))
    return "was written by another version"


def damage_index(s) -> str:
    s.file.index.write_text(s.file.index.read_text()[:100])
    return "is damaged"


def damage_rows(s) -> str:
    s.file.index.write_text(json.dumps(json.loads(s.file.index.read_text()) | {"rows": [["a", "", "0", None]]}))
    return "is damaged"


def damage_data(s) -> str:
    s.file.data.write_bytes(s.file.data.read_bytes()[:-4])
    return "is damaged"


def remove_data(s) -> str:
    s.file.data.unlink()
    return "has 0 bytes"


@pytest.mark.parametrize("damage", [damage_format, damage_index, damage_rows, damage_data, remove_data])
def test_damaged_or_outdated_cache_is_rebuilt_with_warning(
    tmp_path,
    utterances,
    clean,
    caplog,
    damage,
):
    s = feature_cache(tmp_path / "cache", utterances)
    s.ensure(ALL, workers=1, progress=silent)
    frames, rows, _ = s.open()  # a concurrent reader
    kept = frames[: rows["a", ""].frames].copy()
    said = damage(s)
    with pytest.raises(InputError, match=f"{said}.*Delete {s.folder}"):
        s.open()
    with caplog.at_level(logging.WARNING):
        s.ensure(ALL, workers=1, progress=silent)
    assert said in caplog.text
    assert "Rebuilding" in caplog.text
    assert complete(tmp_path / "cache", utterances) == clean
    if damage is not damage_data:  # which changes the file that the reader has open
        np.testing.assert_array_equal(frames[: rows["a", ""].frames], kept)


def test_cache_of_other_libraries_is_rebuilt_with_warning(tmp_path, utterances, caplog, monkeypatch):
    version = module.importlib.metadata.version
    with monkeypatch.context() as patch:
        patch.setattr(module.importlib.metadata, "version", lambda name: "1.2.3" if name == "numpy" else version(name))
        old = feature_cache(tmp_path / "cache", utterances)
        old.ensure({"a": ("",)}, workers=1, progress=silent)
    new = feature_cache(tmp_path / "cache", utterances)
    assert new.folder != old.folder
    with caplog.at_level(logging.WARNING):
        new.ensure(ALL, workers=1, progress=silent)
    assert f"{old.folder} was made with other library versions (numpy 1.2.3 -> {version('numpy')})" in caplog.text
    assert len(new.open()[1]) == COPIES


def test_complete_cache_works_without_write_access(tmp_path, utterances):
    s = feature_cache(tmp_path / "cache", utterances)
    s.ensure(ALL, workers=1, progress=silent)
    (s.folder / "lock").unlink(missing_ok=True)
    (s.folder / "lock").mkdir()  # so that the lock cannot be acquired, even by root
    assert s.ensure(ALL, workers=1, progress=silent) == {}
    with pytest.raises(InputError, match="Cannot write"):
        feature_cache(tmp_path / "cache", [replace(u) for u in utterances]).ensure(
            ALL | {"a": (*ALL["a"], "more")}, workers=1, progress=silent
        )


def test_killed_worker_raises_input_error(tmp_path, utterances, monkeypatch):
    s = feature_cache(tmp_path / "cache", utterances)
    monkeypatch.setattr(type(s.features), "__call__", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(InputError, match=r"was killed.*data\.feature_workers=1"):
        s.ensure(ALL, workers=2, progress=silent)
