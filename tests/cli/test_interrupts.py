"""Ctrl-C, SIGTERM and the signals of SLURM, sent to the installed command."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from studies.soak import descendants
from tests.cli.run_files import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]
TRAIN = Path(sys.executable).parent / "ser-train"
LONG = ("experiment=corrected", "trainer.max_epochs=2000", "model.hidden=8")  # far longer than any test waits


@pytest.fixture
def start(small: list[str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command and wait until a checkpoint is there."""
    started: list[subprocess.Popen[str]] = []

    def begin(*options: str, **environment: str) -> subprocess.Popen[str]:
        values = [word for word in small if not word.startswith("trainer.max_epochs")]
        process = subprocess.Popen(
            [TRAIN, *options, *LONG, *values, f"output_root={tmp_path}"],
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        wait_for(lambda: any(tmp_path.rglob("last.ckpt")) or process.poll() is not None)
        assert process.poll() is None, process.stderr.read()
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_ctrl_c_leaves_a_checkpoint_and_a_resume_hint(start, tmp_path):
    process = start()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    line = err.splitlines()[-1]
    folder = tmp_path / "corrected" / "dropout-p25" / "seed-0"
    assert line.startswith("ser-train: interrupted; the same command resumes after epoch ")
    assert line.endswith(f", from {folder / 'checkpoints' / 'last.ckpt'}")
    assert "Traceback" not in err
    assert not (folder / ".lock").exists()
    assert not list(folder.rglob(".*.tmp"))


def test_second_signal_ends_the_process_at_once():
    code = (
        "import signal\nfrom ser_lightning.interrupts import InterruptedRunError, signals_as_exceptions\n"
        "with signals_as_exceptions():\n  try:\n    signal.raise_signal(signal.SIGINT)\n"
        "  except InterruptedRunError:\n    print('first', flush=True)\n    signal.raise_signal(signal.SIGINT)\n"
        "    print('second')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "first\n")


def test_job_that_hangs_after_a_signal_ends():
    code = (
        "import signal, threading\nfrom ser_lightning import interrupts\ninterrupts.GRACE = 1\n"
        "interrupts.raise_on_first_signal()\nlock = threading.Lock()\nlock.acquire()\n"
        "try:\n  signal.raise_signal(signal.SIGTERM)\n"
        "except interrupts.InterruptedRunError:\n  print('waits', flush=True)\n  lock.acquire()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (143, "waits\n")


def test_workers_end_with_a_killed_sweep(start):
    process = start("--multirun", "seed=0,1,2")
    family = descendants(process.pid)
    assert len(family) >= 3
    process.kill()
    process.wait(timeout=60)
    wait_for(lambda: not any(map(alive, family)))  # a job has a minute to end


def test_slurm_signals_requeue_the_job(start, tmp_path):
    """SLURM signals a job before its time limit; Lightning answers by requeuing the job."""
    asked = tmp_path / "asked"
    fake = tmp_path / "bin" / "scontrol"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" > {asked}\n')
    fake.chmod(0o755)
    slurm = {
        **{"SLURM_JOB_ID": "77", "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NAME": "train"},
        **{"SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_JOB_NODELIST": "localhost"},
    }
    process = start(**slurm, PATH=f"{fake.parent}:{os.environ['PATH']}")
    process.send_signal(signal.SIGUSR1)
    wait_for(asked.exists)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert asked.read_text() == "requeue 77\n"
    assert process.returncode == 143
    assert "the same command resumes after epoch" in err
