"""Install and use the wheel on every declared Python version, in bare environments (``make pythons``)."""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = shutil.which("uv", path=Path(sys.executable).parent) or "uv"
# Fast tests that need no recordings: kernels, features, metrics and configs.
TESTS = ("tests/kernels", "tests/features/test_backends.py", "tests/test_metrics.py", "tests/test_build.py")
TRAIN = ("corpus=synthetic_small", "split=random", "trainer.max_epochs=1", "output_root=outputs", "name=x", "run_id=y")


class StepError(Exception):
    """A command failed; the message holds the end of its output."""


def declared() -> list[str]:
    """Return the Python versions that pyproject.toml declares.

    >>> declared()
    ['3.11', '3.12', '3.13']
    """
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    versions = [classifier.rpartition(" :: ")[2] for classifier in classifiers if "Python :: 3." in classifier]
    return sorted(versions, key=lambda version: int(version.partition(".")[2]))


def find(version: str, given: Sequence[str]) -> Path | None:
    """Return an interpreter of the version from those given, the path or pyenv; None if there is none."""
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    of_pyenv = sorted(pyenv.glob(f"{version}.*/bin/python"))
    for candidate in (*map(Path, given), *([Path(on_path)] if on_path else []), *of_pyenv):
        words = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if candidate.exists() and _output(words) == version:  # a pyenv shim may fail
            return candidate
    return None


def _output(words: Sequence[str | Path]) -> str:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=False).stdout.strip()


def step(words: Sequence[str | Path], *, folder: Path) -> str:
    """Run a command and return its last line of output.

    Raises:
        StepError: the command failed

    """
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, words)], cwd=folder, env=env, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode:
        raise StepError("\n".join([" ".join(map(str, words[:4])), *lines[-15:]]))
    return lines[-1] if lines else ""


def build_wheel(folder: Path) -> Path:
    """Build the wheel and return its path."""
    step([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder], folder=ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def try_wheel(wheel: Path, interpreter: Path, *, folder: Path) -> str:
    """Install a wheel with its dependencies into a bare environment, train a model and run some tests there.

    Returns:
        last line of pytest's output

    Raises:
        StepError: a command failed

    """
    binaries = folder / "venv" / "bin"
    step([UV, "venv", "--python", interpreter, folder / "venv"], folder=folder)
    constraints = ["--constraint", ROOT / "constraints.txt"]
    packages = [f"{wheel}[synthetic]", "pytest", "hypothesis"]
    step([UV, "pip", "install", "--python", binaries / "python", *constraints, *packages], folder=folder)
    step([binaries / "ser-train", *TRAIN], folder=folder)
    if not (folder / "outputs" / "x" / "y" / "result.json").is_file():
        raise StepError("ser-train left no result.json")
    return step([binaries / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS], folder=ROOT)


def main(*given: str) -> int:
    """Test every declared version that has an interpreter; return 1 if one fails."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        for version in declared():
            interpreter = find(version, given)
            if interpreter is None:
                print(f"Python {version}: skipped, because no interpreter of it was found", flush=True)
                continue
            room = Path(folder, version)
            room.mkdir()
            try:
                print(f"Python {version} ({interpreter}): {try_wheel(wheel, interpreter, folder=room)}", flush=True)
            except StepError as error:
                failed += 1
                print(f"Python {version} ({interpreter}): FAILED\n{error}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
