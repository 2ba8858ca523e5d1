"""Compile the C kernels: ``python -m ser_lightning.kernels.compile``."""

import hashlib
import os
import platform
import subprocess
import tempfile
from pathlib import Path

from ser_lightning.errors import InputError, printable

FOLDER = Path(__file__).parent
KERNELS = "ser-lightning-kernels"  # stands for the kernels among the libraries that shape features
# No fused multiply-add and no reordering of sums, so that the results are the same on every processor.
FLAGS = (
    *("-std=gnu11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    *("-fPIC", "-shared", "-Wall", "-Wextra", "-Wno-psabi"),
)


def compiled(folder: Path = FOLDER) -> Path:
    """Return the path of the kernel library, which is compiled first if there is none for these sources.

    ``make setup`` and the build of a wheel have compiled it already, so only changed sources need it. The file name
    contains the machine type and a digest of the sources and flags, so that no other build can be mistaken for it.

    Args:
        folder: folder of the sources and the library

    Raises:
        InputError: the library cannot be compiled

    """
    name = f"kernels-{platform.machine()}"
    path = folder / f"{name}-{source_digest(folder)}.so"
    if not path.exists():
        _compile(sorted(folder.glob("*.c")), path)
        for library in folder.glob(f"{name}-*.so"):
            if library != path:
                library.unlink(missing_ok=True)
    return path


def source_digest(folder: Path = FOLDER) -> str:
    """Return a digest of the sources and the compiler flags: the version of the kernels."""
    digest = hashlib.sha256(repr(FLAGS).encode())
    for source in sorted(folder.glob("*.[ch]")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:12]


def _compile(sources: list[Path], path: Path) -> None:
    compiler = os.environ.get("CC") or "cc"
    remedy = f"a C compiler is needed (CC names another than cc), and the right to write to {printable(path.parent)}"
    try:
        # Compile under another name and rename, so that a concurrent process never loads a partial file.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".kernels.") as folder:
            output = Path(folder, path.name)
            command = [*compiler.split(), *FLAGS, "-o", str(output), *map(str, sources), "-lm"]
            process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
            if process.returncode:
                reason = next((line for line in process.stderr.splitlines() if "error" in line), "it gives no reason")
                raise InputError(f"{compiler} cannot compile the kernels: {reason}; {remedy}")
            output.replace(path)
    except OSError as error:
        raise InputError(f"the kernels cannot be compiled: {error}; {remedy}") from error


if __name__ == "__main__":
    print(compiled())
