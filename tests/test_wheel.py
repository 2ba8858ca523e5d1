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

from tests import pythons

ROOT = Path(__file__).parents[1]
SOURCES = ("src", "conf", "hatch_build.py", "pyproject.toml", "README.md", "LICENSE")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


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
    assert result["versions"]["ser-lightning"] == PROJECT["version"]
    assert result["git"] is None  # not a git checkout


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
