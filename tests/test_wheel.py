"""Build the wheel with and without a compiler, install it and use it from another folder.

The wheel is installed into an environment with the libraries of this one, but without the checkout, so the wheel itself
must provide the code, configs, kernels and commands. ``make pythons`` checks that the declared dependencies suffice, by
downloading them into bare environments.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatch_build import Kernels

import ser_lightning as ser
from tests import pythons

ROOT = Path(__file__).parents[1]
SOURCES = ("src", "conf", "hatch_build.py", "pyproject.toml", "README.md", "LICENSE")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LABELS = ("neutral", "happy", "sad", "angry")


def bare() -> dict[str, str]:
    """Return the environment variables without ``PYTHON*``, which could make the checkout importable."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def build(folder: Path, **env: str) -> Path:
    """Build a wheel from a copy of the sources without compiled kernels."""
    copy = folder / "sources"
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(source, copy / name)
    words = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(words, cwd=copy, env={**os.environ, **env}, check=True, capture_output=True, text=True)
    shutil.rmtree(copy)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel into an environment with the libraries of this one; return the folder of its commands."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, env=bare())
    python = folder / "bin" / "python"
    words = [pythons.UV, "pip", "install", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run(words, check=True, capture_output=True, env=bare())
    (packages,) = folder.glob("lib/python*/site-packages")
    # A .pth file adds the folder to sys.path, but .pth files in it (such as that of the checkout) are not read.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


@pytest.fixture(scope="session", params=["compiled", "pure"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    wheel = build(folder, **({} if request.param == "compiled" else {"CC": "/bin/false"}))
    return request.param, wheel, install(wheel, folder / "venv")


def test_pure_wheel_on_request(tmp_path, monkeypatch):
    monkeypatch.delenv("SER_LIGHTNING_PURE", raising=False)
    hook = Kernels(str(ROOT), {}, None, None, str(tmp_path), "wheel")
    compiled = {"artifacts": []}
    hook.initialize("standard", compiled)
    assert len(compiled["artifacts"]) == 1
    assert compiled["pure_python"] is False
    monkeypatch.setenv("SER_LIGHTNING_PURE", "1")
    pure = {"artifacts": []}
    hook.initialize("standard", pure)
    assert pure == {"artifacts": []}


@pytest.mark.slow
def test_wheel_has_platform_tag_kernels_and_configs(installed):
    kind, wheel, _ = installed
    names = zipfile.ZipFile(wheel).namelist()
    libraries = [name for name in names if name.endswith(".so")]
    if kind == "pure":
        assert wheel.name.endswith("-py3-none-any.whl")
        assert libraries == []
    else:
        assert wheel.name.endswith(f"-py3-none-{sysconfig.get_platform().replace('-', '_')}.whl")
        assert len(libraries) == 1
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert {f"ser_lightning/{config}" for config in configs} <= set(names)
    assert "ser_lightning/py.typed" in names
    assert {f"ser_lightning/serve/page/{name}" for name in ("index.html", "page.js", "page.css")} <= set(names)
    assert {f"ser_lightning/default_model/{name}" for name in ("emodb.ckpt", "MODEL_CARD.md")} <= set(names)


@pytest.mark.slow
def test_installed_wheel_trains_in_another_folder(installed, synthetic_root, tmp_path):
    kind, _, binaries = installed
    env = bare() | {"CC": "/bin/false"}  # no compilation at run time
    where = [binaries / "python", "-c", "from ser_lightning.build import config_folder; print(config_folder())"]
    found = subprocess.run(where, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(binaries.parent)
    words = [*pythons.TRAIN, f"corpus.root={synthetic_root}", "augment.pitch_steps=[12]"]
    train = [binaries / "ser-train", *words]
    trained = subprocess.run(train, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert trained.returncode == 0, trained.stderr
    result = json.loads((tmp_path / "outputs" / "x" / "y" / "result.json").read_text())
    backends = (result["config"]["features"]["backend"], result["config"]["augment"]["backend"])
    assert backends == (("native", "native") if kind == "compiled" else ("librosa", "torchaudio"))
    assert result["versions"]["ser-lightning"] == ser.__version__
    assert result["git"] is None  # not a git checkout


@pytest.mark.slow
@pytest.mark.parametrize("installed", ["compiled"], indirect=True)
def test_own_package_is_trained_and_used(installed, synthetic_root, tmp_path):
    """Follow the README of the example as a user would, in a folder of one's own."""
    _, _, binaries = installed
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples" / "own_project", project)
    clips = [u for u in ser.load_corpus("synthetic_small", root=synthetic_root) if u.emotion in LABELS]
    rows = [f"{clip.path},{clip.speaker},{clip.emotion}" for clip in clips]
    (project / "interviews.csv").write_text("\n".join(["path,speaker,emotion", *rows]) + "\n")

    def run(*words: object, code: int = 0, folder: Path = project) -> str:
        line = [binaries / str(words[0]), *map(str, words[1:])]
        done = subprocess.run(line, cwd=folder, env=bare(), capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    train = ("ser-train", "--config-dir", "conf", "experiment=interviews", "run_id=x", "trainer.max_epochs=2")
    assert "trust=" in run(*train, code=1)
    run(*train, "trust=[my_emotions]")
    folder = project / "outputs" / "interviews" / "x"
    result = json.loads((folder / "result.json").read_text())
    assert result["emotions"] == list(LABELS)
    assert result["own_code"].keys() == {"my_emotions"}
    assert result["counts"]["train_with_copies"] == 2 * result["counts"]["train"]

    checkpoint = folder / "checkpoints" / "best.ckpt"
    assert "--trust my_emotions" in run("ser-predict", clips[0].path, "--model", checkpoint, code=1)
    trust = ("--trust", "my_emotions")
    header, row = run("ser-predict", clips[0].path, "--model", checkpoint, *trust).splitlines()
    assert header == ",".join(["path", "channel", "start", "end", "speech", "prediction", *LABELS, "warnings"])
    label = row.split(",")[5]
    assert "my_emotions" in run("ser-predict", clips[0].path, "--model", checkpoint, *trust, code=1, folder=tmp_path)
    run("ser-evaluate", folder, *trust)
    run(
        "ser-features",
        clips[0].path,
        "--output",
        "features",
        *trust,
        "--config-dir",
        "conf",
        "--set",
        "features=contours",
    )
    assert len(list((project / "features").glob("*.npy"))) == 1
    script = "import sys, soundfile, ser_lightning as ser;"
    script += "print(ser.load(sys.argv[1], trust=['my_emotions']).predict(*soundfile.read(sys.argv[2])).label)"
    assert run("python", "-c", script, checkpoint, clips[0].path).strip() == label

    with (project / "my_emotions" / "network.py").open("a") as file:
        file.write("# changed\n")
    assert "other code of my_emotions" in run(*train, "trust=[my_emotions]", code=1)


@pytest.mark.slow
def test_installed_commands_show_their_help(installed, tmp_path):
    kind, _, binaries = installed
    assert {path.name for path in binaries.glob("ser-*")} == set(PROJECT["scripts"])
    if kind == "compiled":  # the pure wheel has the same scripts
        for command in sorted(PROJECT["scripts"]):
            help_ = [binaries / command, "--help"]
            shown = subprocess.run(help_, cwd=tmp_path, env=bare(), capture_output=True, text=True, check=False)
            assert shown.returncode == 0, shown.stderr
            assert command in shown.stdout


def test_declared_python_versions():
    assert pythons.declared() == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert pythons.find(running, [sys.executable]) == Path(sys.executable)
    assert pythons.find("3.2", [sys.executable]) is None
