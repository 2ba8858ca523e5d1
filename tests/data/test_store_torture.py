"""The worst that can happen to a store: killed builders, full disks, two builders, changed clips, other versions."""

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
from tests.data.test_store import ALL, silent, store

from ser_lightning.corpus.scanning import sha256
from ser_lightning.data import store as module
from ser_lightning.errors import InputError

# A builder of its own process: ``folder`` and ``corpus`` are given, and how many seconds each clip but the first takes;
# less than none: until there is a file ``go`` beside the clips.
BUILDER = """
import logging, sys, time
from pathlib import Path
from tests.data.test_store import ALL, store
from tests.data.test_store_torture import listed
from ser_lightning.audio.audio import Audio
from ser_lightning.data import store as module

folder, corpus, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
workers, module.SAVED = map(int, sys.argv[4:])
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
failures = store(folder, utterances).ensure(ALL, workers=workers, progress=progress)
print("done", failures, flush=True)
"""
COPIES = sum(map(len, ALL.values()))


def listed(corpus: Path):
    """The utterances of a folder of clips."""
    from ser_lightning.corpus.utterance import Utterance

    of = {"corpus": "c", "speaker": "01", "gender": "male", "emotion": "calm", "intensity": "normal"}
    return [
        Utterance(id=path.stem, path=path, statement="01", repetition=1, digest=sha256(path), **of)
        for path in sorted(corpus.glob("*.wav"))
    ]


class Builder:
    """A process that builds a store, what it says line by line, and its end."""

    def __init__(self, folder: Path, corpus: Path, *, seconds: float = 0.0, workers: int = 1, saved: int = 1) -> None:
        words = [sys.executable, "-c", BUILDER, str(folder), str(corpus), str(seconds), str(workers), str(saved)]
        self.process = subprocess.Popen(  # ended by the fixture that made it
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
    """Start builders of one store; none of them outlives the test."""
    started: list[Builder] = []

    def start(**how: float) -> Builder:
        started.append(Builder(tmp_path / "store", utterances[0].path.parent, **how))
        return started[-1]

    yield start
    for builder in started:
        builder.kill()


@pytest.fixture
def clean(tmp_path: Path, utterances) -> bytes:
    """The frames of a store that nothing has happened to."""
    whole = store(tmp_path / "clean", utterances)
    whole.ensure(ALL, workers=1, progress=silent)
    return whole.data.read_bytes()


def complete(folder: Path, utterances) -> bytes:
    """The frames of a store that is read as any reader does, and lacks nothing."""
    s = store(folder, utterances)
    frames, rows, _ = s.open()
    assert len(rows) == COPIES
    assert np.isfinite(frames).all()
    return s.data.read_bytes()


def test_a_killed_builder_leaves_what_was_complete_and_the_next_goes_on(tmp_path, utterances, clean, build):
    folder = tmp_path / "store"
    s = store(folder, utterances)
    builder = build(seconds=0.2)
    builder.until("c")  # so a and b are written down
    builder.kill()
    _, rows, _ = s.open()
    assert {("a", ""), ("b", "pitch+3")} <= set(rows)
    assert len(rows) < COPIES
    seen = []
    s.ensure(ALL, workers=1, progress=lambda results, total: seen.append(total) or results)
    assert seen[0] <= 2
    assert complete(folder, utterances) == clean


def test_a_builder_killed_again_and_again_at_any_moment_gets_done(tmp_path, utterances, clean, build):
    """A reader that looks all the time sees a store that is sound, or none."""
    folder = tmp_path / "store"
    s = store(folder, utterances)
    rng = np.random.default_rng(0)
    for _ in range(3):
        builder = build(seconds=0.02)
        builder.until("started")
        end = time.monotonic() + rng.uniform(0, 0.5)
        while time.monotonic() < end:
            if s.index.exists():
                frames, rows, _ = s.open()
                for row in rows.values():
                    assert clean[row.offset * 162 * 4 :].startswith(
                        frames[row.offset : row.offset + row.frames].tobytes()
                    )
        builder.kill()
    s.ensure(ALL, workers=1, progress=silent)
    assert complete(folder, utterances) == clean


def test_of_two_builders_one_builds_and_the_other_waits_and_says_so(tmp_path, utterances, clean, build):
    folder = tmp_path / "store"
    first = build(seconds=-1)
    first.until("a")
    second = build()
    said = second.process.stderr.readline()
    assert f"another process makes the store {folder}/" in said
    assert "waiting for it" in said
    (utterances[0].path.parent / "go").touch()
    assert second.end() == (0, "started\ndone {}\n", "")  # it found everything made
    assert first.end() == (0, "b\nc\nd\ndone {}\n", "")
    assert complete(folder, utterances) == clean


@pytest.mark.parametrize("workers", [1, 2])
def test_who_waits_takes_over_when_the_builder_is_killed(tmp_path, utterances, clean, build, workers):
    folder = tmp_path / "store"
    first = build(seconds=-1, workers=workers)
    if workers == 1:
        first.until("a")
    else:  # which brings its clips in one go, and so none yet
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
    # Nobody ends the workers of the dead: they would wait for work for ever, and old filelocks would let them hold on.
    end = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in family):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert out.split()[-1] == "{}"
    assert complete(folder, utterances) == clean


@pytest.fixture
def little_space() -> Iterator[None]:
    """No file of this process may grow over 100 kB: what a full disk does to a write, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_and_what_was_complete_is_kept(tmp_path, utterances, clean, monkeypatch, request):
    monkeypatch.setattr(module, "SAVED", 1)
    folder = tmp_path / "store"
    s = store(folder, utterances)
    request.getfixturevalue("little_space")
    with pytest.raises(InputError, match=rf"the store {s.folder} cannot be written: File too large; .*data\.store"):
        s.ensure(ALL, workers=1, progress=silent)
    frames, rows, _ = s.open()
    assert 0 < len(rows) < COPIES
    assert frames.nbytes <= 100_000
    assert not list(s.folder.glob("*.tmp"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before[1], before[1]))
    s.ensure(ALL, workers=1, progress=silent)
    assert complete(folder, utterances) == clean


def test_a_full_disk_ends_prepare_in_one_line(command, small, tmp_path):
    assert command("prepare", *small, f"output_root={tmp_path}").code == 0  # there is a corpus
    words = [sys.executable, "-c", "from ser_lightning.commands.prepare import main; main()"]
    overrides = [word for word in small if not word.startswith("data.store")]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    done = subprocess.run(
        [*words, *overrides, f"data.store={tmp_path}/store", f"output_root={tmp_path}"],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"ser-prepare: the store {tmp_path}/store/")
    assert "File too large" in done.stderr


def test_a_changed_clip_gets_a_store_of_its_own(tmp_path, utterances):
    s = store(tmp_path / "store", utterances)
    s.ensure(ALL, workers=1, progress=silent)
    before = s.open()[0].copy()
    path = utterances[1].path
    soundfile.write(path, -soundfile.read(path)[0][:4000], 16000)
    changed = store(tmp_path / "store", listed(path.parent))
    assert changed.folder != s.folder
    changed.ensure(ALL, workers=1, progress=silent)
    np.testing.assert_array_equal(s.open()[0], before)
    assert changed.open()[1]["b", ""].frames < s.open()[1]["b", ""].frames


@pytest.mark.parametrize("workers", [1, 2])
def test_a_clip_that_changes_after_it_was_listed_is_not_stored_under_its_old_digest(tmp_path, utterances, workers):
    soundfile.write(utterances[1].path, np.full(9000, 0.1), 16000)
    s = store(tmp_path / "store", utterances)
    failures = s.ensure(ALL, workers=workers, progress=silent)
    assert failures == {"b": f"{utterances[1].path} has changed since the corpus was listed"}
    assert {id_ for id_, _ in s.open()[1]} == {"a", "c", "d"}


def damage_format(s) -> str:
    index = json.loads(s.index.read_text())
    s.index.write_text(json.dumps(index | {"format": 0}))
    return "was written by another version"


def damage_index(s) -> str:
    s.index.write_text(s.index.read_text()[:100])
    return "is damaged"


def damage_rows(s) -> str:
    s.index.write_text(json.dumps(json.loads(s.index.read_text()) | {"rows": [["a", "", "0", None]]}))
    return "is damaged"


def damage_data(s) -> str:
    s.data.write_bytes(s.data.read_bytes()[:-4])
    return "it is damaged"


def remove_data(s) -> str:
    s.data.unlink()
    return "has 0 bytes"


@pytest.mark.parametrize("damage", [damage_format, damage_index, damage_rows, damage_data, remove_data])
def test_a_store_that_is_damaged_or_of_another_version_is_made_again_and_that_is_said(
    tmp_path,
    utterances,
    clean,
    caplog,
    damage,
):
    s = store(tmp_path / "store", utterances)
    s.ensure(ALL, workers=1, progress=silent)
    frames, rows, _ = s.open()  # somebody reads it all the while
    kept = frames[: rows["a", ""].frames].copy()
    said = damage(s)
    with pytest.raises(InputError, match=f"{said}.*; delete .*, it is made again"):
        s.open()
    with caplog.at_level(logging.WARNING):
        s.ensure(ALL, workers=1, progress=silent)
    assert said in caplog.text
    assert "; it is made again" in caplog.text
    assert complete(tmp_path / "store", utterances) == clean
    if damage is not damage_data:  # which wrote into the reader's own file
        np.testing.assert_array_equal(frames[: rows["a", ""].frames], kept)


def test_a_store_made_with_other_libraries_is_made_again_and_that_is_said(tmp_path, utterances, caplog, monkeypatch):
    version = module.importlib.metadata.version
    with monkeypatch.context() as patch:
        patch.setattr(module.importlib.metadata, "version", lambda name: "1.2.3" if name == "numpy" else version(name))
        old = store(tmp_path / "store", utterances)
        old.ensure({"a": ("",)}, workers=1, progress=silent)
    new = store(tmp_path / "store", utterances)
    assert new.folder != old.folder
    with caplog.at_level(logging.WARNING):
        new.ensure(ALL, workers=1, progress=silent)
    assert f"the store {old.folder} is of another version (numpy 1.2.3 -> {version('numpy')})" in caplog.text
    assert len(new.open()[1]) == COPIES


def test_a_complete_store_is_used_where_nothing_may_be_written(tmp_path, utterances):
    s = store(tmp_path / "store", utterances)
    s.ensure(ALL, workers=1, progress=silent)
    (s.folder / "lock").unlink(missing_ok=True)
    (s.folder / "lock").mkdir()  # so that no lock can be taken, whoever asks
    assert s.ensure(ALL, workers=1, progress=silent) == {}
    with pytest.raises(InputError, match="cannot be written"):
        store(tmp_path / "store", [replace(u) for u in utterances]).ensure(
            ALL | {"a": (*ALL["a"], "more")}, workers=1, progress=silent
        )


def test_a_killed_worker_is_said_in_one_line(tmp_path, utterances, monkeypatch):
    s = store(tmp_path / "store", utterances)
    monkeypatch.setattr(type(s.features), "__call__", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(InputError, match=r"was killed.*data\.workers=1"):
        s.ensure(ALL, workers=2, progress=silent)
