"""Identity and state of runs; a run is a folder, and its ``result.json`` marks it as finished."""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError, printable
from ser_lightning.file_digest import file_digest, model_digest

FORMAT = 1
LIBRARIES = (
    *("ser-lightning", "torch", "torchaudio", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf"),
    *("librosa", "numpy", "scikit-learn", "scipy", "soundfile", "soxr", "webrtcvad-wheels"),
    *("tensorboard",),
)
EXTRAS = ("praat-parselmouth", "opensmile", "transformers")  # optional libraries
# Paths of a checkout that affect results; changes elsewhere do not mark a run as dirty.
MAKES_RESULTS = ("src", "conf", "pyproject.toml", "constraints.txt")
# Config keys of locations, names and speed, and of what is added to a finished run: no metric depends on them.
UNSCIENTIFIC = (
    *("name", "run_id", "output_root", "folder", "logger", "trust", "init_from", "calibrate"),
    *("corpus.root", "corpus.download", "corpus.follow_links", "corpus.workers", "features.download"),
    *("data.feature_cache", "data.feature_workers", "data.teacher", "data.shard", "data.shards"),
    *("callbacks.best.dirpath", "callbacks.last.dirpath", "trainer.enable_progress_bar"),
)

# A run records the backend in use. ``native`` and ``auto``, which selects it, give the same digest.
BACKENDS = ("features.backend", "augment.backend")
NATIVE = ("native", "auto")
# Keys with the values that leave a run as it was before they were added, so that its digest stays the same.
LATER = {
    "ensemble": 1,
    "data.eval_copies": False,
    "data.teacher_sha256": None,
    "data.teacher_share": 0.5,
    "data.teacher_temperature": 2.0,
}


def is_unscientific(key: str) -> bool:
    """Return whether a key or its section is excluded from the digest; parts of a pool are treated like a corpus.

    >>> [is_unscientific(key) for key in ("corpus.root", "corpus.parts.emodb.root", "logger.name", "corpus.downmix")]
    [True, True, True, False]
    """
    key = re.sub(r"^corpus\.parts\.[^.]+\.", "corpus.", key)
    return any(key == name or key.startswith(f"{name}.") for name in UNSCIENTIFIC)


def science_digest(config: Mapping[str, Any]) -> str:
    """Compute a hexadecimal digest of a resolved config without the keys that do not affect results.

    >>> science_digest({"seed": 1, "name": "a"}) == science_digest({"seed": 1, "name": "b"})
    True
    >>> science_digest({"seed": 1}) == science_digest({"seed": 2})
    False
    """
    values = _scientific(json.loads(json.dumps(config)))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _scientific(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    return {
        key: _scientific(value, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in section.items()
        if not is_unscientific(prefix + key)
        and not (prefix + key in BACKENDS and value in NATIVE)
        and not (prefix + key in LATER and value == LATER[prefix + key])
    }


def with_checkpoint_digest(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with the digests of ``init_from``, the teacher and an encoder's folder, which identify a run.

    Raises:
        InputError: there is no such file, or its digest is not the one that the config requires

    """
    config = _with_teacher_digest(_with_encoder_digest(config))
    path, required = config["init_from"], config["init_from_sha256"]
    if path is None:
        if required is not None:
            raise InputError(f"init_from_sha256 is {required!r} without init_from; give init_from=<checkpoint>")
        return dict(config)
    if not isinstance(path, str) or not Path(path).is_file():
        raise InputError(f"init_from is {path!r}, which is no file; give <run folder>/checkpoints/best.ckpt")
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    if required not in (None, digest):
        raise InputError(f"{path} has the SHA-256 digest {digest}; init_from_sha256 requires {required}")
    return {**config, "init_from_sha256": digest}


def _with_encoder_digest(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with ``features.sha256`` of the local folder ``features.encoder``, if it names one."""
    features: Mapping[str, Any] = config.get("features", {})
    name = features.get("encoder")
    if isinstance(name, str) and features.get("sha256", "") is None and Path(name).expanduser().is_dir():
        return {**config, "features": {**features, "sha256": model_digest(Path(name).expanduser())}}
    return dict(config)


def _with_teacher_digest(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with ``data.teacher_sha256``, the digest of the checkpoint of the run ``data.teacher``.

    Raises:
        InputError: the folder is no finished run, or its digest is not the one that the config requires

    """
    data: Mapping[str, Any] = config.get("data", {})
    folder, required = data.get("teacher"), data.get("teacher_sha256")
    if folder is None:
        if required is not None:
            raise InputError(
                f"data.teacher_sha256 is {required!r} without data.teacher; give data.teacher=<run folder>"
            )
        return dict(config)
    if not isinstance(folder, str):
        raise InputError(f"data.teacher is {folder!r}; expected the folder of a finished run, or null")
    try:
        path = reported_checkpoint(Path(folder))
    except InputError as error:
        raise InputError(f"data.teacher: {error}") from error
    if not path.is_file():
        raise InputError(f"data.teacher: there is no checkpoint {path}; train the teacher again")
    digest = file_digest(path)
    if required not in (None, digest):
        raise InputError(f"{path} has the SHA-256 digest {digest}; data.teacher_sha256 requires {required}")
    return {**config, "data": {**data, "teacher_sha256": digest}}


def reported_checkpoint(folder: Path) -> Path:
    """Return the path of the checkpoint whose metrics are the result of a finished run.

    Raises:
        InputError: the folder is no finished run, or its ``result.json`` is damaged

    """
    return folder / "checkpoints" / f"{read_result(folder)['checkpoint']}.ckpt"


def check_checkpoint(which: object) -> None:
    """Check that the name of a checkpoint is ``best`` or ``last``.

    Raises:
        InputError: the name is neither

    """
    if which not in ("best", "last"):
        raise InputError(f"checkpoint is {which!r}; expected best or last")


def finished(folder: Path, config: Mapping[str, Any], *, name: str = "result.json") -> dict[str, Any] | None:
    """Return the result of a finished run, or ``None`` if the run has not finished.

    Args:
        folder: folder of the run
        config: resolved config of the run
        name: name of the file that a finished run has

    Raises:
        InputError: the folder holds the result of another configuration, or an unreadable result

    """
    path, digest = folder / name, science_digest(config)
    if not path.exists():
        return None
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stored_digest, before = result["digest"], result["config"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error!r}); remove the folder to run again") from error
    if stored_digest != digest:
        if (hint := _how_to_train_longer(folder, before, config)) is not None:
            raise InputError(hint)
        raise InputError(
            f"{folder} holds a run of another configuration (digest {stored_digest}, this one is {digest});"
            " choose another name= or run_id=, or remove the folder"
        )
    return result


def read_result(folder: Path) -> dict[str, Any]:
    """Read the ``result.json`` of a run.

    Raises:
        InputError: the folder is not a finished run, or the file cannot be read

    """
    path = folder / "result.json"
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        result["digest"], result["metrics"]
        check_checkpoint(result["checkpoint"])  # validated because it becomes part of a path
    except OSError as error:
        hint = "; values of the configuration are given as --set key=value" if "=" in str(folder) else ""
        raise InputError(
            f"{printable(folder)} is no finished run: it has no result.json; give a run folder that has one{hint}"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{printable(path)} cannot be read ({error!r}); train the run again") from error
    return result


def _how_to_train_longer(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return how to continue a finished run, if only the number of epochs was raised; otherwise None.

    Args:
        folder: folder of the finished run
        before: config of the finished run
        now: config of this run

    """
    epochs, wanted = (config["trainer"]["max_epochs"] for config in (before, now))
    raised = {**before, "trainer": {**before["trainer"], "max_epochs": wanted}}
    same = all(raised.get(key) == now.get(key) for key in now.keys() - {"name", "run_id", "folder", "output_root"})
    if not same or epochs == wanted:
        return None
    return (
        f"{folder} holds a finished run of {epochs} epochs; a finished run is not continued. Start a new run from its"
        f" weights: name=<new name> init_from={folder / 'checkpoints' / 'last.ckpt'} trainer.max_epochs=<more epochs>"
    )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    with write_atomically(path) as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")


def versions() -> dict[str, str]:
    """Return the versions of Python and the libraries in use."""
    by_library = {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in LIBRARIES}}
    for name in EXTRAS:
        with suppress(importlib.metadata.PackageNotFoundError):
            by_library[name] = importlib.metadata.version(name)
    return by_library


def provenance() -> dict[str, Any]:
    """Return library versions, code commit and machine description."""
    return {
        "versions": versions(),
        "git": checkout(Path(__file__).parents[2]),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def checkout(source: Path) -> dict[str, Any] | None:
    """Return the commit of a git checkout and whether its result-affecting files are modified; ``None`` if no checkout.

    ``None`` is also returned if git fails.
    """
    if not (source / ".git").exists():  # an installed package
        return None
    try:
        commit, status = (
            subprocess.run(  # noqa: S603 - fixed arguments
                ["git", "-C", str(source), *words],  # noqa: S607 - uses the git on the user's PATH
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", *MAKES_RESULTS])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": bool(status)}
