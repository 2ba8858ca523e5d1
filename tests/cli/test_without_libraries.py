"""Behavior without a C compiler and without the optional libraries."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.features.test_backends import BOUNDS

from ser_lightning.build import config_folder
from ser_lightning.errors import InputError
from ser_lightning.kernels.backend import FEATURES_COST, PITCH_COST, resolve_backend
from ser_lightning.kernels.library import library

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parents[2] / "src" / "ser_lightning"
TRAIN = "import sys; sys.argv[0] = 'ser-train'; from ser_lightning.cli.train import main; main()"
COST = "The C kernels cannot be used"


@pytest.fixture(scope="session")
def uncompiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment with a copy of the package without compiled kernels, and a compiler that fails."""
    folder = tmp_path_factory.mktemp("uncompiled")
    package = shutil.copytree(
        SOURCE, folder / "src" / "ser_lightning", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    shutil.copytree(config_folder(), folder / "conf")
    assert not list(package.rglob("*.so"))
    return {**os.environ, "PYTHONPATH": str(package.parent), "CC": "/bin/false"}


# Several commands in one process, to import torch once; the first that fails ends it.
TRAIN_ALL = """
import json, sys
from ser_lightning.cli.train import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["ser-train", *words]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
"""


def run(code: str, *words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *words], env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def words(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    # Shift by an octave: for 3 semitones torchaudio needs a minute and gigabytes to build its kernel.
    root = tmp_path_factory.mktemp("runs")
    return [
        *small,
        "trainer.max_epochs=1",
        "augment.pitch_steps=[12]",
        f"output_root={root}",
        "name=x",
        "run_id=y",
    ]


@pytest.fixture(scope="session")
def done(uncompiled, words) -> subprocess.CompletedProcess[str]:
    return run(TRAIN, *words, env=uncompiled)


def result_of(words: list[str]) -> dict:
    (root,) = (word.partition("=")[2] for word in words if word.startswith("output_root="))
    return json.loads((Path(root) / "x" / "y" / "result.json").read_text())


def test_run_without_a_compiler_uses_the_references_and_warns_once(done, words):
    assert done.returncode == 0, done.stderr
    config = result_of(words)["config"]
    assert (config["features"]["backend"], config["augment"]["backend"]) == ("librosa", "torchaudio")
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if COST in line]
    for word in ("/bin/false", "librosa", "torchaudio", f"{FEATURES_COST} times slower", f"{PITCH_COST} times slower"):
        assert word in line


def test_sweep_without_a_compiler_warns_once(done, uncompiled, words):
    assert done.returncode == 0  # the features are cached
    words = [word for word in words if not word.startswith("run_id=")]
    sweep = run(TRAIN, "--multirun", *words, "name=sweep", "seed=0,1", "trainer.fast_dev_run=true", env=uncompiled)
    assert sweep.returncode == 0, sweep.stderr
    assert (sweep.stdout + sweep.stderr).count(COST) == 1


def test_naming_a_backend_keeps_the_configuration_or_is_an_error(done, uncompiled, words):
    assert done.returncode == 0
    before = result_of(words)
    reference = [*words, "features.backend=librosa", "augment.backend=torchaudio"]
    native = [*words, "run_id=z", "features.backend=librosa", "augment.backend=native"]
    named = run(TRAIN_ALL, json.dumps([reference, native]), env=uncompiled)
    assert COST not in named.stdout + named.stderr  # no warning, because the backend was requested
    assert result_of(words) == before
    assert "already finished" in named.stderr
    assert named.returncode == 1
    (line,) = [line for line in named.stderr.splitlines() if line.startswith("ser-train: ")]
    assert all(word in line for word in ("augment.backend is native", "/bin/false", "augment.backend=auto"))
    assert "Traceback" not in named.stderr


def test_native_kernels_are_another_configuration(done, words, command):
    assert done.returncode == 0
    (cache,) = (Path(word.partition("=")[2]) for word in words if word.startswith("data.feature_cache="))
    backends = [json.loads(path.read_text())["spec"]["features"].get("backend") for path in cache.glob("*/index.json")]
    assert backends.count("librosa") == 1
    native = command("train", *words)
    assert native.code == 1
    assert "another configuration" in native.err
    assert result_of(words)["config"]["features"]["backend"] == "librosa"


def test_every_feature_option_works_without_kernels(uncompiled, tmp_path):
    code = f"""
import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from ser_lightning.build import build, config_folder, usable_backends
wave = np.sin(np.arange(9000, dtype=np.float32) / 9)
for option in {list(BOUNDS)}:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = OmegaConf.to_container(compose("train", overrides=["run_id=x", f"features={{option}}"]), resolve=True)
    features = build("features", config["features"])
    assert features.backend == "librosa", option
    np.save(f"{tmp_path}/{{option}}.npy", features(wave))
    of_checkpoint = usable_backends({{"features": config["features"] | {{"backend": "native"}}}})
    assert of_checkpoint["features"]["backend"] == "librosa"
"""
    made = run(code, env=uncompiled)
    assert made.returncode == 0, made.stderr
    assert made.stderr.count(COST) == 1
    for option in BOUNDS:
        assert np.isfinite(np.load(tmp_path / f"{option}.npy")).all()


def test_library_that_cannot_be_loaded_raises_input_error(tmp_path, monkeypatch):
    broken = tmp_path / "kernels.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr("ser_lightning.kernels.library.compiled", lambda: broken)
    library.cache_clear()
    try:
        with pytest.raises(
            InputError, match=r"features\.backend is native, but cannot load the kernels in .*kernels\.so"
        ):
            resolve_backend("native", reference="librosa", key="features.backend")
    finally:
        library.cache_clear()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (["corpus.root={}"], "synthetic corpus"),
        (["features=prosody"], "features=prosody"),
    ],
)
def test_missing_praat_gives_install_instructions_in_one_line(command, words, tmp_path, monkeypatch, changed, named):
    monkeypatch.setitem(sys.modules, "parselmouth", None)  # as if it were not installed
    refused = command("train", *words, "run_id=praat", *(word.format(tmp_path) for word in changed))
    assert refused.code == 1
    (line,) = refused.err.strip().splitlines()
    assert named in line
    assert "pip install 'ser-lightning[synthetic]'" in line
