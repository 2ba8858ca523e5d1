"""Unusual file names in every command that takes files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.test_cnn_bilstm import RELEASED

from ser_lightning.models.cnn_bilstm import CNNBiLSTM

NAMES = (
    *("Recording (1)", "録音", "录音 测试", "Ünï", "2023_01_05", "2023", "007", "1e5", "nan", "true", "null"),
    *("epoch=3-step=12", "take #2", "it's", 'say "hi"', "a,b", "[x]", "{a}", "$HOME", "a b", "a\\b", "x;y", "100%"),
    *("-dash", "--output", "${oc.env:HOME}", "line\nbreak", "caf\udce9", "~tilde", "~", "key=value", "*", "?"),
)


def named(command: str, *words: str) -> list[str]:
    """Return the arguments that run a command in a subprocess."""
    return [sys.executable, "-c", f"from ser_lightning.cli.{command} import main; main()", *words]


@pytest.fixture(scope="module")
def clip(synthetic_root, trained) -> Path:
    return min(synthetic_root.rglob("*.flac"))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(name: str) -> str:
    """Return a name as it appears in CSV and JSON output."""
    return name.encode("utf-8", "backslashreplace").decode()


def test_predict_accepts_unusual_file_and_folder_names(succeed, clip, trained, here):
    for name in NAMES:
        shutil.copy(clip, f"{name}.wav")
        Path(name).mkdir()
        shutil.copy(clip, Path(name, f"{name}.wav"))
    checkpoint = here / "epoch=3-step=12.ckpt"
    shutil.copy(trained / "checkpoints" / "best.ckpt", checkpoint)
    inputs = [word for name in NAMES for word in (f"{name}.wav", name)]
    done = succeed("predict", "--model", checkpoint.name, "--json", "--", *inputs)
    rows = [json.loads(line) for line in done.out.splitlines()]
    expected = [path for name in NAMES for path in (f"{name}.wav", f"{name}/{name}.wav")]
    assert [row["path"] for row in rows] == [written(path) for path in expected]
    assert len({row["prediction"] for row in rows}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_predict_accepts_unusual_checkpoint_and_output_names(succeed, clip, trained, here, name):
    Path("x.wav").symlink_to(clip)
    shutil.copy(trained / "checkpoints" / "best.ckpt", name)
    succeed("predict", "x.wav", f"--model={name}", f"--output={name}.csv", f"--set=data.feature_cache={name}")
    assert Path(f"{name}.csv").read_text().splitlines()[1].startswith("x.wav,")


def test_features_accepts_unusual_file_names(succeed, clip, here):
    for name in NAMES:
        shutil.copy(clip, f"{name}.wav")
    words = ["--output", "[out] (1)=", "--set", "audio=untrimmed", "--json", "--", *(f"{name}.wav" for name in NAMES)]
    done = succeed("features", *words)
    for name, line in zip(NAMES, done.out.splitlines(), strict=True):
        row = json.loads(line)
        assert (row["path"], row["features"]) == (written(f"{name}.wav"), written(f"[out] (1)=/{name}.wav.npy"))
        assert list(np.load(f"[out] (1)=/{name}.wav.npy").shape) == row["shape"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["録音 (1)", "2023_01_05", "[a=b] it's #2"])
def test_evaluate_report_and_import_accept_unusual_names(succeed, trained, here, name):
    shutil.copytree(trained, name)
    succeed("evaluate", name, "--output", f"{name}.json")
    figures = json.loads(Path(f"{name}.json").read_text())
    assert (figures["run"], figures["equal"]) == (name, True)

    succeed("report", name, "--output", f"{name} report", "--json")
    assert Path(f"{name} report", "report.html").is_file()

    renames = (("convolutions.0", "MFCC_feature_extraction.0"), ("convolutions.1", "MFCC_feature_extraction.2"))
    state = {}
    for ours, value in CNNBiLSTM(**RELEASED).state_dict().items():
        theirs = ours.replace("classifier.", "classify.")
        if ours.startswith("lstm.backward_lstm."):
            theirs = ours.replace("lstm.backward_lstm.", "lstm.") + "_reverse"
        theirs = theirs.replace("lstm.forward_lstm.", "lstm.")
        for old, new in renames:
            theirs = theirs.replace(old, new)
        state[theirs] = value
    torch.save(state, f"{name}.pt")
    succeed("import_weights", f"{name}.pt", "--output", f"{name}.ckpt")
    assert Path(f"{name}.ckpt").is_file()


def test_file_name_with_leading_dash_needs_double_dash(command, clip, trained, here):
    shutil.copy(clip, "-x.wav")
    words = ["--model", f"{trained}/checkpoints/best.ckpt"]
    assert command("predict", "-x.wav", *words).code == 2
    assert command("predict", *words, "--", "-x.wav").code == 0
    assert command("predict", *words, "./-x.wav").code == 0


def test_home_folder_is_expanded(succeed, clip, trained, here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    shutil.copy(clip, "x.wav")
    shutil.copy(trained / "checkpoints" / "best.ckpt", "best.ckpt")
    succeed("predict", "~/x.wav", "--model=~/best.ckpt", "--output=~/o.csv")
    assert (here / "o.csv").read_text().splitlines()[1].startswith(f"{here}/x.wav,")


def test_same_recording_is_predicted_once(succeed, clip, trained, here):
    Path("folder").mkdir()
    shutil.copy(clip, "folder/a.wav")
    shutil.copy(clip, "folder/b.wav")
    Path("link").symlink_to("folder")
    Path("folder/c.wav").symlink_to("a.wav")  # a second name is predicted separately
    inputs = ["folder/b.wav", "folder", "./folder/a.wav", str(here / "folder" / "b.wav"), "link/a.wav", "folder/b.wav"]
    done = succeed("predict", *inputs, "--model", f"{trained}/checkpoints/best.ckpt")
    assert [line.partition(",")[0] for line in done.out.splitlines()[1:]] == [
        "folder/b.wav",
        "folder/a.wav",
        "folder/c.wav",
    ]


@pytest.mark.slow
def test_predict_into_a_closed_pipe_prints_no_error(clip, trained, here):
    """Like piping JSON Lines into head, which closes the pipe after the first line."""
    Path("folder").mkdir()
    for name in ("Recording (1).wav", "録音.wav", *(f"folder/{number}.wav" for number in range(300))):
        shutil.copy(clip, name)
    shutil.copy(trained / "checkpoints" / "best.ckpt", "best.ckpt")
    words = ["Recording (1).wav", "録音.wav", "folder/", "--model", "best.ckpt", "--json", "--set", "data.batch_size=8"]
    with subprocess.Popen(named("predict", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        first = json.loads(process.stdout.readline())
        process.stdout.close()
        error = process.stderr.read().decode()
    assert first["path"] == "Recording (1).wav"
    assert process.returncode == 141
    assert "Traceback" not in error
    assert "Exception ignored" not in error
    assert "BrokenPipe" not in error


def test_full_disk_is_reported(command, clip, trained):
    words = [str(clip), "--model", f"{trained}/checkpoints/best.ckpt"]
    done = command("predict", *words, "--output", "/dev/full")
    assert done.code == 1
    assert "ser-predict: /dev/full cannot be written: No space left on device" in done.err.splitlines()[-1]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(named("predict", *words), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "ser-predict: standard output cannot be written: No space left on device" in done.stderr.splitlines()[-1]
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("{tmp}", "{tmp} is a folder"),
        ("/proc/x.csv", "/proc/x.csv cannot be written"),
        ("{tmp}/file/x.csv", "{tmp}/file/x.csv cannot be written"),
        ("{tmp}/o.xlsx", ".jsonl"),
    ],
)
def test_invalid_output_is_refused_before_input_is_read(command, tmp_path, output, message):
    (tmp_path / "file").write_text("")
    done = command("predict", "no such.wav", "--model", "no such.ckpt", "--output", output.format(tmp=tmp_path))
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert message.format(tmp=tmp_path) in line
    done = command("evaluate", "no such run", "--output", f"{tmp_path}/o.csv")
    assert done.code == 1
    assert f"{tmp_path}/o.csv ends in .csv; give a file that ends in .json" in done.err


def test_features_follows_symlinks_and_skips_too_long_names(command, clip, here):
    long = f"{250 * 'a'}.wav"
    for name in ("x.wav", long):
        shutil.copy(clip, name)
    Path("out").mkdir()
    Path("out/x.wav.npy").symlink_to(here / "elsewhere.npy")
    done = command("features", "x.wav", long, "--output", "out", "--set", "audio=untrimmed")
    assert done.code == 3
    assert "File name too long" in done.err
    assert Path("out/x.wav.npy").is_symlink()
    assert np.load("elsewhere.npy").shape[1] == 162
    assert [path.name for path in Path("out").iterdir()] == ["x.wav.npy"]


@pytest.mark.slow
@pytest.mark.parametrize("command_", ["predict", "report"])  # with and without torch
def test_closed_stdout_still_gives_a_one_line_error(command_, tmp_path):
    words = [f"{tmp_path}/none", *(["--model", "none.ckpt"] if command_ == "predict" else [])]
    code = "import os, sys; os.close(1); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *named(command_, *words)], stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ser-{command_}: ")
