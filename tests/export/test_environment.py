"""``ser-predict`` with an ONNX file in an environment that has none of the libraries of training."""

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.export.conftest import sounds

import ser_lightning

NEEDED = ("numpy", "onnxruntime", "pyyaml", "rich", "soundfile", "soxr", "typer", "webrtcvad-wheels")
ABSENT = ("torch", "torchaudio", "pytorch_lightning", "sklearn", "scipy", "pandas", "librosa", "hydra", "onnx", "skops")
PREDICT = "from ser_lightning.cli.predict import main; main()"


def link_packages(folder: Path) -> None:
    """Link the needed packages and what they require, and nothing else, into a folder."""
    todo, done = list(NEEDED), set()
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # required for another system or version
            continue
        plain = [line for line in found.requires or [] if "extra ==" not in line]
        todo += [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in plain]
        for part in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / part).exists():
                (folder / part).symlink_to(Path(str(found.locate_file(part))))
    (folder / "ser_lightning").symlink_to(Path(ser_lightning.__file__).parent)


@pytest.mark.slow
def test_prediction_without_the_libraries_of_training(trained, command, tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir()
    link_packages(packages)
    model, clip = tmp_path / "model.onnx", tmp_path / "clip.wav"
    soundfile.write(clip, np.tile(sounds(16000, seed=1), 2), 48000)
    assert command("export", str(trained / "checkpoints" / "best.ckpt"), str(model)).code == 0

    def run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(packages)}
        line = [sys.executable, "-S", "-c", code, *words]  # -S: without the packages of this environment
        return subprocess.run(line, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)

    for name in ABSENT:
        assert "ModuleNotFoundError" in run(f"import {name}").stderr
    done = run(PREDICT, str(clip), "--model", str(model), "--min-speech", "0")
    assert done.returncode == 0, done.stderr
    found = command("predict", str(clip), "--model", str(model), "--min-speech", "0").out
    assert done.stdout.splitlines()[0].startswith("path,")
    assert done.stdout == found
