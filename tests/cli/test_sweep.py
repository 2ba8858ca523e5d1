"""Sweeps on the command line: jobs in subprocesses, failures, restarts and other launchers."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from studies.soak import descendants
from tests.cli.run_files import wait_for
from tests.conftest import run_command

from ser_lightning.cli import processes
from ser_lightning.cli.sweep import listing_failures

TRAIN = Path(sys.executable).parent / "ser-train"
IN_TURN = ("hydra.launcher.n_jobs=1",)  # without worker processes


def sweep(small: list[str], root: Path, *words: str) -> list[str]:
    return [str(TRAIN), "--multirun", *small, f"output_root={root}", "name=sweep", *words]


def launch(small: list[str], root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        sweep(small, root, *words), capture_output=True, text=True, check=False, env=environment, timeout=600
    )


def one_by_one(small: list[str], root: Path, *words: str, seeds: Iterable[int]) -> None:
    """Run the jobs of a sweep one after another in this process, without a launcher."""
    for seed in seeds:
        assert run_command("train", *small, f"output_root={root}", "name=sweep", *words, f"seed={seed}")[0] == 0


def results(root: Path) -> dict[str, dict]:
    found = {p.parent.relative_to(root / "sweep"): json.loads(p.read_text()) for p in root.rglob("result.json")}
    return {str(folder): result["metrics"] for folder, result in sorted(found.items())}


@pytest.mark.slow
def test_failed_jobs_are_listed_and_do_not_stop_the_others(small, tmp_path):
    """A terminal shows a table of the jobs."""
    code, text = in_a_terminal(sweep(small, tmp_path, "model.hidden=0,4", "name=2026_11_27"))
    assert code == 1
    for word in ("validation UAR", "2 of 2", "done", "failed", "expected whole numbers of at least 1"):
        assert word in text, text[-3000:]
    folder = tmp_path / "2026_11_27"  # the name is kept as typed, although Hydra would read it as a number
    (path,) = tmp_path.rglob("result.json")
    assert path == folder / "model.hidden-4" / "dropout-p25" / "seed-0" / "result.json"
    assert json.loads(path.read_text())["name"] == "2026_11_27"
    failure, summary = text.splitlines()[-2:]
    reason = "model: model.hidden is [0]; expected whole numbers of at least 1"
    # The code that shows the cursor again comes before it.
    assert failure.endswith(f"ser-train: failed: {folder}/model.hidden-0/dropout-p25/seed-0: {reason}")
    assert summary.startswith("ser-train: 1 of 2 jobs failed.")
    assert {path.name for path in folder.iterdir()} == {"model.hidden-4", "multirun.yaml"}
    assert "Traceback" not in text


def in_a_terminal(words: list[str]) -> tuple[int, str]:
    """Run a command in a terminal; return its exit code and all that it showed."""
    leader, follower = pty.openpty()
    with subprocess.Popen(words, stdout=follower, stderr=follower, env=os.environ | {"COLUMNS": "200"}) as process:
        os.close(follower)
        shown = bytearray()
        try:
            while part := os.read(leader, 65536):
                shown += part
        except OSError:
            pass  # Linux raises an error once no process holds the terminal
    os.close(leader)
    return process.returncode, shown.decode(errors="replace")


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
@pytest.mark.slow
def test_rerunning_a_sweep_resumes_a_killed_job(small, tmp_path):
    """Finished jobs are skipped, and the results equal those of an uninterrupted sweep."""
    values = ("model.hidden=4", "trainer.max_epochs=6")
    one_by_one(small, tmp_path / "undisturbed", *values, seeds=range(2))
    words = (*values, "seed=0,1")
    root = tmp_path / "killed"
    with subprocess.Popen(sweep(small, root, *words), stderr=subprocess.PIPE, text=True) as process:
        folder = root / "sweep" / "dropout-p25" / "seed-0"
        wait_for(lambda: (folder / "checkpoints" / "last.ckpt").exists() or process.poll() is not None)
        children = [pid for pid in descendants(process.pid) if writes(pid, folder)]
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=300)
    assert children
    assert process.returncode == 1
    assert f"failed: {folder}: its process was killed by SIGKILL, perhaps for lack of memory" in err
    assert list(results(root)) == ["dropout-p25/seed-1"]
    stale = root / "sweep" / f".jobs-{socket.gethostname()}-{process.pid}-x.jsonl"  # as left behind by a killed sweep
    stale.touch()
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob("result.json")}
    again = launch(small, root, *words)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("already finished") == 1
    assert not list((root / "sweep").glob(".jobs-*"))
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert results(root) == results(tmp_path / "undisturbed")


def writes(pid: int, folder: Path) -> bool:
    """Return whether a process has a file of the folder open."""
    try:
        return any(str(folder) in str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


@pytest.mark.parametrize(
    ("signum", "send", "code"),
    [(signal.SIGINT, os.killpg, 130), (signal.SIGTERM, os.kill, 143)],
    ids=["ctrl-c", "kill"],
)
@pytest.mark.slow
def test_interrupted_sweep_ends_its_jobs_and_prints_a_resume_hint(small, tmp_path, signum, send, code):
    """Ctrl-C in a terminal reaches the whole process group, and ``kill`` only the sweep itself."""
    long = ("model.hidden=4", "seed=0,1", "trainer.max_epochs=2000")
    words = sweep([w for w in small if not w.startswith("trainer.max_epochs")], tmp_path, *long)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for(lambda: len(list(tmp_path.rglob("last.ckpt"))) == 2 or process.poll() is not None)
        family = descendants(process.pid)
        send(process.pid, signum)
        _, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert err.splitlines()[-1] == "ser-train: interrupted; rerun the same command to resume"
    assert len(family) >= 5
    wait_for(lambda: all(over(pid) for pid in family))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at shared memory through /dev/shm")
@pytest.mark.slow
def test_killed_sweep_leaves_no_shared_memory_and_prints_nothing_after_its_end(small, tmp_path):
    """The cleanup process of joblib outlives the sweep; here one of its files has disappeared, which it warns of."""
    long = ("model.hidden=4", "seed=0,1", "trainer.max_epochs=2000")
    words = sweep([w for w in small if not w.startswith("trainer.max_epochs")], tmp_path, *long)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for(lambda: len(list(tmp_path.rglob("last.ckpt"))) == 2 or process.poll() is not None)
        semaphores = list(Path("/dev/shm").glob(f"sem.loky-{process.pid}-*"))  # noqa: S108 - where Linux keeps them
        semaphores[0].unlink()
        process.kill()
        _, err = process.communicate(timeout=120)  # until the cleanup process has closed its end of the pipe
    assert process.returncode == -signal.SIGKILL
    assert "resource_tracker" not in err
    assert not any(path.exists() for path in semaphores)


def over(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


# ---------------------------------------------------------------------- single jobs


def run(monkeypatch: pytest.MonkeyPatch, code: str) -> str:
    """Run a job whose process executes ``code`` instead of the command; return its failure reason."""
    python = sys.executable
    start = subprocess.Popen
    monkeypatch.setattr(processes.subprocess, "Popen", lambda words, **options: start([python, "-c", code], **options))
    (reason,) = processes.run_processes([processes.JobProcess(words=[], cwd=str(Path.cwd()), full_error=False)])
    return reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "its process was killed by SIGKILL, perhaps for lack of memory"),
        ("import os; os._exit(7)", "its process ended with 7 and printed no error"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; print('x' * 10**6, file=sys.stderr); sys.exit('ser-train: seed is 3\\n')", "seed is 3"),
        ("print('hello')", ""),
    ],
)
def test_failure_reason_is_the_last_error_line_of_the_job(monkeypatch, code, reason):
    assert run(monkeypatch, code) == reason


def test_jobs_do_not_inherit_full_errors_set_by_the_cli(monkeypatch):
    code = "import os, sys; sys.exit(os.environ.get('HYDRA_FULL_ERROR', 'unset'))"
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # as hydra_app.run sets it for Hydra
    assert run(monkeypatch, code) == "unset"


@pytest.mark.parametrize(("threads", "expected"), [(1, 0), (2, 0), (1000, 1)])
def test_concurrent_jobs_are_limited_by_processor_cores(tmp_path, threads, expected):
    cores = len(os.sched_getaffinity(0))
    now, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        with processes.processor_cores(threads, sweep=str(tmp_path)):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.2)
            with lock:
                now[0] -= 1

    workers = [threading.Thread(target=work) for _ in range(2 * cores + 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert most[0] <= max(1, cores // threads)
    assert most[0] >= (expected or 1)


# ---------------------------------------------------------------------- run names


def test_constant_run_id_in_a_sweep_is_refused_before_any_work(small, tmp_path):
    done = launch(small, tmp_path, "seed=0,1", "run_id=mine")
    assert done.returncode == 1
    assert "run_id='${seed}'" in done.stderr.splitlines()[-2]
    assert not list(tmp_path.rglob("result.json"))
    assert not (tmp_path / "sweep" / "mine").exists()


@pytest.fixture
def run_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A function that returns the run IDs of a sweep in the order of its jobs, without running them."""
    from ser_lightning.cli import hydra_app

    def compose(*words: str) -> list[str]:
        found = tmp_path / f"{len(list(tmp_path.iterdir()))}.txt"

        def record(config) -> float:
            with found.open("a") as file:
                file.write(f"{HydraConfig.get().job.num} {config.run_id}\n")
            return 0.5

        fixed = (f"output_root={tmp_path / 'out'}", "hydra/launcher=basic")
        monkeypatch.setattr("sys.argv", ["ser-train", "--multirun", *words, *fixed])
        with pytest.raises(SystemExit) as ended, listing_failures("ser-train"):
            hydra_app.run("ser-train", "train", record)
        assert ended.value.code == 0
        return [line.split(" ", 1)[1] for line in found.read_text().splitlines()]

    return compose


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["split=speaker", "split.fold=range(2)"], ["dropout-p25/fold-0/seed-0", "dropout-p25/fold-1/seed-0"]),
        (["experiment=ablation_dropout", "seed=4"], ["dropout-none/seed-4", "dropout-p25/seed-4"]),
        (
            ["split=speaker,random", "model=drcnn"],
            ["split-speaker/dropout-p25/fold-0/seed-0", "split-random/dropout-p25/seed-0"],
        ),
        (
            ["corpus=pooled", "corpus/parts=[emodb,emovo],[emodb,ravdess]"],
            ["corpus.parts-emodb+emovo/dropout-p25/seed-0", "corpus.parts-emodb+ravdess/dropout-p25/seed-0"],
        ),
        (
            ["experiment=[corrected,ablation_dropout],released", "dropout=p10"],
            ["experiment-corrected+ablation_dropout/dropout-p10/seed-0", "experiment-released/dropout-p10/seed-0"],
        ),
        (["dropout.p=0.3,0.5"], ["dropout.p-0.3/seed-0", "dropout.p-0.5/seed-0"]),
        (["run_id=a-${seed}", "seed=3,4"], ["a-3", "a-4"]),
        (
            ["data.balance=none,classes", "corpus=emodb,emovo", "optim.lr=0.1"],  # one value is in no name
            [
                f"corpus-{corpus}/data.balance-{balance}/dropout-p25/seed-0"
                for balance in ("none", "classes")
                for corpus in ("emodb", "emovo")
            ],
        ),
    ],
)
def test_run_id_contains_the_swept_keys(run_ids, words, expected):
    assert run_ids(*words) == expected


def test_unusual_values_give_distinct_folder_names(run_ids):
    paths = ["/data/emo db", "/data/emo_db", "[a]", "a/b", "ü", "x" * 300, "y" * 299 + "x", "2026_11_27"]
    quoted = ",".join(f"'{path}'" for path in paths)
    found = run_ids("corpus=emodb", f"corpus.root={quoted}")
    assert len(set(found)) == len(paths)
    for name in found:
        folder, *rest = name.split("/")
        assert rest == ["dropout-p25", "seed-0"]
        assert re.fullmatch(r"corpus\.root-[A-Za-z0-9._~+-]{1,120}", folder)


@pytest.mark.slow
def test_tuning_grid_points_have_distinct_folders(run_ids):
    found = run_ids("experiment=[released,tuning_grid]", "model.kernel_sizes=[2,3]")
    assert len(set(found)) == len(found) == 12
    assert "model.activation-relu/model.pool_sizes-4+4/dropout.p-0.3/seed-0" in found


@pytest.mark.slow
def test_optuna_trials_have_distinct_folders(small, tmp_path):
    """Optuna maximizes the validation UAR, and a failed trial does not stop the others."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ("direction=maximize", "n_trials=3", "n_jobs=1", "max_failure_rate=1.0", "sampler.seed=1")
    words = ("hydra/sweeper=optuna", *(f"hydra.sweeper.{word}" for word in search))
    words += ("model.hidden=choice(0,4)", "optim.lr=interval(0.001,0.01)")
    done = launch(small, tmp_path, *words, *IN_TURN, "trainer.max_epochs=1")
    found = {path.parent.relative_to(tmp_path / "sweep"): path for path in tmp_path.rglob("result.json")}
    failed = [line for line in done.stderr.splitlines() if line.startswith("ser-train: failed: ")]
    assert len(found) + len(failed) == 3
    assert len(found) >= 2
    assert failed
    assert done.returncode == 1, done.stderr
    for folder in found:
        hidden, rate, *rest = folder.parts
        assert hidden == "model.hidden-4"
        assert re.fullmatch(r"optim\.lr-0\.\d+", rate)
        assert rest == ["dropout-p25", "seed-0"]
    best = max(json.loads(path.read_text())["metrics"]["val"]["uar"] for path in found.values())
    assert OmegaConf.load(tmp_path / "sweep" / "optimization_results.yaml").best_value == pytest.approx(best)


# ---------------------------------------------------------------------- folders that cannot be written


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """The mount point of a full file system."""
    place = tmp_path / "full"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount the small file system that this test fills")
    try:
        with pytest.raises(OSError, match="No space left"):
            (place / "fill").write_bytes(bytes(1 << 20))
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk_is_reported_and_leaves_no_files(command, small, full_disk):
    done = command("train", *small, f"output_root={full_disk}", "experiment=corrected")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("ser-train: ")
    assert "No space left on device" in done.err.splitlines()[-1]
    assert "output_root" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
    assert {path.name for path in full_disk.iterdir()} == {"fill"}


def test_synthetic_corpus_reports_a_full_disk(command, full_disk, tmp_path):
    words = ("corpus=synthetic_small", f"data.feature_cache={tmp_path}/store", f"output_root={full_disk}")
    done = command("train", *words)
    assert done.code == 1
    line = done.err.splitlines()[-1]
    assert "no space left" in line
    assert "corpus.root" in line
    assert "Traceback" not in done.err
    assert not list(full_disk.glob("train*"))


@pytest.mark.slow
def test_full_disk_is_the_failure_reason_of_sweep_jobs(small, full_disk):
    (full_disk / "fill").write_bytes(bytes(128 << 10))
    done = launch(small, full_disk, *IN_TURN, "seed=0")
    assert done.returncode == 1
    (failure,) = [line for line in done.stderr.splitlines() if line.startswith("ser-train: failed: ")]
    assert "No space left on device" in failure
    assert {path.name for path in (full_disk / "sweep").iterdir()} <= {"multirun.yaml"}


@pytest.mark.slow
def test_removed_run_folder_gives_a_one_line_error(small, tmp_path):
    words = [word for word in small if not word.startswith("trainer.max_epochs")]
    command = [TRAIN, "experiment=corrected", *words, "trainer.max_epochs=3000", f"output_root={tmp_path}"]
    folder = tmp_path / "corrected" / "dropout-p25" / "seed-0"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: (folder / "checkpoints" / "last.ckpt").exists() or process.poll() is not None)
        moved = tmp_path / "moved"
        folder.rename(moved)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith(f"ser-train: {folder} was removed")
    assert "Traceback" not in err
    assert not (tmp_path / "corrected").exists() or not list((tmp_path / "corrected").iterdir())
    assert (moved / "checkpoints" / "last.ckpt").exists()
