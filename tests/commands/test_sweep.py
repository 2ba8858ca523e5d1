"""Sweeps as users run them: jobs of their own processes, failures told, started again, on other launchers."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from studies.soak import descendants

from ser_lightning.commands import job

TRAIN = Path(sys.executable).parent / "ser-train"
RUN_ID = "run_id=hidden-${model.hidden}/seed-${seed}"


def sweep(small: list[str], root: Path, *words: str) -> list[str]:
    return [str(TRAIN), "--multirun", *small, f"output_root={root}", "name=sweep", RUN_ID, *words]


def launch(small: list[str], root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        sweep(small, root, *words), capture_output=True, text=True, check=False, env=environment, timeout=600
    )


def one_by_one(command: Callable, small: list[str], root: Path, *words: str, seeds: Iterable[int]) -> None:
    """Do what a sweep does, in this process and without a launcher."""
    for seed in seeds:
        assert command("train", *small, f"output_root={root}", "name=sweep", RUN_ID, *words, f"seed={seed}").code == 0


def results(root: Path) -> dict[str, dict]:
    found = {p.parent.relative_to(root / "sweep"): json.loads(p.read_text()) for p in root.rglob("result.json")}
    return {str(folder): result["metrics"] for folder, result in sorted(found.items())}


def wait_for(happened: Callable[[], object], *, patience: float = 300) -> None:
    until = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)


def test_a_failed_job_stops_no_other_and_all_failures_are_told(small, tmp_path):
    done = launch(small, tmp_path, "model.hidden=0,4", "seed=0,1")
    assert done.returncode == 1
    assert list(results(tmp_path)) == ["hidden-4/seed-0", "hidden-4/seed-1"]
    told = [line for line in done.stderr.splitlines() if line.startswith("ser-train: ")]
    reason = "model: model.hidden is [0]; expected whole numbers of at least 1"
    assert told == [
        f"ser-train: failed: {tmp_path}/sweep/hidden-0/seed-0: {reason}",
        f"ser-train: failed: {tmp_path}/sweep/hidden-0/seed-1: {reason}",
        "ser-train: 2 of 4 jobs failed; mend what they say and start the same command again: what is done stays done",
    ]
    assert not (tmp_path / "sweep" / ".jobs").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_a_job_that_is_killed_ends_nobody_else_and_a_second_start_does_what_is_left(small, command, tmp_path):
    """The killed job goes on, the finished ones are left alone, and the results are those of an undisturbed sweep."""
    values = ("model.hidden=4", "trainer.max_epochs=6")
    one_by_one(command, small, tmp_path / "undisturbed", *values, seeds=range(3))
    words = (*values, "seed=0,1,2")
    root = tmp_path / "killed"
    with subprocess.Popen(sweep(small, root, *words), stderr=subprocess.PIPE, text=True) as process:
        folder = root / "sweep" / "hidden-4" / "seed-0"
        wait_for(lambda: (folder / "checkpoints" / "last.ckpt").exists() or process.poll() is not None)
        children = [pid for pid in descendants(process.pid) if writes(pid, folder)]
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=300)
    assert children
    assert process.returncode == 1
    assert f"failed: {folder}: its process was killed by SIGKILL, perhaps for lack of memory" in err
    assert list(results(root)) == ["hidden-4/seed-1", "hidden-4/seed-2"]
    stale = root / "sweep" / ".jobs" / f"{socket.gethostname()}-{process.pid}-x"  # as a killed sweep leaves it
    stale.mkdir(parents=True)
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob("result.json")}
    again = launch(small, root, *words)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("done already") == 2
    assert not stale.parent.exists()
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert results(root) == results(tmp_path / "undisturbed")


def writes(pid: int, folder: Path) -> bool:
    """Tell whether a process has a file of a folder open."""
    try:
        return any(str(folder) in str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def test_where_there_is_a_terminal_a_table_shows_the_jobs(small, tmp_path):
    leader, follower = pty.openpty()
    words = sweep(small, tmp_path, "model.hidden=0,4", "seed=0")
    with subprocess.Popen(words, stdout=follower, stderr=follower, env=os.environ | {"COLUMNS": "200"}) as process:
        os.close(follower)
        shown = bytearray()
        try:
            while part := os.read(leader, 65536):
                shown += part
        except OSError:
            pass  # Linux ends a terminal that nobody holds with an error
    os.close(leader)
    assert process.returncode == 1
    text = shown.decode(errors="replace")
    for words_ in ("validation UAR", "2 of 2", "done", "failed", "expected whole numbers of at least 1"):
        assert words_ in text, text[-3000:]


@pytest.mark.parametrize("launcher", ["submitit_local", "ray"])
def test_other_launchers_run_the_same_jobs(small, command, tmp_path, launcher):
    """submitit's local executor is what its SLURM one is, without SLURM; Ray is started here, on this machine."""
    pytest.importorskip("submitit" if launcher == "submitit_local" else "ray")
    extra = [] if launcher == "submitit_local" else ["+hydra.launcher.ray.init.num_cpus=2"]
    root = tmp_path / launcher
    done = launch(small, root, f"hydra/launcher={launcher}", "model.hidden=0,4", "seed=0,1", *extra)
    assert done.returncode == 1, done.stderr
    assert list(results(root)) == ["hidden-4/seed-0", "hidden-4/seed-1"]
    assert "2 of 4 jobs failed" in done.stderr, done.stderr
    assert not list((root / "sweep").glob("hidden-0/*")), "a refused run leaves nothing, nor does its launcher"
    one_by_one(command, small, tmp_path / "here", "model.hidden=4", seeds=range(2))
    assert results(tmp_path / launcher) == results(tmp_path / "here")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_sweep_ends_with_all_its_jobs_and_a_word_how_to_go_on(small, tmp_path, signum, code):
    """The signal goes to the whole process group, as a terminal sends it."""
    long = ("model.hidden=4", "seed=0,1", "trainer.max_epochs=2000")
    words = sweep([w for w in small if not w.startswith("trainer.max_epochs")], tmp_path, *long)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for(lambda: len(list(tmp_path.rglob("last.ckpt"))) == 2 or process.poll() is not None)
        family = descendants(process.pid)
        os.killpg(process.pid, signum)
        _, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert err.splitlines()[-1] == "ser-train: interrupted; the same command resumes where it was"
    assert len(family) >= 5
    wait_for(lambda: all(over(pid) for pid in family))


def over(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_a_job_leaves_nothing_to_the_next():
    state = {"touched": False}

    def touch() -> str:
        state["touched"] = True
        os.environ["SER_LIGHTNING_TOUCHED"] = "1"
        return "done"

    assert job.in_a_child(touch) == ("done", "")
    assert state == {"touched": False}
    assert "SER_LIGHTNING_TOUCHED" not in os.environ


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "its process was killed by SIGKILL, perhaps for lack of memory"),
        (lambda: os._exit(7), "its process ended with 7 and said nothing"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero (test_sweep.py:"),
    ],
)
def test_the_end_of_a_job_is_told(end, reason):
    result, told = job.in_a_child(end)
    assert result is None
    assert told.startswith(reason)


def test_a_machine_runs_no_more_jobs_at_once_than_it_has_cores(tmp_path):
    cores = len(os.sched_getaffinity(0))
    now, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        with job.slot(str(tmp_path), threads=max(1, cores // 2)):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.2)
            with lock:
                now[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == cores // max(1, cores // 2)
